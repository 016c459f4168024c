"""The ways in which a source can fail a request; the retry policy tells them apart."""

from __future__ import annotations


class NotPublishedError(RuntimeError):
    """The source does not have the file; an immediate retry would fail the same way."""


class PermanentSourceError(RuntimeError):
    """The source refuses the file for a reason that does not pass with time, such as a missing login; do not retry."""


class SourceError(RuntimeError):
    """The source is unreachable, answers with an error, or drops the connection; a retry may succeed.

    Attributes:
        retry_after: the seconds that the source asks to wait before the next request; 0 if it does not say.
    """

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RefusedError(SourceError):
    """The source answers 403, as the TLC does both for files that are not published and for too many requests."""


class SlowSourceError(SourceError):
    """The source sends so slowly that the request was given up."""
