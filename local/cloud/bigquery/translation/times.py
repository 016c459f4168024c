"""Dates and times: truncation, differences, addition, parts, formats, conversions, time zones.

Sources: GoogleSQL for BigQuery, "Date functions", "Datetime functions", "Time functions", "Timestamp functions",
"Interval functions" and "Format elements" (https://cloud.google.com/bigquery/docs/reference/standard-sql/date_functions
and its neighbours). What the pages leave open follows Google's reference implementation of GoogleSQL.
"""

from __future__ import annotations

from dataclasses import dataclass

from bqemulator.domain.errors import ValidationError
from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.translation import time_formats, types
from local.cloud.bigquery.translation.rules import Context, call, cast, rule, safely
from local.cloud.bigquery.translation.types import Type

_KINDS = (types.DATE, types.DATETIME, types.TIMESTAMP, types.TIME)
_WEEKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
_DAY_PARTS = ("DAY", "WEEK", "MONTH", "QUARTER", "YEAR", "ISOYEAR")
_MICROS = {"MICROSECOND": 1, "MILLISECOND": 1000, "SECOND": 10**6, "MINUTE": 60 * 10**6, "HOUR": 3600 * 10**6}
_DAY_MICROS = 86400 * 10**6
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}


@dataclass(frozen=True)
class Part:
    """A date or time part: its name, and for weeks the ISO number of the first day (1 is Monday, 7 is Sunday)."""

    name: str
    text: str
    first: int = 0

    @property
    def is_clock(self) -> bool:
        """Whether it is a part of a day."""
        return self.name in _MICROS


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
    if name not in _DAY_PARTS and name not in _MICROS:
        raise invalid(f"A valid date part name is required but found {name}")
    return Part(name, name)


def _check_part(function: str, part: Part, kind: Type | None, allowed: dict[str, bool]) -> None:
    """Refuse a part that a function does not have for a type.

    Args:
        function: its name.
        part: the part.
        kind: the type of its argument; None if it is not known.
        allowed: whether each type has parts of a day, by the names of the types that the function has.
    """
    days = part.name in _DAY_PARTS and kind != types.TIME
    clock = part.is_clock and (kind is None or allowed.get(kind.name, False))
    if not (days or clock):
        raise _no_part(function, part, kind)


def _no_part(function: str, part: Part, kind: Type | None) -> Exception:
    suffix = f" when the argument is {kind} type" if kind else ""
    return invalid(f"{function} does not support the {part.text} date part{suffix}")


def _no_signature(function: str, *kinds: Type | None) -> Exception:
    listed = ", ".join(str(kind or "?") for kind in kinds)
    return invalid(f"No matching signature for function {function} for argument types: {listed}")


# --- Arguments --------------------------------------------------------------------------------------------------------


def _is_text(node: exp.Expression) -> bool:
    return isinstance(node, exp.RawString) or (isinstance(node, exp.Literal) and node.is_string)


def _unwrapped(node: exp.Expression) -> exp.Expression:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


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


def _argument(
    node: exp.Expression, context: Context, default: Type, function: str
) -> tuple[exp.Expression, Type | None]:
    """Return an argument, and its type; literal strings, parameters and NULL are read as ``default``."""
    kind, bare = context.of(node), _unwrapped(node)
    if _is_text(bare):
        return context.typed(literal(bare.name, default), default), default
    if isinstance(bare, exp.Null):
        return context.typed(cast(bare, default), default), default
    if isinstance(bare, exp.Parameter | exp.Placeholder) and kind == types.STRING:
        return context.typed(converted(node, kind, default), default), default
    if kind is not None and kind not in _KINDS and kind != types.NULL:
        raise _no_signature(function, kind)
    return node, kind


def _arguments(
    nodes: list[exp.Expression], context: Context, default: Type, function: str
) -> tuple[list[exp.Expression], Type | None]:
    """Return arguments of one type, and that type. A DATE beside a DATETIME becomes one."""
    known = [context.of(node) for node in nodes if not _is_text(_unwrapped(node))]
    literal_kind = next((kind for kind in known if kind in _KINDS), default)
    pairs = [_argument(node, context, literal_kind or default, function) for node in nodes]
    kinds = {kind for _, kind in pairs}
    if None in kinds:
        return [node for node, _ in pairs], None
    if default in (types.DATETIME, types.TIMESTAMP) and kinds == {types.DATE}:
        kinds = {types.DATE, types.DATETIME}
    if kinds == {types.DATE, types.DATETIME}:
        return [converted(node, kind, types.DATETIME) for node, kind in pairs], types.DATETIME
    if len(kinds) > 1:
        raise _no_signature(function, *(kind for _, kind in pairs))
    return [node for node, _ in pairs], kinds.pop()


