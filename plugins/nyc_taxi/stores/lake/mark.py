"""The mark on a lake object: when the source last had what the object was made from. It keeps older downloads out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from nyc_taxi.source.retry_after import http_date

if TYPE_CHECKING:
    from google.cloud import storage

# The object's metadata that has the mark.
DOWNLOADED_AT = "downloaded_at"
# How much the clocks of a worker and of the bucket may differ.
CLOCKS_DIFFER = timedelta(minutes=5)
ANSWER_SECONDS = 60


def newer_mark(blob: storage.Blob, download: datetime) -> datetime | None:
    """Return the mark of an object if it is newer than a download; None if it keeps nothing out.

    A mark that is later than it was written is of a worker whose clock was ahead: then the time decides at which it was
    written, which the bucket's clock gives. If that is later than now, the bucket's clock was ahead, too, and nothing
    is known.
    """
    mark = parse_time((blob.metadata or {}).get(DOWNLOADED_AT))
    if mark is None:
        return None
    if mark > blob.updated + CLOCKS_DIFFER:
        mark = blob.updated
    return None if mark <= download or is_ahead(blob.client, mark) else mark


def is_ahead(client: storage.Client, time: datetime) -> bool:
    """Return whether a time is later than now by the bucket's clock, so that the clock that gave it was ahead."""
    return time > _now(client) + CLOCKS_DIFFER


def _now(client: storage.Client) -> datetime:
    """Return the time by the bucket's clock, from the ``Date`` of an answer; the answer itself does not matter."""
    answer = client._http.head(client.api_endpoint, timeout=ANSWER_SECONDS)
    return http_date(answer.headers.get("Date", "")) or datetime.now(UTC)


def parse_time(text: str | None) -> datetime | None:
    """Return a time with its zone; None if the text, which others can set in the bucket, is no such time."""
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return time if time.tzinfo else None
