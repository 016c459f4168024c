"""Waits for a file in the triggerer, where many waits share one process and occupy no worker slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from nyc_taxi.source.errors import NotPublishedError, PermanentSourceError, SourceError
from nyc_taxi.source.session import published_version


class PublicationTrigger(BaseTrigger):
    """Fire when an HTTP source has a file or refuses it for good, or when the deadline has passed.

    While the source is down, the file counts as not yet published. The requests are those of the download, with the
    same limits, and run in threads.

    Args:
        endpoint: path of the file below the connection's base URL.
        http_conn_id: the HTTP connection of the source.
        deadline: when to stop waiting, in ISO 8601. A restart of the triggerer does not extend it.
        poll_seconds: seconds between two requests; more if the source asks for it with ``Retry-After``.

    Yields:
        One event with the payload ``{"published": True}``, ``{"published": False, "reason": <last answer>}``, or
        ``{"published": False, "refused": <why>}``.
    """

    def __init__(self, *, endpoint: str, http_conn_id: str, deadline: str, poll_seconds: float) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.http_conn_id = http_conn_id
        self.deadline = deadline
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "endpoint": self.endpoint,
                "http_conn_id": self.http_conn_id,
                "deadline": self.deadline,
                "poll_seconds": self.poll_seconds,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        deadline = datetime.fromisoformat(self.deadline)
        while True:
            try:
                # In a thread, because the client blocks; the connection is looked up there, too.
                await asyncio.to_thread(published_version, self.http_conn_id, self.endpoint)
            except PermanentSourceError as error:
                yield TriggerEvent({"published": False, "refused": str(error)})
                return
            except (NotPublishedError, SourceError) as error:
                reason, pause = str(error), max(self.poll_seconds, getattr(error, "retry_after", 0.0))
            else:
                yield TriggerEvent({"published": True})
                return
            self.log.info("%s is not available yet: %s", self.endpoint, reason)
            remaining = (deadline - datetime.now(UTC)).total_seconds()
            if remaining <= 0:
                yield TriggerEvent({"published": False, "reason": reason})
                return
            await asyncio.sleep(min(pause, remaining))