def _typed(name: str, kind: Type | None, *arguments: exp.Expression | str | int) -> exp.Expression:
    """Return the call of the macro for a type."""
    return call(f"{name}_{kind.name.lower() if kind else 'any'}", *arguments)


def converted(node: exp.Expression, kind: Type | None, target: Type) -> exp.Expression:
    """Return a value converted to a date or time; ``kind`` is its type, None if it is not known."""
    return node if kind == target else _typed(f"bq_{target.name.lower()}_of", kind, node)


# --- Time zones -------------------------------------------------------------------------------------------------------


def _zone(zone: exp.Expression) -> exp.Expression | str | int | None:
    """Return a literal zone as DuckDB needs it: a name, or minutes; None if the zone is not a literal."""
    if not _is_text(_unwrapped(zone)):
        return None
    text = _unwrapped(zone).name
    try:
        time_formats.zone_of(text)
        offset = time_formats.offset_of(text)
    except ValueError as error:
        raise invalid(str(error)) from None
    return text if offset is None else offset


def local_time(instant: exp.Expression, zone: exp.Expression) -> exp.Expression:
    """Return the civil time of a TIMESTAMP in a zone."""
    return _in_zone("bq_local", instant, zone)


def instant(local: exp.Expression, zone: exp.Expression) -> exp.Expression:
    """Return the TIMESTAMP of a civil time in a zone."""
    return _in_zone("bq_instant", local, zone)


def _in_zone(macro: str, value: exp.Expression, zone: exp.Expression) -> exp.Expression:
    known = _zone(zone)
    if known is None:
        return call(f"{macro}_of_text", value, zone)
    return call(macro if isinstance(known, str) else f"{macro}_of_offset", value, known)


# --- Truncation -------------------------------------------------------------------------------------------------------

_TRUNCATIONS = {
    exp.DateTrunc: ("DATE_TRUNC", types.DATE),
    exp.DatetimeTrunc: ("DATETIME_TRUNC", types.DATETIME),
    exp.TimestampTrunc: ("TIMESTAMP_TRUNC", types.TIMESTAMP),
    exp.TimeTrunc: ("TIME_TRUNC", types.TIME),
}
_ALL_CLOCKS = {"DATETIME": True, "TIMESTAMP": True, "TIME": True}


@rule(*_TRUNCATIONS)
def truncation(node: exp.Expression, context: Context) -> exp.Expression:
    """Truncate to a part; the type stays, weeks begin on Sunday, or on the day in WEEK(day).

    Source: DATE_TRUNC, DATETIME_TRUNC, TIMESTAMP_TRUNC, TIME_TRUNC.
    """
    function, default = _TRUNCATIONS[type(node)]
    (value,), kind = _arguments([node.this], context, default, function)
    part, zone = part_of(node.args.get("unit")), node.args.get("zone")
    _check_part(function, part, kind, _ALL_CLOCKS)
    if zone is None:
        return context.typed(_truncated(value, part, kind), kind)
    if kind not in (types.TIMESTAMP, None):
        raise _no_signature(function, kind, types.STRING, types.STRING)
    local = local_time(value, zone)
    if part.is_clock:
        return context.typed(call("bq_trunc_clock", value, local, part.name), types.TIMESTAMP)
    return context.typed(instant(_truncated(local, part, types.DATETIME), zone), types.TIMESTAMP)


def _truncated(value: exp.Expression, part: Part, kind: Type | None) -> exp.Expression:
    if part.name == "WEEK":
        return _typed("bq_trunc_week", kind, value, part.first)
    return (
        _typed("bq_trunc_isoyear", kind, value)
        if part.name == "ISOYEAR"
        else _typed("bq_trunc", kind, value, part.name)
    )


