"""Downloads a file from an HTTP source atomically, with resumption, and asks for the version of a file."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

import requests

from nyc_taxi.common.files import whole_file
from nyc_taxi.common.progress import Progress
from nyc_taxi.common.text import printable
from nyc_taxi.source.connections import Pace, SourceAdapter
from nyc_taxi.source.errors import PermanentSourceError, SlowSourceError, SourceError
from nyc_taxi.source.request import LIMITS, Limits, answer
from nyc_taxi.source.retry_after import http_date

CHUNK_BYTES = 1 << 20
# A modification time identifies a version only if the answer is clearly later: the file could change twice within the
# clocks' precision (RFC 9110, section 8.8.2.2).
_SETTLED = timedelta(seconds=60)
# No header names so many bytes; a longer number would not even be parsed.
_DIGITS = 18
# Files that may be cut anywhere and look whole; the end of gzip and Parquet is in the file.
_ENDLESS = (".csv",)

log = logging.getLogger(__name__)


class Announcement(NamedTuple):
    """What a source states about a file: its tag (or else its modification time), and its length in bytes."""

    tag: str
    length: int | None

    @classmethod
    def of(cls, headers: Mapping[str, str], length: int | None) -> Self:
        """Return what the headers of an answer state about a file of that length."""
        for name in ("ETag", "Last-Modified"):
            if value := headers.get(name):
                shown = printable(value)
                return cls(f"{name.lower()}={shown if name == 'ETag' else repr(shown)}", length)
        return cls("", length)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the announcement that ``str`` made to ``text``; one that states nothing if it is another text."""
        found = re.fullmatch(rf"(?:(.*) )?length=(\d{{1,{_DIGITS}}})", text)
        return cls(found[1] or "", int(found[2])) if found else cls("", None)

    @property
    def version(self) -> str:
        """Tag and length as one line; empty if there is no tag, because versions cannot be distinguished then."""
        return f"{self.tag} length={self.length}" if self.tag else ""

    def __str__(self) -> str:
        return self.version or f"length={self.length}"


class Download(NamedTuple):
    """The result of a download.

    Attributes:
        size: the size in bytes.
        version: the file's version, as ``file_version`` returns it.
        answered_at: when the source began to send this version (UTC).
    """

    size: int
    version: str
    answered_at: datetime


def download(
    session: requests.Session, url: str, target: Path, *, announced: str = "", limits: Limits = LIMITS
) -> Download:
    """Download ``url`` to ``target``; memory use is bounded by one chunk.

    A transfer that breaks off is resumed at the byte where it broke off, if the source identifies the version of the
    file and answers the rest of the same version. Otherwise it fails, and the retry of the task starts over.

    Args:
        session: an HTTP session with the authentication that the source needs.
        url: the file's URL.
        target: the file to write. It appears when the download is complete; an existing one is replaced.
        announced: what the source stated about the file before, as :func:`announcement` returns it as text. A file of
            another length is refused as cut short, unless the source now states that length too.
        limits: the limits of each request.

    Returns:
        The number of bytes transferred, the file's version, and when the source began to send it.

    Raises:
        NotPublishedError: the source answers 404 or 410.
        PermanentSourceError: the source refuses the request for good, redirects to where it must not, or sends a CSV
            file whose end nothing marks.
        SourceError: the source is down, too slow, answers with any other error, or sends fewer bytes than it announced.
        DiskFullError: the disk is full.
    """
    progress = Progress(log, f"download of {target.name}", size=Announcement.parse(announced).length)
    with whole_file(target) as temporary, temporary.open("wb") as file, progress:
        transfer = _Transfer(session, url, file, limits, progress)
        transfer.run()
        if target.suffix in _ENDLESS and not transfer.has_end and Announcement.parse(announced).length is None:
            raise PermanentSourceError(
                f"the source states no length for {printable(url)}, so a part of it cannot be told from the whole; "
                "serve it with Content-Length, or gzipped"
            )
        _check_length(session, url, Announcement.parse(announced), transfer.received, limits)
    return Download(transfer.size, transfer.received.version, transfer.answered_at)


def announcement(session: requests.Session, url: str, *, limits: Limits = LIMITS) -> Announcement:
    """Return what the source states about the file at ``url``, without downloading it.

    Requests one byte. Unlike HEAD, a ranged GET also works with signed URLs, to which the mirror redirects.

    Args:
        session: an HTTP session with the authentication that the source needs.
        url: the file's URL.
        limits: the limits of the request.

    Raises:
        NotPublishedError: the source answers 404 or 410.
        RefusedError: it answers 403.
        PermanentSourceError: it refuses the request for good, or redirects to where it must not.
        SourceError: it is down, or answers with any other error.
    """
    headers = {"Range": "bytes=0-0"}
    with answer(session, url, limits=limits, headers=headers, accepted=(200, 206, 416)) as response:
        length = response.headers.get("Content-Length", "")
        if response.status_code != 200:  # 206 with one byte, or 416 for an empty file
            length = response.headers.get("Content-Range", "").rpartition("/")[2]
        return Announcement.of(response.headers, _number(length))


def file_version(session: requests.Session, url: str, *, limits: Limits = LIMITS) -> str:
    """Return the version of the file at ``url``, without downloading it; raises what :func:`announcement` raises.

    Returns:
        The file's entity tag, or else its modification time, and its length: ``etag="5f2a" length=1234``. Empty if the
        source sends neither tag nor time, because versions cannot be distinguished then.
    """
    return announcement(session, url, limits=limits).version


