"""Arithmetic of INT64 and NUMERIC: results have BigQuery's type, and what does not fit is an error.

Sources: "Operators" and "Mathematical functions"
(https://cloud.google.com/bigquery/docs/reference/standard-sql/operators#arithmetic_operators,
https://cloud.google.com/bigquery/docs/reference/standard-sql/mathematical_functions).
"""

from __future__ import annotations

from math import isinf

from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.macros import macro
from local.cloud.bigquery.translation.rules import Context, bound, call, cast, named, numeric, rule, site_of

_MOST = 2**63 - 1

macro(
    "bq_numeric_in_bounds(x)",
    """CASE WHEN x BETWEEN CAST('-99999999999999999999999999999.999999999' AS DECIMAL(38, 9))
        AND CAST('99999999999999999999999999999.999999999' AS DECIMAL(38, 9)) THEN x
    WHEN x IS NOT NULL THEN bq_error('numeric overflow') END""",
)
# Divisions of scaled integers; half of the divisor is added, which rounds halves away from zero.
macro("bq_scaled(x)", "CAST(CAST(x AS DECIMAL(38, 9)) * 1000000000 AS HUGEINT)")
macro("bq_rounded_division(a, b)", "sign(a) * sign(b) * ((abs(a) + abs(b) // 2) // abs(b))")
macro(
    "bq_numeric_division(a, b)",
    """CASE WHEN b = 0 THEN bq_error('division by zero: ' || bq_string(a) || ' / ' || bq_string(b))
    ELSE CAST(bq_rounded_division(bq_scaled(a) * 1000000000, bq_scaled(b)) AS DECIMAL(38, 0))
        * CAST(0.000000001 AS DECIMAL(10, 9)) END""",
)
macro(
    "bq_int64_div(a, b)",
    "CASE WHEN b = 0 THEN bq_error('division by zero: ' || a || ' / ' || b) ELSE CAST(a AS BIGINT) // b END",
)
macro(
    "bq_int64_mod(a, b)",
    """CASE WHEN b = 0 THEN bq_error('division by zero: MOD(' || a || ', ' || b || ')')
    WHEN b = -1 THEN a - a ELSE CAST(a AS BIGINT) % b END""",
)
macro(
    "bq_numeric_div(a, b)",
    """CASE WHEN b = 0 THEN bq_error('division by zero: ' || bq_string(a) || ' / ' || bq_string(b))
    ELSE CAST(CAST(bq_scaled(a) // bq_scaled(b) AS DECIMAL(38, 0)) AS DECIMAL(38, 9)) END""",
)
macro(
    "bq_numeric_mod(a, b)",
    """CASE WHEN b = 0 THEN bq_error('division by zero: MOD(' || bq_string(a) || ', ' || bq_string(b) || ')')
    ELSE a % b END""",
)
macro("bq_sign(x)", "CASE WHEN isnan(x) THEN x ELSE CAST(sign(x) AS DOUBLE) END")


@rule(exp.Literal)
def number(node: exp.Literal, context: Context) -> exp.Expression | None:
    """A literal with a decimal point is FLOAT64; an integer has at most 64 bits.

    Source: "Lexical structure", integer and floating point literals. DuckDB reads ``1.5`` as a DECIMAL.
    """
    text = node.this
    if node.is_string:
        return None
    if node.is_int:
        most = _MOST + isinstance(node.parent, exp.Neg)
        if int(text) > most:
            raise invalid(f"Invalid integer literal: {text}")
        return None
    if isinf(float(text)):
        sign = "-" if isinstance(node.parent, exp.Neg) else ""
        raise invalid(f"Invalid floating point literal: {sign}{text}")
    if "e" in text.lower():
        return None
    whole, _, decimals = text.partition(".")
    return exp.Literal.number(f"{whole or 0}.{decimals or 0}e0")


@rule(exp.Add, exp.Sub, exp.Mul)
def arithmetic(node: exp.Binary, context: Context) -> exp.Expression | None:
    """+, - and * of INT64 have 64 bits, also for small literals; those of NUMERIC have nine decimals.

    Source: "Operators", arithmetic operators, result types.
    """
    kind = context.of(node)
    if kind == types.INT64:
        if not isinstance(node.this, exp.Add | exp.Sub | exp.Mul):  # the first operand of a chain
            node.set("this", cast(node.this, types.INT64))  # DuckDB multiplies small literals with 32 bits
        return node
    if kind == types.NUMERIC:
        _coerce_operands(node, context)
        return numeric(exp.Paren(this=node)) if isinstance(node, exp.Mul) else node
    return None


