"""Downloads a file from an HTTP source atomically, and asks for the version of a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import requests
import urllib3

from nyc_taxi.common.files import whole_file

CHUNK_BYTES = 1 << 20


class NotPublishedError(RuntimeError):
    """The source does not have the file; an immediate retry would fail the same way."""


class SourceError(RuntimeError):
    """The source is unreachable, answers with an error, or drops the connection; a retry may succeed."""


class RefusedError(SourceError):
    """The source answers 403, as the TLC does both for files that are not published and for too many requests."""


class Download(NamedTuple):
    """The result of a download: the size in bytes, and the file's version as ``file_version`` returns it."""

    size: int
    version: str


def download(
    session: requests.Session, url: str, target: Path, *, timeout: tuple[float, float] = (10.0, 60.0)
) -> Download:
    """Download ``url`` to ``target``; memory use is bounded by one chunk.

    Args:
        session: an HTTP session with the authentication that the source needs.
        url: the file's URL.
        target: the file to write. It appears when the download is complete; an existing one is replaced.
        timeout: seconds to wait for the connection, and for each chunk.

    Returns:
        The number of bytes transferred, and the file's version.

    Raises:
        NotPublishedError: the source answers 404 or 410.
        SourceError: the source is down, answers with any other error, or sends fewer bytes than it announced.
    """
    with _get(session, url, timeout) as response:
        with whole_file(target) as temporary, temporary.open("wb") as file:
            size = _write_body(response, file)
        return Download(size, _version(response, size))


def file_version(session: requests.Session, url: str, *, timeout: tuple[float, float] = (10.0, 60.0)) -> str:
    """Return the version of the file at ``url``, without downloading it.

    Requests one byte. Unlike HEAD, a ranged GET also works with signed URLs, to which the mirror redirects.

    Args:
        session: an HTTP session with the authentication that the source needs.
        url: the file's URL.
        timeout: seconds to wait for the connection, and for the answer.

    Returns:
        The file's entity tag, or else its modification time, and its length: ``etag="5f2a" length=1234``. Empty if the
        source sends neither tag nor time, because versions cannot be distinguished then.

    Raises:
        NotPublishedError: the source answers 404 or 410.
        RefusedError: it answers 403.
        SourceError: it is down, or answers with any other error.
    """
    with _get(session, url, timeout, Range="bytes=0-0") as response:
        length = response.headers.get("Content-Length")
        if response.status_code != 200:  # 206 with one byte, or 416 for an empty file
            length = response.headers.get("Content-Range", "").rpartition("/")[2]
        return _version(response, length)


def _version(response: requests.Response, length: int | str | None) -> str:
    for name in ("ETag", "Last-Modified"):
        if value := response.headers.get(name):
            return f"{name.lower()}={value if name == 'ETag' else repr(value)} length={length}"
    return ""


@contextmanager
def _get(
    session: requests.Session, url: str, timeout: tuple[float, float], **headers: str
) -> Iterator[requests.Response]:
    """Request ``url``; a network error until the end of the block becomes a SourceError."""
    # "identity" requests the file uncompressed. A response with another encoding is refused, unless the file's name
    # ends in .gz: then the server only describes the file itself as gzip.
    headers = {"Accept-Encoding": "identity", **headers}
    try:
        with session.get(url, stream=True, timeout=timeout, headers=headers) as response:
            _check_status(response, url, ranged="Range" in headers)
            yield response
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise SourceError(f"cannot download {url}: {error}; check that the source is up") from error


def _check_status(response: requests.Response, url: str, *, ranged: bool) -> None:
    if response.status_code in (404, 410):
        raise NotPublishedError(f"the source has no {url} (HTTP {response.status_code}): not published, or misspelt")
    if response.status_code == 403:
        raise RefusedError(f"the source refuses {url} (HTTP 403): not published, or too many requests")
    if response.status_code not in ((200, 206, 416) if ranged else (200,)):
        raise SourceError(f"the source answers HTTP {response.status_code} {response.reason} for {url}")
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity" and not url.endswith(".gz"):
        raise SourceError(f"the source sends {url} with Content-Encoding {encoding}, which was not requested")


def _write_body(response: requests.Response, file: BinaryIO) -> int:
    """Write the body as it was sent; urllib3 raises if it is shorter than its Content-Length."""
    size = 0
    for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
        file.write(chunk)
        size += len(chunk)
    return size