class _Transfer:
    """One download into an open file, over as many requests as it takes."""

    def __init__(self, session: requests.Session, url: str, file: BinaryIO, limits: Limits, progress: Progress) -> None:
        self._progress = progress
        self._session = session
        self._url = url
        self._file = file
        self._limits = limits
        self.size = 0
        self.answered_at = datetime.now(UTC)
        self.has_end = False  # whether the source says where the file ends
        self._total: int | None = None
        self._validator = ""
        self._tag = ""

    @property
    def received(self) -> Announcement:
        """What was transferred, in the form in which a source announces it."""
        return Announcement(self._tag, self.size)

    def run(self) -> None:
        """Transfer the whole file; resume it when it breaks off, if that is possible and not too often."""
        pause = self._limits.pause_seconds
        for resumption in range(self._limits.resumptions + 1):
            try:
                self._receive()
                return
            except SourceError as error:
                wait = max(pause, error.retry_after)
                if not self._may_resume(error, resumption) or wait > self._limits.longest_pause:
                    raise
                log.warning("%s. Resuming at byte %s in %g s", error, f"{self.size:,}", wait)
            time.sleep(wait)
            pause *= 2

    def _may_resume(self, error: SourceError, resumption: int) -> bool:
        resumable = self.size > 0 and self._validator != "" and resumption < self._limits.resumptions
        return resumable and not isinstance(error, SlowSourceError)

    def _receive(self) -> None:
        """Request the rest of the file, or else the whole file."""
        if self.size > 0 and self._receive_rest():
            return
        with answer(self._session, self._url, limits=self._limits) as response:
            self._begin(response)
            self._write_body(response)

    def _receive_rest(self) -> bool:
        """Request what is missing; return whether the source has answered with the file or its rest."""
        headers = {"Range": f"bytes={self.size}-", "If-Range": self._validator}
        with answer(
            self._session, self._url, limits=self._limits, headers=headers, accepted=(200, 206, 416)
        ) as response:
            if response.status_code == 200:  # another version by now, or a server without ranges
                self._begin(response)
            elif response.status_code == 416 or not self._continues(response):
                log.warning(
                    "The source does not continue %s at byte %s (HTTP %s, Content-Range %s). Starting over",
                    printable(self._url),
                    f"{self.size:,}",
                    response.status_code,
                    printable(response.headers.get("Content-Range", "missing"), longest=100),
                )
                return False
            self._write_body(response)
            return True

    def _begin(self, response: requests.Response) -> None:
        if self.size > 0:
            self._file.seek(0)
            self._file.truncate()
        self.size = 0
        self.answered_at = datetime.now(UTC)
        self._total = _number(response.headers.get("Content-Length", ""))
        self.has_end = self._total is not None or response.headers.get("Transfer-Encoding", "").lower() == "chunked"
        self._progress.all_bytes = self._total or self._progress.all_bytes
        self._validator = _validator(response.headers)
        self._tag = Announcement.of(response.headers, None).tag

    def _continues(self, response: requests.Response) -> bool:
        """Return whether a 206 is the rest of the file whose beginning is here, or the next part of it."""
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", ""))
        if found is None or _number(found[1]) != self.size:
            return False
        total = _number(found[3])
        if self._total is not None and total not in (None, self._total):
            return False
        if self._total is None:
            self._total = total
        return Announcement.of(response.headers, None).tag in ("", self._tag)

    def _write_body(self, response: requests.Response) -> None:
        """Append the body as it is sent; urllib3 raises if it is shorter than its Content-Length."""
        limits = self._limits
        with Pace(
            SourceAdapter.of(self._session),
            seconds=limits.window_seconds,
            minimum=limits.window_bytes,
            message=f"the source sent less than {limits.window_bytes:,} bytes of {printable(self._url)} in "
            f"{limits.window_seconds:g} s, so the transfer was given up",
        ) as pace:
            # Not read(), which would wait until a whole chunk has arrived.
            while chunk := response.raw.read1(CHUNK_BYTES, decode_content=False):
                self._file.write(chunk)
                self.size += len(chunk)
                pace.add(len(chunk))
                self._progress.reach(size=self.size)
        if self._total is not None and self.size != self._total:
            raise SourceError(
                f"the transfer of {printable(self._url)} broke off after {self.size:,} of {self._total:,} bytes"
            )


def _check_length(
    session: requests.Session, url: str, announced: Announcement, received: Announcement, limits: Limits
) -> None:
    """Refuse a file whose length differs from the announced one, even if it agrees with its own Content-Length.

    Something on the way can cut a body short and state the new length. So the source is asked again: only if it now
    states the length that arrived has the file been replaced since it was announced.
    """
    if announced.length in (None, received.length):
        return
    same_version = announced.tag != "" and announced.tag == received.tag
    if not same_version and announcement(session, url, limits=limits).length == received.length:
        log.info("%s was replaced since it was announced (%s); it now is %s", printable(url), announced, received)
        return
    raise SourceError(
        f"the source announced {announced.length:,} bytes for {printable(url)} but sent {received.length:,}: "
        "the transfer was cut short or mixed up on the way"
    )


def _validator(headers: Mapping[str, str]) -> str:
    """Return what a later request can prove the version with: a strong tag, or a settled time if there is no tag."""
    if headers.get("Accept-Ranges", "").strip().lower() == "none":
        return ""
    if tag := headers.get("ETag", ""):
        return tag if re.fullmatch(r'"[\x21\x23-\x7e]*"', tag) else ""
    modified, now = (http_date(headers.get(name, "")) for name in ("Last-Modified", "Date"))
    settled = modified is not None and now is not None and now - modified >= _SETTLED
    return headers["Last-Modified"] if settled else ""


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(rf"[0-9]{{1,{_DIGITS}}}", text) else None
