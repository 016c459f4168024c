"""Arrays: elements by their position, and ARRAY_AGG.

Sources: "Operators", array subscript operator; "Array functions"; "Aggregate functions", ARRAY_AGG
(https://cloud.google.com/bigquery/docs/reference/standard-sql/operators#array_subscript_operator).
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.limits import invalid
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.macros import macro
from local.cloud.bigquery.translation.rules import Context, call, rule, site_of

macro(
    "bq_element(elements, place, shown)",
    """elements[CASE WHEN place BETWEEN 1 AND len(elements) THEN place
        WHEN place IS NOT NULL AND elements IS NOT NULL
        THEN bq_error('Array index ' || shown || ' is out of bounds') END]""",
)
macro("bq_safe_element(elements, place)", "elements[CASE WHEN place BETWEEN 1 AND len(elements) THEN place END]")
macro(
    "bq_end_element(elements, place, name)",
    """elements[CASE WHEN len(elements) > 0 THEN place
        WHEN elements IS NOT NULL THEN bq_error(name || ' element of an empty array') END]""",
)
# The values with their numbers, the most frequent first; NULL counts as a value.
macro(
    "bq_top_count(x, n)",
    """list_transform(
        list_sort(list_concat(
            list_transform(map_entries(histogram(x)), lambda e: {'count': -CAST(e.value AS BIGINT), 'value': e.key}),
            CASE WHEN count(*) > count(x) THEN [{'count': count(x) - count(*), 'value': NULL}] END
        ))[1:n],
        lambda e: {'value': e.value, 'count': -e.count}
    )""",
)


macro(
    "bq_range_bucket(point, bounds)",
    "CASE WHEN point IS NOT NULL THEN len(list_filter(bounds, lambda bq_bound: bq_bound <= point)) END",
)


@rule(exp.RangeBucket)
def range_bucket(node: exp.RangeBucket, context: Context) -> exp.Expression | None:
    """RANGE_BUCKET gives the number of bounds that are not greater.

    Source: "Mathematical functions", RANGE_BUCKET. bqemulator's own takes a column x for its bound.
    """
    return call("bq_range_bucket", node.this, node.expression)


@rule(exp.Bracket)
def element(node: exp.Bracket, context: Context) -> exp.Expression | None:
    """An element by OFFSET (from 0) or ORDINAL (from 1); outside of the array it is an error, or NULL with SAFE_.

    Source: "Operators", array subscript operator. DuckDB gives NULL, and counts negative positions from the end.
    """
    kind, base = context.of(node.this), node.args.get("offset")
    is_array = kind is not None and kind.name == "ARRAY"
    if not is_array and (base is None or kind is not None):
        return None
    index = node.expressions[0]
    if context.of(index) not in (None, types.NULL, types.INT64):
        raise invalid(f"Array position in [] must be coercible to INT64 type, but has type {context.of(index)}")
    position: exp.Expression = index
    if not base:
        position = exp.Add(this=exp.Paren(this=index.copy()), expression=exp.Literal.number(1))
    if node.args.get("safe"):
        return call("bq_safe_element", node.this, position)
    return call("bq_element", node.this, position, index.copy())


@rule(exp.ArrayFirst, exp.ArrayLast)
def end_element(node: exp.Expression, context: Context) -> exp.Expression | None:
    """ARRAY_FIRST and ARRAY_LAST fail for an empty array.

    Source: "Array functions", ARRAY_FIRST; the text: a recorded answer.
    """
    name, which, position = ("FIRST", "first", 1) if isinstance(node, exp.ArrayFirst) else ("LAST", "last", -1)
    return call("bq_end_element", node.this, position, f"ARRAY_{name} cannot get the {which}")


@rule(exp.ArrayAgg)
def array_agg(node: exp.ArrayAgg, context: Context) -> exp.Expression | None:
    """ARRAY_AGG with DISTINCT, IGNORE NULLS, ORDER BY and LIMIT, in any combination.

    Source: "Aggregate functions", ARRAY_AGG.
    """
    operand = node.this
    most = operand.expression if isinstance(operand, exp.Limit) else None
    if most is not None:
        operand = operand.this
    value = operand
    while isinstance(value, exp.Order | exp.Distinct | exp.HavingMax):
        value = value.expressions[0] if isinstance(value, exp.Distinct) else value.this
    modifier = node.parent if isinstance(node.parent, exp.IgnoreNulls | exp.RespectNulls) else None
    if most is None and modifier is None:
        return None
    site = site_of(node)
    result: exp.Expression = exp.ArrayAgg(this=operand)
    if isinstance(modifier, exp.IgnoreNulls):
        known = exp.not_(exp.Is(this=value.copy(), expression=exp.null()))
        result = exp.Filter(this=result, expression=exp.Where(this=known))
    if site is not node and site is not modifier:  # OVER or FILTER around it
        inner = modifier or node
        inner.replace(result)
        result = site.copy()
    return call("array_slice", result, 1, most) if most is not None else result


@rule(exp.ApproxTopK)
def approx_top_count(node: exp.ApproxTopK, context: Context) -> exp.Expression | None:
    """APPROX_TOP_COUNT gives the most frequent values with their numbers.

    Source: "Approximate aggregate functions", APPROX_TOP_COUNT.
    """
    return call("bq_top_count", node.this, node.expression)
