"""Runs each request in a worker thread, with a DuckDB cursor and, unless it only reads, a transaction.

bqemulator's handlers block the event loop that they run on. The server's loop therefore only reads requests, answers
health checks and writes responses; bqemulator's application runs on the event loops of worker threads.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import re
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import duckdb
from bqemulator.domain.errors import DomainError

from local.cloud.bigquery.failures import as_domain_error
from local.cloud.bigquery.limits import limit, no_room
from local.cloud.bigquery.store import Store

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

HEALTH_PATH = "/healthz"
_WORKERS = 32
_PROJECT = re.compile(r"(?:/upload|/resumable)?(?:/upload)?/bigquery/v2/projects/([^/]+)/")
# Paths that run jobs; a job manages its own transactions.
_JOB_PATHS = re.compile(r"/upload/|/resumable/|/projects/[^/]+/(jobs|queries)\b")
_BAD_REQUEST = 400
_SERVER_ERROR = 500


@dataclass
class _Answer:
    """A complete response."""

    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    async def receive(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", []))
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")


class _FailedError(Exception):
    """Rolls back the transaction of a request whose response is an error."""


class Dispatcher:
    """ASGI application that runs ``app`` in worker threads."""

    def __init__(self, store: Store, app: App) -> None:
        self._store = store
        self._app = app
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="request")
        self._local = threading.local()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["path"] == HEALTH_PATH:
            answer = _json_answer(200, {"status": "ok", "project": self._store.project})
        else:
            body = await _read_body(receive)
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._pool, contextvars.Context().run, self._handle, scope, body)
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    def close(self) -> None:
        """Accept no more requests, without waiting for those in progress."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _handle(self, scope: MutableMapping[str, Any], body: bytes) -> _Answer:
        project = _PROJECT.match(scope["path"])
        if project and project[1] != self._store.project:
            return _error_answer(limit(f"serve the project {project[1]!r}; only {self._store.project!r}"))
        with self._store.engine.session():
            if scope["method"] == "GET" or _JOB_PATHS.search(scope["path"]):
                return self._run(scope, body)
            try:
                with self._store.transaction():
                    answer = self._run(scope, body)
                    if answer.status >= _BAD_REQUEST:
                        raise _FailedError
            except _FailedError:
                pass
            except duckdb.Error as error:  # the commit has failed
                return _failure(error)
        return answer

    def _run(self, scope: MutableMapping[str, Any], body: bytes) -> _Answer:
        """Run the application on this thread's event loop, in the context that holds the cursor."""
        answer = _Answer()
        runner: asyncio.Runner | None = getattr(self._local, "runner", None)
        if runner is None:
            runner = self._local.runner = asyncio.Runner()
        parts = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            if parts:
                return parts.pop()
            await asyncio.Event().wait()  # as long as the client stays connected, there is no more message
            raise AssertionError

        async def call() -> None:
            await self._app(scope, receive, answer.receive)

        try:
            runner.run(call(), context=contextvars.copy_context())
        except Exception as error:  # bqemulator answers 500, which clients retry for minutes
            return _failure(error)
        return answer if answer.status < _SERVER_ERROR else _failure(RuntimeError(answer.body.decode()))


async def _read_body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


def _json_answer(status: int, content: dict[str, Any]) -> _Answer:
    return _Answer(status=status, headers=[(b"content-type", b"application/json")], body=json.dumps(content).encode())


def _failure(error: Exception) -> _Answer:
    return _error_answer(no_room(error) or as_domain_error(error))


def _error_answer(error: DomainError) -> _Answer:
    return _json_answer(error.http_status, error.to_bigquery_error())
