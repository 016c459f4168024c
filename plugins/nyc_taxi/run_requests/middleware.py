"""Checks the requests of the UI's form and of the REST API that start runs, before Airflow makes a run."""

from __future__ import annotations

import asyncio
import datetime
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from nyc_taxi.run_requests.assets import producer
from nyc_taxi.run_requests.rules import check_backfill, check_event, check_run

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Check = Callable[[dict[str, Any], datetime.datetime], dict[str, Any]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_RUN = re.compile(r"/api/v2/dags/([^/]+)/dagRuns/?$")
_BACKFILL = re.compile(r"/api/v2/backfills(?:/dry_run)?/?$")
_MATERIALIZATION = re.compile(r"/api/v2/assets/(\d+)/materialize/?$")
_EVENT = re.compile(r"/api/v2/assets/events/?$")
UNPROCESSABLE = 422
# No request of Airflow's API has this key, and none may have a key that it does not know.
_REFUSED = b'{"refused": true}'


class RunRequestMiddleware:
    """Refuse a request to start runs that cannot load a month, with a sentence; give the others their partition key.

    A run that is started by a parameter alone shows its month nowhere, so the month becomes its partition key too.

    Airflow itself decides first who may start runs. A request that is refused is passed on as one that Airflow refuses
    after it has checked the login and the permission; only that answer is replaced.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Handle one request of the ASGI server."""
        check = _check_of(scope)
        if check is None:
            await self._app(scope, receive, send)
            return
        body, refused = await _body(receive), ""
        try:
            given = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            given = None  # Airflow says what is wrong with it
        if isinstance(given, dict):
            try:
                checked = await asyncio.to_thread(check, given, datetime.datetime.now(datetime.UTC))
            except ValueError as error:
                refused, body = str(error), _REFUSED
            else:
                body = body if checked is given else json.dumps(checked).encode()
        headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        scope = {**scope, "headers": [*headers, (b"content-length", str(len(body)).encode())]}
        await self._app(scope, _receiving(body, receive), _refusing(refused, send) if refused else send)


def _check_of(scope: MutableMapping[str, Any]) -> Check | None:
    """Return what checks a request at a time; None if it starts no run."""
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    if _BACKFILL.search(scope["path"]):
        return check_backfill
    if _EVENT.search(scope["path"]):
        return lambda body, now: check_event(producer(body.get("asset_id")), body, now)
    if asset := _MATERIALIZATION.search(scope["path"]):
        return lambda body, now: check_run(producer(int(asset[1])), body, now)
    if run := _RUN.search(scope["path"]):
        return lambda body, now: check_run(run[1], body, now)
    return None


async def _body(receive: Receive) -> bytes:
    """Return the whole body of a request."""
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _receiving(body: bytes, receive: Receive) -> Receive:
    """Return what receives ``body``, and then whatever follows the request's own."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return messages.pop() if messages else await receive()

    return received


def _refusing(reason: str, send: Send) -> Send:
    """Return what sends a refusal with ``reason`` in place of Airflow's own."""
    answer = json.dumps({"detail": reason}).encode()
    length = (b"content-length", str(len(answer)).encode())
    replacing = False

    async def sent(message: Message) -> None:
        nonlocal replacing
        if message["type"] == "http.response.start" and message["status"] == UNPROCESSABLE:
            replacing = True
            headers = [(name, value) for name, value in message["headers"] if name.lower() != b"content-length"]
            await send({**message, "status": 400, "headers": [*headers, length]})
        elif not replacing:
            await send(message)
        elif not message.get("more_body"):
            await send({"type": "http.response.body", "body": answer})

    return sent
