"""Streams a file from an HTTP source to disk: whole, or absent."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import requests
import urllib3

from nyc_taxi.files import whole_file

CHUNK_BYTES = 1 << 20


class NotPublishedError(RuntimeError):
    """The source answers that it does not have the file; trying again soon cannot help."""


class SourceError(RuntimeError):
    """The source cannot be reached, answers with an error, or breaks off; trying again may help."""


def download(session: requests.Session, url: str, target: Path, *, timeout: tuple[float, float] = (10.0, 60.0)) -> int:
    """Download ``url`` to ``target``, in memory bounded by one chunk.

    Args:
        session: an HTTP session, with whatever authentication the source needs.
        url: the file's address.
        target: the file to write. It appears when the download is complete and is replaced by a repeated call.
        timeout: seconds to wait for the connection, and for each chunk.

    Returns:
        The file's size in bytes, as transferred.

    Raises:
        NotPublishedError: the source answers 404 or 410.
        SourceError: the source is down, answers with any other error, or sends fewer bytes than it announced.
    """
    try:
        # "identity": the file as it is. A server that compresses it all the same is refused, unless the file is gzip
        # by its name: then that encoding is only the server's word for what the file is.
        with session.get(url, stream=True, timeout=timeout, headers={"Accept-Encoding": "identity"}) as response:
            _check_status(response, url)
            with whole_file(target) as temporary, temporary.open("wb") as file:
                return _write_body(response, file)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise SourceError(f"cannot download {url}: {error}; is the source of the connection up?") from error


def _check_status(response: requests.Response, url: str) -> None:
    if response.status_code in (404, 410):
        raise NotPublishedError(f"the source has no {url} (HTTP {response.status_code}): not published, or misspelt")
    if response.status_code == 403:
        # The TLC's own server answers 403 both for what is not there and for too many requests.
        raise SourceError(f"the source refuses {url} (HTTP 403): not published, or too many requests")
    if response.status_code != 200:
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