def _coerce_operands(node: exp.Binary, context: Context) -> None:
    node.set("this", context.as_type(node.this, types.NUMERIC))
    node.set("expression", context.as_type(node.expression, types.NUMERIC))


@rule(exp.Div)
def division_of_numeric(node: exp.Div, context: Context) -> exp.Expression | None:
    """A division with a NUMERIC and no FLOAT64 operand is NUMERIC, rounded to nine decimals.

    Source: "Operators", arithmetic operators, result types of division.
    """
    if context.of(node) != types.NUMERIC:
        return None
    _coerce_operands(node, context)
    return bound("bq_numeric_division", node.this, node.expression)


@rule(exp.IntDiv, exp.Mod)
def integer_division(node: exp.Binary, context: Context) -> exp.Expression | None:
    """DIV and MOD take INT64 and NUMERIC, and fail for the divisor 0.

    Source: "Mathematical functions", DIV and MOD.
    """
    name = "div" if isinstance(node, exp.IntDiv) else "mod"
    kinds = [context.of(node.this), context.of(node.expression)]
    refused = [kind for kind in kinds if kind not in (None, types.NULL, types.INT64, types.NUMERIC, types.BIGNUMERIC)]
    if refused:
        raise invalid(f"No matching signature for function {name.upper()} for argument types: {named(kinds)}.")
    if context.of(node) == types.INT64:
        return bound(f"bq_int64_{name}", node.this, node.expression)
    if context.of(node) == types.NUMERIC:
        _coerce_operands(node, context)
        return bound(f"bq_numeric_{name}", node.this, node.expression)
    return None


@rule(exp.Neg)
def negation(node: exp.Neg, context: Context) -> exp.Expression | None:
    """The negation of an integer has 64 bits.

    Source: "Operators", arithmetic operators. DuckDB reads the smallest integer as one of 128 bits.
    """
    if context.of(node) != types.INT64 or not isinstance(node.this, exp.Literal) or int(node.this.this) <= _MOST:
        return None
    return cast(node, types.INT64)


macro("bq_bit_count(x)", "CAST(bit_count(CAST(x AS BIGINT)) AS BIGINT)")
macro(
    "bq_bit_count_of_bytes(x)",
    "CASE WHEN octet_length(x) = 0 THEN 0 ELSE CAST(bit_count(CAST(x AS BIT)) AS BIGINT) END",
)


@rule(exp.BitwiseCount)
def bit_count(node: exp.BitwiseCount, context: Context) -> exp.Expression | None:
    """BIT_COUNT counts the bits of the two's complement of 64 bits, or of BYTES.

    Source: "Bit functions", BIT_COUNT. DuckDB counts those of the smallest type that a literal fits into.
    """
    kind = context.of(node.this)
    if kind not in (None, types.NULL, types.INT64, types.BYTES):
        raise invalid(f"No matching signature for function BIT_COUNT for argument types: {kind}")
    return bound("bq_bit_count_of_bytes" if kind == types.BYTES else "bq_bit_count", node.this)


# Both shift the 64 bits of an INT64 as an unsigned number.
macro("bq_bits(x, count)", "CAST(x AS HUGEINT) & ((CAST(1 AS HUGEINT) << CAST(count AS HUGEINT)) - 1)")
macro(
    "bq_shift_left(x, y)",
    """CASE WHEN y < 0 THEN bq_error('Bitwise shift by negative offset')
    WHEN y >= 64 THEN CASE WHEN x IS NULL THEN NULL ELSE CAST(0 AS BIGINT) END
    WHEN y = 0 THEN CAST(x AS BIGINT)
    ELSE CAST((bq_bits(x, 63 - y) << CAST(y AS HUGEINT))
        - CASE WHEN bq_bits(CAST(x AS HUGEINT) >> CAST(63 - y AS HUGEINT), 1) = 1
        THEN CAST(9223372036854775808 AS HUGEINT) ELSE CAST(0 AS HUGEINT) END AS BIGINT) END""",
)
macro(
    "bq_shift_right(x, y)",
    """CASE WHEN y < 0 THEN bq_error('Bitwise shift by negative offset')
    WHEN y >= 64 THEN CASE WHEN x IS NULL THEN NULL ELSE CAST(0 AS BIGINT) END
    WHEN y = 0 THEN CAST(x AS BIGINT)
    ELSE CAST(bq_bits(x, 64) >> CAST(y AS HUGEINT) AS BIGINT) END""",
)