@rule(exp.LastDay)
def last_day(node: exp.LastDay, context: Context) -> exp.Expression:
    """Return the last day of the month, or of another part.

    Source: "Date functions", LAST_DAY.
    """
    (value,), kind = _arguments([node.this], context, types.DATE, "LAST_DAY")
    part = part_of(node.args.get("unit"), default="MONTH")
    if kind in (types.TIMESTAMP, types.TIME):
        raise _no_signature("LAST_DAY", kind)
    if part.is_clock or part.name == "DAY":
        raise invalid(f"LAST_DAY does not support the {part.text} date part")
    if part.name == "WEEK":
        return call("bq_last_of_week", value, part.first)
    return call(f"bq_last_of_{part.name.lower()}", value)


# --- Differences ------------------------------------------------------------------------------------------------------

_DIFFERENCES = {
    exp.DateDiff: ("DATE_DIFF", types.DATE),
    exp.DatetimeDiff: ("DATETIME_DIFF", types.DATETIME),
    exp.TimestampDiff: ("TIMESTAMP_DIFF", types.TIMESTAMP),
    exp.TimeDiff: ("TIME_DIFF", types.TIME),
}


@rule(*_DIFFERENCES)
def difference(node: exp.Expression, context: Context) -> exp.Expression:
    """Count the boundaries of a part between two values; between two TIMESTAMPs, the whole units that have passed.

    Source: DATE_DIFF, DATETIME_DIFF, TIMESTAMP_DIFF, TIME_DIFF.
    """
    function, default = _DIFFERENCES[type(node)]
    (end, start), kind = _arguments([node.this, node.expression], context, default, function)
    part = part_of(node.args.get("unit"))
    _check_part(function, part, kind, _ALL_CLOCKS)
    if kind == types.TIMESTAMP and not part.is_clock and part.name != "DAY":
        raise _no_part(function, part, kind)
    if part.name == "WEEK":
        return call("bq_diff_weeks", end, start, part.first)
    if part.name == "ISOYEAR":
        return call("bq_diff_isoyears", end, start)
    return _typed("bq_diff", kind, end, start, part.name, _MICROS.get(part.name, _DAY_MICROS))


# --- Addition ---------------------------------------------------------------------------------------------------------

_ADDITIONS = {
    exp.DateAdd: ("DATE_ADD", types.DATE, 1),
    exp.DateSub: ("DATE_SUB", types.DATE, -1),
    exp.DatetimeAdd: ("DATETIME_ADD", types.DATETIME, 1),
    exp.DatetimeSub: ("DATETIME_SUB", types.DATETIME, -1),
    exp.TimestampAdd: ("TIMESTAMP_ADD", types.TIMESTAMP, 1),
    exp.TimestampSub: ("TIMESTAMP_SUB", types.TIMESTAMP, -1),
    exp.TimeAdd: ("TIME_ADD", types.TIME, 1),
    exp.TimeSub: ("TIME_SUB", types.TIME, -1),
}


@rule(*_ADDITIONS)
def addition(node: exp.Expression, context: Context) -> exp.Expression:
    """Add a number of parts: the type stays, the 31st becomes the last day of a shorter month, TIME wraps around.

    Source: DATE_ADD, DATE_SUB and the same of DATETIME, TIMESTAMP and TIME.
    """
    function, default, sign = _ADDITIONS[type(node)]
    (value,), kind = _arguments([node.this], context, default, function)
    if node.args.get("unit") is None or isinstance(node.args["unit"], exp.IntervalSpan):
        raise invalid(f"{function} needs INTERVAL <number> <part>")
    part = part_of(node.args["unit"])
    if part.is_clock and context.of(node.this) == types.DATE:
        raise _no_part(function, part, types.DATE)
    _check_part(function, part, kind, _ALL_CLOCKS)
    if part.text in ("ISOWEEK", "ISOYEAR") or (kind == types.TIMESTAMP and not part.is_clock and part.name != "DAY"):
        raise _no_part(function, part, kind)
    if part.is_clock:
        return context.typed(
            _typed("bq_add_micros", kind, value, _amount(node.expression, sign * _MICROS[part.name], context)), kind
        )
    if part.name in _MONTHS:
        months = _amount(node.expression, sign * _MONTHS[part.name], context)
        return context.typed(_typed("bq_add_months", kind, value, months), kind)
    days = _amount(node.expression, sign * (7 if part.name == "WEEK" else 1), context)
    return context.typed(_typed("bq_add_days", kind, value, days), kind)


