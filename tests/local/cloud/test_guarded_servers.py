"""Each server of the embedded cloud, asked over a socket with forged headers."""

from __future__ import annotations

import pytest

from tests.local.cloud.bigquery.conftest import server  # noqa: F401
from tests.local.cloud.bigquery.support import PROJECT
from tests.local.forgeries import ask, exchange, forged, status, statuses, welcome

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
