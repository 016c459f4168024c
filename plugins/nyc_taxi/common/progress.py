"""Reports in a task's log how far a transfer has come."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

# Seconds between two lines of one transfer.
INTERVAL = 5.0
_MEGABYTE = 1_000_000


class Log(Protocol):
    """A logger of Python's or of Airflow's."""

    def info(self, text: str, /, *values: Any) -> Any:
        """Log a line at the level INFO."""


@dataclass(frozen=True)
class Transfer:
    """What a transfer moved, as the line of its end says; a number is None if it is unknown."""

    rows: int | None
    size: int | None
    seconds: float


# Those of this process that have ended, and that nobody has taken yet.
_ended: list[Transfer] = []


def take_ended() -> list[Transfer]:
    """Return the transfers that have ended in this process since the last call, oldest first."""
    taken = _ended[:]
    _ended.clear()
    return taken


class Progress:
    """Log rows, bytes, rate and share of a transfer: at most every five seconds, and once at its end.

    As a context manager it begins with the block and ends with it. A block that raises logs no end, so the error stays
    the last word of the log. Call :meth:`reach` once per chunk or batch; all but one call in five seconds only read the
    clock. What is known only at the end goes to :meth:`complete`: a line would come right before that of the end.

    Args:
        log: the task's logger.
        what: the transfer as a noun, such as ``download of green_tripdata_2021-01.csv.gz``.
        rows: the number of rows in all; None if unknown.
        size: the number of bytes in all; None if unknown.
        clock: returns seconds, as ``time.monotonic`` does.
    """

    def __init__(
        self,
        log: Log,
        what: str,
        *,
        rows: int | None = None,
        size: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._what = what
        self._clock = clock
        self._begin = self._next = clock()
        self._next += INTERVAL
        self._rows: int | None = None
        self._size: int | None = None
        self._share: float | None = None
        self._state = ""
        self.all_rows = rows
        self.all_bytes = size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._log.info("End of %s: %s", self._what, self._line(ended=True))
            _ended.append(Transfer(self._rows, self._size, self._clock() - self._begin))

    def reach(
        self,
        *,
        rows: int | None = None,
        size: int | None = None,
        share: Callable[[], float | None] | None = None,
        state: str = "",
    ) -> None:
        """Record how far the transfer has come since its beginning, and log it if the last line is old enough.

        The numbers are totals and not increments, so a transfer that starts over needs no special case.

        Args:
            rows: the number of rows so far.
            size: the number of bytes so far.
            share: returns the share of the whole, from 0 to 1; needed if neither ``rows`` nor ``size`` has a known
                total. Called only for a line.
            state: a word for what the transfer is doing, such as that of a job's state.
        """
        self.complete(rows=rows, size=size)
        self._state = state
        now = self._clock()
        if now < self._next or self._is_whole():
            return
        self._next = now + INTERVAL
        self._share = share() if share else None
        self._log.info("Progress of %s: %s", self._what, self._line(ended=False))

    def complete(self, *, rows: int | None = None, size: int | None = None) -> None:
        """Record the numbers of the whole transfer, without a line: that of the end, which follows, has them.

        Args:
            rows: the number of rows; None if nothing new is known.
            size: the number of bytes; None if nothing new is known.
        """
        self._rows = self._rows if rows is None else rows
        self._size = self._size if size is None else size

    def _is_whole(self) -> bool:
        return any(
            done is not None and done == whole
            for done, whole in ((self._rows, self.all_rows), (self._size, self.all_bytes))
        )

    def _line(self, *, ended: bool) -> str:
        seconds = self._clock() - self._begin
        parts, rates = [] if ended or not self._state else [self._state], []
        if self._rows is not None:
            parts.append(f"{self._rows:,} rows")
            rates.append(f"{self._rows / seconds:,.0f} rows/s" if seconds else "")
        if self._size is not None:
            parts.append(f"{self._size / _MEGABYTE:,.1f} MB")
            rates.append(f"{self._size / seconds / _MEGABYTE:,.1f} MB/s" if seconds else "")
        share = 1.0 if ended else self._known_share()
        if share is not None:
            parts.append(f"{share:.0%}")
        return ", ".join([*parts, f"{seconds:.1f} s", *filter(None, rates)])

    def _known_share(self) -> float | None:
        """Return the share of the whole; None if unknown."""
        for done, whole in ((self._rows, self.all_rows), (self._size, self.all_bytes)):
            if done is not None and whole:
                return min(done / whole, 1.0)
        return self._share