def _amount(node: exp.Expression, factor: int, context: Context) -> exp.Expression:
    """Return the number of an INTERVAL times a factor; it must be an INT64."""
    bare, sign = _unwrapped(node), 1
    while isinstance(bare, exp.Neg):
        bare, sign = _unwrapped(bare.this), -sign
    if isinstance(bare, exp.Literal):
        try:
            number = int(bare.name) * sign * factor
        except ValueError:
            raise invalid(f"Interval value must be coercible to INT64 type: {bare.name}") from None
        return cast(exp.Literal.string(str(number)), types.INT64)
    kind = context.of(node)
    if kind not in (types.INT64, types.NULL, None):
        raise invalid("Interval value must be coercible to INT64 type")
    value = cast(node, types.INT64)
    return value if factor == 1 else exp.Paren(this=exp.Mul(this=value, expression=exp.Literal.number(factor)))


@rule(exp.Add, exp.Sub)
def operator(node: exp.Binary, context: Context) -> exp.Expression | None:
    """A date plus days, a date or time plus an interval, and the interval between two dates or times.

    Source: "Operators", date arithmetics, datetime subtraction, interval arithmetic.
    """
    left, right = context.of(node.this), context.of(node.expression)
    minus = isinstance(node, exp.Sub)
    if left == types.INT64 and right == types.DATE and not minus:
        return call("bq_add_days_date", node.expression, node.this)
    if left == types.DATE and right == types.INT64:
        days = exp.Neg(this=exp.Paren(this=node.expression)) if minus else node.expression
        return call("bq_add_days_date", node.this, days)
    if right == types.INTERVAL and left in _KINDS:
        return _moved(node.this, left, exp.Neg(this=exp.Paren(this=node.expression)) if minus else node.expression)
    if left == types.INTERVAL and right in _KINDS and not minus:
        return _moved(node.expression, right, node.this)
    if minus and left in _KINDS and right in _KINDS:
        (end, start), kind = _arguments([node.this, node.expression], context, types.DATE, "-")
        return _typed("bq_between", kind, end, start)
    return None


def _moved(value: exp.Expression, kind: Type, interval: exp.Expression) -> exp.Expression:
    if kind == types.TIME:
        raise invalid("No matching signature for operator + for argument types: TIME, INTERVAL")
    return _typed("bq_add_interval", kind, value, interval)


# --- Intervals --------------------------------------------------------------------------------------------------------


@rule(exp.Interval)
def interval(node: exp.Interval, _: Context) -> exp.Expression | None:
    """An interval of several parts, such as INTERVAL '1-2 3 4:5:6.789' YEAR TO SECOND, or of microseconds.

    Source: "Data types", interval type, constructing an interval with a range of parts.
    """
    span = node.args.get("unit")
    if not isinstance(span, exp.IntervalSpan) or not _is_text(node.this):
        return None
    try:
        parts = time_formats.interval_parts(node.this.name, span.this.name.upper(), span.expression.name.upper())
    except ValueError as error:
        raise invalid(str(error)) from None
    return call("bq_interval", *(cast(exp.Literal.string(str(part)), types.INT64) for part in parts))


@rule(exp.JustifyDays, exp.JustifyHours, exp.JustifyInterval)
def justified(node: exp.Expression, _: Context) -> exp.Expression:
    """JUSTIFY_HOURS, JUSTIFY_DAYS and JUSTIFY_INTERVAL: 24 hours are a day, 30 days a month.

    Source: "Interval functions".
    """
    value = node.this
    if not isinstance(node, exp.JustifyDays):
        value = call("bq_justify_hours", value)
    return value if isinstance(node, exp.JustifyHours) else call("bq_justify_days", value)


# --- Parts ------------------------------------------------------------------------------------------------------------

_CIVIL_PARTS = {"DATE": types.DATE, "TIME": types.TIME, "DATETIME": types.DATETIME}
_NUMBER_PARTS = {"DAYOFWEEK": "dayofweek", "DAYOFYEAR": "dayofyear"}


