"""FLOAT64: overflow and division by zero are errors; functions fail as BigQuery's do.

Sources: "Operators" and "Mathematical functions"
(https://cloud.google.com/bigquery/docs/reference/standard-sql/operators#arithmetic_operators,
https://cloud.google.com/bigquery/docs/reference/standard-sql/mathematical_functions).
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.macros import macro
from local.cloud.bigquery.translation.numbers import with_function
from local.cloud.bigquery.translation.rules import (
    Context,
    bound,
    call,
    cast,
    is_simple,
    literal_number,
    rule,
    site_of,
    with_bound,
)

_OPERATORS = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}
_DIVISIONS = ("bq_division", "bq_quotient")
# Operations with a literal below this cannot overflow, unless they multiply.
_SMALL = 1e290

macro(
    "bq_division(a, b)",
    """CASE WHEN b = 0 THEN bq_error('division by zero: ' || bq_string(a) || ' / ' || bq_string(b))
    ELSE CAST(a AS DOUBLE) / b END""",
)
macro("bq_quotient(a, b)", "CASE WHEN b = 0 THEN bq_error('division by zero') ELSE CAST(a AS DOUBLE) / b END")
macro(
    "bq_safe_division(a, b)",
    """CASE WHEN b <> 0 AND (isfinite(CAST(a AS DOUBLE) / b) OR NOT isfinite(CAST(a AS DOUBLE))
        OR NOT isfinite(CAST(b AS DOUBLE))) THEN CAST(a AS DOUBLE) / b END""",
)
macro(
    "bq_checked(operands_are_finite, result, message)",
    "CASE WHEN operands_are_finite AND NOT isfinite(result) THEN bq_error(message) ELSE result END",
)
macro(
    "bq_checked_function(x, result, name)",
    """bq_checked(isfinite(x), result, 'Floating point error in function: ' || name
        || '(' || bq_string_of_float64(x) || ')')""",
)
macro("bq_nan()", "CAST('nan' AS DOUBLE)")
macro("bq_exp(x)", "bq_checked_function(x, exp(x), 'EXP')")
macro("bq_ln(x)", "bq_checked_function(x, CASE WHEN x > 0 THEN ln(x) WHEN x <= 0 THEN CAST('nan' AS DOUBLE) END, 'LN')")
macro(
    "bq_log10(x)",
    "bq_checked_function(x, CASE WHEN x > 0 THEN log10(x) WHEN x <= 0 THEN CAST('nan' AS DOUBLE) END, 'LOG10')",
)
macro(
    "bq_log(x, base)",
    """CASE WHEN NOT isfinite(x) OR NOT isfinite(base)
        THEN CASE WHEN x > 0 AND base > 0 AND isfinite(base) THEN ln(x) / ln(base)
            WHEN x IS NOT NULL AND base IS NOT NULL THEN bq_nan() END
    WHEN x > 0 AND base > 0 AND base <> 1 THEN ln(x) / ln(base)
    WHEN x IS NOT NULL AND base IS NOT NULL THEN bq_error('Floating point error in function: LOG('
        || bq_string_of_float64(x) || ', ' || bq_string_of_float64(base) || ')') END""",
)
macro(
    "bq_pow(x, y)",
    """bq_checked(isfinite(x) AND isfinite(y), pow(x, y), 'Floating point error in function: POW('
        || bq_string_of_float64(x) || ', ' || bq_string_of_float64(y) || ')')""",
)
macro(
    "bq_sqrt(x)",
    """CASE WHEN x < 0 THEN bq_error('Argument to SQRT cannot be negative: ' || bq_string_of_float64(x))
    ELSE sqrt(x) END""",
)
# Angles, and what follows from them. DuckDB has its own errors outside of the domains, or infinity.
macro(
    "bq_overflowing_function(x, result, name)",
    """bq_checked(isfinite(x), result, 'Floating point overflow in function: ' || name
        || '(' || bq_string_of_float64(x) || ')')""",
)
macro("bq_sin(x)", "CASE WHEN isinf(x) THEN bq_nan() ELSE sin(x) END")
macro("bq_cos(x)", "CASE WHEN isinf(x) THEN bq_nan() ELSE cos(x) END")
macro("bq_tan(x)", "CASE WHEN isinf(x) THEN bq_nan() ELSE tan(x) END")
macro("bq_sinh(x)", "bq_overflowing_function(x, sinh(x), 'SINH')")
macro("bq_cosh(x)", "bq_overflowing_function(x, cosh(x), 'COSH')")
macro("bq_within(x, inside, result)", "CASE WHEN inside THEN result WHEN x IS NOT NULL THEN bq_nan() END")
macro("bq_asin(x)", "bq_checked_function(x, bq_within(x, abs(x) <= 1, asin(x)), 'ASIN')")
macro("bq_acos(x)", "bq_checked_function(x, bq_within(x, abs(x) <= 1, acos(x)), 'ACOS')")
macro("bq_acosh(x)", "bq_checked_function(x, bq_within(x, x >= 1, acosh(x)), 'ACOSH')")
macro("bq_atanh(x)", "bq_checked_function(x, bq_within(x, abs(x) < 1, atanh(x)), 'ATANH')")
macro("bq_csc(x)", "bq_checked_function(x, 1e0 / bq_sin(x), 'CSC')")
macro("bq_sec(x)", "bq_checked_function(x, 1e0 / bq_cos(x), 'SEC')")
macro("bq_cot(x)", "bq_checked_function(x, 1e0 / bq_tan(x), 'COT')")
macro("bq_csch(x)", "bq_checked_function(x, 1e0 / sinh(x), 'CSCH')")
macro("bq_coth(x)", "bq_checked_function(x, 1e0 / tanh(x), 'COTH')")
# A NUMERIC result from a function of FLOAT64, which has 15 digits: exact for whole numbers, and otherwise below 10^6.
macro(
    "bq_numeric_of_result(x)",
    """CASE WHEN abs(x) < 1e6 OR (x = trunc(x) AND abs(x) < 9007199254740992e0) THEN bq_numeric_of_float64(x)
    WHEN x IS NOT NULL THEN bq_error('the embedded BigQuery does not compute functions of NUMERIC to more than 15 '
        || 'digits; cast the argument to FLOAT64') END""",
)


@rule(exp.Div)
def division(node: exp.Div, context: Context) -> exp.Expression | None:
    """A division of INT64 or FLOAT64 is FLOAT64, and fails for the divisor 0.

    Source: "Operators", arithmetic operators. Where types are not known, it fails too.
    """
    kind = context.of(node)
    if kind not in (None, types.FLOAT64):
        return None
    operation: exp.Expression = node
    divisor = literal_number(node.expression)
    if not divisor or not float(divisor):
        short = _is_short(node.this) and _is_short(node.expression)
        operation = call("bq_division" if short else "bq_quotient", node.this, node.expression)
    return operation if kind is None else _checked(node, operation, context)


@rule(exp.Add, exp.Sub, exp.Mul)
def arithmetic(node: exp.Binary, context: Context) -> exp.Expression | None:
    """The result of finite numbers is finite, or it is an error.

    Source: "Mathematical functions": "Floating point error"; the text: recorded answers.
    """
    return _checked(node, node, context) if context.of(node) == types.FLOAT64 else None


def _is_short(node: exp.Expression) -> bool:
    """Return whether an operand may stand in the text of an error too: DuckDB computes equal windows once."""
    inner = node
    while isinstance(inner, exp.Cast | exp.Paren):
        inner = inner.this
    return is_simple(inner.this if isinstance(inner, exp.Window) else inner)


def _checked(node: exp.Binary, operation: exp.Expression, context: Context) -> exp.Expression:
    """Return the operation with a check of its result, at the top of a chain of operations."""
    if not _is_top(node, context) or _cannot_overflow(node, context):
        return operation
    sides = [node.this, node.expression]
    operands = list(_operands(operation))
    message: exp.Expression = exp.Literal.string("double overflow")
    if len(operands) == 2 and all(map(is_simple, operands)):
        texts = [call("bq_string", cast(side.copy(), types.FLOAT64)) for side in sides]
        message = call("concat", "double overflow: ", texts[0], f" {_OPERATORS[type(node)]} ", texts[1])
    floats = [number for number, part in enumerate(operands) if context.of(part) == types.FLOAT64]
    return with_bound(operands, lambda names: _check(operation, operands, names, floats, message))


def _check(
    operation: exp.Expression,
    operands: list[exp.Expression],
    names: list[exp.Expression],
    floats: list[int],
    message: exp.Expression,
) -> exp.Expression:
    finite = [call("isfinite", names[number].copy()) for number in floats if literal_number(names[number]) is None]
    for operand, name in zip(operands, names, strict=True):
        if operand is not name:
            operand.replace(name.copy())
    return call("bq_checked", exp.and_(*finite) if finite else exp.true(), operation, message)


def _is_top(node: exp.Binary, context: Context) -> bool:
    child: exp.Expression = node
    while isinstance(child.parent, exp.Paren | exp.Neg):
        child = child.parent
    parent = child.parent
    if not isinstance(parent, exp.Add | exp.Sub | exp.Mul | exp.Div) or context.of(parent) != types.FLOAT64:
        return True
    return isinstance(parent, exp.Div) and child.arg_key == "expression"


def _cannot_overflow(node: exp.Binary, context: Context) -> bool:
    """Return whether an operand is a literal such that the result is not larger than the other operand."""
    left, right = literal_number(node.this), literal_number(node.expression)
    if isinstance(node, exp.Div) and context.of(node.this) == context.of(node.expression) == types.INT64:
        return True
    if isinstance(node, exp.Div):
        return bool(right) and abs(float(right or 0)) >= 1
    literal = left or right
    if not literal:
        return False
    return abs(float(literal)) <= (1 if isinstance(node, exp.Mul) else _SMALL)


def _operands(node: exp.Expression) -> Iterator[exp.Expression]:
    """Yield the operands of a chain of operations."""
    if isinstance(node, exp.Paren | exp.Neg):
        yield from _operands(node.this)
    elif isinstance(node, exp.Add | exp.Sub | exp.Mul | exp.Div):
        yield from _operands(node.this)
        yield from _operands(node.expression)
    elif isinstance(node, exp.Anonymous) and node.this in _DIVISIONS:
        for part in node.expressions:
            yield from _operands(part)
    else:
        yield node


@rule(exp.SafeDivide)
def safe_division(node: exp.SafeDivide, context: Context) -> exp.Expression | None:
    """SAFE_DIVIDE is the operator /, with NULL for an error.

    Source: "Mathematical functions", SAFE_DIVIDE.
    """
    if context.of(node) == types.NUMERIC:
        sides = [context.as_type(side, types.NUMERIC) for side in (node.this, node.expression)]
        return call("TRY", bound("bq_numeric_division", *sides))
    return bound("bq_safe_division", node.this, node.expression) if context.of(node) == types.FLOAT64 else None


macro(
    "bq_safe_result(a, b, result)", "CASE WHEN isfinite(result) OR NOT isfinite(a) OR NOT isfinite(b) THEN result END"
)
macro("bq_safe_add(a, b)", "bq_safe_result(a, b, a + b)")
macro("bq_safe_subtract(a, b)", "bq_safe_result(a, b, a - b)")
macro("bq_safe_multiply(a, b)", "bq_safe_result(a, b, a * b)")
_SAFE = {exp.SafeAdd: "bq_safe_add", exp.SafeSubtract: "bq_safe_subtract", exp.SafeMultiply: "bq_safe_multiply"}


@rule(*_SAFE)
def safe_arithmetic(node: exp.Binary, context: Context) -> exp.Expression | None:
    """SAFE_ADD and the like are the operators, with NULL for an overflow.

    Source: "Mathematical functions", SAFE_ADD.
    """
    if context.of(node) != types.FLOAT64:
        return None
    return bound(_SAFE[type(node)], *(cast(side, types.FLOAT64) for side in (node.this, node.expression)))


@rule(exp.Sum, exp.Avg)
def total(node: exp.Sum | exp.Avg, context: Context) -> exp.Expression | None:
    """SUM and AVG of finite numbers are finite, or it is an error.

    Source: "Aggregate functions", SUM and AVG; the text: recorded answers. Integers are never that large.
    """
    value = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
    if context.of(value) != types.FLOAT64:
        return None
    finite = with_function(node, exp.LogicalAnd)
    function = next(iter(finite.find_all(exp.LogicalAnd)))
    function.set("this", call("isfinite", value.copy()))
    return call("bq_checked", finite, site_of(node), "double overflow")


# One step of Newton's method: the root of some libraries of C is wrong in the last digit.
macro(
    "bq_cbrt(x)",
    """CASE WHEN x = 0e0 OR NOT isfinite(x) OR abs(x) > 1e300 THEN cbrt(x)
    ELSE cbrt(x) - (cbrt(x) * cbrt(x) * cbrt(x) - x) / (3e0 * cbrt(x) * cbrt(x)) END""",
)


macro("bq_finite(x)", "CASE WHEN isfinite(x) THEN x END")


_OF_SAMPLES = (exp.Stddev, exp.StddevSamp, exp.Variance, exp.CovarSamp, exp.Corr)


@rule(*_OF_SAMPLES, exp.StddevPop, exp.VariancePop, exp.CovarPop)
def statistics(node: exp.Func, context: Context) -> exp.Expression | None:
    """Statistics of values with NaN or infinity are NaN; those of a sample of less than two values are NULL.

    Source: "Statistical aggregate functions". To DuckDB values with NaN are out of range, and CORR of one pair is NaN.
    """
    parts = [part for part in (node.this, node.args.get("expression")) if isinstance(part, exp.Expression)]
    doubtful = [part for part in parts if context.of(part) == types.FLOAT64 and not isinstance(part, exp.Distinct)]
    if not doubtful and not isinstance(node, exp.Corr):
        return None
    known = exp.and_(*(exp.not_(exp.Is(this=part.copy(), expression=exp.null())) for part in parts))
    branches = []
    if isinstance(node, _OF_SAMPLES):
        value = exp.Case(ifs=[exp.If(this=known.copy(), true=parts[0].copy())])
        distinct = isinstance(parts[0], exp.Distinct)
        count = _with_argument(node, exp.Count, parts[0].copy() if distinct else value)
        branches.append(exp.If(this=exp.LT(this=count, expression=exp.Literal.number(2)), true=exp.null()))
    if doubtful:
        unusual: exp.Expression = exp.or_(*(exp.not_(call("isfinite", part.copy())) for part in doubtful))
        test = exp.and_(exp.paren(unusual), known) if len(parts) > 1 else unusual
        nan = cast(exp.Literal.string("nan"), types.FLOAT64)
        branches.append(exp.If(this=_with_argument(node, exp.LogicalOr, test), true=nan))
    for part in doubtful:
        part.replace(call("bq_finite", part.copy()))
    return exp.Case(ifs=branches, default=site_of(node).copy())


def _with_argument(node: exp.Func, kind: type[exp.Func], argument: exp.Expression) -> exp.Expression:
    """Return a copy of an aggregate and its modifiers with another function of another argument in its place."""
    site = with_function(node, kind)
    function = site.find(kind)
    if function is not None:
        function.set("this", argument)
    return site


@rule(exp.Cbrt)
def cube_root(node: exp.Cbrt, context: Context) -> exp.Expression:
    """CBRT of a cube is exact.

    Source: "Mathematical functions", CBRT.
    """
    return bound("bq_cbrt", cast(node.this, types.FLOAT64))


_OF_ANGLES = {
    **{exp.Sin: "bq_sin", exp.Cos: "bq_cos", exp.Tan: "bq_tan", exp.Sinh: "bq_sinh", exp.Cosh: "bq_cosh"},
    **{exp.Asin: "bq_asin", exp.Acos: "bq_acos", exp.Acosh: "bq_acosh", exp.Atanh: "bq_atanh"},
    **{exp.Csc: "bq_csc", exp.Sec: "bq_sec", exp.Cot: "bq_cot", exp.Csch: "bq_csch", exp.Coth: "bq_coth"},
}


@rule(*_OF_ANGLES)
def of_angle(node: exp.Func, context: Context) -> exp.Expression:
    """SIN, ACOS, COTH and the like fail outside of their domains, and are NaN for infinity where they have no limit.

    Source: "Mathematical functions"; the texts of errors: GoogleSQL's functions/math.h.
    """
    return bound(_OF_ANGLES[type(node)], cast(node.this, types.FLOAT64))


_FUNCTIONS = {exp.Exp: "bq_exp", exp.Ln: "bq_ln", exp.Sqrt: "bq_sqrt"}


@rule(exp.Exp, exp.Ln, exp.Sqrt, exp.Log, exp.Pow)
def function(node: exp.Expression, context: Context) -> exp.Expression | None:
    """EXP, LN, LOG, LOG10, POW and SQRT fail outside of their domains, and have the type of a NUMERIC argument.

    Source: "Mathematical functions".
    """
    arguments = [part for part in (node.this, node.args.get("expression")) if part]
    name = _FUNCTIONS.get(type(node), "bq_pow")
    if isinstance(node, exp.Log):  # parsed with the base first
        name, arguments = "bq_log", [node.expression, node.this]
        if literal_number(node.this) == "10":
            name, arguments = "bq_log10", arguments[:1]
    kinds = [context.of(part) for part in arguments]
    if any(kind not in (*types.NUMBERS, types.NULL) for kind in kinds):
        return None
    result = bound(name, *(cast(part, types.FLOAT64) for part in arguments))
    decimal = types.supertype(kinds) == types.NUMERIC
    context.typed(result, types.NUMERIC if decimal else types.FLOAT64)
    return bound("bq_numeric_of_result", result) if decimal else result
