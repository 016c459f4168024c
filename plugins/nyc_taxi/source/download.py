"""Streams a file from an HTTP source to disk: whole, or absent. And asks which version of it the source has."""

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
    """The source answers that it does not have the file; trying again soon cannot help."""


class SourceError(RuntimeError):
    """The source cannot be reached, answers with an error, or breaks off; trying again may help."""


class RefusedError(SourceError):
    """The source answers 403: the TLC's does so both for what is not published and for too many requests."""


class Download(NamedTuple):
    """What was downloaded: the size in bytes, and the version of the file as ``file_version`` tells it."""

    size: int
    version: str


def download(
    session: requests.Session, url: str, target: Path, *, timeout: tuple[float, float] = (10.0, 60.0)
) -> Download:
    """Download ``url`` to ``target``, in memory bounded by one chunk.

    Args:
        session: an HTTP session, with whatever authentication the source needs.
        url: the file's address.
        target: the file to write. It appears when the download is complete and is replaced by a repeated call.
        timeout: seconds to wait for the connection, and for each chunk.

    Returns:
        The file's size in bytes, as transferred, and its version.

    Raises:
        NotPublishedError: the source answers 404 or 410.
        SourceError: the source is down, answers with any other error, or sends fewer bytes than it announced.
    """
    with _get(session, url, timeout) as response:
        with whole_file(target) as temporary, temporary.open("wb") as file:
            size = _write_body(response, file)
        return Download(size, _version(response, size))


def file_version(session: requests.Session, url: str, *, timeout: tuple[float, float] = (10.0, 60.0)) -> str:
    """Ask which version of ``url`` the source has, without downloading it.

    One byte is asked for: other than HEAD, that works with signed addresses too, to which the mirror redirects.

    Args:
        session: an HTTP session, with whatever authentication the source needs.
        url: the file's address.
        timeout: seconds to wait for the connection, and for the answer.

    Returns:
        The file's entity tag, or else its modification time, and its length: ``etag="5f2a" length=1234``. Empty if the
        source tells neither tag nor time: then no two versions can be told apart.

    Raises:
        NotPublishedError: the source answers 404 or 410.
        RefusedError: it answers 403.
        SourceError: it is down, or answers with any other error.
    """
    with _get(session, url, timeout, Range="bytes=0-0") as response:
        length = response.headers.get("Content-Length")
        if response.status_code != 200:  # 206 with the one byte, or 416 as there is none
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
    """Ask for ``url`` as it is; what goes wrong, until the end of the block, is an error of the source."""
    # "identity": the file as it is. A server that compresses it all the same is refused, unless the file is gzip by its
    # name: then that encoding is only the server's word for what the file is.
    headers = {"Accept-Encoding": "identity", **headers}
    try:
        with session.get(url, stream=True, timeout=timeout, headers=headers) as response:
            _check_status(response, url, ranged="Range" in headers)
            yield response
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise SourceError(f"cannot download {url}: {error}; is the source of the connection up?") from error


def _check_status(response: requests.Response, url: str, *, ranged: bool) -> None:
    if response.status_code in (404, 410):
        raise NotPublishedError(f"the source has no {url} (HTTP {response.status_code}): not published, or misspelt")
    if response.status_code == 403:
        raise RefusedError(f"the source refuses {url} (HTTP 403): not published, or too many requests")
    if response.status_code not in ((200, 206, 416) if ranged else (200,)):
        raise SourceError(f"the source answers HTTP {response.status_code} {response.reason} for {url}")
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity" and not url.endswith(".gz"):
        raise SourceError(f"the source sends {url} with Content-Encoding {encoding}, which was not asked for")


def _write_body(response: requests.Response, file: BinaryIO) -> int:
    """Write the bytes as they were sent. A body shorter than announced raises: urllib3 counts."""
    size = 0
    for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
        file.write(chunk)
        size += len(chunk)
    return size
