"""DuckDB macros and Python functions that the rules of dates and times call.

BigQuery's DATE is DuckDB's DATE, DATETIME its TIMESTAMP, TIMESTAMP its TIMESTAMP WITH TIME ZONE, and TIME its TIME.
There is a macro for each type: ``bq_trunc_date``, ``bq_trunc_datetime`` ...; that of a value whose type is known only
when the query runs ends in ``_any``. Results out of BigQuery's range, the years 1 to 9999, are errors.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

from local.cloud.bigquery.translation import time_formats
from local.cloud.bigquery.translation.macros import macro
from local.cloud.bigquery.translation.python_functions import python_function

_DUCKDB_TYPES = {"date": "DATE", "datetime": "TIMESTAMP", "timestamp": "TIMESTAMPTZ", "time": "TIME"}


def _macros(name: str, parameters: str, **bodies: str) -> None:
    """Declare a macro for each type, with the type at the end of its name."""
    for kind, body in bodies.items():
        macro(f"{name}_{kind}({parameters})", body)


def _error(message: str, kind: str) -> str:
    """Return an expression of a DuckDB type that fails with a message, which is an expression too."""
    return f"CAST(CAST(bq_error({message}) AS VARCHAR) AS {kind})"


# --- UTC and ranges ---------------------------------------------------------------------------------------------------

# The civil time of a TIMESTAMP in UTC, and back. DuckDB's timezone('UTC', x) takes thirty times as long.
macro("bq_utc(x)", "make_timestamp(epoch_us(x))")
macro("bq_of_utc(x)", "make_timestamptz(epoch_us(x))")


def _in_range(kind: str, first: str, last: str) -> str:
    duckdb = _DUCKDB_TYPES[kind]
    error = _error(f"'{kind.upper()} value out of range: it is not in the years 1 to 9999'", duckdb)
    return f"CASE WHEN x NOT BETWEEN {duckdb} '{first}' AND {duckdb} '{last}' THEN {error} ELSE x END"


_macros(
    "bq_in_range",
    "x",
    date=_in_range("date", "0001-01-01", "9999-12-31"),
    datetime=_in_range("datetime", "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"),
    timestamp=_in_range("timestamp", "0001-01-01 00:00:00+00", "9999-12-31 23:59:59.999999+00"),
)

# A value whose type is known only when the query runs: an error unless it is one of DuckDB's types in ``kinds``.
macro(
    "bq_allowed(x, kinds, message)",
    f"""CASE WHEN regexp_full_match(typeof(x), kinds || '|"NULL"') THEN x
        ELSE cast_to_type({_error("message", "VARCHAR")}, x) END""",
)

# --- Time zones -------------------------------------------------------------------------------------------------------

# A zone is a name that DuckDB knows, minutes east of UTC, or any text, which Python looks up.
macro("bq_local(x, zone)", "bq_in_range_datetime(timezone(zone, x))")
macro("bq_local_of_offset(x, minutes)", "bq_in_range_datetime(bq_utc(x) + to_minutes(minutes))")
macro("bq_local_of_text(x, zone)", "bq_python_local(bq_utc(x), zone)")
# DuckDB reads a civil time that occurs twice as the second one, BigQuery as the first one.
macro(
    "bq_instant(x, zone)",
    """bq_in_range_timestamp(CASE
        WHEN timezone(zone, timezone(zone, x) - INTERVAL 1 HOUR) = x THEN timezone(zone, x) - INTERVAL 1 HOUR
        WHEN timezone(zone, timezone(zone, x) - INTERVAL 30 MINUTE) = x THEN timezone(zone, x) - INTERVAL 30 MINUTE
        ELSE timezone(zone, x) END)""",
)
macro("bq_instant_of_offset(x, minutes)", "bq_in_range_timestamp(bq_of_utc(x - to_minutes(minutes)))")
macro("bq_instant_of_text(x, zone)", "bq_of_utc(bq_python_instant(x, zone))")

# --- Conversions ------------------------------------------------------------------------------------------------------

_CLOCK = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?"
_REGULAR = {
    "date": r"\d{4}-\d{2}-\d{2}",
    "datetime": rf"\d{{4}}-\d{{2}}-\d{{2}}[ T]{_CLOCK}",
    "time": _CLOCK,
}


def _of_string(kind: str) -> str:
    """Return the cast of a STRING: by DuckDB if it has the regular form, otherwise by Python."""
    regular = f"CASE WHEN regexp_full_match(x, '{_REGULAR[kind]}') THEN TRY_CAST(x AS {_DUCKDB_TYPES[kind]}) END"
    return f"coalesce({regular}, bq_python_{kind}(x))"


def _of_any(kind: str) -> str:
    """Return the conversion of a value that is a string or anything that DuckDB casts alike."""
    text = f"bq_{kind}_of_string(CAST(x AS VARCHAR))"
    return f"CASE WHEN typeof(x) = 'VARCHAR' THEN {text} ELSE CAST(x AS {_DUCKDB_TYPES[kind]}) END"


_macros(
    "bq_date_of",
    "x",
    string=_of_string("date"),
    datetime="CAST(x AS DATE)",
    timestamp="CAST(bq_utc(x) AS DATE)",
    any=_of_any("date"),
)
_macros(
    "bq_datetime_of",
    "x",
    string=_of_string("datetime"),
    date="CAST(x AS TIMESTAMP)",
    timestamp="bq_utc(x)",
    any=_of_any("datetime"),
)
_macros(
    "bq_timestamp_of",
    "x",
    string=f"bq_of_utc({_of_string('datetime').replace('bq_python_datetime', 'bq_python_timestamp')})",
    date="bq_of_utc(CAST(x AS TIMESTAMP))",
    datetime="bq_of_utc(x)",
    any=_of_any("timestamp"),
)
macro("bq_timestamp_in(x, zone)", "bq_of_utc(bq_python_timestamp_in(x, zone))")
_macros(
    "bq_time_of",
    "x",
    string=_of_string("time"),
    datetime="CAST(x AS TIME)",
    timestamp="CAST(bq_utc(x) AS TIME)",
    any="""CASE WHEN typeof(x) = 'TIME' THEN TRY_CAST(CAST(x AS VARCHAR) AS TIME)
        WHEN typeof(x) = 'VARCHAR' THEN bq_time_of_string(CAST(x AS VARCHAR))
        ELSE CAST(CAST(CAST(x AS VARCHAR) AS TIMESTAMP) AS TIME) END""",
)
macro(
    "bq_date_of_parts(y, m, d)",
    f"""bq_in_range_date(coalesce(TRY(make_date(y, m, d)),
        {_error("printf('Input calculates to invalid date: %04d-%02d-%02d', y, m, d)", "DATE")}))""",
)
macro("bq_seconds(s)", "CASE WHEN s BETWEEN 0 AND 60 THEN 0e0 ELSE 99e0 END")
macro(
    "bq_datetime_of_parts(y, m, d, h, i, s)",
    f"""bq_in_range_datetime(coalesce(
        TRY(make_timestamp(y, m, d, CASE WHEN h BETWEEN 0 AND 23 THEN h ELSE 99 END, i, bq_seconds(s)) + to_seconds(s)),
        {
        _error(
            "printf('Input calculates to invalid datetime: %04d-%02d-%02d %02d:%02d:%02d', y, m, d, h, i, s)",
            "TIMESTAMP",
        )
    }))""",
)
macro(
    "bq_time_of_parts(h, i, s)",
    f"""coalesce(TRY(make_time(h, i, bq_seconds(s)) + to_seconds(s)),
        {_error("printf('Input calculates to invalid time: %02d:%02d:%02d', h, i, s)", "TIME")})""",
)

# --- Intervals --------------------------------------------------------------------------------------------------------

macro(
    "bq_interval(months, days, micros)",
    """to_months(CAST(months AS INTEGER)) + to_days(CAST(days AS INTEGER))
    + to_microseconds(CAST(micros AS BIGINT))""",
)
macro("bq_interval_months(i)", "datepart('year', i) * 12 + datepart('month', i)")
macro(
    "bq_interval_micros(i)",
    "datepart('hour', i) * 3600000000 + datepart('minute', i) * 60000000 + datepart('microsecond', i)",
)
macro("bq_interval_hours(i)", "datepart('day', i) * 86400000000 + bq_interval_micros(i)")
macro(
    "bq_justify_hours(i)",
    "bq_interval(bq_interval_months(i), bq_interval_hours(i) // 86400000000, bq_interval_hours(i) % 86400000000)",
)
macro("bq_interval_days(i)", "bq_interval_months(i) * 30 + datepart('day', i)")
macro(
    "bq_justify_days(i)",
    "bq_interval(bq_interval_days(i) // 30, bq_interval_days(i) % 30, bq_interval_micros(i))",
)

# --- Texts ------------------------------------------------------------------------------------------------------------

macro(
    "bq_fraction(micros)",
    """CASE WHEN micros % 1000000 = 0 THEN '' WHEN micros % 1000 = 0 THEN printf('.%03d', micros % 1000000 // 1000)
        ELSE printf('.%06d', micros % 1000000) END""",
)
macro("bq_datetime_text(x)", "CAST(date_trunc('second', x) AS VARCHAR) || bq_fraction(epoch_us(x) + 62135596800000000)")
_macros(
    "bq_text_of",
    "x",
    date="CAST(x AS VARCHAR)",
    datetime="bq_datetime_text(x)",
    timestamp="bq_datetime_text(bq_utc(x)) || '+00'",
    time="""CAST(CAST(date_trunc('second', DATE '1970-01-01' + x) AS TIME) AS VARCHAR)
        || bq_fraction(epoch_us(DATE '1970-01-01' + x))""",
    interval="bq_python_interval(bq_interval_months(x), datepart('day', x), bq_interval_micros(x))",
    any="bq_padded_text(CAST(x AS VARCHAR))",
)
# BigQuery writes offsets from UTC in whole minutes, also where local mean time has seconds.
macro("bq_offset(x, local)", "CAST((epoch_us(local) - epoch_us(x)) // 60000000 AS INTEGER)")
macro(
    "bq_text_in(x, local)",
    """bq_datetime_text(bq_utc(x) + to_minutes(bq_offset(x, local)))
        || printf('%s%02d', CASE WHEN bq_offset(x, local) < 0 THEN '-' ELSE '+' END, abs(bq_offset(x, local)) // 60)
        || CASE WHEN bq_offset(x, local) % 60 = 0 THEN '' ELSE printf(':%02d', abs(bq_offset(x, local)) % 60) END""",
)
_macros("bq_civil", "x", date="CAST(x AS TIMESTAMP)", datetime="x", timestamp="bq_utc(x)", time="DATE '1970-01-01' + x")
macro("bq_format(x, pattern, kind)", "bq_python_format(pattern, kind, x, 0)")
macro(
    "bq_format_in(x, local, pattern)",
    """bq_python_format(pattern, 'TIMESTAMP', bq_utc(x) + to_minutes(bq_offset(x, local)), bq_offset(x, local))""",
)
# Years before 1000 go to Python: DuckDB and BigQuery do not pad %Y alike.
macro(
    "bq_strftime(x, pattern, kind, duckdb)",
    """CASE WHEN kind = 'TIME' OR x >= TIMESTAMP '1000-01-01 00:00:00' THEN strftime(x, duckdb)
        ELSE bq_python_format(pattern, kind, x, 0) END""",
)

# --- Truncation -------------------------------------------------------------------------------------------------------

_macros(
    "bq_trunc",
    "x, part",
    date="CAST(date_trunc(part, x) AS DATE)",
    datetime="date_trunc(part, x)",
    timestamp="bq_of_utc(date_trunc(part, bq_utc(x)))",
    time="CAST(date_trunc(part, DATE '1970-01-01' + x) AS TIME)",
    any="cast_to_type(date_trunc(part, CAST(x AS TIMESTAMP)), x)",
)
# ``first`` is the ISO number of the week's first day: 1 is Monday, 7 is Sunday.
macro("bq_days_of_week(x, first)", "CAST((isodow(x) - first + 7) % 7 AS INTEGER)")
_macros(
    "bq_trunc_week",
    "x, first",
    date="bq_in_range_date(x - bq_days_of_week(x, first))",
    datetime="bq_in_range_datetime(date_trunc('day', x) - to_days(bq_days_of_week(x, first)))",
    timestamp="bq_of_utc(bq_trunc_week_datetime(bq_utc(x), first))",
    any="cast_to_type(bq_trunc_week_datetime(CAST(x AS TIMESTAMP), first), x)",
)
macro("bq_first_of_isoyear(year)", "CAST(date_trunc('week', make_date(year, 1, 4)) AS DATE)")
_macros(
    "bq_trunc_isoyear",
    "x",
    date="bq_first_of_isoyear(isoyear(x))",
    datetime="CAST(bq_first_of_isoyear(isoyear(x)) AS TIMESTAMP)",
    timestamp="bq_of_utc(CAST(bq_first_of_isoyear(isoyear(bq_utc(x))) AS TIMESTAMP))",
    any="cast_to_type(CAST(bq_first_of_isoyear(isoyear(CAST(x AS TIMESTAMP))) AS TIMESTAMP), x)",
)
# Hours and minutes in a zone: the remainder of the civil time is taken from the instant, which stays in its hour when
# clocks change.
macro("bq_trunc_clock(x, local, part)", "x - (local - date_trunc(part, local))")
macro("bq_last_of_month(x)", "last_day(x)")
macro("bq_last_of_quarter(x)", "last_day(make_date(year(x), quarter(x) * 3, 1))")
macro("bq_last_of_year(x)", "make_date(year(x), 12, 31)")
macro("bq_last_of_isoyear(x)", "bq_in_range_date(bq_first_of_isoyear(isoyear(x) + 1) - 1)")
macro("bq_last_of_week(x, first)", "bq_in_range_date(CAST(x AS DATE) - bq_days_of_week(x, first) + 6)")

# --- Differences ------------------------------------------------------------------------------------------------------

_macros(
    "bq_diff",
    "a, b, part, micros",
    date="date_diff(part, b, a)",
    datetime="date_diff(part, b, a)",
    timestamp="(epoch_us(a) - epoch_us(b)) // micros",
    time="date_diff(part, DATE '1970-01-01' + b, DATE '1970-01-01' + a)",
    any="""CASE WHEN typeof(a) LIKE '%ZONE' OR typeof(b) LIKE '%ZONE' THEN (epoch_us(a) - epoch_us(b)) // micros
        ELSE date_diff(part, CAST(b AS TIMESTAMP), CAST(a AS TIMESTAMP)) END""",
)
# Weeks since one that began before 0001-01-01, a Monday: never negative, because // rounds towards zero.
macro("bq_week_number(x, first)", "(date_diff('day', DATE '0001-01-01', x) + 14 - first + 1) // 7")
macro("bq_diff_weeks(a, b, first)", "bq_week_number(a, first) - bq_week_number(b, first)")
macro("bq_diff_isoyears(a, b)", "isoyear(a) - isoyear(b)")

# --- Addition ---------------------------------------------------------------------------------------------------------

_NO_MONTHS = _error(
    "'TIMESTAMP +/- INTERVAL is not supported for intervals with non-zero MONTH or YEAR part.'", "TIMESTAMP"
)
_macros(
    "bq_add_days",
    "x, n",
    date="bq_in_range_date(x + CAST(n AS INTEGER))",
    datetime="bq_in_range_datetime(x + to_days(CAST(n AS INTEGER)))",
    timestamp="bq_in_range_timestamp(x + to_microseconds(n * 86400000000))",
    any="cast_to_type(bq_in_range_datetime(CAST(x AS TIMESTAMP) + to_days(CAST(n AS INTEGER))), x)",
)
_macros(
    "bq_add_months",
    "x, n",
    date="bq_in_range_date(CAST(x + to_months(CAST(n AS INTEGER)) AS DATE))",
    datetime="bq_in_range_datetime(x + to_months(CAST(n AS INTEGER)))",
    any=f"""CASE WHEN typeof(x) LIKE '%ZONE' THEN cast_to_type({_NO_MONTHS}, x)
        ELSE cast_to_type(bq_in_range_datetime(CAST(x AS TIMESTAMP) + to_months(CAST(n AS INTEGER))), x) END""",
)
_macros(
    "bq_add_micros",
    "x, n",
    datetime="bq_in_range_datetime(x + to_microseconds(n))",
    timestamp="bq_in_range_timestamp(x + to_microseconds(n))",
    time="CAST(DATE '1970-01-02' + x + to_microseconds(n % 86400000000) AS TIME)",
    any="cast_to_type(bq_in_range_datetime(CAST(x AS TIMESTAMP) + to_microseconds(n)), x)",
)
_NO_TIME = _error("'No matching signature for operator + for argument types: TIME, INTERVAL'", "VARCHAR")
macro("bq_has_months(i)", "datepart('year', i) <> 0 OR datepart('month', i) <> 0")
_macros(
    "bq_add_interval",
    "x, i",
    date="bq_in_range_datetime(x + i)",
    datetime="bq_in_range_datetime(x + i)",
    any=f"""CASE WHEN typeof(x) = 'TIME' THEN cast_to_type({_NO_TIME}, x + i)
        WHEN typeof(x) LIKE '%ZONE' AND bq_has_months(i) THEN cast_to_type({_NO_MONTHS}, x + i) ELSE x + i END""",
    timestamp=f"CASE WHEN bq_has_months(i) THEN bq_of_utc({_NO_MONTHS}) ELSE bq_in_range_timestamp(x + i) END",
)
_macros(
    "bq_between",
    "a, b",
    date="to_days(CAST(a - b AS INTEGER))",
    datetime="a - b",
    timestamp="to_microseconds(epoch_us(a) - epoch_us(b))",
    time="to_microseconds(epoch_us(DATE '1970-01-01' + a) - epoch_us(DATE '1970-01-01' + b))",
)

# --- Parts ------------------------------------------------------------------------------------------------------------

macro("bq_part(x, part)", "date_part(part, x)")
macro("bq_week_of_year(x, first)", "(dayofyear(x) + 6 - bq_days_of_week(x, first)) // 7")

# --- Unix time --------------------------------------------------------------------------------------------------------

macro("bq_unix_date(x)", "date_diff('day', DATE '1970-01-01', x)")
# Year 1 is a whole number of seconds before 1970; from there no division rounds up.
macro("bq_unix(x, micros)", "(epoch_us(x) + 62135596800000000) // micros - 62135596800000000 // micros")
macro("bq_of_micros(n)", "bq_in_range_timestamp(make_timestamptz(n))")
macro("bq_of_days(n)", "bq_in_range_date(DATE '1970-01-01' + CAST(n AS INTEGER))")

# --- Arrays -----------------------------------------------------------------------------------------------------------

_ZERO_STEP = "'Sequence step cannot be 0.'"
macro(
    "bq_date_array(first, last, days, months)",
    f"""CASE WHEN days = 0 AND months = 0 THEN [{_error(_ZERO_STEP, "DATE")}]
        ELSE CAST(generate_series(
            CAST(first AS TIMESTAMP), CAST(last AS TIMESTAMP),
            to_days(CAST(days AS INTEGER)) + to_months(CAST(months AS INTEGER))
        ) AS DATE[]) END""",
)
macro(
    "bq_timestamp_array(first, last, micros)",
    f"""CASE WHEN micros = 0 THEN [{_error(_ZERO_STEP, "TIMESTAMPTZ")}]
        ELSE list_transform(
            generate_series(epoch_us(first), epoch_us(last), micros), lambda n: make_timestamptz(n)
        ) END""",
)

# --- Python functions -------------------------------------------------------------------------------------------------


def _parse_date(pattern: str, text: str) -> date:
    return time_formats.parse_time(pattern, "DATE", text).date()


def _parse_datetime(pattern: str, text: str) -> datetime:
    return time_formats.parse_time(pattern, "DATETIME", text)


def _parse_time(pattern: str, text: str) -> time:
    return time_formats.parse_time(pattern, "TIME", text).time()


def _parse_timestamp(pattern: str, text: str, zone: str) -> datetime:
    return time_formats.parse_time(pattern, "TIMESTAMP", text, zone)


def _timestamp(text: str) -> datetime:
    return time_formats.timestamp_of(text)


def _timestamp_in(text: str, zone: str) -> datetime:
    return time_formats.timestamp_of(text, zone)


def _format(pattern: str, kind: str, moment: datetime, offset: int) -> str:
    return time_formats.format_time(pattern, kind, moment, offset)


_TEXT, _CIVIL = "VARCHAR", "TIMESTAMP"
_FUNCTIONS: dict[str, tuple[Callable[..., Any], list[str], str]] = {
    "bq_python_date": (time_formats.date_of, [_TEXT], "DATE"),
    "bq_python_datetime": (time_formats.datetime_of, [_TEXT], _CIVIL),
    "bq_python_time": (time_formats.time_of, [_TEXT], "TIME"),
    "bq_python_timestamp": (_timestamp, [_TEXT], _CIVIL),
    "bq_python_timestamp_in": (_timestamp_in, [_TEXT, _TEXT], _CIVIL),
    "bq_python_local": (time_formats.local_time, [_CIVIL, _TEXT], _CIVIL),
    "bq_python_instant": (time_formats.instant_of, [_CIVIL, _TEXT], _CIVIL),
    "bq_python_format": (_format, [_TEXT, _TEXT, _CIVIL, "INTEGER"], _TEXT),
    "bq_python_interval": (time_formats.interval_text, ["BIGINT", "BIGINT", "BIGINT"], _TEXT),
    "bq_parse_date": (_parse_date, [_TEXT, _TEXT], "DATE"),
    "bq_parse_datetime": (_parse_datetime, [_TEXT, _TEXT], _CIVIL),
    "bq_parse_time": (_parse_time, [_TEXT, _TEXT], "TIME"),
    "bq_python_parse_timestamp": (_parse_timestamp, [_TEXT, _TEXT, _TEXT], _CIVIL),
}
for _name, _function in _FUNCTIONS.items():
    python_function(_name, *_function)
# Texts of a regular form go to DuckDB, the others to Python.
macro("bq_parse_timestamp(pattern, x, zone)", "bq_of_utc(bq_python_parse_timestamp(pattern, x, zone))")
macro(
    "bq_regular(x, expression, duckdb)", "CASE WHEN regexp_full_match(x, expression) THEN try_strptime(x, duckdb) END"
)
_macros(
    "bq_strptime",
    "pattern, x, expression, duckdb",
    date="coalesce(CAST(bq_regular(x, expression, duckdb) AS DATE), bq_parse_date(pattern, x))",
    datetime="coalesce(bq_regular(x, expression, duckdb), bq_parse_datetime(pattern, x))",
    timestamp="""bq_of_utc(
        coalesce(bq_regular(x, expression, duckdb), bq_python_parse_timestamp(pattern, x, 'UTC')))""",
)
