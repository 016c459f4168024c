"""Resumable uploads: how much of each has arrived, and what its end requires.

fake-gcs-server keeps the content of an upload and trusts its clients for the rest. It appends a part that it has had
already, takes the question how much has arrived for the end of the upload, and ignores preconditions.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from local.cloud.gcs.checksums import Content
from local.cloud.gcs.errors import RefusedError

_MAX_SESSIONS = 1000
"""Uploads that never end are forgotten, the oldest first."""
_RANGE = re.compile(r"bytes (?:(?P<first>\d{1,15})-(?P<last>\d{1,15})|\*)/(?P<total>\d{1,15}|\*)")
_UNIT = 2**18
"""Every part but the last is a multiple of this many bytes, as Cloud Storage requires."""


@dataclass
class Upload:
    """A resumable upload that has begun.

    Attributes:
        where: the object's bucket and name.
        conditions: the preconditions that the object must meet when the upload ends.
        received: number of bytes that have arrived.
        result: the object's resource, once the upload has ended.
        resource: the object's metadata.
        content: what looks at the content.
    """

    where: tuple[str, str]
    conditions: dict[str, int]
    received: int = 0
    result: dict[str, Any] | None = None
    resource: dict[str, Any] = field(default_factory=dict)
    content: Content = field(default_factory=lambda: Content({}, ()), compare=False)


@dataclass(frozen=True)
class Part:
    """What a request adds to an upload.

    Attributes:
        skip: number of bytes at its start that have arrived before.
        end: number of bytes that will have arrived with it; None if it is the whole content, of unknown length.
        is_last: whether it ends the upload.
        is_question: whether it only asks how much has arrived.
    """

    skip: int = 0
    end: int | None = None
    is_last: bool = True
    is_question: bool = False


@dataclass
class Uploads:
    """The resumable uploads of this process, by id."""

    _uploads: OrderedDict[str, Upload] = field(default_factory=OrderedDict)

    def begin(self, upload_id: str, upload: Upload) -> None:
        """Remember an upload."""
        self._uploads[upload_id] = upload
        while len(self._uploads) > _MAX_SESSIONS:
            self._uploads.popitem(last=False)

    def find(self, upload_id: str) -> Upload:
        """Return an upload.

        Raises:
            RefusedError: there is none of that id.
        """
        if upload_id not in self._uploads:
            raise RefusedError(404, f"there is no upload {upload_id[:100]!r}; begin it anew")
        return self._uploads[upload_id]

    def cancel(self, upload_id: str) -> None:
        """Forget an upload.

        Raises:
            RefusedError: there is none of that id.
        """
        self.find(upload_id)
        del self._uploads[upload_id]


def read_part(upload: Upload, content_range: str | None, length: int | None) -> Part:
    """Return what a request adds to an upload.

    Args:
        upload: the upload.
        content_range: the request's header ``Content-Range``; None if it has none.
        length: the length of its body; None if it is not known.

    Raises:
        RefusedError: its range is none, or does not follow what has arrived.
    """
    if content_range is None:
        if upload.received:
            raise RefusedError(400, f"{upload.received} bytes have arrived; send Content-Range with what follows")
        return Part(end=length)
    match = _RANGE.fullmatch(content_range)
    if match is None:
        raise RefusedError(400, f"Content-Range {content_range[:100]!r} is not served; use 'bytes 0-99/100'")
    total = None if match["total"] == "*" else int(match["total"])
    if match["first"] is None:
        if length:
            raise RefusedError(400, f"Content-Range {content_range!r} has no range, and the body has {length} bytes")
        return Part(end=upload.received, is_last=total == upload.received, is_question=total != upload.received)
    if length is None:
        raise RefusedError(411, f"Content-Range {content_range!r} needs the body's length; send Content-Length")
    first, end = int(match["first"]), int(match["last"]) + 1
    if end <= first or length != end - first or (total is not None and end > total):
        raise RefusedError(400, f"Content-Range {content_range!r} does not fit a body of {length} bytes; correct it")
    is_last = end == total
    if not is_last and (end - first) % _UNIT:
        raise RefusedError(400, f"a part of {end - first} bytes is not a multiple of {_UNIT}; only the last may be")
    if first > upload.received:
        raise RefusedError(
            400, f"a part begins at {first}, and {upload.received} bytes have arrived; send those between"
        )
    skip = min(upload.received, end) - first
    return Part(skip=skip, end=max(end, upload.received), is_last=is_last, is_question=skip == end - first)
