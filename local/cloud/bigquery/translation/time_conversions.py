"""Conversions of dates and times: CAST, the constructors DATE, DATETIME, TIME and TIMESTAMP, STRING, and the clock.

Sources: GoogleSQL for BigQuery, "Conversion functions", "Data types" (canonical formats) and the pages of the functions
(https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_functions).
"""

from __future__ import annotations

from bqemulator.domain.errors import ValidationError
from sqlglot import exp

from local.cloud.bigquery.limits import invalid
from local.cloud.bigquery.translation import time_formats, types
from local.cloud.bigquery.translation.rules import Context, call, cast, rule, safely
from local.cloud.bigquery.translation.time_arguments import (
    CIVIL,
    CLOCKED,
    KINDS,
    arguments,
    check_zone,
    converted,
    instant_of,
    literal,
    literal_text,
    local_time,
    no_signature,
    only,
    typed,
    unwrapped,
)
from local.cloud.bigquery.translation.types import Type


@rule(exp.Cast, exp.TryCast)
def cast_of_time(node: exp.Cast, context: Context) -> exp.Expression | None:
    """Cast between dates, times and strings.

    Source: "Conversion functions", CAST; "Data types", canonical formats.
    """
    target, source, safe = types.of_syntax(node.to), context.of(node.this), isinstance(node, exp.TryCast)
    if target == types.STRING and source in (*KINDS, types.INTERVAL):
        return safely(typed("bq_text_of", source, node.this), safe)
    if target not in KINDS or source in (target, types.NULL):
        return None
    text = literal_text(node.this)
    if text is not None:
        return _cast_literal(text, target, safe)
    if source is None and target == types.TIME:
        return safely(converted(only(node.this, (*CLOCKED, types.TIME, types.STRING), "CAST"), None, target), safe)
    return safely(converted(node.this, source, target), safe)


def _cast_literal(text: str, target: Type, safe: bool) -> exp.Expression:
    try:
        return literal(text, target)
    except ValidationError:
        if safe:
            return cast(exp.null(), target)
        raise


# --- Constructors -----------------------------------------------------------------------------------------------------

_CONSTRUCTORS = {
    exp.Date: types.DATE,
    exp.TsOrDsToDatetime: types.DATETIME,
    exp.TsOrDsToTime: types.TIME,
    exp.Time: types.TIME,
    exp.Timestamp: types.TIMESTAMP,
    exp.TsOrDsToDate: types.DATE,
    exp.TsOrDsToTimestamp: types.TIMESTAMP,
}


@rule(*_CONSTRUCTORS)
def constructor(node: exp.Expression, context: Context) -> exp.Expression:
    """Convert a value to a DATE, DATETIME, TIME or TIMESTAMP, in UTC or in the time zone given.

    Source: the functions DATE, DATETIME, TIME and TIMESTAMP. sqlglot also puts some of these nodes around the value of
    FORMAT_DATE and its neighbours, which read a literal as their own type.
    """
    target, zone, text = _CONSTRUCTORS[type(node)], node.args.get("zone"), literal_text(node.this)
    of_format = isinstance(node.parent, exp.TimeToStr)
    if of_format and text is not None:
        return literal(text, target)
    if _is_text(node.this, context) and (of_format or target != types.TIMESTAMP):
        given = (f"FORMAT_{target}", types.STRING) if of_format else (target.name,)
        raise no_signature(*given, types.STRING)
    if target == types.TIMESTAMP and zone is not None:
        return _timestamp_in(node.this, zone, context)
    return _constructed(node.this, zone, target, context)


def _is_text(value: exp.Expression, context: Context) -> bool:
    """Return whether a value is a STRING that is neither a literal nor a parameter, which are read as dates."""
    inner = unwrapped(value)
    while isinstance(inner, exp.Cast):
        inner = inner.this
    is_read = isinstance(inner, exp.Parameter | exp.Placeholder) or literal_text(value) is not None
    return context.of(value) == types.STRING and not is_read


def _constructed(value: exp.Expression, zone: exp.Expression | None, target: Type, context: Context) -> exp.Expression:
    kind, text = context.of(value), literal_text(value)
    if zone is not None:
        (value,), _ = arguments([value], context, types.TIMESTAMP, target.name, allowed=[types.TIMESTAMP])
        return converted(local_time(value, zone), types.DATETIME, target)
    if text is not None:
        return _of_literal(text, target)
    if isinstance(unwrapped(value), exp.Null) or kind == types.NULL:
        return cast(value, target)
    if kind is not None and kind not in (*KINDS, types.STRING):
        raise no_signature(target.name, kind)
    return converted(value, kind, target)


def _of_literal(text: str, target: Type) -> exp.Expression:
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
    text, kind = literal_text(value), context.of(value)
    if text is not None and check_zone(zone) is not None:
        try:
            moment = time_formats.timestamp_of(text, literal_text(zone))
        except ValueError as error:
            raise invalid(str(error)) from None
        return cast(exp.Literal.string(f"{moment.isoformat(sep=' ')}+00"), types.TIMESTAMP)
    if kind == types.STRING:
        return call("bq_timestamp_in", value, zone)
    if kind is None:
        value = only(value, (*CIVIL, types.STRING), "TIMESTAMP")
    elif kind not in (*CIVIL, types.NULL):
        raise no_signature("TIMESTAMP", kind, types.STRING)
    return instant_of(
        cast(value, types.DATETIME) if kind == types.NULL else converted(value, kind, types.DATETIME), zone
    )


