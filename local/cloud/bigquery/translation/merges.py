"""MERGE whose rows never match: how dbt replaces partitions."""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.limits import limit
from local.cloud.bigquery.translation.rules import Context, rule

_KEY = "_never_a_rowid"

_SOURCE = "bq_merge_source"


@rule(exp.Merge)
def merge_on_false(node: exp.Merge, context: Context) -> exp.Expression | None:
    """Replace ``ON FALSE`` by an equation that never holds: DuckDB hashes its sides, instead of comparing all pairs.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax#merge_statement: "constant false predicate"
    """
    on, source = node.args["on"], node.args["using"]
    if not isinstance(on, exp.Boolean) or on.this:
        return None
    name = source.alias_or_name or _SOURCE
    # Row ids are never negative.
    keyed = exp.select("*", exp.alias_(exp.Literal.number(-1), _KEY)).from_(source.copy())
    node.set("using", keyed.subquery(name))
    target = node.this.alias_or_name
    node.set("on", exp.EQ(this=exp.column("rowid", table=target, quoted=True), expression=exp.column(_KEY, table=name)))
    return node


@rule(exp.Update)
def assigned_columns(node: exp.Update, context: Context) -> exp.Expression | None:
    """The columns that UPDATE and MERGE assign may be qualified by the target's name; a value may be DEFAULT.

    Source: "Data manipulation language syntax", UPDATE statement. DuckDB allows neither.
    """
    merge = node.find_ancestor(exp.Merge)
    target = merge.this if merge else node.this
    qualified = [
        item.this for item in node.expressions if isinstance(item, exp.EQ) and isinstance(item.this, exp.Column)
    ]
    qualified = [column for column in qualified if len(column.parts) > 1]
    for column in qualified:
        if len(column.parts) > 2 or column.table.lower() != target.alias_or_name.lower():
            raise limit("update one field of a struct; assign the whole struct")
        column.set("table", None)
    defaults = [item for item in node.expressions if isinstance(item, exp.EQ) and _is_default(item.expression, context)]
    for item in defaults:
        item.set("expression", exp.null())
    return node if qualified or defaults else None


def _is_default(value: exp.Expression, context: Context) -> bool:
    """Return whether a value is the word DEFAULT, and no column: NULL, because columns have no default values here."""
    return (
        isinstance(value, exp.Column)
        and len(value.parts) == 1
        and value.name.upper() == "DEFAULT"
        and context.of(value) is None
    )