@rule(exp.Extract)
def extraction(node: exp.Extract, context: Context) -> exp.Expression | None:
    """Extract a part: MILLISECOND and MICROSECOND are those of the second, weeks begin on Sunday, days with 1.

    Source: EXTRACT in "Date functions", "Datetime functions", "Time functions", "Timestamp functions".
    """
    zoned = node.expression if isinstance(node.expression, exp.AtTimeZone) else None
    value = zoned.this if zoned is not None else node.expression
    kind = context.of(value)
    if _is_text(_unwrapped(value)):
        raise invalid("EXTRACT does not support literal STRING arguments")
    if kind == types.INTERVAL:
        return _interval_part(node)
    if kind is not None and kind not in _KINDS and kind != types.NULL:
        raise _no_signature("EXTRACT", kind)
    if zoned is not None:
        if kind not in (types.TIMESTAMP, None):
            raise invalid(f"EXTRACT from {kind} does not support AT TIME ZONE")
        value = local_time(value, zoned.args["zone"])
    name = node.this.name.upper()
    if name in _CIVIL_PARTS and not isinstance(node.this, exp.WeekStart):
        if zoned is not None:
            return converted(value, types.DATETIME, _CIVIL_PARTS[name])
        return _civil_part(value, name, kind)
    part = Part(name, name) if name in _NUMBER_PARTS else part_of(node.this)
    if (kind == types.DATE and part.is_clock) or (kind == types.TIME and not part.is_clock):
        raise invalid(f"EXTRACT from {kind} does not support the {part.text} date part")
    if zoned is None and kind == types.TIMESTAMP:
        value = call("bq_utc", value)
    return _number_part(value, part)


def _civil_part(value: exp.Expression, name: str, kind: Type | None) -> exp.Expression:
    if kind in (types.DATE, types.TIME) or (kind == types.DATETIME and name == "DATETIME"):
        raise invalid(f"EXTRACT from {kind} does not support the {name} date part")
    return converted(value, kind, _CIVIL_PARTS[name])


def _number_part(civil: exp.Expression, part: Part) -> exp.Expression:
    if part.name == "WEEK" and part.text != "ISOWEEK":
        return call("bq_week_of_year", civil, part.first)
    number = call("bq_part", civil, part.name.lower())
    if part.name == "DAYOFWEEK":
        return exp.Paren(this=exp.Add(this=number, expression=exp.Literal.number(1)))
    if part.name in ("MILLISECOND", "MICROSECOND"):
        size = 1000 if part.name == "MILLISECOND" else 10**6
        return exp.Mod(this=number, expression=exp.Literal.number(size))
    return number


def _interval_part(node: exp.Extract) -> exp.Expression:
    name = node.this.name.upper()
    if name not in ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND"):
        raise invalid(f"EXTRACT from INTERVAL does not support the {name} date part")
    return _number_part(node.expression, Part(name, name))


# --- Conversions ------------------------------------------------------------------------------------------------------


@rule(exp.Cast, exp.TryCast)
def cast_of_time(node: exp.Cast, context: Context) -> exp.Expression | None:
    """Cast between dates, times and strings.

    Source: "Conversion functions", CAST; "Data types", canonical formats.
    """
    target, source, safe = types.of_syntax(node.to), context.of(node.this), isinstance(node, exp.TryCast)
    if node.args.get("format") is not None and (target in _KINDS or source in _KINDS):
        raise limit("run CAST with FORMAT; use the FORMAT_ and PARSE_ functions")
    if target == types.STRING and source in (*_KINDS, types.INTERVAL):
        return safely(_typed("bq_text_of", source, node.this), safe)
    if target not in _KINDS:
        return None
    bare = _unwrapped(node.this)
    if _is_text(bare):
        try:
            return literal(bare.name, target)
        except ValidationError:
            if safe:
                return cast(exp.null(), target)
            raise
    if source == target or source == types.NULL:
        return None
    return safely(converted(node.this, source, target), safe)


_CONSTRUCTORS = {
    exp.Date: ("DATE", types.DATE),
    exp.TsOrDsToDate: ("DATE", types.DATE),
    exp.TsOrDsToDatetime: ("DATETIME", types.DATETIME),
    exp.TsOrDsToTimestamp: ("TIMESTAMP", types.TIMESTAMP),
    exp.TsOrDsToTime: ("TIME", types.TIME),
    exp.Time: ("TIME", types.TIME),
    exp.Timestamp: ("TIMESTAMP", types.TIMESTAMP),
}