@rule(exp.Datetime)
def datetime_of_two(node: exp.Datetime, context: Context) -> exp.Expression:
    """DATETIME of a DATE and a TIME, or of a TIMESTAMP in a time zone.

    Source: "Datetime functions", DATETIME.
    """
    second = node.args.get("expression")
    if second is None:
        return _constructed(node.this, None, types.DATETIME, context)
    if context.of(second) == types.TIME or (context.of(node.this) == types.DATE and context.of(second) is None):
        (day,), _ = arguments([node.this], context, types.DATE, "DATETIME", allowed=[types.DATE])
        (clock,), _ = arguments([second], context, types.TIME, "DATETIME", allowed=[types.TIME])
        return exp.Paren(this=exp.Add(this=day, expression=clock))
    return _constructed(node.this, second, types.DATETIME, context)


_PARTS = {
    exp.DateFromParts: ("DATE", ("year", "month", "day")),
    exp.TimestampFromParts: ("DATETIME", ("year", "month", "day", "hour", "min", "sec")),
    exp.TimeFromParts: ("TIME", ("hour", "min", "sec")),
}


@rule(*_PARTS)
def from_parts(node: exp.Expression, context: Context) -> exp.Expression:
    """DATE, DATETIME and TIME of their parts; a part out of range is an error, second 60 the next minute.

    Source: the functions DATE, DATETIME and TIME.
    """
    function, names = _PARTS[type(node)]
    values = [node.args[name] for name in names if node.args.get(name) is not None]
    kinds = [context.of(value) for value in values]
    if len(values) != len(names) or any(kind not in (types.INT64, types.NULL, None) for kind in kinds):
        raise no_signature(function, *kinds)
    return call(f"bq_{function.lower()}_of_parts", *(cast(value, types.INT64) for value in values))


# --- Texts ------------------------------------------------------------------------------------------------------------


@rule(exp.String)
def text_of(node: exp.String, context: Context) -> exp.Expression | None:
    """STRING of a date or time; of a TIMESTAMP in a time zone, with its offset.

    Source: "Timestamp functions", STRING.
    """
    kind, zone = context.of(node.this), node.args.get("zone")
    if zone is not None:
        (value,), _ = arguments([node.this], context, types.TIMESTAMP, "STRING", allowed=[types.TIMESTAMP])
        return call("bq_text_in", value, local_time(value.copy(), zone))
    if kind == types.JSON:
        return None
    if kind not in (*KINDS, None):
        (value,), kind = arguments([node.this], context, types.TIMESTAMP, "STRING", allowed=[types.TIMESTAMP])
        return typed("bq_text_of", kind, value)
    return typed("bq_text_of", kind, node.this)


_NOW = {exp.CurrentDate: types.DATE, exp.CurrentDatetime: types.DATETIME, exp.CurrentTime: types.TIME}


@rule(*_NOW)
def current(node: exp.Expression, _: Context) -> exp.Expression:
    """The current date, datetime or time, in UTC or in a time zone.

    Source: CURRENT_DATE, CURRENT_DATETIME, CURRENT_TIME.
    """
    now, zone = exp.CurrentTimestamp(), node.args.get("this")
    if zone is not None:
        return converted(local_time(now, zone), types.DATETIME, _NOW[type(node)])
    return converted(now, types.TIMESTAMP, _NOW[type(node)])


# --- Unix time --------------------------------------------------------------------------------------------------------

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
    (value,), _ = arguments([node.this], context, types.TIMESTAMP, function, allowed=[types.TIMESTAMP])
    return call("bq_unix", value, micros)


@rule(exp.UnixDate)
def unix_date(node: exp.UnixDate, context: Context) -> exp.Expression:
    """Days since 1970-01-01.

    Source: UNIX_DATE.
    """
    (value,), _ = arguments([node.this], context, types.DATE, "UNIX_DATE", allowed=[types.DATE])
    return call("bq_unix_date", value)


@rule(exp.UnixToTime, exp.DateFromUnixDate)
def of_unix_time(node: exp.Expression, context: Context) -> exp.Expression:
    """TIMESTAMP_SECONDS, TIMESTAMP_MILLIS, TIMESTAMP_MICROS and DATE_FROM_UNIX_DATE of an INT64.

    Source: those functions.
    """
    scale = int(node.args["scale"].name) if node.args.get("scale") is not None else 0
    function = {0: "TIMESTAMP_SECONDS", 3: "TIMESTAMP_MILLIS", 6: "TIMESTAMP_MICROS"}[scale]
    if context.of(node.this) not in (types.INT64, types.NULL, None):
        raise no_signature(
            "DATE_FROM_UNIX_DATE" if isinstance(node, exp.DateFromUnixDate) else function, context.of(node.this)
        )
    value = cast(node.this, types.INT64)
    if isinstance(node, exp.DateFromUnixDate):
        return call("bq_of_days", value)
    return call("bq_of_micros", exp.Mul(this=value, expression=exp.Literal.number(10 ** (6 - scale))))
