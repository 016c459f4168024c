"""Waits for a file in the triggerer, where many waits share one process and occupy no worker slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
from airflow.providers.http.exceptions import HttpErrorException
from airflow.providers.http.hooks.http import HttpAsyncHook
from airflow.triggers.base import BaseTrigger, TriggerEvent


class PublicationTrigger(BaseTrigger):
    """Fire when an HTTP source has a file, or when the deadline has passed.

    While the source is down, the file counts as not yet published.

    Args:
        endpoint: path of the file below the connection's base URL.
        http_conn_id: the HTTP connection of the source.
        deadline: when to stop waiting, in ISO 8601. A restart of the triggerer does not extend it.
        poll_seconds: seconds between two requests.

    Yields:
        One event with the payload ``{"published": True}``, or ``{"published": False, "reason": <last answer>}``.
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
        hook = HttpAsyncHook(method="GET", http_conn_id=self.http_conn_id, retry_limit=1)
        while (reason := await self._absence(hook)) is not None:
            remaining = (deadline - datetime.now(UTC)).total_seconds()
            if remaining <= 0:
                yield TriggerEvent({"published": False, "reason": reason})
                return
            await asyncio.sleep(min(self.poll_seconds, remaining))
        yield TriggerEvent({"published": True})

    async def _absence(self, hook: HttpAsyncHook) -> str | None:
        """Return why the file is not available now; None if it is."""
        try:
            async with aiohttp.ClientSession() as session:
                answer = await hook.run(session, self.endpoint, headers={"Range": "bytes=0-0"})
                answer.close()
        except (HttpErrorException, aiohttp.ClientError, TimeoutError) as error:
            self.log.info("%s is not available yet: %s", self.endpoint, error)
            return str(error)
        return None