@rule(*_CONSTRUCTORS)
def constructor(node: exp.Expression, context: Context) -> exp.Expression:
    """Convert a value to a DATE, DATETIME, TIME or TIMESTAMP, in UTC or in the time zone given.

    Source: the functions DATE, DATETIME, TIME and TIMESTAMP.
    """
    function, target = _CONSTRUCTORS[type(node)]
    zone = node.args.get("zone")
    if target == types.TIMESTAMP and zone is not None:
        return _timestamp_in(node.this, zone, context)
    return _constructed(node.this, zone, target, function, context)


def _constructed(
    value: exp.Expression, zone: exp.Expression | None, target: Type, function: str, context: Context
) -> exp.Expression:
    bare, kind = _unwrapped(value), context.of(value)
    if kind is not None and kind not in (*_KINDS, types.STRING, types.NULL):
        raise _no_signature(function, kind)
    if _is_text(bare) and zone is None:
        formatted = target == types.TIME and isinstance(value.parent and value.parent.parent, exp.TimeToStr)
        return literal(bare.name, target) if formatted else _literal_of(bare.name, target)
    if zone is None:
        return converted(value, kind, target)
    (value,), kind = _arguments([value], context, types.TIMESTAMP, function)
    if kind not in (types.TIMESTAMP, None):
        raise _no_signature(function, kind, types.STRING)
    return converted(local_time(value, zone), types.DATETIME, target)


def _literal_of(text: str, target: Type) -> exp.Expression:
    """Return the conversion of a literal string: DATE('2021-01-03 05:06:07+00') reads it as a TIMESTAMP."""
    for kind in (target, types.TIMESTAMP):
        try:
            if kind != types.TIME:
                return converted(literal(text, kind), kind, target)
        except ValidationError:
            continue
    # An error when the query runs, so that SAFE. can make it NULL.
    return converted(converted(exp.Literal.string(text), types.STRING, types.TIMESTAMP), types.TIMESTAMP, target)


def _timestamp_in(value: exp.Expression, zone: exp.Expression, context: Context) -> exp.Expression:
    bare, kind = _unwrapped(value), context.of(value)
    if _is_text(bare) or kind == types.STRING:
        known = _zone(zone)
        if _is_text(bare) and known is not None:
            try:
                moment = time_formats.timestamp_of(bare.name, _unwrapped(zone).name)
            except ValueError as error:
                raise invalid(str(error)) from None
            return cast(exp.Literal.string(f"{moment.isoformat(sep=' ')}+00"), types.TIMESTAMP)
        return call("bq_timestamp_in", value, zone)
    if kind not in (types.DATE, types.DATETIME, types.NULL, None):
        raise _no_signature("TIMESTAMP", kind, types.STRING)
    return instant(converted(value, kind, types.DATETIME), zone)


@rule(exp.Datetime)
def datetime_of_two(node: exp.Datetime, context: Context) -> exp.Expression:
    """DATETIME of a DATE and a TIME, or of a TIMESTAMP in a time zone.

    Source: "Datetime functions", DATETIME.
    """
    if node.expression is None or node.args.get("expression") is None:
        return _constructed(node.this, None, types.DATETIME, "DATETIME", context)
    second = context.of(node.expression)
    if second == types.TIME or (second is None and context.of(node.this) == types.DATE):
        (value,), _ = _arguments([node.this], context, types.DATE, "DATETIME")
        return exp.Paren(this=exp.Add(this=value, expression=node.expression))
    return _constructed(node.this, node.expression, types.DATETIME, "DATETIME", context)


@rule(exp.DateFromParts, exp.TimestampFromParts, exp.TimeFromParts)
def from_parts(node: exp.Expression, context: Context) -> exp.Expression:
    """DATE, DATETIME and TIME of their parts; a part out of range is an error, second 60 the next minute.

    Source: the functions DATE, DATETIME and TIME.
    """
    names = {
        exp.DateFromParts: ("bq_date_of_parts", ("year", "month", "day")),
        exp.TimestampFromParts: ("bq_datetime_of_parts", ("year", "month", "day", "hour", "min", "sec")),
        exp.TimeFromParts: ("bq_time_of_parts", ("hour", "min", "sec")),
    }
    macro, parts = names[type(node)]
    values = [node.args.get(part) for part in parts]
    kinds = [context.of(value) for value in values if value is not None]
    if len(kinds) != len(parts) or any(kind not in (types.INT64, types.NULL, None) for kind in kinds):
        raise _no_signature(macro.split("_")[1].upper(), *kinds)
    return call(macro, *(cast(value, types.INT64) for value in values if value is not None))


