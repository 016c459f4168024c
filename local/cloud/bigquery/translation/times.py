"""Functions of dates and times: truncation, differences, addition, parts, intervals, arrays.

Sources: GoogleSQL for BigQuery, "Date functions", "Datetime functions", "Time functions", "Timestamp functions" and
"Interval functions" (https://cloud.google.com/bigquery/docs/reference/standard-sql/date_functions and its neighbours).
What the pages leave open follows Google's reference implementation of GoogleSQL.
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.translation import time_formats, types
from local.cloud.bigquery.translation.annotation import is_literal
from local.cloud.bigquery.translation.rules import Context, call, cast, rule
from local.cloud.bigquery.translation.time_arguments import (
    CIVIL,
    CLOCKED,
    DATED,
    DAY_MICROS,
    KINDS,
    MICROS,
    MONTHS,
    Part,
    arguments,
    converted,
    instant_of,
    literal_text,
    local_time,
    no_part,
    no_signature,
    only,
    part_of,
    typed,
    unwrapped,
)
from local.cloud.bigquery.translation.types import Type

# --- Truncation -------------------------------------------------------------------------------------------------------

_TRUNCATIONS = {
    exp.DateTrunc: ("DATE_TRUNC", types.DATE),
    exp.DatetimeTrunc: ("DATETIME_TRUNC", types.DATETIME),
    exp.TimestampTrunc: ("TIMESTAMP_TRUNC", types.TIMESTAMP),
    exp.TimeTrunc: ("TIME_TRUNC", types.TIME),
}


@rule(*_TRUNCATIONS)
def truncation(node: exp.Expression, context: Context) -> exp.Expression:
    """Truncate to a part; the type stays, weeks begin on Sunday, or on the day in WEEK(day).

    Source: DATE_TRUNC, DATETIME_TRUNC, TIMESTAMP_TRUNC, TIME_TRUNC.
    """
    function, default = _TRUNCATIONS[type(node)]
    part, zone = part_of(node.args.get("unit")), node.args.get("zone")
    allowed = [types.TIMESTAMP] if zone is not None else _kinds_with(part, default)
    (value,), kind = arguments([node.this], context, default, function, allowed=allowed, part=part)
    if zone is None:
        return context.typed(_truncated(value, part, kind), kind)
    local = local_time(value, zone)
    if part.is_clock:
        return context.typed(call("bq_trunc_clock", value, local, part.name), types.TIMESTAMP)
    return context.typed(instant_of(_truncated(local, part, types.DATETIME), zone), types.TIMESTAMP)


def _kinds_with(part: Part, default: Type) -> tuple[Type, ...]:
    """Return the types that have a part, for a function that is named after ``default``."""
    if default == types.TIME:
        return (types.TIME,) if part.is_clock else ()
    return CLOCKED if part.is_clock else DATED


def _truncated(value: exp.Expression, part: Part, kind: Type | None) -> exp.Expression:
    if part.name == "WEEK":
        return typed("bq_trunc_week", kind, value, part.first)
    if part.name == "ISOYEAR":
        return typed("bq_trunc_isoyear", kind, value)
    return typed("bq_trunc", kind, value, part.name)


@rule(exp.LastDay)
def last_day(node: exp.LastDay, context: Context) -> exp.Expression:
    """Return the last day of the month, or of another part.

    Source: "Date functions", LAST_DAY.
    """
    part = part_of(node.args.get("unit"), default="MONTH")
    if part.is_clock or part.name == "DAY":
        raise no_part("LAST_DAY", part)
    (value,), _ = arguments([node.this], context, types.DATE, "LAST_DAY", allowed=CIVIL)
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
    part = part_of(node.args.get("unit"))
    allowed = [kind for kind in _kinds_with(part, default) if kind != types.TIMESTAMP or _is_exact(part)]
    nodes = [node.this, node.expression]
    (end, start), kind = arguments(nodes, context, default, function, allowed=allowed, part=part, keeps_type=False)
    if part.name == "WEEK":
        return call("bq_diff_weeks", end, start, part.first)
    if part.name == "ISOYEAR":
        return call("bq_diff_isoyears", end, start)
    return typed("bq_diff", kind, end, start, part.name, MICROS.get(part.name, DAY_MICROS))


def _is_exact(part: Part) -> bool:
    """Whether all units of a part are equally long, so that TIMESTAMPs can be moved by it."""
    return part.is_clock or part.name == "DAY"


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
    unit = node.args.get("unit")
    if unit is None or isinstance(unit, exp.IntervalSpan):
        raise invalid(f"{function} needs INTERVAL <number> <part>")
    part = part_of(unit)
    if part.text == "ISOWEEK" or part.name == "ISOYEAR" or (part.is_clock and context.of(node.this) == types.DATE):
        raise no_part(function, part, context.of(node.this))
    allowed = [kind for kind in _kinds_with(part, default) if kind != types.TIMESTAMP or _is_exact(part)]
    (value,), kind = arguments([node.this], context, default, function, allowed=allowed, part=part)
    if part.is_clock:
        macro, factor = "bq_add_micros", MICROS[part.name]
    elif part.name in MONTHS:
        macro, factor = "bq_add_months", MONTHS[part.name]
    else:
        macro, factor = "bq_add_days", 7 if part.name == "WEEK" else 1
    return context.typed(typed(macro, kind, value, _amount(node.expression, sign * factor, context)), kind)


def _amount(node: exp.Expression, factor: int, context: Context) -> exp.Expression:
    """Return the number of an INTERVAL times a factor; it must be an INT64."""
    bare, sign = unwrapped(node), 1
    while isinstance(bare, exp.Neg):
        bare, sign = unwrapped(bare.this), -sign
    if isinstance(bare, exp.Literal):
        try:
            number = int(bare.name) * sign * factor
        except ValueError:
            raise invalid(f"Interval value must be coercible to INT64 type: {bare.name}") from None
        return cast(exp.Literal.string(str(number)), types.INT64)
    if context.of(node) not in (types.INT64, types.NULL, None):
        raise invalid("Interval value must be coercible to INT64 type")
    value = cast(node, types.INT64)
    return value if factor == 1 else exp.Paren(this=exp.Mul(this=value, expression=exp.Literal.number(factor)))


@rule(exp.Add, exp.Sub)
def operator(node: exp.Binary, context: Context) -> exp.Expression | None:
    """A date plus days, a date or time plus an interval, and the interval between two dates or times.

    Source: "Operators", date arithmetics, datetime subtraction, interval arithmetic.
    """
    minus = isinstance(node, exp.Sub)
    left, right = node.this, node.expression
    first, second = context.of(left), context.of(right)
    if (
        minus
        and {first, second} & set(KINDS)
        and all(
            kind in KINDS or (kind == types.STRING and is_literal(side))
            for side, kind in ((left, first), (right, second))
        )
    ):
        (end, start), kind = arguments([left, right], context, types.DATE, "-", allowed=KINDS)
        return typed("bq_between", kind, end, start)
    if not minus and (second in KINDS or first == types.INTERVAL):
        (left, first), (right, second) = (right, second), (left, first)
    moved = exp.Neg(this=exp.Paren(this=right)) if minus else right
    if first == types.DATE and second == types.INT64:
        return call("bq_add_days_date", left, moved)
    if second != types.INTERVAL or first not in (*KINDS, None):
        return None
    if first == types.TIME:
        raise no_signature("operator +", types.TIME, types.INTERVAL)
    return typed("bq_add_interval", first, left, moved)


# --- Intervals --------------------------------------------------------------------------------------------------------


@rule(exp.Interval)
def interval(node: exp.Interval, _: Context) -> exp.Expression | None:
    """An interval of several parts, such as INTERVAL '1-2 3 4:5:6.789' YEAR TO SECOND.

    Source: "Data types", interval type, constructing an interval with a range of parts.
    """
    span, text = node.args.get("unit"), literal_text(node.this) if node.this is not None else None
    if not isinstance(span, exp.IntervalSpan) or text is None:
        return None
    try:
        parts = time_formats.interval_parts(text, span.this.name.upper(), span.expression.name.upper())
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
_DAY_NUMBERS = ("DAYOFWEEK", "DAYOFYEAR")
_INTERVAL_PARTS = ("YEAR", "MONTH", "DAY", *MICROS)


@rule(exp.Extract)
def extraction(node: exp.Extract, context: Context) -> exp.Expression:
    """Extract a part: MILLISECOND and MICROSECOND are those of the second, weeks begin on Sunday, days with 1.

    Source: EXTRACT in "Date functions", "Datetime functions", "Time functions", "Timestamp functions".
    """
    value, kind = node.expression, context.of(node.expression)
    if isinstance(value, exp.AtTimeZone):
        kind, zone = context.of(value.this), value.args["zone"]
        if kind not in (types.TIMESTAMP, None):
            raise invalid(f"EXTRACT from {kind} does not support AT TIME ZONE")
        instant = value.this if kind else only(value.this, [types.TIMESTAMP], "EXTRACT")
        value, kind = local_time(instant, zone), types.TIMESTAMP
        converted_kind: Type | None = types.DATETIME
    else:
        converted_kind = kind
    name = node.this.name.upper()
    if literal_text(value) is not None:
        raise invalid("EXTRACT does not support literal STRING arguments")
    if kind == types.NULL:
        raise limit("extract a part of a NULL without a type; cast it")
    kinds = _kinds_of_extract(node.this, name)
    if kind is not None and kind != types.NULL and kind not in kinds:
        raise invalid(f"EXTRACT from {kind} does not support the {name} date part")
    if kind is None:
        value = only(value, kinds, "EXTRACT")
    if name in _CIVIL_PARTS and not isinstance(node.this, exp.WeekStart):
        return converted(value, converted_kind, _CIVIL_PARTS[name])
    value = call("bq_utc", value) if converted_kind == types.TIMESTAMP else value
    return _number_part(value, Part(name, name) if name in _DAY_NUMBERS else part_of(node.this))


def _kinds_of_extract(unit: exp.Expression, name: str) -> tuple[Type, ...]:
    """Return the types that have a part, for EXTRACT."""
    if name in _CIVIL_PARTS and not isinstance(unit, exp.WeekStart):
        return (types.TIMESTAMP,) if name == "DATETIME" else CLOCKED
    if name in _DAY_NUMBERS:
        return DATED
    part = part_of(unit)
    intervals = (types.INTERVAL,) if part.name in _INTERVAL_PARTS else ()
    return (*CLOCKED, types.TIME, *intervals) if part.is_clock else (*DATED, *intervals)


def _number_part(civil: exp.Expression, part: Part) -> exp.Expression:
    if part.name == "WEEK" and part.text != "ISOWEEK":
        return call("bq_week_of_year", civil, part.first)
    number = call("bq_part", civil, part.name.lower())
    if part.name == "DAYOFWEEK":
        return exp.Paren(this=exp.Add(this=number, expression=exp.Literal.number(1)))
    if part.name in ("MILLISECOND", "MICROSECOND"):
        return exp.Mod(this=number, expression=exp.Literal.number(10**6 // MICROS[part.name]))
    return number


# --- Arrays -----------------------------------------------------------------------------------------------------------


@rule(exp.GenerateDateArray, exp.GenerateTimestampArray)
def array_of_times(node: exp.Expression, context: Context) -> exp.Expression:
    """An array of dates or timestamps, with a step that may be negative; a step of zero is an error.

    Source: GENERATE_DATE_ARRAY, GENERATE_TIMESTAMP_ARRAY.
    """
    dates = isinstance(node, exp.GenerateDateArray)
    function, kind = ("GENERATE_DATE_ARRAY", types.DATE) if dates else ("GENERATE_TIMESTAMP_ARRAY", types.TIMESTAMP)
    nodes, step = [node.args["start"], node.args["end"]], node.args.get("step")
    (start, end), _ = arguments(nodes, context, kind, function, allowed=[kind])
    number: exp.Expression = step.this if isinstance(step, exp.Interval) else exp.Literal.number(1)
    part = part_of(step.args.get("unit") if isinstance(step, exp.Interval) else None)
    if not (not part.is_clock and part.text not in ("ISOWEEK", "ISOYEAR") if dates else _is_exact(part)):
        raise no_part(function, part)
    if not dates:
        return call("bq_timestamp_array", start, end, _amount(number, MICROS.get(part.name, DAY_MICROS), context))
    zero: exp.Expression = exp.Literal.number(0)
    amount = _amount(number, MONTHS.get(part.name, 7 if part.name == "WEEK" else 1), context)
    return call("bq_date_array", start, end, *((zero, amount) if part.name in MONTHS else (amount, zero)))
