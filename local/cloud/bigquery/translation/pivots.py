"""PIVOT and UNPIVOT, as a GROUP BY and as a join with UNNEST.

Source: "Query syntax", PIVOT and UNPIVOT operators
(https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#pivot_operator). DuckDB's own operators give
the columns other names and another order.
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.translation import time_formats, types
from local.cloud.bigquery.translation.annotation import Columns, Types
from local.cloud.bigquery.translation.types import Type

_ALIAS = "IN expression in PIVOT must have an alias if it is no string, number, BOOL or DATE"
_SOURCE, _ROW = "bq_source", "bq_row"


def expand_pivots(tree: exp.Expression, known: Types) -> None:
    """Replace all PIVOT and UNPIVOT of a statement, in place.

    Raises:
        ValidationError: an operator is invalid, or the columns of its source are not known.
    """
    for source in reversed(list(tree.find_all(exp.Table, exp.Subquery))):
        pivots = source.args.get("pivots")
        if not pivots:
            continue
        columns = known.pivoted.get(id(source))
        if columns is None or len(pivots) > 1:
            raise limit("run PIVOT or UNPIVOT of a source whose columns are not known, or two of them in a row")
        pivot = pivots[0]
        alias = pivot.alias or source.alias or None
        source.set("pivots", None)
        build = _unpivoted if pivot.args.get("unpivot") else _pivoted
        source.replace(build(source.copy(), pivot, columns).subquery(alias))


def _pivoted(source: exp.Expression, pivot: exp.Pivot, columns: Columns) -> exp.Select:
    aggregates = pivot.expressions
    if len(aggregates) > 1 and not all(isinstance(item, exp.Alias) for item in aggregates):
        raise invalid("PIVOT expression must have an alias unless there is only one PIVOT expression")
    choice = pivot.args["fields"][0]
    used = {column.name.lower() for part in (*aggregates, choice.this) for column in part.find_all(exp.Column)}
    groups = [exp.column(name, quoted=True) for name, _ in columns.pairs if name.lower() not in used]
    items: list[exp.Expression] = list(groups)
    kind = columns.by_name.get(choice.this.name.lower()) if isinstance(choice.this, exp.Column) else None
    for value in choice.expressions:
        name = value.args["alias"].name if isinstance(value, exp.PivotAlias) else _name_of(value, kind)
        wanted = value.this if isinstance(value, exp.PivotAlias) else value
        for aggregate in aggregates:
            full_name = f"{aggregate.alias}_{name}" if aggregate.alias else f"_{name}" if name[:1].isdigit() else name
            items.append(exp.alias_(_of_rows(aggregate.unalias(), choice.this, wanted), full_name, quoted=True))
    query = exp.select(*items).from_(source)
    return query.group_by(*(group.copy() for group in groups)) if groups else query


def _of_rows(aggregate: exp.Expression, chosen: exp.Expression, value: exp.Expression) -> exp.Expression:
    """Return the aggregate of the rows in which ``chosen`` is ``value``."""
    is_null = isinstance(value, exp.Null)
    condition = (exp.Is if is_null else exp.EQ)(this=chosen.copy(), expression=value.copy())
    return exp.Filter(this=aggregate.copy(), expression=exp.Where(this=condition))


def _name_of(value: exp.Expression, kind: Type | None) -> str:
    """Return the name of the column for a value of a type without an alias; a text may stand for a DATE."""
    if isinstance(value, exp.Neg):
        return f"minus_{_name_of(value.this, kind)}"
    is_date = isinstance(value, exp.Cast) and value.to.this == exp.DataType.Type.DATE
    text = value.this if is_date else value
    if isinstance(text, exp.Literal) and text.is_string and (is_date or kind == types.DATE):
        try:
            return time_formats.date_of(text.this).isoformat().replace("-", "_")
        except ValueError as error:
            raise invalid(f'Could not cast literal "{text.this}" to type DATE') from error
    if isinstance(value, exp.Literal) and value.is_string and kind not in (types.STRING, None):
        raise invalid(_ALIAS)
    if isinstance(value, exp.Literal):
        return value.this if value.is_string else value.this.replace(".", "_point_")
    if isinstance(value, exp.Boolean):
        return "true" if value.this else "false"
    if isinstance(value, exp.Null):
        return "NULL"
    raise invalid(_ALIAS)


def _unpivoted(source: exp.Expression, pivot: exp.Pivot, columns: Columns) -> exp.Select:
    targets = pivot.expressions[0]
    names = [target.name for target in (targets.expressions if isinstance(targets, exp.Tuple) else [targets])]
    choice = pivot.args["fields"][0]
    rows: list[exp.Expression] = []
    used: set[str] = set()
    for item in choice.expressions:
        label = item.args["alias"] if isinstance(item, exp.PivotAlias) else None
        parts = item.this if isinstance(item, exp.PivotAlias) else item
        parts = parts.expressions if isinstance(parts, exp.Tuple) else [parts]
        if len(parts) != len(names):
            raise invalid("The number of columns in UNPIVOT's IN clause does not match the number of value columns")
        used.update(part.name.lower() for part in parts)
        shown = label.copy() if label else exp.Literal.string("_".join(part.name for part in parts))
        values = [exp.column(part.name, table=_SOURCE, quoted=True) for part in parts]
        rows.append(_row([*zip(names, values, strict=True), (choice.this.name, shown)]))
    missing = used - set(columns.by_name)
    if missing:
        raise invalid(f"Unrecognized name: {sorted(missing)[0]}")
    kept = [exp.column(name, table=_SOURCE, quoted=True) for name, _ in columns.pairs if name.lower() not in used]
    made = [exp.column(name, table=_ROW, quoted=True) for name in (*names, choice.this.name)]
    source.set("alias", exp.TableAlias(this=exp.to_identifier(_SOURCE)))
    unnest = exp.Unnest(
        expressions=[exp.Array(expressions=rows)], alias=exp.TableAlias(columns=[exp.to_identifier(_ROW)])
    )
    query = exp.select(*kept, *made).from_(source).join(unnest, join_type="CROSS")
    if pivot.args.get("include_nulls"):
        return query
    known = [exp.not_(exp.Is(this=column.copy(), expression=exp.null())) for column in made[:-1]]
    return query.where(exp.or_(*known))


def _row(fields: list[tuple[str, exp.Expression]]) -> exp.Struct:
    return exp.Struct(
        expressions=[
            exp.PropertyEQ(this=exp.to_identifier(name, quoted=True), expression=value) for name, value in fields
        ]
    )