@rule(exp.String)
def text_of(node: exp.String, context: Context) -> exp.Expression | None:
    """STRING of a date or time; of a TIMESTAMP in a time zone, with its offset.

    Source: "Timestamp functions", STRING.
    """
    kind, zone = context.of(node.this), node.args.get("zone")
    if kind == types.JSON:
        return None
    if zone is None:
        return _typed("bq_text_of", kind, node.this) if kind in _KINDS else None
    (value,), kind = _arguments([node.this], context, types.TIMESTAMP, "STRING")
    if kind not in (types.TIMESTAMP, None):
        raise _no_signature("STRING", kind, types.STRING)
    return call("bq_text_in", value, local_time(value.copy(), zone))


_NOW = {exp.CurrentDate: types.DATE, exp.CurrentDatetime: types.DATETIME, exp.CurrentTime: types.TIME}


@rule(*_NOW)
def current(node: exp.Expression, _: Context) -> exp.Expression:
    """The current date, datetime or time, in UTC or in a time zone.

    Source: CURRENT_DATE, CURRENT_DATETIME, CURRENT_TIME.
    """
    now: exp.Expression = exp.CurrentTimestamp()
    if node.args.get("this") is not None:
        return converted(local_time(now, node.this), types.DATETIME, _NOW[type(node)])
    return converted(now, types.TIMESTAMP, _NOW[type(node)])


# --- Formats ----------------------------------------------------------------------------------------------------------


def _format_text(node: exp.Expression) -> str | None:
    """Return a literal format string; None if it is not a literal."""
    text = _unwrapped(node).name if _is_text(_unwrapped(node)) else None
    if text == "None":  # what sqlglot makes of an empty one
        raise limit("format or parse with an empty format string")
    return text


@rule(exp.TimeToStr)
def formatting(node: exp.TimeToStr, context: Context) -> exp.Expression:
    """FORMAT_DATE, FORMAT_DATETIME, FORMAT_TIME, FORMAT_TIMESTAMP, with every documented element.

    Source: "Format elements".
    """
    kind = context.of(node.this) or types.TIMESTAMP
    pattern, zone = _format_text(node.args["format"]), node.args.get("zone")
    text = exp.Literal.string(pattern) if pattern is not None else node.args["format"]
    if pattern is not None:
        try:
            time_formats.writers(pattern, kind.name)
        except ValueError as error:
            raise invalid(str(error)) from None
    if zone is not None:
        if kind != types.TIMESTAMP:
            raise _no_signature(f"FORMAT_{kind}", types.STRING, kind, types.STRING)
        return call("bq_format_in", node.this, local_time(node.this.copy(), zone), text)
    civil = _typed("bq_civil", kind, node.this)
    duckdb = time_formats.duckdb_format(pattern, kind.name) if pattern is not None else None
    if duckdb is None:
        return call("bq_format", civil, text, kind.name)
    return call("bq_strftime", civil, text, kind.name, duckdb)


_PARSERS = {
    exp.StrToDate: types.DATE,
    exp.ParseDatetime: types.DATETIME,
    exp.ParseTime: types.TIME,
    exp.StrToTime: types.TIMESTAMP,
}


@rule(*_PARSERS)
def parsing(node: exp.Expression, context: Context) -> exp.Expression:
    """PARSE_DATE, PARSE_DATETIME, PARSE_TIME, PARSE_TIMESTAMP, with or without a time zone.

    Source: "Format elements"; parts that the format lacks are those of 1970-01-01 00:00:00.
    """
    kind = _PARSERS[type(node)]
    name = kind.name.lower()
    for argument in (node.this, node.args["format"]):
        if context.of(argument) not in (types.STRING, types.NULL, None):
            raise _no_signature(f"PARSE_{kind}", types.STRING, context.of(argument))
    pattern = _format_text(node.args["format"])
    if pattern is not None:
        try:
            time_formats.check_parser(pattern, kind.name)
        except ValueError as error:
            raise invalid(str(error)) from None
    arguments = [exp.Literal.string(pattern) if pattern is not None else node.args["format"], node.this]
    if kind == types.TIMESTAMP:
        zone = node.args.get("zone")
        if zone is not None:
            _zone(zone)
        arguments.append(zone if zone is not None else exp.Literal.string("UTC"))
    regular = time_formats.regular_text(pattern) if pattern is not None and kind != types.TIME else None
    if regular is None or (kind == types.TIMESTAMP and node.args.get("zone") is not None):
        return call(f"bq_parse_{name}", *arguments)
    expression, duckdb = regular
    return call(f"bq_strptime_{name}", *arguments[:2], expression, duckdb)


