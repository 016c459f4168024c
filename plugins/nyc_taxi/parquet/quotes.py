"""Refuses CSV whose quotes are not those of RFC 4180, section 2, rules 5 to 7.

A quote opens a field or closes it, and two of them in a quoted field stand for one. Arrow's CSV reader is more lenient:
it drops a quote in the middle of a quoted field, and lets one that is never closed take all lines to the end of the
file into one field, so that rows are lost without a word.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from nyc_taxi.registry.model import ContractError

_QUOTE = ord('"')
_MARK = b"\xef\xbb\xbf"  # a byte order mark may come before the first quote
# Which bytes may stand before a quote that opens, and behind one that closes; a quote there makes a pair of both.
_BOUNDARY = np.zeros(256, bool)
_BOUNDARY[[*b',\r\n"']] = True
_REMEDY = 'write a field with quotes in quotes, each of its own quotes doubled: "a ""b"" c"'


class QuoteCheck:
    """Checks the quotes of a file, which is given chunk by chunk."""

    def __init__(self) -> None:
        self._is_open = False
        self._last = b"\n"
        self._lines = 0
        self._opened_in = 0  # the line of the quote that is open
        self._is_start = True

    def feed(self, chunk: bytes) -> None:
        """Check the next bytes.

        Raises:
            ContractError: a quote is in the middle of a field; the message names the line.
        """
        if self._is_start and chunk:
            self._is_start, chunk = False, chunk.removeprefix(_MARK)
        if chunk and (b'"' in chunk or self._last == b'"'):
            self._check(np.frombuffer(self._last + chunk, np.uint8))
        self._lines += chunk.count(b"\n")
        self._last = chunk[-1:] or self._last

    def end(self) -> None:
        """Check that no quote is open at the end.

        Raises:
            ContractError: one is; the message names its line.
        """
        if self._is_open:
            raise ContractError(
                f"line {self._opened_in}: a quote is never closed, so that all that follows is one field; "
                "get a whole copy from the source, or close it there"
            )

    def _check(self, data: np.ndarray) -> None:
        """Check the bytes after the first, which is the last one of the chunk before."""
        places = np.flatnonzero(data[1:] == _QUOTE) + 1
        opens = (np.arange(len(places)) + self._is_open) % 2 == 0
        opening, closing = places[opens], places[~opens]
        if data[0] == _QUOTE and not self._is_open:
            closing = np.append(0, closing)
        closing = closing[closing + 1 < len(data)]  # what follows the last byte comes with the next chunk
        wrong = np.append(opening[~_BOUNDARY[data[opening - 1]]], closing[~_BOUNDARY[data[closing + 1]]])
        if len(wrong):
            line = self._line_of(data, int(wrong.min()))
            raise ContractError(f"line {line}: a quote is in the middle of a field; {_REMEDY}")
        self._is_open = bool(self._is_open) != (len(places) % 2 == 1)
        if self._is_open and len(places):
            self._opened_in = self._line_of(data, int(places[-1]))

    def _line_of(self, data: np.ndarray, place: int) -> int:
        return self._lines + 1 + int(np.count_nonzero(data[1:place] == ord("\n")))


class CheckedStream:
    """A stream of Arrow's that is read by way of a check; Arrow takes it as a Python file."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self._stream = stream
        self._check = QuoteCheck()
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; none at the end.

        Raises:
            ContractError: as :class:`QuoteCheck`.
        """
        chunk: bytes = self._stream.read(size)
        if chunk:
            self._check.feed(chunk)
        elif size:
            self._check.end()
        return chunk

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()
        self.closed = True


def checked(stream: pa.NativeFile) -> pa.PythonFile:
    """Return a stream that refuses quotes in the middle of a field, and one that is never closed, while it is read."""
    return pa.PythonFile(CheckedStream(stream), mode="r")
