"""Arguments that must be literals or query parameters, and have bounds: offsets, positions, numbers, percentiles.

Sources: "Navigation functions", "Numbering functions" and "Approximate aggregate functions"
(https://cloud.google.com/bigquery/docs/reference/standard-sql/functions-all); which arguments, their bounds and the
texts of errors: GoogleSQL's analyzer for literals, its reference implementation for parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from local.cloud.bigquery.limits import invalid
from local.cloud.bigquery.translation.macros import macro
from local.cloud.bigquery.translation.rules import Context, call, literal_number, rule


@dataclass(frozen=True)
class _Constant:
    """An argument that must be constant.

    Attributes:
        part: its name in sqlglot's tree.
        place: how errors about a literal name it.
        least: the smallest value.
        most: the largest value; None if there is none.
        null: the error for a parameter that is NULL.
        bounds: the error for a parameter outside of the bounds.
    """

    part: str
    place: str
    least: int
    most: int | None = None
    null: str = ""
    bounds: str = ""


def _offset(name: str) -> _Constant:
    subject = f"The offset to the function {name} must not be"
    return _Constant("offset", f"Argument 2 to {name}", 0, null=f"{subject} null", bounds=f"{subject} negative")


def _position(part: str, place: str, subject: str) -> _Constant:
    return _Constant(part, place, 1, null=f"{subject} must not be NULL", bounds=f"{subject} must be positive")


def _percentile(name: str) -> _Constant:
    null = f"The second argument to the function {name} must not be null"
    return _Constant("expression", f"Argument 2 to {name}", 0, 1, null, "Percentile argument must be in [0, 1]")


_CONSTANTS = {
    exp.Lag: _offset("LAG"),
    exp.Lead: _offset("LEAD"),
    exp.NthValue: _position("offset", "Argument 2 to NTH_VALUE", "The N value for the NthValue function"),
    exp.Ntile: _position("this", "The argument to NTILE", "The N value (number of buckets) for the NTILE function"),
    exp.PercentileCont: _percentile("PERCENTILE_CONT"),
    exp.PercentileDisc: _percentile("PERCENTILE_DISC"),
    exp.ApproxTopK: _position("expression", "Argument 2 to APPROX_TOP_COUNT", "Argument 2 to APPROX_TOP_COUNT"),
    exp.ApproxQuantiles: _position("expression", "Argument 2 to APPROX_QUANTILES", "Argument 2 to APPROX_QUANTILES"),
    exp.ApproxTopSum: _position("count", "Argument 3 to APPROX_TOP_SUM", "Argument 3 to APPROX_TOP_SUM"),
}
_IN_RUN_TIME_WORDS = (exp.Lag, exp.Lead)
"""Functions whose bounds the analyzer does not know: also a literal outside of them is refused when the query runs."""

_KINDS = (exp.Literal, exp.RawString, exp.Null, exp.Boolean, exp.Parameter, exp.Placeholder)
_HIGHEST = 2**63 - 1

macro(
    "bq_bounded(x, least, most, of_null, of_bounds)",
    "CASE WHEN x IS NULL THEN bq_error(of_null) WHEN x >= least AND x <= most THEN x ELSE bq_error(of_bounds) END",
)


@rule(*_CONSTANTS, first=True)
def constant(node: exp.Expression, context: Context) -> exp.Expression | None:
    """Refuse an argument that is not constant, NULL, or outside of its bounds.

    Source: "Navigation functions", "Numbering functions", "Approximate aggregate functions".
    """
    wanted = _CONSTANTS[type(node)]
    value = node.args.get(wanted.part)
    if value is None and isinstance(node.this, exp.Distinct):  # APPROX_QUANTILES(DISTINCT x, 2)
        value = node.this.expressions[-1]
    if isinstance(value, exp.IgnoreNulls | exp.RespectNulls):
        value = value.this
    if value is None:
        return None
    _check(value, wanted.place)
    number = number_of(value)
    if number is None:
        most = _HIGHEST if wanted.most is None else wanted.most
        value.replace(call("bq_bounded", value.copy(), wanted.least, most, wanted.null, wanted.bounds))
        return node
    if number >= wanted.least and (wanted.most is None or number <= wanted.most):
        return None
    if isinstance(node, _IN_RUN_TIME_WORDS):
        raise invalid(wanted.bounds)
    bounds = f"at least {wanted.least}" if wanted.most is None else f"between {wanted.least} and {wanted.most}"
    raise invalid(f"{wanted.place} must be {bounds}")


@rule(exp.GroupConcat, first=True)
def separator(node: exp.GroupConcat, context: Context) -> exp.Expression | None:
    """Refuse a separator of STRING_AGG that is not constant, or NULL.

    Source: "Aggregate functions", STRING_AGG.
    """
    if node.args.get("separator") is not None:
        _check(node.args["separator"], "Argument 2 to STRING_AGG")
    return None


def _check(value: exp.Expression, place: str) -> None:
    if not is_constant(value):
        raise invalid(f"{place} must be a literal or query parameter")
    if is_null(value):
        raise invalid(f"{place} must be non-NULL")


def is_constant(node: exp.Expression) -> bool:
    """Return whether a node is a literal or a query parameter, maybe cast to another type."""
    inner = _innermost(node)
    return literal_number(inner) is not None or isinstance(inner, _KINDS)


def is_null(node: exp.Expression) -> bool:
    """Return whether a node is NULL, maybe cast to another type."""
    return isinstance(_innermost(node), exp.Null)


def number_of(node: exp.Expression) -> float | None:
    """Return the value of a literal number, maybe cast to another type; None for other nodes."""
    inner = _innermost(node)
    text = inner.this if isinstance(inner, exp.Literal | exp.RawString) else literal_number(inner)
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _innermost(node: exp.Expression) -> exp.Expression:
    """Return what is cast; the rules for casts have already replaced some by macros."""
    while True:
        if isinstance(node, exp.Paren | exp.Cast):
            node = node.this
        elif isinstance(node, exp.Anonymous) and str(node.this).startswith("bq_") and node.expressions:
            node = node.expressions[0]
        else:
            return node
