"""ROUND, TRUNC, CEIL and FLOOR.

Source: "Mathematical functions"
(https://cloud.google.com/bigquery/docs/reference/standard-sql/mathematical_functions#round).
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.macros import macro
from local.cloud.bigquery.translation.rules import Context, bound, call, cast, literal_number, numeric, rule

# The product of two numbers, and what its rounding to FLOAT64 cut off, by splitting each into two halves (Dekker).
macro("bq_high(x)", "x * 134217729e0 - (x * 134217729e0 - x)")
macro(
    "bq_product_error(x, y)",
    """((bq_high(x) * bq_high(y) - x * y) + bq_high(x) * (y - bq_high(y)) + (x - bq_high(x)) * bq_high(y))
        + (x - bq_high(x)) * (y - bq_high(y))""",
)
# BigQuery rounds the number as it is stored: 2.675 is a little less, so that it becomes 2.67. DuckDB multiplies it by
# 100 first, which gives 267.5. A product near a half is rounded by its exact value.
macro(
    "bq_round_scaled(x, scale)",
    """CASE WHEN abs(x * scale - floor(x * scale) - 5e-1) > x * scale * 1e-15 THEN round(x * scale)
    WHEN x * scale - floor(x * scale) - 5e-1 + bq_product_error(x, scale) >= 0 THEN floor(x * scale) + 1
    ELSE floor(x * scale) END""",
)
macro(
    "bq_round(x, digits)",
    """CASE WHEN digits BETWEEN 1 AND 22 AND abs(x) < 4503599627370496e0
    THEN sign(x) * bq_round_scaled(abs(x), pow(1e1, digits)) / pow(1e1, digits)
    WHEN digits > 0 THEN x
    ELSE round(x, CAST(digits AS INTEGER)) END""",
)

macro("bq_trunc(x, digits)", "trunc(x, CAST(digits AS INTEGER))")


@rule(exp.Round, exp.Trunc)
def rounded(node: exp.Round | exp.Trunc, context: Context) -> exp.Expression | None:
    """ROUND and TRUNC give FLOAT64 for INT64 and FLOAT64, and NUMERIC for NUMERIC; halves away from zero.

    Source: "Mathematical functions", ROUND and TRUNC.
    """
    kind, digits = context.of(node), node.args.get("decimals")
    if kind not in (types.FLOAT64, types.NUMERIC):
        return None
    mode = node.args.get("truncate")
    if mode is not None and mode.name.upper() not in ("ROUND_HALF_AWAY_FROM_ZERO", "ROUND_HALF_EVEN"):
        raise limit(f"round with the mode {mode.sql(dialect='bigquery')}")
    if mode is not None and kind == types.FLOAT64:
        raise invalid("No matching signature for function ROUND for argument types: FLOAT64, INT64, ROUNDING_MODE.")
    to_even = mode is not None and mode.name.upper() == "ROUND_HALF_EVEN"
    if kind == types.FLOAT64:
        value = cast(node.this, types.FLOAT64)
        if isinstance(node, exp.Trunc):
            return call("bq_trunc", value, digits) if digits else call("trunc", value)
        return bound("bq_round", value, digits) if digits else call("round", value)
    return _rounded_numeric(node, context, digits, to_even)


def _rounded_numeric(
    node: exp.Round | exp.Trunc, context: Context, digits: exp.Expression | None, to_even: bool
) -> exp.Expression:
    places = literal_number(digits) if digits is not None else "0"
    if places is None:
        raise limit("round a NUMERIC to a number of digits that is not a literal")
    name = "trunc" if isinstance(node, exp.Trunc) else "round_even" if to_even else "round"
    value = context.as_type(node.this, types.NUMERIC)
    return numeric(call(name, value, *([int(places)] if digits is not None else [])))


@rule(exp.Ceil, exp.Floor)
def whole(node: exp.Ceil | exp.Floor, context: Context) -> exp.Expression | None:
    """CEIL and FLOOR give FLOAT64 for INT64 and FLOAT64, and NUMERIC for NUMERIC.

    Source: "Mathematical functions", CEIL and FLOOR.
    """
    kind = context.of(node)
    if kind not in (types.FLOAT64, types.NUMERIC):
        return None
    return cast(call("ceil" if isinstance(node, exp.Ceil) else "floor", node.this), kind)
