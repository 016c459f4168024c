"""Texts of dates and times: format strings, BigQuery's canonical texts, and time zones.

The functions here work on Python values. The translation calls them for literals, and DuckDB calls them (see
:mod:`.time_functions`) for what its own functions do differently.

Sources: GoogleSQL for BigQuery, "Format elements"
(https://cloud.google.com/bigquery/docs/reference/standard-sql/format-elements) and "Data types"
(https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types).
"""

from __future__ import annotations

import functools
import re
import zoneinfo
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_EPOCH = datetime(1970, 1, 1)
_MINUTE = timedelta(minutes=1)

# --- Time zones -------------------------------------------------------------------------------------------------------

_OFFSET = re.compile(r"(?:UTC)?(?P<sign>[+-])(?P<hours>\d{1,2}+)(?::?(?P<minutes>\d{1,2}))?")
_MAX_OFFSET = 14 * 60


def offset_of(zone: str) -> int | None:
    """Return the minutes east of UTC that a zone such as ``+05:30`` or ``UTC-8`` means; None if it is a name."""
    match = _OFFSET.fullmatch(zone)
    if not match:
        return None
    minutes = int(match["minutes"] or 0)
    total = int(match["hours"]) * 60 + minutes
    if minutes >= 60 or total > _MAX_OFFSET:
        raise ValueError(f"Invalid time zone: {zone}")
    return -total if match["sign"] == "-" else total


@functools.cache
def _zone_names() -> set[str]:
    return zoneinfo.available_timezones()


@functools.lru_cache(1000)
def zone_of(zone: str) -> tzinfo:
    """Return a time zone by its name in the IANA database (case-sensitive), or by its offset.

    Raises:
        ValueError: there is no such zone.
    """
    offset = offset_of(zone)
    if offset is not None:
        return timezone(timedelta(minutes=offset))
    if zone not in _zone_names():
        raise ValueError(f"Invalid time zone: {zone}" if zone else "Invalid empty time zone")
    return zoneinfo.ZoneInfo(zone)


class OutOfRangeError(ValueError):
    """A time that no timestamp is of."""


def local_time(instant: datetime, zone: str) -> datetime:
    """Return the civil time in a zone at an instant, both without ``tzinfo``."""
    try:
        return instant.replace(tzinfo=UTC).astimezone(zone_of(zone)).replace(tzinfo=None)
    except OverflowError:
        raise ValueError(f"Invalid datetime extracted from timestamp {instant}+00 at time zone {zone}") from None


def instant_of(local: datetime, zone: str) -> datetime:
    """Return the first instant at which a zone has a civil time; a skipped time is read as before the change."""
    try:
        return local.replace(tzinfo=zone_of(zone)).astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise OutOfRangeError(f"Cannot convert datetime {local} at time zone {zone} to a timestamp") from None


# --- Canonical texts --------------------------------------------------------------------------------------------------

_DATE = r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
_TIME = r"(?P<hour>\d{1,2}):(?P<minute>\d{1,2}):(?P<second>\d{1,2})(?:\.(?P<fraction>\d{1,6}))?"
_ZONE = r"(?P<zone>[+-]\d{1,2}(?::?\d{1,2})?|[Zz])| (?P<name>[^\s+-].*)"
_DATE_TEXT = re.compile(_DATE, re.ASCII)
_TIME_TEXT = re.compile(_TIME, re.ASCII)
_DATETIME_TEXT = re.compile(f"{_DATE}(?:[ Tt]{_TIME})?", re.ASCII)
_TIMESTAMP_TEXT = re.compile(f"{_DATE}(?:[ Tt]{_TIME}(?:{_ZONE})?)?", re.ASCII)


def date_of(text: str) -> date:
    """Return the date that a STRING is cast to; raises ValueError as CAST does."""
    match = _DATE_TEXT.fullmatch(text)
    try:
        return _moment(match).date()
    except (ValueError, OverflowError):
        raise ValueError(f"Invalid date: '{text}'") from None


def datetime_of(text: str) -> datetime:
    """Return the datetime that a STRING is cast to; raises ValueError as CAST does."""
    match = _DATETIME_TEXT.fullmatch(text)
    try:
        return _moment(match)
    except (ValueError, OverflowError):
        raise ValueError(f'Invalid datetime string "{text}"') from None


