"""The checksums that a client declares for an upload: content that does not match is refused before it is stored.

Cloud Storage compares ``crc32c`` and ``md5Hash`` of the metadata and of the header ``X-Goog-Hash``, as documented in
https://cloud.google.com/storage/docs/data-validation. fake-gcs-server ignores them.
"""

from __future__ import annotations

import base64
import copy
import functools
import hashlib
import re
from collections.abc import Iterable, Mapping

import numpy as np

from local.cloud.gcs.errors import RefusedError

_POLYNOMIAL = np.uint32(0x82F63B78)
"""CRC-32C's, with its bits in reverse order."""
_ONES = 0xFFFFFFFF
_HALF = np.uint32(16)
_SHORT = 1024
"""Fewest bytes for which numpy is faster."""
_PIECES = 4096
"""About as many are computed at once."""
_LEAST_LEVEL = 5
"""A piece has at least two to the power of this many times four bytes."""
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
        if self._declared or self._is_partial:
            self._crc = crc32c(data, self._crc)
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


def crc32c(data: bytes, before: int = 0) -> int:
    """Return the CRC-32C of ``data``, after bytes whose CRC-32C is ``before``.

    The data is cut into pieces whose checksums are computed at once, four bytes a step, and joined in pairs: then
    numpy does almost all of the work.
    """
    if len(data) < _SHORT:
        state = before ^ _ONES
        for byte in data:
            state = _OF_BYTE[(state ^ byte) & 0xFF] ^ (state >> 8)
        return state ^ _ONES
    # To start from a checksum is to change the first four bytes by it. Zeros before them then change nothing.
    first = (int.from_bytes(data[:4], "little") ^ before ^ _ONES).to_bytes(4, "little")
    words = -(-len(data) // 4)
    level = max(_LEAST_LEVEL, (words // _PIECES).bit_length())
    pieces = 1 << (-(-words >> level) - 1).bit_length()
    padded = bytes((pieces << level + 2) - len(data)) + first + data[4:]
    states = np.zeros(pieces, np.uint32)
    for row in np.ascontiguousarray(np.frombuffer(padded, "<u4").reshape(pieces, -1).T):
        states ^= row
        states = _HIGH[states >> _HALF] ^ _LOW[states & np.uint32(0xFFFF)]
    while len(states) > 1:
        states = _apply(_shift(level), states[0::2]) ^ states[1::2]
        level += 1
    return int(states[0]) ^ _ONES


def _step(states: np.ndarray) -> np.ndarray:
    """Return what a byte of zeros makes of each state."""
    for _ in range(8):
        states = np.where(states & np.uint32(1), (states >> np.uint32(1)) ^ _POLYNOMIAL, states >> np.uint32(1))
    return states


@functools.cache
def _shift(level: int) -> np.ndarray:
    """Return the tables for :func:`_apply` of what ``2**level`` times four bytes of zeros make of a state."""
    of_bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    for _ in range(2 if level else 4):
        of_bits = _apply(_shift(level - 1), of_bits) if level else _step(of_bits)
    tables = np.zeros((4, 256), np.uint32)
    for bit in range(32):
        has_bit = np.arange(256) >> bit % 8 & 1 == 1
        tables[bit // 8, has_bit] ^= of_bits[bit]
    return tables


def _apply(tables: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Return what the linear function of the tables, one for each byte of a state, makes of each state."""
    octets = np.ascontiguousarray(states).astype("<u4").view(np.uint8).reshape(-1, 4)
    first, second, third, fourth = (tables[number, octets[:, number]] for number in range(4))
    return np.asarray(first ^ second ^ third ^ fourth)


_OF_BYTE = [int(one) for one in _step(np.arange(256, dtype=np.uint32))]
_HIGH = _step(_step(np.arange(65536, dtype=np.uint32)))
_LOW = _step(_step(_HIGH))
"""What four bytes of zeros make of the upper and of the lower half of a state."""
