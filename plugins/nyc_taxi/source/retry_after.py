"""Reads the header ``Retry-After``: how long a source asks its clients to wait."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# Upper bound of the wait in seconds. A source that asks for more is asked again after an hour.
LONGEST = 3600.0


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds to wait, at most ``LONGEST``; 0 if the header is missing, in the past or malformed.

    The header is a number of seconds or an HTTP date. A date is compared with the answer's own ``Date``, so that the
    clocks of the two machines do not have to agree.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return LONGEST if len(value) > 9 else min(float(value), LONGEST)
    if (then := http_date(value)) is None:
        return 0.0
    now = http_date(headers.get("Date", "")) or datetime.now(UTC)
    return min(max((then - now).total_seconds(), 0.0), LONGEST)


def http_date(text: str) -> datetime | None:
    """Return an HTTP date as a time in UTC; None if the text is none."""
    try:
        parsed = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
