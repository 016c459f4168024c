"""The guard, without a server: what it lets through to the application, and what the application answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from local.cloud.guard import Guard, parse_host
from tests.attacks.promises import attack
from tests.local.forgeries import Headers, forged, welcome

PORT = 4443


def call(guard: Guard, headers: Headers, *, kind: str = "http", port: int = PORT) -> list[dict[str, Any]]:
    """Send one request to the guard; return what it sends."""
    sent: list[dict[str, Any]] = []
    scope = {
        "type": kind,
        "method": "GET",
        "path": "/",
        "server": ("127.0.0.1", port),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
    }

    async def receive() -> dict[str, Any]:
        return {"type": f"{kind}.connect"}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    asyncio.run(guard(scope, receive, send))
    return sent


class Application:
    """Answers 200 with CORS headers, and counts its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls.append(scope["type"])
        headers = [
            (b"Access-Control-Allow-Origin", b"*"),
            (b"access-control-allow-credentials", b"true"),
            (b"ACCESS-CONTROL-ALLOW-PRIVATE-NETWORK", b"true"),
            (b"x-kept", b"1"),
        ]
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept", "headers": headers})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"secret"})


@attack("foreign-requests-are-refused")
@pytest.mark.parametrize("headers", [pytest.param(case, id=name) for name, case in forged(PORT).items()])
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_forged_request_does_not_reach_the_application(headers: Headers, kind: str) -> None:
    application = Application()
    sent = call(Guard(application), headers, kind=kind)
    assert application.calls == []
    if kind == "websocket":
        assert [message["type"] for message in sent] == ["websocket.close"]
    else:
        assert [message.get("status") for message in sent] == [403, None]
        error = json.loads(sent[1]["body"])["error"]
        assert error["code"] == 403
        assert "127.0.0.1:4443" in error["message"], "it says how to address the server"


@pytest.mark.parametrize("headers", [pytest.param(case, id=name) for name, case in welcome(PORT).items()])
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_request_of_this_machine_passes_and_no_cors_header_is_answered(headers: Headers, kind: str) -> None:
    application = Application()
    sent = call(Guard(application), headers, kind=kind)
    assert application.calls == [kind]
    assert sent[0]["headers"] == [(b"x-kept", b"1")]


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ([("Host", "evil.example")], "the Host header 'evil.example' is not this server"),
        ([("Host", "127.0.0.1:4443"), ("Origin", "null")], "the Origin header 'null' shows that a page of another"),
        ([("Host", "localhost:4443"), ("Sec-Fetch-Site", "same-site")], "the Sec-Fetch-Site header 'same-site' shows"),
        ([], "a request needs one Host header, this one has 0"),
        ([("Host", "x" * 5000)], f"the Host header '{'x' * 100}...' is not"),
    ],
)
def test_message_names_the_header_and_its_value(headers: Headers, message: str) -> None:
    sent = call(Guard(Application()), headers)
    assert message in json.loads(sent[1]["body"])["error"]["message"]


@pytest.mark.parametrize(
    ("allowed", "host", "passes"),
    [
        ("gcs", "gcs:4443", True),
        ("gcs", "GCS:4443", True),
        ("gcs", "gcs", False),
        ("gcs", "gcs:80", False),
        ("gcs", "xgcs:4443", False),
        ("gcs:9000", "gcs:9000", True),
        ("gcs:9000", "gcs:4443", False),
        ("127.0.0.1:9000", "127.0.0.1:9000", True),
        ("127.0.0.1:9000", "localhost:9000", False),
    ],
)
def test_allowed_hosts_come_beside_those_of_this_machine(allowed: str, host: str, passes: bool) -> None:
    guard = Guard(Application(), allow_hosts=[allowed])
    assert (call(guard, [("Host", host)])[0]["status"] == 200) is passes
    assert call(guard, [("Host", "127.0.0.1:4443")])[0]["status"] == 200


def test_host_without_a_port_is_port_80() -> None:
    guard = Guard(Application())
    assert call(guard, [("Host", "localhost")], port=80)[0]["status"] == 200
    assert call(guard, [("Host", "localhost:80")], port=80)[0]["status"] == 200
    assert call(guard, [("Host", "localhost:81")], port=80)[0]["status"] == 403


def test_lifespan_passes() -> None:
    application = Application()
    call(Guard(application), [], kind="lifespan")
    assert application.calls == ["lifespan"]


@pytest.mark.parametrize(
    "text", ["", "*", "a b", "http://gcs", "gcs:", "gcs:x", "gcs/", "*.example", "gcs,evil", "-gcs"]
)
def test_what_is_no_host_cannot_be_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="is not a host; write NAME or NAME:PORT"):
        parse_host(text)
