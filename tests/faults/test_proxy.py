"""The proxy of the fault suite: every fault does to a connection what it says, and nothing once it is lifted."""

from __future__ import annotations

import hashlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.faults.proxy import HOST, Due, Fault, Kind, Proxy

BODY = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(320))

GONE = (ConnectionResetError, http.client.RemoteDisconnected)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    received: list[bytes]
    hosts: list[str]

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of the connections that the faults cut."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(BODY)

    def do_POST(self) -> None:
        self.server.received.append(self.rfile.read(int(self.headers["Content-Length"])))  # type: ignore[attr-defined]
        self.server.hosts.append(self.headers["Host"])  # type: ignore[attr-defined]
        self._answer(f"http://{HOST}:{self.server.server_address[1]}/next".encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[_Server]:
    with _Server((HOST, 0), _Handler) as server:
        server.received, server.hosts = [], []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(server: _Server) -> Iterator[Proxy]:
    with Proxy(server.server_address[1]) as proxy:
        yield proxy


def _post(proxy: Proxy, body: bytes) -> bytes:
    connection = http.client.HTTPConnection(HOST, proxy.port, timeout=60)
    try:
        connection.request("POST", "/upload", body=body)
        return connection.getresponse().read()
    finally:
        connection.close()


def _get(proxy: Proxy, *, stalled: Due | None = None) -> bytes:
    """Request the month; once the connection is stalled, wait no longer."""
    connection = http.client.HTTPConnection(HOST, proxy.port, timeout=60)
    try:
        connection.request("GET", "/month")
        if stalled is not None:
            assert stalled.reached.wait(60)
            connection.sock.settimeout(0.3)
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read()
    finally:
        connection.close()


def test_without_a_fault_it_relays_everything(proxy: Proxy) -> None:
    assert _get(proxy) == BODY


CUT = {
    "reset": (Fault(kind=Kind.RESET, after=2000), ConnectionResetError),
    "reset at once": (Fault(kind=Kind.RESET), GONE),
    "truncated": (Fault(kind=Kind.TRUNCATE, after=2000), http.client.IncompleteRead),
    "closed": (Fault(kind=Kind.CLOSE), http.client.RemoteDisconnected),
    "answer lost": (Fault(kind=Kind.LOSE_ANSWER), GONE),
    "refused once": (Fault(kind=Kind.REFUSE), GONE),
    "refused": (Fault(kind=Kind.REFUSE, times=None), ConnectionRefusedError),
    "longer": (Fault(kind=Kind.LENGTH, add=7), http.client.IncompleteRead),
    "stalled": (Fault(kind=Kind.STALL, after=2000), TimeoutError),
}


@pytest.mark.parametrize("name", CUT)
def test_a_cut_connection_fails_and_the_next_one_is_whole(proxy: Proxy, name: str) -> None:
    fault, error = CUT[name]
    with proxy.fault(fault) as due:
        with pytest.raises(error):
            _get(proxy, stalled=due if fault.kind is Kind.STALL else None)
        if fault.times == 1:
            assert (due.matches, due.reached.is_set()) == (1, True)
            assert _get(proxy) == BODY
    assert _get(proxy) == BODY


# Faults that match the request, and find nothing in the answer that they could cut or change.
HARMLESS = {
    "reset behind the end": Fault(kind=Kind.RESET, after=100_000),
    "truncated behind the end": Fault(kind=Kind.TRUNCATE, after=100_000),
    "stalled behind the end": Fault(kind=Kind.STALL, after=100_000),
    "reset behind the request": Fault(kind=Kind.RESET, direction="request", match=rb"\r\n\r\n"),
    "stalled behind the request": Fault(kind=Kind.STALL, direction="request", match=rb"\r\n\r\n"),
    "corrupt behind the end": Fault(kind=Kind.CORRUPT, after=len(BODY)),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_fault_that_matches_and_harms_nothing_is_not_reached(proxy: Proxy, name: str) -> None:
    with proxy.fault(HARMLESS[name]) as due:
        assert _get(proxy) == BODY
    assert (due.matches, due.reached.is_set()) == (1, False)


def test_a_cut_at_the_very_end_of_an_answer_is_none(proxy: Proxy) -> None:
    with socket.create_connection((HOST, proxy.port)) as client:
        client.sendall(b"GET /month HTTP/1.0\r\n\r\n")
        with client.makefile("rb") as answer:
            size = len(answer.read())
    with (
        proxy.fault(Fault(kind=Kind.TRUNCATE, after=size)) as due,
        socket.create_connection((HOST, proxy.port)) as client,
    ):
        client.sendall(b"GET /month HTTP/1.0\r\n\r\n")
        with client.makefile("rb") as answer:
            assert len(answer.read()) == size
    assert not due.reached.is_set()


@pytest.mark.parametrize("kind", [Kind.LENGTH, Kind.DRIP])
def test_an_answer_too_short_to_harm_passes(kind: Kind) -> None:
    """It announces no length, and is shorter than the few bytes that drip at a time."""
    with socket.create_server((HOST, 0)) as server, Proxy(server.getsockname()[1]) as proxy:
        with proxy.fault(Fault(kind=kind, add=7)) as due, socket.create_connection((HOST, proxy.port)) as client:
            client.sendall(b"SELECT 1")
            upstream, _ = server.accept()
            with upstream:
                assert upstream.recv(100) == b"SELECT 1"
                upstream.sendall(b"1")
                assert client.recv(100) == b"1"
        assert (due.matches, due.reached.is_set()) == (1, False)


def test_an_answer_of_its_own_does_not_reach_the_server(server: _Server, proxy: Proxy) -> None:
    fault = Fault(kind=Kind.STATUS, status="429 Too Many Requests", headers=(("Retry-After", "7"),), match=b"POST /up")
    before = list(server.received)
    connection = http.client.HTTPConnection(HOST, proxy.port, timeout=60)
    with proxy.fault(fault):
        connection.request("GET", "/month")
        assert connection.getresponse().read() == BODY
        connection.request("POST", "/upload", body=b"rows")
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
        answer.read()
    connection.close()
    assert server.received == before


def test_a_lost_answer_leaves_the_request_done(server: _Server, proxy: Proxy) -> None:
    with proxy.fault(Fault(kind=Kind.LOSE_ANSWER)), pytest.raises(GONE):
        _post(proxy, b"kept")
    assert server.received[-1] == b"kept"


def test_a_cut_request_never_arrives_whole(server: _Server, proxy: Proxy) -> None:
    before = len(server.received)
    fault = Fault(kind=Kind.RESET, direction="request", match=rb"\r\n\r\n", after=100)
    with proxy.fault(fault) as due, pytest.raises((BrokenPipeError, *GONE)):
        _post(proxy, b"x" * 10_000_000)
    assert (due.matches, due.reached.is_set()) == (1, True)
    assert all(len(body) < 10_000_000 for body in server.received[before:])


def test_a_shorter_length_ends_the_body_early(proxy: Proxy) -> None:
    with proxy.fault(Fault(kind=Kind.LENGTH, add=-40)):
        assert _get(proxy) == BODY[:-40]


def test_corrupted_bytes_keep_the_length(proxy: Proxy) -> None:
    with proxy.fault(Fault(kind=Kind.CORRUPT, after=3000)):
        body = _get(proxy)
    assert len(body) == len(BODY)
    assert [place for place, (one, other) in enumerate(zip(body, BODY, strict=True)) if one != other] == [
        *range(3000, 3008)
    ]


@pytest.mark.parametrize("kind", [Kind.LATENCY, Kind.DRIP])
def test_a_slow_answer_is_whole(proxy: Proxy, kind: Kind) -> None:
    begin = time.monotonic()
    with proxy.fault(Fault(kind=kind, seconds=0.2 if kind is Kind.LATENCY else 0.001)):
        assert _get(proxy) == BODY
    assert time.monotonic() - begin >= 0.15


def test_a_stalled_connection_goes_on_when_the_fault_is_lifted(proxy: Proxy) -> None:
    bodies: list[bytes] = []
    with proxy.fault(Fault(kind=Kind.STALL, after=2000)) as due:
        reader = threading.Thread(target=lambda: bodies.append(_get(proxy)))
        reader.start()
        assert due.reached.wait(60)
        assert bodies == []
        proxy.lift()
        reader.join()
    assert bodies == [BODY]


def test_a_fault_is_due_as_often_as_it_says(proxy: Proxy) -> None:
    with proxy.fault(Fault(kind=Kind.CLOSE, times=2)) as due:
        for _ in range(2):
            with pytest.raises(http.client.RemoteDisconnected):
                _get(proxy)
        assert _get(proxy) == BODY
        assert due.matches == 2


@pytest.mark.parametrize("rewrite", [True, False])
def test_each_side_can_be_shown_its_own_address(server: _Server, rewrite: bool) -> None:
    own = f"{HOST}:{server.server_address[1]}"
    with Proxy(server.server_address[1], rewrite=rewrite) as proxy:
        answer, of_proxy = _post(proxy, b"rows").decode(), f"{HOST}:{proxy.port}"
    assert answer == f"http://{of_proxy if rewrite else own}/next"
    assert server.hosts[-1] == (own if rewrite else of_proxy)


def test_a_server_that_is_down_shows_as_a_reset() -> None:
    with socket.socket() as free:
        free.bind((HOST, 0))
        with (
            Proxy(free.getsockname()[1]) as proxy,
            pytest.raises(GONE),
        ):
            _get(proxy)