def time_of(text: str) -> time:
    """Return the time that a STRING is cast to; raises ValueError as CAST does."""
    match = _TIME_TEXT.fullmatch(text)
    try:
        return _moment(match).time()
    except (ValueError, OverflowError):
        raise ValueError(f'Invalid time string "{text}"') from None


def timestamp_of(text: str, zone: str | None = None) -> datetime:
    """Return the instant, in UTC without ``tzinfo``, that a STRING is cast to; raises ValueError as CAST does.

    Args:
        text: the text; without a time zone it is read in ``zone``.
        zone: the second argument of ``TIMESTAMP``, with which the text must not have a time zone; by default UTC.
    """
    match = _TIMESTAMP_TEXT.fullmatch(text)
    own = (match["zone"] or match["name"]) if match else None
    if own and zone is not None:
        raise ValueError(f'Timezone is not allowed in "{text}"')
    try:
        moment = _moment(match)
    except (ValueError, OverflowError):
        raise ValueError(f"Invalid timestamp: '{text}'") from None
    try:
        return instant_of(moment, "UTC" if own in ("Z", "z") else own or ("UTC" if zone is None else zone))
    except OutOfRangeError:
        raise ValueError(f"Invalid timestamp: '{text}'") from None


def _moment(match: re.Match[str] | None) -> datetime:
    if match is None:
        raise ValueError
    parts = match.groupdict()
    moment = datetime(int(parts.get("year") or 1970), int(parts.get("month") or 1), int(parts.get("day") or 1))
    if not parts.get("hour"):
        return moment
    hour, minute, second = int(parts["hour"]), int(parts["minute"]), int(parts["second"])
    return _with_time(moment, hour, minute, second, parts["fraction"] or "")


def _with_time(day: datetime, hour: int, minute: int, second: int, fraction: str) -> datetime:
    """Set the time of a day; second 60, which a leap second has, is the next minute."""
    leap = second == 60
    moment = day.replace(hour=hour, minute=minute, second=0 if leap else second)
    return moment + _MINUTE if leap else moment.replace(microsecond=int(fraction[:6].ljust(6, "0")))


# --- Format elements --------------------------------------------------------------------------------------------------

_DATE_ELEMENTS = frozenset("AaBbCDdeFGghjmQUuVWwxYy") | {"E4Y"}
_TIME_ELEMENTS = frozenset("HIklMPpRSTXr") | {"E*S", *(f"E{digits}S" for digits in range(16))}
_BOTH_ELEMENTS = frozenset("cs")
_ZONE_ELEMENTS = frozenset("Zz") | {"Ez"}
_ANY_ELEMENTS = frozenset("nt%")
_ELEMENTS = {
    "DATE": _ANY_ELEMENTS | _DATE_ELEMENTS,
    "TIME": _ANY_ELEMENTS | _TIME_ELEMENTS,
    "DATETIME": _ANY_ELEMENTS | _DATE_ELEMENTS | _TIME_ELEMENTS | _BOTH_ELEMENTS,
    "TIMESTAMP": _ANY_ELEMENTS | _DATE_ELEMENTS | _TIME_ELEMENTS | _BOTH_ELEMENTS | _ZONE_ELEMENTS,
}
_KNOWN = _ELEMENTS["TIMESTAMP"]
_ELEMENT = re.compile(r"%(E\d{1,2}S|E\*S|E4Y|Ez|.|$)", re.DOTALL)


def elements(pattern: str) -> Iterator[tuple[str, str]]:
    """Yield the pieces of a format string: ``("", text)`` or ``(element, "%" + element)``."""
    end = 0
    for match in _ELEMENT.finditer(pattern):
        if match.start() > end:
            yield "", pattern[end : match.start()]
        end = match.end()
        element = match[1]
        if element and element not in _KNOWN:
            raise ValueError(f"the embedded BigQuery does not know the format element %{element}")
        yield element, match[0]
    if end < len(pattern):
        yield "", pattern[end:]


_Writer = Callable[[datetime, int], str]


def _offset_text(offset: int, separator: str = "") -> str:
    return f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02d}{separator}{abs(offset) % 60:02d}"


def _zone_text(offset: int) -> str:
    """Return a zone's name: ``UTC``, ``UTC-5`` or ``UTC+0530``; BigQuery has no abbreviations."""
    if not offset:
        return "UTC"
    return f"UTC{offset // 60:+d}" if offset % 60 == 0 else f"UTC{_offset_text(offset)}"


