"""Arrays: elements by their position, and ARRAY_AGG.

Sources: "Operators", array subscript operator; "Array functions"; "Aggregate functions", ARRAY_AGG
(https://cloud.google.com/bigquery/docs/reference/standard-sql/operators#array_subscript_operator).
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.macros import macro
from local.cloud.bigquery.translation.rules import (
    Context,
    bound,
    call,
    cast,
    is_simple,
    named,
    rule,
    site_of,
    with_bound,
)

_MOST_QUANTILES = 100_000
_NAN_IN_QUANTILES = "the embedded BigQuery does not order NaN in APPROX_QUANTILES; leave it out"

macro(
    "bq_element(elements, place, shown)",
    """elements[CASE WHEN place BETWEEN 1 AND len(elements) THEN place
        WHEN place IS NOT NULL AND elements IS NOT NULL
        THEN bq_error('Array index ' || shown || ' is out of bounds') END]""",
)
# Not elements[CASE ... END]: a NULL for a position would be of no type.
macro("bq_safe_element(elements, place)", "CASE WHEN place BETWEEN 1 AND len(elements) THEN elements[place] END")
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


# The values with the sums of their weights, the largest first.
for _name, _type in (("int64", "BIGINT"), ("numeric", "DECIMAL(38, 9)"), ("float64", "DOUBLE")):
    macro(
        f"bq_top_sum_of_{_name}(pairs, n)",
        f"""list_transform(
            list_sort(list_transform(
                list_concat(
                    list_distinct(list_transform(pairs, lambda p: p.x)),
                    CASE WHEN len(list_filter(pairs, lambda p: p.x IS NULL)) > 0 THEN [NULL] END
                ),
                lambda v: {{
                    'sum': -list_sum(list_transform(
                        list_filter(pairs, lambda p: p.x IS NOT DISTINCT FROM v), lambda p: p.weight
                    )),
                    'value': v
                }}
            ))[1:n],
            lambda e: {{'value': e.value, 'sum': CAST(-e.sum AS {_type})}}
        )""",
    )
# Positions from the end are negative; those outside of the array are moved to its ends.
macro(
    "bq_slice(elements, first, last)",
    """CASE WHEN first IS NOT NULL AND last IS NOT NULL THEN list_slice(
        elements,
        CASE WHEN first < 0 THEN greatest(len(elements) + first, 0) ELSE first END + 1,
        greatest(CASE WHEN last < 0 THEN len(elements) + last ELSE last END + 1, 0)
    ) END""",
)
_MOST_ELEMENTS = 1_048_575
macro(
    "bq_checked_end(first, last, step)",
    f"""CASE WHEN abs(CAST(last AS DOUBLE) - first) / nullif(abs(CAST(step AS DOUBLE)), 0) < {_MOST_ELEMENTS}
        OR step = 0 OR sign(CAST(last AS DOUBLE) - first) <> sign(step) THEN last
    WHEN last IS NOT NULL AND first IS NOT NULL AND step IS NOT NULL
    THEN bq_error(format('GENERATE_ARRAY({{}}, {{}}, {{}}) produced too many elements', first, last, step)) END""",
)
macro("bq_checked_step(step)", "CASE WHEN step = 0 THEN bq_error('Sequence step cannot be 0.') ELSE step END")
macro(
    "bq_series(first, last, step)", "generate_series(first, bq_checked_end(first, last, step), bq_checked_step(step))"
)
# Each number is computed from the first, so that errors do not add up.
macro(
    "bq_series_of_float64(first, last, step)",
    """list_transform(
        generate_series(0, CASE WHEN isnan(first) OR isnan(last) OR isnan(step)
            THEN bq_error('Sequence start, end, and step cannot be NaN.')
            WHEN isinf(step) THEN bq_error('Sequence step cannot be +/-inf.')
            ELSE CAST(floor((bq_checked_end(first, last, step) - first) / bq_checked_step(step)) AS BIGINT) END),
        lambda bq_n: first + bq_n * step
    )""",
)
macro(
    "bq_series_of_numeric(first, last, step)",
    """list_transform(
        generate_series(0, CAST(floor((last - first) / bq_checked_step(step)) AS BIGINT)),
        lambda bq_n: CAST(first + bq_n * step AS DECIMAL(38, 9))
    )""",
)


macro(
    "bq_stored(elements, name)",
    """list_filter(coalesce(elements, []), lambda e: CASE WHEN e IS NOT NULL THEN true ELSE
        CAST(bq_error('Array cannot have a null element; error in writing field ' || name) AS BOOLEAN) END)""",
)
# The first bound that is NULL, or greater than the next one.
macro(
    "bq_bad_bound(bounds)",
    """list_filter(range(1, len(bounds) + 1), lambda bq_n: bounds[bq_n] IS NULL OR bounds[bq_n + 1] < bounds[bq_n]
        OR (bq_n < len(bounds) AND bounds[bq_n + 1] IS NULL))[1]""",
)
macro("bq_bad_bounds(problem)", "bq_error('Elements in input array to RANGE_BUCKET ' || problem)")
macro(
    "bq_range_bucket(point, bounds)",
    """CASE WHEN point IS NULL OR bounds IS NULL THEN NULL
    WHEN bq_bad_bound(bounds) IS NULL THEN len(list_filter(bounds, lambda bq_bound: bq_bound <= point))
    WHEN bounds[bq_bad_bound(bounds)] IS NULL
    THEN bq_bad_bounds('cannot be null. Null element found at position ' || bq_bad_bound(bounds))
    ELSE bq_bad_bounds('must be in ascending order. Nonconforming elements found at position '
        || bq_bad_bound(bounds) || ' and ' || bq_bad_bound(bounds) + 1) END""",
)
macro("bq_nan_bound(bounds)", "list_filter(range(1, len(bounds) + 1), lambda bq_n: isnan(bounds[bq_n]))[1]")
macro(
    "bq_range_bucket_of_float64(point, bounds)",
    """CASE WHEN isnan(point) THEN NULL WHEN point IS NOT NULL AND bq_nan_bound(bounds) IS NOT NULL
    THEN bq_bad_bounds('cannot be NaN. NaN element found at position ' || bq_nan_bound(bounds))
    ELSE bq_range_bucket(point, bounds) END""",
)


@rule(exp.RangeBucket)
def range_bucket(node: exp.RangeBucket, context: Context) -> exp.Expression | None:
    """RANGE_BUCKET gives the number of bounds that are not greater.

    Source: "Mathematical functions", RANGE_BUCKET. bqemulator's own takes a column x for its bound, and any bounds.
    """
    kinds = [context.of(node.this), context.of(node.expression)]
    element = kinds[1].element if kinds[1] is not None and kinds[1].name == "ARRAY" else None
    common = types.supertype([kinds[0], element])
    if None not in (kinds[0], element) and common is None:
        raise invalid(f"No matching signature for function RANGE_BUCKET for argument types: {named(kinds)}")
    name = "bq_range_bucket_of_float64" if common == types.FLOAT64 else "bq_range_bucket"
    bounds = node.expression
    if isinstance(bounds, exp.Array) and all(map(is_simple, bounds.expressions)):  # DuckDB checks it once
        return with_bound([node.this], lambda names: call(name, *names, bounds))
    return bound(name, node.this, bounds)


@rule(exp.Bracket)
def element(node: exp.Bracket, context: Context) -> exp.Expression | None:
    """An element by OFFSET (from 0) or ORDINAL (from 1); outside of the array it is an error, or NULL with SAFE_.

    Source: "Operators", array subscript operator. DuckDB gives NULL, and counts negative positions from the end.
    """
    kind, base = context.of(node.this), node.args.get("offset")
    is_array = kind is not None and kind.name == "ARRAY"
    if kind is not None and kind.name not in ("ARRAY", "STRUCT", "JSON", "NULL"):
        raise invalid(
            f"Subscript access using [{context.of(node.expressions[0])}] is not supported on values of type {kind}"
        )
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


@rule(exp.ArraySlice)
def array_slice(node: exp.ArraySlice, context: Context) -> exp.Expression | None:
    """ARRAY_SLICE counts from 0, and includes both ends.

    Source: "Array functions", ARRAY_SLICE.
    """
    return bound("bq_slice", node.this, node.args["start"], node.args["end"])


@rule(exp.ArrayConcat)
def array_concat(node: exp.ArrayConcat, context: Context) -> exp.Expression | None:
    """ARRAY_CONCAT is NULL if an array is.

    Source: "Array functions", ARRAY_CONCAT. DuckDB leaves such an array out.
    """
    arrays = [node.this, *node.expressions]
    unsure = [number for number, part in enumerate(arrays) if not isinstance(part, exp.Array)]
    if not unsure:
        return None

    def use(names: list[exp.Expression]) -> exp.Expression:
        is_null = [exp.Is(this=names[number].copy(), expression=exp.null()) for number in unsure]
        joined = exp.ArrayConcat(this=names[0].copy(), expressions=[name.copy() for name in names[1:]])
        return exp.Case(ifs=[exp.If(this=exp.or_(*is_null), true=exp.null())], default=joined)

    return with_bound(arrays, use)


@rule(exp.GenerateSeries)
def generate_array(node: exp.GenerateSeries, context: Context) -> exp.Expression | None:
    """GENERATE_ARRAY gives INT64, NUMERIC or FLOAT64; a step of 0 is an error.

    Source: "Array functions", GENERATE_ARRAY. DuckDB generates integers only, and nothing for a step of 0.
    """
    kind = context.of(node)
    element = kind.element if kind else None
    parts = [node.args["start"], node.args["end"], node.args.get("step") or exp.Literal.number(1)]
    if element in (types.FLOAT64, types.NUMERIC):
        values = [context.as_type(part, element) for part in parts]
        return bound(f"bq_series_of_{element.name.lower()}", *values)
    if element not in (types.INT64, None):
        shown = named(context.of(part) for part in parts if part.parent is node)
        raise invalid(f"No matching signature for function GENERATE_ARRAY for argument types: {shown}")
    return bound("bq_series", *parts)


@rule(exp.Array, exp.ArrayAgg)
def no_array_of_arrays(node: exp.Expression, context: Context) -> exp.Expression | None:
    """An array cannot have arrays as its elements.

    Source: "Data types", declaring an array type; the texts: GoogleSQL's analyzer.
    """
    kind = context.of(node)
    element = kind.element if kind and kind.name == "ARRAY" else None
    if element is None or element.name != "ARRAY":
        return None
    if isinstance(node, exp.ArrayAgg):
        raise invalid(f"The argument to ARRAY_AGG must not be an array type but was {element}")
    if len(node.expressions) == 1 and isinstance(node.expressions[0], exp.Query):
        raise invalid(
            f"Cannot use array subquery with column of type {element} because nested arrays are not supported"
        )
    raise invalid(f"Cannot construct array with element type {element} because nested arrays are not supported")


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


@rule(exp.ApproxTopSum)
def approx_top_sum(node: exp.ApproxTopSum, context: Context) -> exp.Expression | None:
    """APPROX_TOP_SUM gives the values with the largest sums of their weights.

    Source: "Approximate aggregate functions", APPROX_TOP_SUM.
    """
    value, weight, count = node.this, node.expression, node.args["count"]
    kind = context.of(weight)
    if kind not in (types.INT64, types.NUMERIC, types.FLOAT64):
        shown = named((context.of(value), kind, types.INT64))
        raise invalid(f"No matching signature for aggregate function APPROX_TOP_SUM for argument types: {shown}")
    names = {"x": value, "weight": weight}
    pair = exp.Struct(
        expressions=[exp.PropertyEQ(this=exp.to_identifier(name), expression=part) for name, part in names.items()]
    )
    return call(f"bq_top_sum_of_{kind.name.lower()}", exp.ArrayAgg(this=pair), count)


@rule(exp.ApproxQuantiles)
def approx_quantiles(node: exp.ApproxQuantiles, context: Context) -> exp.Expression | None:
    """APPROX_QUANTILES gives the smallest value, the boundaries of equal groups, and the largest.

    Source: "Approximate aggregate functions", APPROX_QUANTILES. The boundaries are exact here.
    """
    value, number = node.this, node.expression
    if isinstance(value, exp.Distinct) and number is None:
        number = value.expressions[1]
    if isinstance(number, exp.RespectNulls) or isinstance(node.parent, exp.RespectNulls):
        raise limit("run APPROX_QUANTILES with RESPECT NULLS")
    if isinstance(number, exp.IgnoreNulls):
        number = number.this
    if not isinstance(number, exp.Literal) or not number.is_int:
        raise limit("run APPROX_QUANTILES with a number that is not a literal")
    groups = int(number.this)
    if groups > _MOST_QUANTILES:
        raise invalid(f"Argument 2 to APPROX_QUANTILES must be between 1 and {_MOST_QUANTILES}")
    if context.of(value.expressions[0] if isinstance(value, exp.Distinct) else value) == types.FLOAT64:
        return _quantiles_without_nan(value, groups)
    return _quantiles(value, groups)


def _quantiles(value: exp.Expression, groups: int) -> exp.Expression:
    places = [exp.Literal.number(repr(place / groups)) for place in range(groups + 1)]
    quantiles = exp.Array(expressions=places)
    if isinstance(value, exp.Distinct):
        values = call("list_distinct", exp.ArrayAgg(this=value.expressions[0]))
        return call("list_aggregate", values, "quantile_disc", quantiles)
    return call("quantile_disc", value, quantiles)


def _quantiles_without_nan(value: exp.Expression, groups: int) -> exp.Expression:
    """Refuse NaN, which is the largest number of DuckDB and the smallest of BigQuery."""
    number = value.expressions[0] if isinstance(value, exp.Distinct) else value
    return exp.If(
        this=call("bool_or", call("isnan", number.copy())),
        true=exp.Array(expressions=[cast(call("bq_error", _NAN_IN_QUANTILES), types.FLOAT64)]),
        false=_quantiles(value, groups),
    )
