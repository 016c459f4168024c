"""The checksums that a client declares for an upload: content that does not match is refused before it is stored.

Cloud Storage compares ``crc32c`` and ``md5Hash`` of the metadata and of the header ``X-Goog-Hash``, as documented in
https://cloud.google.com/storage/docs/data-validation. fake-gcs-server ignores them.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import re
from collections.abc import Iterable, Mapping

import google_crc32c

from local.cloud.gcs.errors import RefusedError

_TYPE = re.compile(rb"^content-type:[ \t]*([^\r\n]*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


class Content:
    """The content of an upload as it passes: its checksums, and those that the client has declared.

    Args:
        resource: the object's metadata.
        headers: the request's headers.
        is_partial: whether the upload has several requests, of which the last may declare more.

    Raises:
        RefusedError: ``X-Goog-Hash`` has something else than the two checksums.
    """

    def __init__(
        self, resource: Mapping[str, object], headers: Iterable[tuple[bytes, bytes]], *, is_partial: bool = False
    ) -> None:
        self._is_partial = is_partial
        self._declared = {key: str(resource[key]) for key in ("crc32c", "md5Hash") if resource.get(key)}
        self._crc, self._md5 = 0, hashlib.md5(usedforsecurity=False)
        self.declare(headers)

    def declare(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Add the checksums in the headers of a request.

        Raises:
            RefusedError: ``X-Goog-Hash`` has something else.
        """
        texts = [value.decode("latin-1") for name, value in headers if name == b"x-goog-hash"]
        for one in ",".join(texts).split(",") if texts else ():
            kind, _, value = one.strip().partition("=")
            key = {"crc32c": "crc32c", "md5": "md5Hash"}.get(kind)
            if key is None:
                raise RefusedError(400, f"X-Goog-Hash {one[:100]!r} is not served; use crc32c=... or md5=...")
            self._declared[key] = value

    def copy(self) -> Content:
        """Return a copy that can be added to without changing this one."""
        other = copy.copy(self)
        other._md5, other._declared = self._md5.copy(), dict(self._declared)
        return other

    def add(self, data: bytes) -> None:
        """Add what follows."""
        # Both take time, so only what is compared is calculated.
        if "crc32c" in self._declared or self._is_partial:
            self._crc = google_crc32c.extend(self._crc, data)
        if "md5Hash" in self._declared or self._is_partial:
            self._md5.update(data)

    def check(self) -> None:
        """Compare, at the end.

        Raises:
            RefusedError: a checksum that was declared is another.
        """
        calculated = {"crc32c": self._crc.to_bytes(4, "big"), "md5Hash": self._md5.digest()}
        for key, name in (("crc32c", "CRC32C"), ("md5Hash", "MD5 hash")):
            actual = base64.b64encode(calculated[key]).decode()
            if (given := self._declared.get(key, actual)) != actual:
                raise RefusedError(400, f'Provided {name} "{given}" doesn\'t match calculated {name} "{actual}".')


class MultipartContent(Content):
    """The content in a multipart body, whose first part has been replaced.

    Args:
        resource: the object's metadata.
        headers: the request's headers.
        boundary: the body's boundary.
        newline: how its lines end.
        skip: number of bytes of the first part, up to the line end before the second.

    Raises:
        RefusedError: as for :class:`Content`.
    """

    def __init__(
        self,
        resource: Mapping[str, object],
        headers: Iterable[tuple[bytes, bytes]],
        *,
        boundary: str,
        newline: bytes,
        skip: int,
    ) -> None:
        super().__init__(resource, headers)
        self._resource = resource
        self._newline, self._delimiter = newline, newline + b"--" + boundary.encode()
        self._skip, self._rest = skip, b""
        self._in_head, self._ended = True, False

    def add(self, data: bytes) -> None:
        """Add what follows in the body.

        Raises:
            RefusedError: the two parts have different content types.
        """
        if self._ended:
            return
        self._rest += data
        if self._in_head and not self._read_head():
            return
        end = self._rest.find(self._delimiter)
        self._ended = end >= 0
        content = self._rest[: end if self._ended else max(0, len(self._rest) - len(self._delimiter) + 1)]
        self._rest = self._rest[len(content) :]
        super().add(content)

    def _read_head(self) -> bool:
        """Leave out what is before the content, and return whether all of that has come."""
        end = self._rest.find(self._newline * 2, self._skip)
        if end < 0:
            return False
        found = _TYPE.search(self._rest, self._skip, end + len(self._newline))
        check_type(self._resource, found[1].decode("latin-1") if found else "")
        self._rest, self._in_head = self._rest[end + 2 * len(self._newline) :], False
        return True


def check_type(resource: Mapping[str, object], of_content: str) -> None:
    """Compare the content type in an object's metadata with the one that its content has in the upload, if any.

    Raises:
        RefusedError: they differ.
    """
    of_metadata = resource.get("contentType")
    if of_metadata and of_content and of_metadata != of_content:
        raise RefusedError(
            400,
            f"Content-Type specified in the upload ({of_content[:100]}) does not match Content-Type specified in "
            f"metadata ({str(of_metadata)[:100]}).",
        )
