"""Frames of windows: their bounds are constants that are not negative, in an order that has rows between them.

Source: "Window function calls", window frame clause
(https://cloud.google.com/bigquery/docs/reference/standard-sql/window-function-calls#def_window_frame); the texts of
errors: GoogleSQL's analyzer, and its reference implementation for parameters.
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.limits import invalid
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.annotation import is_literal
from local.cloud.bigquery.translation.assignments import coerces
from local.cloud.bigquery.translation.constants import is_constant, is_null, number_of
from local.cloud.bigquery.translation.macros import macro
from local.cloud.bigquery.translation.rules import Context, call
from local.cloud.bigquery.translation.types import Type

_OFFSETS = "OFFSET PRECEDING or OFFSET FOLLOWING"
_ALL_ROWS = "UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"

macro(
    "bq_frame_offset(x)",
    """CASE WHEN x >= 0 THEN x WHEN x IS NULL THEN bq_error('The boundary offset value cannot be null')
    ELSE bq_error('Window frame offset for PRECEDING or FOLLOWING must be non-negative, but was ' || bq_string(x))
    END""",
)


def check_frame(spec: exp.WindowSpec, order: exp.Order | None, context: Context, *, inherits: bool) -> None:
    """Refuse a frame that BigQuery refuses; parameters are checked when the query runs.

    Args:
        spec: the frame.
        order: the ORDER BY of its window.
        context: knows the types.
        inherits: whether the window extends a named one, which may have the ORDER BY.

    Raises:
        ValidationError: in BigQuery's words.
    """
    key = None
    in_range = str(spec.args.get("kind")).upper() == "RANGE"
    if in_range and not (inherits and order is None):
        key = _check_range(spec, order, context)
    for name in ("start", "end"):
        bound = spec.args.get(name)
        if isinstance(bound, exp.Expression):
            _check_offset(bound, types.INT64 if not in_range else key, context, in_range=in_range)
    _check_sides(_side(spec, "start"), _side(spec, "end"))


def _side(spec: exp.WindowSpec, name: str) -> str:
    """Return a bound of a frame as errors name it."""
    bound, side = spec.args.get(name), str(spec.args.get(f"{name}_side") or "").upper()
    words = "OFFSET" if isinstance(bound, exp.Expression) else str(bound).upper()
    return f"{words} {side}".strip()


def _check_range(spec: exp.WindowSpec, order: exp.Order | None, context: Context) -> Type | None:
    """Refuse a frame of values without an ORDER BY that it needs, and return the type of the values."""
    sides = (_side(spec, "start"), _side(spec, "end"))
    has_offset = any(side.startswith("OFFSET") for side in sides)
    if order is None:
        if sides == ("UNBOUNDED PRECEDING", "UNBOUNDED FOLLOWING"):
            return None
        if has_offset:
            raise invalid(
                "A RANGE-based window including an OFFSET PRECEDING or OFFSET FOLLOWING window frame boundary "
                "requires an ORDER BY"
            )
        raise invalid(
            "A RANGE-based window without ORDER BY cannot include a CURRENT ROW window frame boundary since all rows "
            f"are included in the window frame. Remove the RANGE clause or use RANGE BETWEEN {_ALL_ROWS}"
        )
    if not has_offset:
        return None
    if len(order.expressions) != 1:
        raise invalid(f"A RANGE-based window with {_OFFSETS} boundaries must have exactly one ORDER BY key")
    kind = context.of(order.expressions[0].this)
    if kind not in (None, *types.NUMBERS):
        raise invalid(
            f"ORDER BY key must be numeric in a RANGE-based window with {_OFFSETS} boundaries, but has type {kind}"
        )
    return kind


def _check_offset(offset: exp.Expression, wanted: Type | None, context: Context, *, in_range: bool) -> None:
    """Refuse a distance that is not constant, of another type, NULL or negative."""
    if not is_constant(offset):
        raise invalid("Window framing expression must be a literal or parameter")
    kind, number = context.of(offset), number_of(offset)
    if is_null(offset):
        raise invalid("Window framing expression cannot be NULL")
    if kind is not None and wanted is not None and not coerces(kind, wanted, literal=is_literal(offset)):
        if not in_range:
            raise invalid(f"Window framing expression for ROWS can only be of integer type, but has type {kind}")
        raise invalid(
            f"Window framing expression has type {kind} that cannot coerce to the type of the ORDER BY expression, "
            f"which is {wanted}"
        )
    if number is None:
        offset.replace(call("bq_frame_offset", offset.copy()))
    elif number < 0:
        raise invalid("Window framing expression cannot evaluate to a negative value")


def _check_sides(start: str, end: str) -> None:
    """Refuse a frame that ends before it starts."""
    if start == "UNBOUNDED FOLLOWING":
        raise invalid("Starting window framing expression cannot be UNBOUNDED FOLLOWING")
    if start == "CURRENT ROW" and end == "OFFSET PRECEDING":
        raise invalid(
            "Starting window framing expression cannot be CURRENT ROW when the ending window framing expression is "
            "OFFSET PRECEDING"
        )
    if start == "OFFSET FOLLOWING" and end in ("OFFSET PRECEDING", "CURRENT ROW"):
        raise invalid(
            f"Ending window framing expression cannot be {end} when the starting window framing expression is "
            "OFFSET FOLLOWING"
        )
    if end == "UNBOUNDED PRECEDING":
        raise invalid("Ending window framing expression cannot be UNBOUNDED PRECEDING")
