"""Refuses what a web page can send to a server on this machine.

A page that the user has open can send requests to 127.0.0.1, and by DNS rebinding it can do so under a host name of its
own. It cannot choose the headers ``Host``, ``Origin`` and ``Sec-Fetch-Site``, which browsers set. Every HTTP server of
the local stack therefore stands behind :class:`Guard`, which answers 403 unless

- there is one ``Host``, and it is 127.0.0.1, localhost or [::1] with the server's own port, or a host that the server's
  ``--allow-host`` names;
- ``Origin``, which clients other than browsers do not send, is the address that the request itself goes to;
- ``Sec-Fetch-Site`` is ``none`` (the user typed the address) or ``same-origin``.

Requests for WebSockets follow the same rules. The guard removes all CORS headers from answers.

Both environments import this module, so it uses only the standard library.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")
"""Host names under which a server on this machine may be addressed."""
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::(?P<port>[0-9]{1,5}))?")
_OWN_SITES = ("none", "same-origin")
_SHOWN = 100
"""Length to which a header's value is cut in a message."""


class Guard:
    """ASGI middleware that refuses requests of web pages and requests for foreign hosts.

    Args:
        app: the application to protect.
        allow_hosts: further hosts under which it may be addressed, ``name`` or ``name:port``; without a port, with the
            server's own.

    Raises:
        ValueError: one of ``allow_hosts`` is not a host.
    """

    def __init__(self, app: App, *, allow_hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._hosts = [parse_host(host) for host in (*LOCAL_NAMES, *allow_hosts)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        # A copy, because uvicorn adds the trailers of a chunked body to the headers that it has given here.
        scope = {**scope, "headers": list(scope["headers"])}
        refusal = self._refusal(scope)
        if refusal is not None:
            await _refuse(scope, receive, send, refusal)
            return

        async def send_without_cors(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                message["headers"] = [
                    (name, value)
                    for name, value in message.get("headers", ())
                    if not bytes(name).lower().startswith(b"access-control-")
                ]
            await send(message)

        await self._app(scope, receive, send_without_cors)

    def _refusal(self, scope: Scope) -> str | None:
        """Return why the request is refused, or None if it may pass."""
        port = (scope.get("server") or ("", None))[1]
        allowed = [f"{name}:{own or port}" for name, own in self._hosts]
        hosts = _values(scope, b"host")
        if len(hosts) != 1:
            return f"a request needs one Host header, this one has {len(hosts)}; address the server as {allowed[0]}"
        host = hosts[0].lower()
        if not (host in allowed or (port == 80 and f"{host}:80" in allowed)):
            return f"the Host header {_shown(hosts[0])} is not this server; address it as {' or '.join(allowed)}"
        for origin in _values(scope, b"origin"):
            if origin.lower() != f"http://{host}":
                return (
                    f"the Origin header {_shown(origin)} shows that a page of another address sends this request; "
                    f"send it without a browser, or from a page of http://{host}"
                )
        for site in _values(scope, b"sec-fetch-site"):
            if site not in _OWN_SITES:
                return (
                    f"the Sec-Fetch-Site header {_shown(site)} shows that another page leads here; to open it, type "
                    f"http://{host} into the browser's address bar"
                )
        return None


def parse_host(text: str) -> tuple[str, str | None]:
    """Split ``name`` or ``name:port`` in lower case.

    Raises:
        ValueError: it is neither.
    """
    match = _HOST.fullmatch(text.lower())
    if match is None:
        raise ValueError(f"{text!r} is not a host; write NAME or NAME:PORT, for example gcs or 127.0.0.1:4443")
    return match["name"], match["port"]


def add_allow_host(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--allow-host`` to a server's command."""

    def host(text: str) -> str:
        try:
            parse_host(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        return text

    parser.add_argument(
        "--allow-host",
        action="append",
        type=host,
        default=[],
        metavar="NAME[:PORT]",
        help=f"answer under this host name too, beside {', '.join(LOCAL_NAMES)}; can be repeated",
    )


def refusal_body(status: int, message: str) -> bytes:
    """Return the JSON body of a refusal, in the form that Google's clients read."""
    return json.dumps({"error": {"code": status, "message": message}}).encode() + b"\n"


def _values(scope: Scope, name: bytes) -> list[str]:
    return [bytes(value).decode("latin-1").strip() for key, value in scope["headers"] if bytes(key).lower() == name]


def _shown(value: str) -> str:
    return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "...")


async def _refuse(scope: Scope, receive: Receive, send: Send, message: str) -> None:
    """Answer 403 without reading the body, and end the connection, which may still carry that body."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": message[:100]})
        return
    body = refusal_body(403, message)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
