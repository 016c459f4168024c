"""Refuses CSV whose quotes are not those of RFC 4180, section 2, rules 5 to 7.

A quote opens a field or closes it, and two of them in a quoted field stand for one. Arrow's CSV reader is more lenient:
it drops a quote in the middle of a quoted field, and lets one that is never closed take all lines to the end of the
file into one field, so that rows are lost without a word.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as compute

from nyc_taxi.registry.model import ContractError

_QUOTE = ord('"')
_MARK = b"\xef\xbb\xbf"  # a byte order mark may come before the first quote
# Which bytes may stand before a quote that opens, and behind one that closes; a quote there makes a pair of both.
_BOUNDARY = pa.Array.from_buffers(pa.uint8(), 4, [None, pa.py_buffer(b',\r\n"')])
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
            self._check(self._last + chunk)
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

    def _check(self, content: bytes) -> None:
        """Check the bytes after the first, which is the last one of the chunk before."""
        data = pa.Array.from_buffers(pa.uint8(), len(content), [None, pa.py_buffer(content)])
        quotes = compute.indices_nonzero(compute.equal(data, _QUOTE)).cast(pa.int64())
        if content[0] == _QUOTE:  # it has been counted; if it closes, what follows is checked now
            quotes = quotes.slice(1) if self._is_open else quotes
        begins_closed = content[0] == _QUOTE and not self._is_open
        opens_at = 1 if self._is_open or begins_closed else 0
        opening, closing = _every_other(quotes, opens_at), _every_other(quotes, 1 - opens_at)
        wrong = [*_without_boundary(data, opening, -1), *_without_boundary(data, closing, 1)]
        if wrong:
            line = self._line_of(content, min(wrong))
            raise ContractError(f"line {line}: a quote is in the middle of a field; {_REMEDY}")
        self._is_open = (len(quotes) - begins_closed) % 2 == (0 if self._is_open else 1)
        if self._is_open and len(quotes) > begins_closed:
            self._opened_in = self._line_of(content, quotes[-1].as_py())

    def _line_of(self, content: bytes, place: int) -> int:
        return self._lines + 1 + content.count(b"\n", 1, place)


def _every_other(places: pa.Array, begin: int) -> pa.Array:
    return places.take(pa.arange(begin, max(begin, len(places)), 2))


def _without_boundary(data: pa.Array, places: pa.Array, step: int) -> list[int]:
    """Return the first place beside which there is no boundary, if there is one; beside the last byte there may be."""
    beside = compute.add(places, step)
    beside = beside.filter(compute.less(beside, len(data)))
    first = compute.index(compute.is_in(data.take(beside), _BOUNDARY), False).as_py()
    return [beside[first].as_py() - step] if first >= 0 else []


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