# --- Unix time and arrays ---------------------------------------------------------------------------------------------

_UNIX = {
    exp.UnixSeconds: ("UNIX_SECONDS", 10**6),
    exp.UnixMillis: ("UNIX_MILLIS", 1000),
    exp.UnixMicros: ("UNIX_MICROS", 1),
}


@rule(*_UNIX)
def unix_time(node: exp.Expression, context: Context) -> exp.Expression:
    """Units since 1970, rounded down.

    Source: UNIX_SECONDS, UNIX_MILLIS, UNIX_MICROS.
    """
    function, micros = _UNIX[type(node)]
    (value,), kind = _arguments([node.this], context, types.TIMESTAMP, function)
    if kind == types.DATETIME:
        raise _no_signature(function, context.of(node.this))
    return call("bq_unix", value, micros)


@rule(exp.UnixDate)
def unix_date(node: exp.UnixDate, context: Context) -> exp.Expression:
    """Days since 1970-01-01.

    Source: UNIX_DATE.
    """
    (value,), kind = _arguments([node.this], context, types.DATE, "UNIX_DATE")
    if kind not in (types.DATE, None):
        raise _no_signature("UNIX_DATE", kind)
    return call("bq_unix_date", value)


@rule(exp.UnixToTime, exp.DateFromUnixDate)
def of_unix_time(node: exp.Expression, context: Context) -> exp.Expression:
    """TIMESTAMP_SECONDS, TIMESTAMP_MILLIS, TIMESTAMP_MICROS and DATE_FROM_UNIX_DATE of an INT64.

    Source: those functions.
    """
    scale = node.args.get("scale")
    factor = 10 ** (6 - int(scale.name if scale is not None else 0))
    if context.of(node.this) not in (types.INT64, types.NULL, None):
        function = {1: "TIMESTAMP_MICROS", 1000: "TIMESTAMP_MILLIS"}.get(factor, "TIMESTAMP_SECONDS")
        function = "DATE_FROM_UNIX_DATE" if isinstance(node, exp.DateFromUnixDate) else function
        raise _no_signature(function, context.of(node.this))
    value = cast(node.this, types.INT64)
    if isinstance(node, exp.DateFromUnixDate):
        return call("bq_of_days", value)
    return call("bq_of_micros", exp.Mul(this=value, expression=exp.Literal.number(factor)))


@rule(exp.GenerateDateArray, exp.GenerateTimestampArray)
def array_of_times(node: exp.Expression, context: Context) -> exp.Expression:
    """An array of dates or timestamps, with a step that may be negative; a step of zero is an error.

    Source: GENERATE_DATE_ARRAY, GENERATE_TIMESTAMP_ARRAY.
    """
    dates = isinstance(node, exp.GenerateDateArray)
    function, kind = ("GENERATE_DATE_ARRAY", types.DATE) if dates else ("GENERATE_TIMESTAMP_ARRAY", types.TIMESTAMP)
    (start, end), found = _arguments([node.args["start"], node.args["end"]], context, kind, function)
    if found not in (kind, None):
        raise _no_signature(function, found)
    step = node.args.get("step")
    number, unit = (
        (step.this, step.args.get("unit")) if isinstance(step, exp.Interval) else (exp.Literal.number(1), None)
    )
    part = part_of(unit)
    if (
        (dates and part.is_clock)
        or part.text in ("ISOWEEK", "ISOYEAR")
        or (not dates and part.name not in (*_MICROS, "DAY"))
    ):
        raise invalid(f"{function} does not support the {part.text} date part")
    if not dates:
        return call("bq_timestamp_array", start, end, _amount(number, _MICROS.get(part.name, _DAY_MICROS), context))
    zero: exp.Expression = exp.Literal.number(0)
    amount = _amount(number, _MONTHS.get(part.name, 7 if part.name == "WEEK" else 1), context)
    return call("bq_date_array", start, end, *((zero, amount) if part.name in _MONTHS else (amount, zero)))
