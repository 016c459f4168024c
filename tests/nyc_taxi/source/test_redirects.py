"""Where redirects may lead, and what goes with them."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import requests

from nyc_taxi.source import addresses
from nyc_taxi.source.addresses import AddressGuard, PrivateAddressError, is_public, may_be_private
from nyc_taxi.source.connections import SourceAdapter
from nyc_taxi.source.download import announcement, download
from nyc_taxi.source.errors import PermanentSourceError
from nyc_taxi.source.request import Limits
from tests.attacks.promises import attack

pytestmark = attack("a-source-leads-nowhere-else")

PATH = "/green/green_tripdata_2021-01.csv.gz"
LIMITS = Limits(pause_seconds=0.001)


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False
        yield made


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "run" / "file.csv.gz"


def _refusal(session: requests.Session, url: str, target: Path) -> str:
    with pytest.raises(PermanentSourceError) as caught:
        download(session, url, target, limits=LIMITS)
    with pytest.raises(PermanentSourceError) as of_the_sensor:
        announcement(session, url, limits=LIMITS)
    assert str(of_the_sensor.value) == str(caught.value)
    assert list(target.parent.iterdir()) == []
    return str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_five_redirects_are_followed(source, session, target: Path, status: int) -> None:
    url = source.serve("/0", b"", status=status, Location="/1")
    for at in range(1, 5):
        source.serve(f"/{at}", b"", status=status, Location=f"{source.url}/{at + 1}")
    source.serve("/5", b"the file")
    assert download(session, url, target, limits=LIMITS).size == 8


def test_a_circle_fails_at_once_and_says_so(source, session, target: Path) -> None:
    url = source.serve(PATH, b"", status=302, Location=PATH)
    assert _refusal(session, url, target) == (
        f"the source redirects {url} more than 5 times, perhaps in a circle; open the address in a browser and set the "
        "connection's host to where the files are"
    )
    assert len(source.requests) == 2 * 6


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "gopher://127.0.0.1:70/_x",
        "https://",
        "http://[::1",
        "http://x:99999/",
    ],
)
def test_a_redirect_leads_only_to_the_web(source, session, target: Path, location: str) -> None:
    url = source.serve(PATH, b"", status=302, Location=location)
    shown = f"the source redirects {url} to {location}, which is no address of the web; tell the source's operator"
    assert _refusal(session, url, target) == shown


def test_the_address_of_a_redirect_cannot_write_to_the_terminal_nor_show_a_signature(
    source, session, target: Path
) -> None:
    url = source.serve(PATH, b"", status=302, Location="ftp://y/\x1b[2J?signature=secret")
    message = _refusal(session, url, target)
    assert r"to ftp://y/\x1b[2J, which is no address" in message
    assert "secret" not in message


def test_a_redirect_does_not_leave_https(session, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def send(adapter: SourceAdapter, request: requests.PreparedRequest, **_: object) -> requests.Response:
        response = requests.Response()
        response.status_code, response.url, response.raw = 302, str(request.url), io.BytesIO()
        response.headers["Location"] = "http://example.com/x"
        return response

    monkeypatch.setattr(SourceAdapter, "send", send)
    assert "from https to http, where anybody on the way" in _refusal(session, "https://example.com/a", target)


def test_the_body_of_a_redirect_is_not_read(source, session, target: Path) -> None:
    """The redirect is followed while its body has not even begun."""
    followed = threading.Event()

    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", "/file")
        request.send_header("Content-Length", "1000000000")
        request.end_headers()
        assert followed.wait(60)

    def file(request: BaseHTTPRequestHandler) -> None:
        followed.set()
        request.wfile.write(b"HTTP/1.0 200 OK\r\n\r\nthe file")

    source.script("/file", file)
    assert download(session, source.script(PATH, endless), target, limits=LIMITS).size == 8
    assert [path for path, _ in source.requests] == [PATH, "/file"]


def test_the_login_of_the_source_does_not_go_to_another_host(source, session, target: Path) -> None:
    session.auth = ("user", "password")
    session.headers["X-Token"] = "secret"
    elsewhere = source.url.replace("127.0.0.1", "localhost")
    # The login is not sent again even if the other host redirects back.
    source.serve("/file", b"the file")
    source.serve("/there", b"", status=302, Location=f"{source.url}/file")
    source.serve("/here", b"", status=302, Location=f"{elsewhere}/there")
    url = source.serve(PATH, b"", status=302, Location="/here")
    download(session, url, target, limits=LIMITS)
    sent = {path: ("Authorization" in headers, "X-Token" in headers) for path, headers in source.requests}
    assert sent == {PATH: (True, True), "/here": (True, True), "/there": (False, False), "/file": (False, False)}
    assert {headers["Accept-Encoding"] for _, headers in source.requests} == {"identity"}


# Addresses


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808",
        "2002:7f00:1::", "2002:a00:1::1", "::10.0.0.1", "::ffff:0:10.0.0.1", "fec0::1",
    ],
)  # fmt: skip
def test_an_address_of_no_public_network(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "140.82.112.3", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
)
def test_an_address_of_the_public_internet(address: str) -> None:
    assert is_public(address)


def _public(monkeypatch: pytest.MonkeyPatch, *answers: bool) -> None:
    """Let the addresses of this machine count as public, or not, in the order in which they are looked at."""
    left = iter(answers)
    monkeypatch.setattr(addresses, "is_public", lambda _: next(left))


def test_a_private_source_redirects_within_its_network(source, session, target: Path) -> None:
    source.serve("/file", b"the file")
    url = source.serve(PATH, b"", status=302, Location=f"{source.url.replace('127.0.0.1', 'localhost')}/file")
    assert download(session, url, target, limits=LIMITS).size == 8


def test_a_public_source_does_not_lead_into_a_private_network(
    source, session, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = source.serve(PATH, b"", status=302, Location="http://127.0.0.2/inside")
    _public(monkeypatch, True, False)  # the source; what the redirect's host resolves to
    with pytest.raises(PermanentSourceError) as caught:
        download(session, url, target, limits=LIMITS)
    assert str(caught.value) == (
        f"the source leads from {url} into a private network: 127.0.0.2 has the address 127.0.0.2, which is not "
        "public. If that is meant, set the connection's host to that address"
    )
    assert [path for path, _ in source.requests] == [PATH]


@pytest.mark.parametrize(
    ("host", "private"),
    [
        *((name, False) for name in ("github.com", "mirror.example", "a.b.org.", "local.com", "127.1", "xn--p1ai.rf")),
        *((name, True) for name in ("127.0.0.1", "8.8.8.8", "::1", "fe80::1%eth0", "source", "localhost", "")),
        *((name, True) for name in ("gcs.local", "x.SVC", "a.ns.svc.cluster.local", "db.internal.", "nas.home.arpa")),
    ],
)
def test_the_name_says_whether_a_source_may_be_in_a_private_network(host: str, private: bool) -> None:
    assert may_be_private(host) is private


@pytest.fixture
def rebound(source, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A function that serves a path under a public name; the name leads to this machine."""
    real = socket.getaddrinfo

    def resolve(host: str, *arguments: Any, **options: Any) -> Any:
        return real("127.0.0.1" if host == "mirror.example" else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return lambda: source.serve(PATH, b"the file").replace("127.0.0.1", "mirror.example")


def test_a_public_name_leads_to_no_private_address_whatever_it_has_led_to_before(
    source, target: Path, rebound: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each task has a session of its own, and none knows what another has seen."""
    url = rebound()
    for public in (True, False):
        with requests.Session() as session, monkeypatch.context() as patch:
            session.trust_env = False
            if public:
                patch.setattr(addresses, "is_public", lambda _: True)
                assert download(session, url, target, limits=LIMITS).size == 8
                continue
            with pytest.raises(PermanentSourceError) as caught:
                download(session, url, target, limits=LIMITS)
    assert str(caught.value) == (
        f"the source leads from {url} into a private network: mirror.example has the address 127.0.0.1, which is not "
        "public. If that is meant, set private in the connection's extra to true"
    )
    assert len(source.requests) == 1


def test_the_operator_can_say_that_a_source_is_in_a_private_network(
    session, target: Path, rebound: Callable[..., str]
) -> None:
    SourceAdapter.of(session).guard = AddressGuard(private=True)
    assert download(session, rebound(), target, limits=LIMITS).size == 8


def test_a_name_that_resolves_to_another_address_when_it_is_connected_to_gets_no_request(
    source, session, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = source.serve(PATH, b"", status=302, Location=f"{source.url}/inside")
    source.serve("/inside", b"the file")
    _public(monkeypatch, True, True, False)  # the source; what the name resolves to; what is connected to
    with pytest.raises(PermanentSourceError, match="into a private network"):
        download(session, url, target, limits=LIMITS)
    assert [path for path, _ in source.requests] == [PATH]


def test_a_resumption_does_not_follow_the_name_into_a_private_network(
    source, session, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = source.serve(PATH, b"the fi", announced=8, ETag='"5f2a"')
    _public(monkeypatch, True, False)
    with pytest.raises(PermanentSourceError, match="into a private network"):
        download(session, url, target, limits=LIMITS)
    assert len(source.requests) == 1


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("169.254.169.254", r"169\.254\.169\.254 has the address 169\.254\.169\.254"),
        *(
            (name, f"{name} is no name of the public DNS")
            for name in ("jenkins", "metadata.internal", "vault.corp", "nas.home.arpa")
        ),
    ],
)
def test_behind_a_proxy_the_name_decides(
    source, session, target: Path, monkeypatch: pytest.MonkeyPatch, host: str, why: str
) -> None:
    def forward(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", f"http://{host}/latest/meta-data/")
        request.end_headers()

    source.script("http://mirror.example/file", forward)
    session.proxies = {"http": source.url}
    real = socket.getaddrinfo

    def unresolved(host: str, *arguments: object, **options: object) -> object:
        if host[0].isalpha():  # only the proxy knows names
            raise socket.gaierror("not known here")
        return real(host, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    with pytest.raises(PermanentSourceError, match=why):
        download(session, "http://mirror.example/file", target, limits=LIMITS)
    assert len(source.requests) == 1


def test_a_private_source_may_lead_to_a_public_host_and_be_asked_again(
    source, session, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = source.serve(PATH, b"", status=302, Location="/outside")
    source.serve("/outside", b"the fi")
    _public(monkeypatch, False, True, False, True)
    # The length differs from the announced one, so the source is asked again.
    assert download(session, url, target, announced="length=8", limits=LIMITS).size == 6
    assert [path for path, _ in source.requests] == 2 * [PATH, "/outside"]


def test_a_request_that_has_reached_a_public_address_does_not_go_back() -> None:
    guard = AddressGuard()
    guard.begin("local")
    guard.check_connected("local", "10.0.0.1")
    guard.check_connected("mirror", "8.8.8.8")
    with pytest.raises(PrivateAddressError):
        guard.check_connected("local", "10.0.0.1")
