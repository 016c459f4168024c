"""Arithmetic: NUMERIC as DECIMAL(38, 9), integers of 64 bits, overflow, division and rounding.

Sources: "Operators" and "Mathematical functions"
(https://cloud.google.com/bigquery/docs/reference/standard-sql/operators#arithmetic_operators,
https://cloud.google.com/bigquery/docs/reference/standard-sql/mathematical_functions).
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.macros import macro
from local.cloud.bigquery.translation.rules import Context, call, cast, numeric, rule, site_of

macro(
    "bq_numeric_in_bounds(x)",
    """CASE WHEN x BETWEEN CAST('-99999999999999999999999999999.999999999' AS DECIMAL(38, 9))
        AND CAST('99999999999999999999999999999.999999999' AS DECIMAL(38, 9)) THEN x
    WHEN x IS NOT NULL THEN bq_error('numeric overflow') END""",
)
# The scaled integers of a and b, divided with half of the divisor added, which rounds halves away from zero.
macro("bq_scaled(x)", "CAST(CAST(x AS DECIMAL(38, 9)) * 1000000000 AS HUGEINT)")
macro(
    "bq_rounded_division(a, b)",
    """sign(a) * sign(b) * ((abs(a) + abs(b) // 2) // abs(b))""",
)
macro(
    "bq_numeric_division(a, b)",
    """CASE WHEN b = 0 THEN bq_error('division by zero: ' || bq_string(a) || ' / ' || bq_string(b))
    ELSE CAST(bq_rounded_division(bq_scaled(a) * 1000000000, bq_scaled(b)) AS DECIMAL(38, 0))
        * CAST(0.000000001 AS DECIMAL(10, 9)) END""",
)


@rule(exp.Add, exp.Sub, exp.Mul)
def arithmetic(node: exp.Binary, context: Context) -> exp.Expression | None:
    """+, - and * of numbers have the type of the wider operand, also if the result needs more digits.

    Source: "Operators", arithmetic operators, result types.
    """
    kind = context.of(node)
    if kind == types.NUMERIC:
        node.set("this", context.as_type(node.this, types.NUMERIC))
        node.set("expression", context.as_type(node.expression, types.NUMERIC))
        return numeric(exp.Paren(this=node)) if isinstance(node, exp.Mul) else node
    return None


@rule(exp.Div)
def division(node: exp.Div, context: Context) -> exp.Expression | None:
    """A division with a NUMERIC and no FLOAT64 operand is NUMERIC, rounded to nine decimals.

    Source: "Operators", arithmetic operators, result types of division.
    """
    if context.of(node) != types.NUMERIC:
        return None
    left, right = (context.as_type(side, types.NUMERIC) for side in (node.this, node.expression))
    return call("bq_numeric_division", left, right)


@rule(exp.Sum)
def sum_of_numeric(node: exp.Sum, context: Context) -> exp.Expression | None:
    """SUM of NUMERIC is NUMERIC; beyond its range it is an error.

    Source: "Aggregate functions", SUM.
    """
    return call("bq_numeric_in_bounds", site_of(node)) if context.of(node) == types.NUMERIC else None


@rule(exp.Avg)
def average_of_numeric(node: exp.Avg, context: Context) -> exp.Expression | None:
    """AVG of NUMERIC is NUMERIC.

    Source: "Aggregate functions", AVG, returned data types.
    """
    if context.of(node) != types.NUMERIC:
        return None
    total, count = with_function(node, exp.Sum), with_function(node, exp.Count)
    divisor = exp.Nullif(this=count, expression=exp.Literal.number(0))
    return call("bq_numeric_division", total, cast(divisor, types.NUMERIC))


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
