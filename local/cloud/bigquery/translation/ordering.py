"""The order of values: NaN in ORDER BY, MIN, MAX, GREATEST and LEAST.

Source: "Data types", orderable floating point types
(https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#floating_point_types): NULL, NaN, -inf, ... ;
"Aggregate functions", MIN and MAX: NaN if any value is.
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.macros import macro
from local.cloud.bigquery.translation.numbers import with_function
from local.cloud.bigquery.translation.rules import Context, call, literal_number, rule, site_of


@rule(exp.Order)
def order(node: exp.Order, context: Context) -> exp.Expression | None:
    """NaN comes before all other numbers; in DuckDB it comes after them.

    Source: "Data types", floating point types.
    """
    window = node.parent
    if isinstance(window, exp.SetOperation):
        return None  # see ordered_set_operation
    if isinstance(window, exp.Window):
        spec = window.args.get("spec")
        if spec is not None and str(spec.args.get("kind") or "").upper() == "RANGE" and spec.find(exp.Literal):
            return None  # the distance of two rows is that of one number
    _check_keys(node, context)
    keys = _keys(node, context)
    if len(keys) == len(node.expressions):
        return None
    node.set("expressions", keys)
    return node


def _check_keys(node: exp.Order, context: Context) -> None:
    """Refuse keys of types that have no order.

    Source: "Data types", orderable data types.
    """
    for key in node.expressions:
        kind = context.of(_key(key.this, node)) if isinstance(key, exp.Ordered) else None
        if kind is not None and kind.name in ("ARRAY", "STRUCT", "GEOGRAPHY"):
            raise invalid(f"ORDER BY does not support expressions of type {kind}")


@rule(exp.Select)
def order_of_distinct(node: exp.Select, context: Context) -> exp.Expression | None:
    """After SELECT DISTINCT, ORDER BY sees the selected columns only.

    Source: "Query syntax", ORDER BY clause; the text: GoogleSQL's analyzer. DuckDB orders by any row's value.
    """
    clause = node.args.get("order")
    if clause is None or not node.args.get("distinct") or any(item.is_star for item in node.expressions):
        return None
    names = {item.alias_or_name.lower() for item in node.expressions}
    selected = [item.unalias() for item in node.expressions]
    for key in clause.expressions:
        value = key.this if isinstance(key, exp.Ordered) else key
        if value in selected:
            continue
        for column in value.find_all(exp.Column):
            if column.parts[0].name.lower() not in names and column.name.lower() not in names:
                hidden = f"column {column.name} which is not visible after SELECT DISTINCT"
                raise invalid(f"ORDER BY clause expression references {hidden}")
    return None


def _keys(node: exp.Order, context: Context) -> list[exp.Expression]:
    """Return the keys of ORDER BY, those of FLOAT64 after a key that tells whether the number is NaN."""
    keys: list[exp.Expression] = []
    for key in node.expressions:
        value = _key(key.this, node) if isinstance(key, exp.Ordered) else None
        if value is not None and context.of(value) == types.FLOAT64 and literal_number(value) is None:
            first = exp.Ordered(this=call("isnan", value.copy()), desc=not key.args.get("desc"))
            first.set("nulls_first", key.args.get("nulls_first"))
            keys.append(first)
        keys.append(key)
    return keys


@rule(exp.Union, exp.Except, exp.Intersect)
def ordered_set_operation(node: exp.SetOperation, context: Context) -> exp.Expression | None:
    """A set operation that is ordered by FLOAT64 becomes a subquery: DuckDB orders it by plain columns only.

    Source: see :func:`order`.
    """
    clause = node.args.get("order")
    keys = _keys(clause, context) if clause is not None else []
    if clause is None or len(keys) == len(clause.expressions):
        return None
    clause.set("expressions", keys)
    outer = exp.select("*")
    for name in ("with_", "order", "limit", "offset"):
        outer.set(name, node.args.get(name))
        node.set(name, None)
    return outer.from_(node.subquery("united", copy=False), copy=False)


def _key(value: exp.Expression, order: exp.Order) -> exp.Expression:
    """Return the value by which a key orders: of a position, the column at that position."""
    query = order.parent
    if not isinstance(value, exp.Literal) or value.is_string or not isinstance(query, exp.Select):
        return value
    position = int(value.this) if value.this.isdigit() else 0
    if not 1 <= position <= len(query.expressions):
        return value
    item = query.expressions[position - 1]
    return item.this if isinstance(item, exp.Alias) else item


@rule(exp.HavingMax)
def rows_of_extreme(node: exp.HavingMax, context: Context) -> None:
    """HAVING MAX and HAVING MIN restrict an aggregate function to the rows with the largest or smallest value.

    Source: "Aggregate function calls", HAVING MAX. Here only in ANY_VALUE.
    """
    if not isinstance(node.parent, exp.AnyValue):
        raise limit("run HAVING MAX and HAVING MIN in aggregate functions other than ANY_VALUE; join with the extreme")


@rule(exp.Min, exp.Max)
def least(node: exp.Min | exp.Max, context: Context) -> exp.Expression | None:
    """MIN is NaN if any value is; DuckDB's NaN is the greatest number. Structs and arrays have no order.

    Source: "Aggregate functions", MIN.
    """
    kind = context.of(node)
    name = type(node).__name__.upper()
    if kind is not None and kind.name in ("STRUCT", "ARRAY", "JSON", "GEOGRAPHY"):
        raise invalid(f"{name} is not defined for arguments of type {kind}")
    if kind != types.FLOAT64 or isinstance(node, exp.Max):
        return None
    any_nan = with_function(node, exp.LogicalOr)
    function = next(iter(any_nan.find_all(exp.LogicalOr)))
    function.set("this", call("isnan", function.this))
    nan = exp.cast(exp.Literal.string("nan"), "DOUBLE")
    return exp.Case(ifs=[exp.If(this=any_nan, true=nan)], default=site_of(node))


macro(
    "bq_least_of_two(a, b)",
    """CASE WHEN a IS NULL OR b IS NULL THEN NULL WHEN isnan(CAST(a AS DOUBLE)) OR isnan(CAST(b AS DOUBLE))
    THEN CAST('nan' AS DOUBLE) ELSE least(CAST(a AS DOUBLE), CAST(b AS DOUBLE)) END""",
)
macro(  # NaN is the greatest number in DuckDB
    "bq_least_of_all(numbers)",
    """CASE WHEN list_count(numbers) < len(numbers) THEN NULL WHEN isnan(CAST(list_max(numbers) AS DOUBLE))
    THEN CAST('nan' AS DOUBLE) ELSE CAST(list_min(numbers) AS DOUBLE) END""",
)


@rule(exp.Least)
def least_argument(node: exp.Least, context: Context) -> exp.Expression | None:
    """LEAST is NULL if an argument is, and otherwise NaN if an argument is.

    Source: "Mathematical functions", LEAST.
    """
    arguments = [node.this, *node.expressions]
    floats = [part for part in arguments if context.of(part) == types.FLOAT64 and literal_number(part) is None]
    if context.of(node) != types.FLOAT64 or not floats:
        return None
    name = "bq_least_of_two" if len(arguments) == 2 else "bq_least_of_all"
    return call(name, *arguments) if len(arguments) == 2 else call(name, exp.Array(expressions=arguments))