def _clock(moment: datetime) -> str:
    return f"{moment.hour:02d}:{moment.minute:02d}:{moment.second:02d}"


def _american(moment: datetime) -> str:
    return f"{moment.month:02d}/{moment.day:02d}/{moment.year % 100:02d}"


def _hour12(moment: datetime) -> int:
    return moment.hour % 12 or 12


def _half(moment: datetime) -> str:
    return "PM" if moment.hour >= 12 else "AM"


def _week_of_year(moment: datetime, first: int) -> int:
    """Return the number of weeks that have begun in the year; ``first`` is the ISO number of their first day."""
    return (moment.timetuple().tm_yday - 1 - (moment.isoweekday() - first) % 7 + 7) // 7


_WRITERS: dict[str, _Writer] = {
    "A": lambda moment, _: _DAYS[moment.weekday()],
    "a": lambda moment, _: _DAYS[moment.weekday()][:3],
    "B": lambda moment, _: _MONTHS[moment.month - 1],
    "b": lambda moment, _: _MONTHS[moment.month - 1][:3],
    "h": lambda moment, _: _MONTHS[moment.month - 1][:3],
    "C": lambda moment, _: f"{moment.year // 100:02d}",
    "c": lambda moment, _: (
        f"{_DAYS[moment.weekday()][:3]} {_MONTHS[moment.month - 1][:3]} {moment.day:2d} "
        f"{_clock(moment)} {moment.year:04d}"
    ),
    "D": lambda moment, _: _american(moment),
    "d": lambda moment, _: f"{moment.day:02d}",
    "e": lambda moment, _: f"{moment.day:2d}",
    "F": lambda moment, _: f"{moment.year:04d}-{moment.month:02d}-{moment.day:02d}",
    "G": lambda moment, _: f"{moment.isocalendar().year:04d}",
    "g": lambda moment, _: f"{moment.isocalendar().year % 100:02d}",
    "H": lambda moment, _: f"{moment.hour:02d}",
    "I": lambda moment, _: f"{_hour12(moment):02d}",
    "j": lambda moment, _: f"{moment.timetuple().tm_yday:03d}",
    "k": lambda moment, _: f"{moment.hour:2d}",
    "l": lambda moment, _: f"{_hour12(moment):2d}",
    "M": lambda moment, _: f"{moment.minute:02d}",
    "m": lambda moment, _: f"{moment.month:02d}",
    "n": lambda moment, _: "\n",
    "P": lambda moment, _: _half(moment).lower(),
    "p": lambda moment, _: _half(moment),
    "Q": lambda moment, _: str((moment.month + 2) // 3),
    "R": lambda moment, _: _clock(moment)[:5],
    "r": lambda moment, _: f"{_hour12(moment):02d}{_clock(moment)[2:]} {_half(moment)}",
    "S": lambda moment, _: f"{moment.second:02d}",
    "s": lambda moment, offset: str((moment - _EPOCH) // timedelta(seconds=1) - offset * 60),
    "T": lambda moment, _: _clock(moment),
    "X": lambda moment, _: _clock(moment),
    "t": lambda moment, _: "\t",
    "U": lambda moment, _: f"{_week_of_year(moment, 7):02d}",
    "u": lambda moment, _: str(moment.isoweekday()),
    "V": lambda moment, _: f"{moment.isocalendar().week:02d}",
    "W": lambda moment, _: f"{_week_of_year(moment, 1):02d}",
    "w": lambda moment, _: str(moment.isoweekday() % 7),
    "x": lambda moment, _: _american(moment),
    "Y": lambda moment, _: str(moment.year),
    "y": lambda moment, _: f"{moment.year % 100:02d}",
    "Z": lambda _, offset: _zone_text(offset),
    "z": lambda _, offset: _offset_text(offset),
    "%": lambda moment, _: "%",
    "Ez": lambda _, offset: _offset_text(offset, ":"),
    "E4Y": lambda moment, _: f"{moment.year:04d}",
}


def _seconds_writer(digits: str) -> _Writer:
    """Return the writer of ``%E#S`` and ``%E*S``: seconds with that many digits, or with all that are not zero."""

    def write(moment: datetime, _: int) -> str:
        fraction = f"{moment.microsecond:06d}"
        fraction = fraction.rstrip("0") if digits == "*" else fraction.ljust(int(digits), "0")[: int(digits)]
        return f"{moment.second:02d}.{fraction}" if fraction else f"{moment.second:02d}"

    return write


_WRITERS.update({f"E{digits}S": _seconds_writer(str(digits)) for digits in ("*", *range(16))})


@functools.lru_cache(200)
def writers(pattern: str, kind: str) -> tuple[str | _Writer, ...]:
    """Return the parts of a format string: texts and functions. Elements that ``kind`` does not have stay as they are.

    Raises:
        ValueError: an element is not known.
    """
    return tuple(_WRITERS[element] if element in _ELEMENTS[kind] else text for element, text in elements(pattern))


def format_time(pattern: str, kind: str, moment: datetime, offset: int) -> str:
    """Format a value as the function ``FORMAT_<kind>`` does.

    Args:
        pattern: the format string.
        kind: ``DATE``, ``DATETIME``, ``TIME`` or ``TIMESTAMP``.
        moment: the value; of a TIMESTAMP, the civil time in the zone.
        offset: the zone's offset from UTC in minutes.
    """
    return "".join(part if isinstance(part, str) else part(moment, offset) for part in writers(pattern, kind))


# What DuckDB's strftime writes alike from the year 1000 on.
_DUCKDB = {element: f"%{element}" for element in "aAbBdHIjMmpSUVWwYyuG"} | {
    **{"h": "%b", "F": "%Y-%m-%d", "T": "%H:%M:%S", "X": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y", "x": "%m/%d/%y"},
    **{"E4Y": "%Y", "E3S": "%S.%g", "E6S": "%S.%f", "E0S": "%S", "%": "%%", "n": "\n", "t": "\t"},
}


def duckdb_format(pattern: str, kind: str) -> str | None:
    """Return a format string for DuckDB's strftime; None if it has an element that DuckDB does not write alike."""
    parts = []
    for element, text in elements(pattern):
        if element in _ELEMENTS[kind] and element not in _DUCKDB:
            return None
        parts.append(_DUCKDB[element] if element in _ELEMENTS[kind] else text.replace("%", "%%"))
    return "".join(parts) or None


_REGULAR = {"Y": r"\d{4}", "E4Y": r"\d{4}", "m": r"\d{2}", "d": r"\d{2}", "H": r"\d{2}", "M": r"\d{2}", "S": r"[0-5]\d"}


def regular_text(pattern: str) -> tuple[str, str] | None:
    """Return a regular expression and a format string for DuckDB's strptime, which parses what matches alike.

    None if the format string is not of year, month and day, and hours, minutes and seconds, each at most once.
    """
    expression, duckdb, read = "", "", []
    for shorthand in ("F", "T"):
        pattern = pattern.replace(f"%{shorthand}", _SHORTHANDS[shorthand])
    for element, text in elements(pattern):
        if (element and element not in _REGULAR) or text.isspace() or "%" in text[1:]:
            return None
        read.append("Y" if element == "E4Y" else element)
        expression += _REGULAR[element] if element else re.escape(text)
        duckdb += f"%{read[-1]}" if element else text
    found = [element for element in read if element]
    regular = len(set(found)) == len(found) and {"Y", "m", "d"} <= set(found)
    return (expression, duckdb) if regular else None


# --- Parsing ----------------------------------------------------------------------------------------------------------

_SHORTHANDS = {"D": "%m/%d/%y", "x": "%m/%d/%y", "F": "%Y-%m-%d", "T": "%H:%M:%S", "X": "%H:%M:%S", "R": "%H:%M"} | {
    "r": "%I:%M:%S %p",
    "c": "%a %b %e %H:%M:%S %Y",
}
_UNREAD = frozenset(("G", "g", "V", "U", "W", "u"))


def _names(names: tuple[str, ...]) -> str:
    return rf"(?i:{'|'.join(f'{name[:3]}(?:{name[3:]})?+' for name in names)})"


# The expressions are possessive: like BigQuery, an element takes as much as it can and gives nothing back.
_READERS = {
    **dict.fromkeys(("A", "a"), _names(_DAYS)),
    **dict.fromkeys(("B", "b", "h"), _names(_MONTHS)),
    **dict.fromkeys(("e", "k", "l"), r"\s*+\d{1,2}+"),
    **dict.fromkeys(("d", "m", "H", "I", "M", "S", "C", "y"), r"\d{1,2}+"),
    **dict.fromkeys(("P", "p"), r"(?i:[ap]m)"),
    **{"Y": r"\d{1,4}+", "E4Y": r"\d{4}", "j": r"\d{1,3}+", "Q": r"\d", "w": r"\d", "s": r"-?\d{1,19}+"},
    **{"z": r"[+-]\d{2}(?:\d{2})?+", "Ez": r"[+-]\d{2}(?::?\d{2})?+|[Zz]", "Z": r"\S++"},
    "E*S": r"\d{1,2}+(?:\.\d++)?+",
    **{f"E{digits}S": rf"\d{{1,2}}+(?:\.\d{{1,{digits}}}+)?+" for digits in range(1, 16)},
    "E0S": r"\d{1,2}+",
}
_RANGES = {"m": (1, 12), "d": (1, 31), "e": (1, 31), "H": (0, 23), "k": (0, 23), "I": (1, 12), "l": (1, 12)} | {
    **{"M": (0, 59), "S": (0, 60), "j": (1, 366), "Q": (1, 4), "w": (0, 6)},
}


@functools.lru_cache(200)
def _reader(pattern: str, kind: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """Return the regular expression of a format string, and the elements that its groups read."""
    read: list[str] = []
    expression = "".join(_expressions(pattern, kind, read))
    return re.compile(rf"\s*+{expression}\s*+", re.ASCII), tuple(read)


def _expressions(pattern: str, kind: str, read: list[str]) -> Iterator[str]:
    for element, text in elements(pattern):
        if not element and text == "%":
            raise ValueError("Format string cannot end with a single '%'")
        if element in ("n", "t"):
            yield r"\s*+"
        elif not element or element == "%":
            yield from (r"\s*+" if char.isspace() else re.escape(char) for char in (text if not element else "%"))
        elif element not in _ELEMENTS[kind] or (element == "s" and kind == "TIME"):
            raise ValueError(f"Invalid format: %{element} is not allowed for the {kind} type.")
        elif element in _UNREAD:
            raise ValueError(f"the embedded BigQuery does not parse the format element %{element}")
        elif element in _SHORTHANDS:
            yield from _expressions(_SHORTHANDS[element], kind, read)
        else:
            read.append(element)
            yield f"({_READERS[element]})"
    if "j" in read and not {"m", "B", "b", "h", "d", "e", "Q"}.isdisjoint(read):
        raise ValueError("the embedded BigQuery does not parse %j together with a month or day")


def check_parser(pattern: str, kind: str) -> None:
    """Refuse a format string that ``PARSE_<kind>`` cannot read, with ValueError."""
    _reader(pattern, kind)


def parse_time(pattern: str, kind: str, text: str, zone: str = "UTC") -> datetime:
    """Parse a text as the function ``PARSE_<kind>`` does; a TIMESTAMP is returned in UTC, without ``tzinfo``.

    Raises:
        ValueError: in BigQuery's words.
    """
    expression, read = _reader(pattern, kind)
    match = expression.fullmatch(text)
    if not match:
        raise ValueError(f'Failed to parse input string "{text}"')
    values = dict(zip(read, match.groups(), strict=True))  # of two equal elements, the last one counts
    for element, (least, most) in _RANGES.items():
        if element in values and not least <= int(values[element]) <= most:
            raise ValueError(f'Failed to parse input string "{text}"')
    if "s" in values:
        return _from_epoch(int(values["s"]))
    try:
        moment = _with_clock(_day(values, read), values, read)
    except (ValueError, OverflowError) as error:
        raise ValueError(f'Failed to parse input string "{text}": {error}') from None
    if kind != "TIMESTAMP":
        return moment
    own = values.get("Z") or values.get("z") or values.get("Ez")
    return instant_of(moment, "UTC" if own in ("Z", "z") else own or zone)


def _from_epoch(seconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError("Invalid result from parsing function") from None


def _day(values: dict[str, str], read: tuple[str, ...]) -> datetime:
    year, month = _year(values, read), 1
    for element in read:
        if element == "m":
            month = int(values[element])
        elif element == "Q":
            month = int(values[element]) * 3 - 2
        elif element in ("B", "b", "h"):
            month = [name[:3].lower() for name in _MONTHS].index(values[element][:3].lower()) + 1
    if "j" in values:
        day = datetime(year, 1, 1) + timedelta(days=int(values["j"]) - 1)
        if day.year != year:
            raise ValueError(f"the year {year} has no day {values['j']}")
        return day
    return datetime(year, month, int(values.get("d") or values.get("e") or 1))


def _year(values: dict[str, str], read: tuple[str, ...]) -> int:
    """Return the year; of several elements that set it, the last one counts."""
    year = 1970
    for element in read:
        if element in ("Y", "E4Y"):
            year = int(values[element])
        elif element in ("C", "y") and "C" in values:
            year = int(values["C"]) * 100 + int(values.get("y", 0))
        elif element == "y":
            year = int(values["y"]) + (1900 if int(values["y"]) >= 69 else 2000)
    return year


def _with_clock(day: datetime, values: dict[str, str], read: tuple[str, ...]) -> datetime:
    hour = 0
    for element in read:
        if element in ("H", "k"):
            hour = int(values[element])
        elif element in ("I", "l"):
            half = (values.get("p") or values.get("P") or "").lower()
            hour = int(values[element]) % 12 + (12 if half == "pm" else 0)
    seconds = next((values[element] for element in read if element[-1] == "S"), "0")
    second, _, fraction = seconds.partition(".")
    return _with_time(day, hour, int(values.get("M", 0)), int(second), fraction)


# --- Intervals --------------------------------------------------------------------------------------------------------


def interval_text(months: int, days: int, micros: int) -> str:
    """Return the text of an interval, ``[-]years-months days [-]hours:minutes:seconds``, as CAST AS STRING does."""
    year_month = f"{'-' if months < 0 else ''}{abs(months) // 12}-{abs(months) % 12}"
    seconds, fraction = divmod(abs(micros), 1_000_000)
    clock = f"{'-' if micros < 0 else ''}{seconds // 3600}:{seconds // 60 % 60}:{seconds % 60}"
    if fraction:
        clock += f".{fraction // 1000:03d}" if fraction % 1000 == 0 else f".{fraction:06d}"
    return f"{year_month} {days} {clock}"


_SPANS = ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND")
_SPAN_TEXTS = {
    "YEAR": r"(?P<sign>[+-])?(?P<YEAR>\d+)",
    "MONTH": r"(?P<MONTH>\d+)",
    "DAY": r"(?P<DAY>[+-]?\d+)",
    "HOUR": r"(?P<HOUR>\d+)",
    "MINUTE": r"(?P<MINUTE>\d+)",
    "SECOND": r"(?P<SECOND>\d+)(?:\.(?P<fraction>\d{1,6}))?",
}
_SEPARATORS = {"YEAR": "", "MONTH": "-", "DAY": " ", "HOUR": " ", "MINUTE": ":", "SECOND": ":"}


def interval_parts(text: str, first: str, last: str) -> tuple[int, int, int]:
    """Return the months, days and microseconds of the text of ``INTERVAL text first TO last``.

    Raises:
        ValueError: the text is not of this form.
    """
    names = _SPANS[_SPANS.index(first) : _SPANS.index(last) + 1]
    expression = ""
    for name in names:
        part = _SPAN_TEXTS[name]
        if name == "MONTH" and name == first:
            part = r"(?P<sign>[+-])?" + part
        if name in ("HOUR", "MINUTE", "SECOND") and (name in ("HOUR", first)):
            part = r"(?P<clock>[+-])?" + part
        expression += ("" if name == first else _SEPARATORS[name]) + part
    match = re.fullmatch(expression, text.strip(), re.ASCII)
    if not match:
        raise ValueError(f"Invalid INTERVAL literal '{text}'")
    parts = match.groupdict(default="0")
    months = int(parts.get("YEAR", 0)) * 12 + int(parts.get("MONTH", 0))
    seconds = int(parts.get("HOUR", 0)) * 3600 + int(parts.get("MINUTE", 0)) * 60 + int(parts.get("SECOND", 0))
    micros = seconds * 1_000_000 + int(parts.get("fraction", "0").ljust(6, "0"))
    return (
        -months if parts.get("sign") == "-" else months,
        int(parts.get("DAY", 0)),
        -micros if parts.get("clock") == "-" else micros,
    )
