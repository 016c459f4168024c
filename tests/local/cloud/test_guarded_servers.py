"""Each server of the embedded cloud, asked over a socket with forged headers."""

from __future__ import annotations

import contextlib
import re
import socket

import pytest

from tests.attacks.promises import attack
from tests.local.cloud.bigquery.conftest import server  # noqa: F401
from tests.local.cloud.bigquery.support import PROJECT
from tests.local.forgeries import ask, exchange, forged, status, statuses, welcome

pytestmark = attack("foreign-requests-are-refused")

PATHS = {
    "gcs": "/storage/v1/b",
    "source": "/misc/taxi_zone_lookup.csv",
    "bigquery": f"/bigquery/v2/projects/{PROJECT}/datasets",
}


@pytest.fixture(scope="module", params=PATHS)
def address(request: pytest.FixtureRequest) -> tuple[int, str]:
    """The port of one server, and a path that it serves."""
    if request.param == "bigquery":
        return request.getfixturevalue("server").port, PATHS["bigquery"]
    settings = request.getfixturevalue("cloud").settings
    return {"gcs": settings.gcs_port, "source": settings.source_port}[request.param], PATHS[request.param]


def test_forged_headers_are_refused(address: tuple[int, str]) -> None:
    port, path = address
    # Some are no HTTP at all, which the parser refuses before the guard.
    assert {name: code for name, code in statuses(port, path, forged).items() if code not in (400, 403)} == {}


def test_health_check_is_guarded_too(address: tuple[int, str]) -> None:
    port, _ = address
    assert status(ask(port, "/healthz", [("Host", "evil.example")])) == 403


def test_clients_of_this_machine_are_served_without_cors(address: tuple[int, str]) -> None:
    port, path = address
    assert statuses(port, path, welcome) == dict.fromkeys(welcome(port), 200)
    for name, headers in welcome(port).items():
        assert b"access-control" not in ask(port, path, headers).lower(), name


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_preflight_and_every_method_are_refused_from_elsewhere(address: tuple[int, str], method: str) -> None:
    port, path = address
    headers = [
        ("Host", f"127.0.0.1:{port}"),
        ("Origin", "http://evil.example"),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Private-Network", "true"),
    ]
    answer = ask(port, path, headers, method=method)
    assert status(answer) == 403
    assert b"access-control" not in answer.lower()


def test_websocket_is_refused_from_elsewhere(address: tuple[int, str]) -> None:
    port, path = address
    headers = [
        ("Host", f"127.0.0.1:{port}"),
        ("Origin", "http://evil.example"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    lines = [f"GET {path} HTTP/1.1", "Connection: Upgrade", *(f"{name}: {value}" for name, value in headers), "", ""]
    assert status(exchange(port, "\r\n".join(lines).encode())) == 403


def test_old_and_odd_requests_are_refused(address: tuple[int, str]) -> None:
    port, path = address
    for request in (
        f"GET {path} HTTP/1.0\r\n\r\n",
        f"GET {path} HTTP/1.0\r\nHost: evil.example\r\n\r\n",
        f"GET http://evil.example{path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        f"GET {path} HTTP/1.1\r\nHost : 127.0.0.1:{port}\r\nConnection: close\r\n\r\n",
        f"GET {path} HTTP/1.1\r\nHost:\r\n 127.0.0.1:{port}\r\nConnection: close\r\n\r\n",
        f"GET {path} HTTP/1.1\r\nHost: evil.example\nX: y\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n",
        f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        f"GET {path}\r\n\r\n",
    ):
        answer = exchange(port, request.encode())
        assert answer == b"" or status(answer) in (400, 403), request
        assert b"kind" not in answer, request


def answers(port: int, *requests: str) -> list[int]:
    """Send all requests in one piece; return the statuses of what is answered until the connection ends."""
    answer = exchange(port, "".join(requests).encode("latin-1"))
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def request(port: int, path: str, *headers: str, host: str = "", close: bool = False) -> str:
    lines = [f"GET {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{port}'}", *headers]
    return "\r\n".join([*lines, *(["Connection: close"] if close else []), "", ""])


@attack("one-request-is-one-request")
@pytest.mark.parametrize(
    "headers",
    [["Origin: http://evil.example"], ["Origin: null"], ["Sec-Fetch-Site: cross-site"]],
    ids=lambda one: one[0],
)
def test_each_request_of_a_connection_is_checked(address: tuple[int, str], headers: list[str]) -> None:
    port, path = address
    good, forged_one = request(port, path), request(port, path, *headers)
    last = request(port, path, close=True)
    assert answers(port, good, forged_one, last) == [200, 403], "nothing is served after a refusal"
    assert answers(port, good, request(port, path, host="evil.example"), last) == [200, 403]
    assert answers(port, forged_one, last) == [403]


@attack("one-request-is-one-request")
@pytest.mark.parametrize("method", ["GET", "POST", "CONNECT", "OPTIONS"])
def test_no_server_is_a_proxy(address: tuple[int, str], method: str) -> None:
    port, path = address
    with socket.create_server(("127.0.0.1", 0)) as other:
        name = f"127.0.0.1:{other.getsockname()[1]}"
        for target in (f"http://{name}{path}", name, f"//{name}{path}", f"http://{name}@127.0.0.1:{port}{path}"):
            for host in (name, f"127.0.0.1:{port}"):
                lines = [
                    f"{method} {target} HTTP/1.1",
                    f"Host: {host}",
                    "Content-Length: 0",
                    "Connection: close",
                    "",
                    "",
                ]
                answer = exchange(port, "\r\n".join(lines).encode())
                assert host != name or status(answer) in (400, 403), (target, host)
                assert name.encode() not in answer.split(b"\r\n\r\n")[0].replace(b"Host", b""), "no redirect there"
        other.settimeout(0.1)
        with pytest.raises(TimeoutError):
            other.accept()


@attack("one-request-is-one-request")
@pytest.mark.parametrize(
    "data",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello",
        b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: evil.example\r\nX: " + b"x" * 300_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: evil.example\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"GET /" + b"x" * 300_000 + b" HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: evil.example\r\n\r\n",
    ],
    ids=["HTTP 2", "TLS", "NUL", "huge header", "many headers", "huge path", "empty lines first", "unknown version"],
)
def test_what_is_no_request_is_not_served_and_harms_nobody(address: tuple[int, str], data: bytes) -> None:
    port, path = address
    answer = b""
    with contextlib.suppress(ConnectionError):
        answer = exchange(port, data)
    assert answer == b"" or status(answer) in (400, 403, 431)
    assert answers(port, request(port, path, close=True)) == [200]
