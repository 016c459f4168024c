"""Arguments of date and time functions: their types, literals, parts such as WEEK(MONDAY), and time zones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from local.cloud.bigquery.limits import invalid
from local.cloud.bigquery.translation import time_formats, types
from local.cloud.bigquery.translation.rules import Context, call, cast
from local.cloud.bigquery.translation.types import Type

KINDS = (types.DATE, types.DATETIME, types.TIMESTAMP, types.TIME)
"""The types of dates and times."""

CIVIL = (types.DATE, types.DATETIME)
DATED = (types.DATE, types.DATETIME, types.TIMESTAMP)
CLOCKED = (types.DATETIME, types.TIMESTAMP)

DAY_MICROS = 86_400 * 10**6
MICROS = {"MICROSECOND": 1, "MILLISECOND": 1000, "SECOND": 10**6, "MINUTE": 60 * 10**6, "HOUR": 3600 * 10**6}
"""The parts of a day, with their microseconds."""

MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
"""The parts that are whole months, with their number."""

_DAY_PARTS = ("DAY", "WEEK", "MONTH", "QUARTER", "YEAR", "ISOYEAR")
_WEEKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
_DUCKDB_TYPES = {
    types.DATE: "DATE",
    types.DATETIME: "TIMESTAMP(_S|_MS|_NS)?",
    types.TIMESTAMP: "TIMESTAMP WITH TIME ZONE",
    types.TIME: "TIME",
    types.INTERVAL: "INTERVAL",
    types.STRING: "VARCHAR",
}


# --- Parts ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """A date or time part.

    Attributes:
        name: the part without the day in WEEK(day); ISOWEEK is WEEK too.
        text: the part as it is written.
        first: of a week, the ISO number of its first day: 1 is Monday, 7 is Sunday.
    """

    name: str
    text: str
    first: int = 0

    @property
    def is_clock(self) -> bool:
        """Whether it is a part of a day."""
        return self.name in MICROS


def part_of(unit: exp.Expression | None, default: str = "DAY") -> Part:
    """Return the part that a function names; WEEK begins on Sunday, ISOWEEK on Monday.

    Raises:
        ValidationError: there is no such part.
    """
    if isinstance(unit, exp.WeekStart):
        day = unit.name.upper()
        if day not in _WEEKDAYS:
            raise invalid(f"A valid date part argument for WEEK is required, but found {day}")
        return Part("WEEK", f"WEEK({day})", _WEEKDAYS.index(day) + 1)
    name = unit.name.upper() if unit is not None else default
    if name in ("WEEK", "ISOWEEK"):
        return Part("WEEK", name, 7 if name == "WEEK" else 1)
    if name not in _DAY_PARTS and name not in MICROS:
        raise invalid(f"A valid date part name is required but found {name}")
    return Part(name, name)


def no_part(function: str, part: Part, kind: Type | None = None) -> Exception:
    """Return the error for a part that a function does not have, or not for a type."""
    suffix = f" when the argument is {kind} type" if kind else ""
    return invalid(f"{function} does not support the {part.text} date part{suffix}")


def no_signature(function: str, *kinds: Type | None) -> Exception:
    """Return the error for arguments of types that a function does not have."""
    listed = ", ".join(str(kind or "?") for kind in kinds)
    return invalid(f"No matching signature for function {function} for argument types: {listed}")


# --- Literals ---------------------------------------------------------------------------------------------------------


def unwrapped(node: exp.Expression) -> exp.Expression:
    """Return a node without parentheses around it."""
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def literal_text(node: exp.Expression) -> str | None:
    """Return the text of a literal string; None for other nodes."""
    bare = unwrapped(node)
    is_text = isinstance(bare, exp.RawString) or (isinstance(bare, exp.Literal) and bare.is_string)
    return bare.name if is_text else None


def literal(text: str, kind: Type) -> exp.Expression:
    """Return the literal of a date or time whose text BigQuery accepts, in a form that DuckDB reads alike.

    Raises:
        ValidationError: BigQuery does not accept it.
    """
    try:
        if kind == types.DATE:
            value = time_formats.date_of(text).isoformat()
        elif kind == types.TIME:
            value = time_formats.time_of(text).isoformat()
        elif kind == types.DATETIME:
            value = time_formats.datetime_of(text).isoformat(sep=" ")
        else:
            value = f"{time_formats.timestamp_of(text).isoformat(sep=' ')}+00"
    except ValueError as error:
        raise invalid(str(error)) from None
    return cast(exp.Literal.string(value), kind)


# --- Types ------------------------------------------------------------------------------------------------------------


def typed(name: str, kind: Type | None, *arguments: exp.Expression | str | int) -> exp.Expression:
    """Return the call of the macro for a type."""
    return call(f"{name}_{kind.name.lower() if kind else 'any'}", *arguments)


def converted(node: exp.Expression, kind: Type | None, target: Type) -> exp.Expression:
    """Return a value converted to a date or time; ``kind`` is its type, None if it is not known."""
    return node if kind == target else typed(f"bq_{target.name.lower()}_of", kind, node)


def only(node: exp.Expression, kinds: Sequence[Type], function: str) -> exp.Expression:
    """Return a value that is an error when the query runs, unless it has one of ``kinds`` then."""
    expression = "|".join(_DUCKDB_TYPES[kind] for kind in kinds)
    listed = " or ".join(kind.name for kind in kinds)
    return call("bq_allowed", node, expression, f"No matching signature for function {function}: it needs {listed}")


def arguments(
    nodes: Sequence[exp.Expression],
    context: Context,
    default: Type,
    function: str,
    *,
    allowed: Sequence[Type],
    part: Part | None = None,
    keeps_type: bool = True,
) -> tuple[list[exp.Expression], Type | None]:
    """Return the arguments of a function as values of one type, and that type; None if it is not known.

    Literal strings, parameters that are strings, and NULL are read as the type of the other arguments, or as
    ``default``. A DATE beside a DATETIME becomes one, and so does a DATE given to a function of DATETIME or TIMESTAMP.

    Args:
        nodes: the arguments.
        context: the types of the statement.
        default: the type that the function is named after.
        function: its name.
        allowed: the types that it takes, with this part.
        part: the part, for the error.
        keeps_type: whether the type of the result depends on that of the arguments.

    Raises:
        ValidationError: a type that is known is another.
    """
    fixed = [context.of(node) for node in nodes if literal_text(node) is None]
    context_kind = next((kind for kind in fixed if kind in KINDS), default)
    pairs = [_argument(node, context, context_kind or default, function) for node in nodes]
    kinds = {kind for _, kind in pairs if kind is not None}
    if default in CLOCKED and kinds == {types.DATE}:
        kinds.add(types.DATETIME)
    if kinds == set(CIVIL):
        pairs = [
            (converted(node, kind, types.DATETIME) if kind else node, kind and types.DATETIME) for node, kind in pairs
        ]
        kinds = {types.DATETIME}
    if len(kinds) > 1:
        raise no_signature(function, *(kind for _, kind in pairs))
    kind = next(iter(kinds), None)
    if kind is not None and kind not in allowed:
        raise no_part(function, part, kind) if part else no_signature(function, kind)
    if all(kind is not None for _, kind in pairs):
        return [node for node, _ in pairs], kind
    choices = [choice for choice in allowed if kind in (None, choice) or {kind, choice} == set(CIVIL)]
    if default in CLOCKED and keeps_type:
        choices = [choice for choice in choices if choice != types.DATE]
    checked = [node if found is not None else only(node, choices, function) for node, found in pairs]
    return checked, choices[0] if len(choices) == 1 else None


def _argument(
    node: exp.Expression, context: Context, default: Type, function: str
) -> tuple[exp.Expression, Type | None]:
    kind, text = context.of(node), literal_text(node)
    if text is not None:
        return context.typed(literal(text, default), default), default
    if isinstance(unwrapped(node), exp.Null) or kind == types.NULL:
        return context.typed(cast(node, default), default), default
    if isinstance(unwrapped(node), exp.Parameter | exp.Placeholder) and kind == types.STRING:
        return context.typed(converted(node, kind, default), default), default
    if kind is not None and kind not in KINDS:
        raise no_signature(function, kind)
    return node, kind


# --- Time zones -------------------------------------------------------------------------------------------------------


def check_zone(zone: exp.Expression) -> str | int | None:
    """Return a literal zone as DuckDB needs it, a name or minutes east of UTC; None if the zone is not a literal.

    Raises:
        ValidationError: there is no such zone.
    """
    text = literal_text(zone)
    if text is None:
        return None
    try:
        time_formats.zone_of(text)
        offset = time_formats.offset_of(text)
    except ValueError as error:
        raise invalid(str(error)) from None
    return text if offset is None else offset


def local_time(instant: exp.Expression, zone: exp.Expression) -> exp.Expression:
    """Return the civil time of a TIMESTAMP in a zone."""
    return _in_zone("bq_local", instant, zone)


def instant_of(local: exp.Expression, zone: exp.Expression) -> exp.Expression:
    """Return the TIMESTAMP of a civil time in a zone."""
    return _in_zone("bq_instant", local, zone)


def _in_zone(macro: str, value: exp.Expression, zone: exp.Expression) -> exp.Expression:
    known = check_zone(zone)
    if known is None:
        return call(f"{macro}_of_text", value, zone)
    return call(macro if isinstance(known, str) else f"{macro}_of_offset", value, known)