@rule(exp.BitwiseLeftShift, exp.BitwiseRightShift)
def shift(node: exp.Binary, context: Context) -> exp.Expression | None:
    """The shifts drop the bits that leave the 64 of an INT64, and fill with zeros.

    Source: "Operators", bitwise operators. DuckDB refuses large shifts, and fills with the sign.
    """
    if context.of(node.this) not in (types.INT64, types.NULL):
        return None
    name = "bq_shift_left" if isinstance(node, exp.BitwiseLeftShift) else "bq_shift_right"
    return bound(name, node.this, node.expression)


@rule(exp.Sign)
def sign(node: exp.Sign, context: Context) -> exp.Expression | None:
    """SIGN has the type of its argument.

    Source: "Mathematical functions", SIGN.
    """
    kind = context.of(node)
    if kind == types.FLOAT64:
        return bound("bq_sign", node.this)
    return cast(call("sign", node.this), kind) if kind in types.NUMBERS else None


@rule(exp.Sum)
def total(node: exp.Sum, context: Context) -> exp.Expression | None:
    """SUM of INT64 is INT64, and of NUMERIC NUMERIC; beyond their ranges it is an error.

    Source: "Aggregate functions", SUM.
    """
    kind = context.of(node)
    if context.of(node.this) == types.INTERVAL:
        raise limit("run SUM of INTERVAL; sum the seconds of TIMESTAMP_DIFF or DATETIME_DIFF")
    if kind == types.INT64:
        return cast(site_of(node), types.INT64)
    return bound("bq_numeric_in_bounds", site_of(node)) if kind == types.NUMERIC else None


@rule(exp.Avg)
def average(node: exp.Avg, context: Context) -> exp.Expression | None:
    """AVG of NUMERIC is NUMERIC.

    Source: "Aggregate functions", AVG, returned data types.
    """
    if context.of(node) != types.NUMERIC:
        return None
    total, count = with_function(node, exp.Sum), with_function(node, exp.Count)
    divisor = exp.Nullif(this=count, expression=exp.Literal.number(0))
    return bound("bq_numeric_division", total, cast(divisor, types.NUMERIC))


def with_function(node: exp.Func, kind: type[exp.Func]) -> exp.Expression:
    """Return a copy of an aggregate and its modifiers with another function in its place."""
    site = site_of(node).copy()
    function = site
    while not isinstance(function, type(node)):
        function = function.this
    other = kind(this=function.this)
    if function is site:
        return other
    function.replace(other)
    return site


@rule(exp.SafeAdd, exp.SafeSubtract, exp.SafeMultiply, exp.SafeNegate)
def safe_arithmetic(node: exp.Binary | exp.SafeNegate, context: Context) -> exp.Expression | None:
    """SAFE_ADD and the like are the operators, with NULL for an overflow.

    Source: "Mathematical functions", SAFE_ADD. ``floats`` has those of FLOAT64.
    """
    if context.of(node) == types.FLOAT64 and not isinstance(node, exp.SafeNegate):
        return None
    operands = [exp.Paren(this=part) for part in (node.this, node.args.get("expression")) if part]
    if isinstance(node, exp.SafeNegate):
        operands.insert(0, exp.Paren(this=exp.Literal.number(0)))
    operators = {exp.SafeAdd: exp.Add, exp.SafeMultiply: exp.Mul}
    operation = operators.get(type(node), exp.Sub)(this=operands[0], expression=operands[1])
    context.typed(operation, context.of(node))
    for operand in operands:
        context.typed(operand, context.of(operand.this) or context.of(node))
    return call("TRY", arithmetic(operation, context) or operation)


macro(
    "bq_parse_numeric_text(x, text)",
    r"""CASE WHEN regexp_full_match(text, '[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?')
        AND NOT regexp_matches(x, '[0-9.]\s+[0-9.]')
    THEN coalesce(TRY_CAST(text AS DECIMAL(38, 9)), bq_error('Invalid input to PARSE_NUMERIC: ' || x))
    ELSE bq_error('Invalid input to PARSE_NUMERIC: ' || x) END""",
)
macro(
    "bq_parse_numeric(x)",
    r"""bq_parse_numeric_text(x, regexp_replace(regexp_replace(x, '[\s,]', '', 'g'), '^([^+-].*)([+-])$', '\2\1'))""",
)


@rule(exp.ParseNumeric)
def parse_numeric(node: exp.ParseNumeric, context: Context) -> exp.Expression | None:
    """PARSE_NUMERIC allows spaces around the number, a sign at either end, and commas.

    Source: "Conversion functions", PARSE_NUMERIC.
    """
    return bound("bq_parse_numeric", node.this)
