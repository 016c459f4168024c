"""Requests that a web page, or what a page talks its browser into, could send to a server of the local stack."""

from __future__ import annotations

import socket
from collections.abc import Callable

Headers = list[tuple[str, str]]


def forged(port: int) -> dict[str, Headers]:
    """Return the headers of requests that must be refused, by what is wrong with them."""
    own = ("Host", f"127.0.0.1:{port}")
    hosts = [
        "evil.example",
        f"evil.example:{port}",
        f"127.0.0.1.evil.example:{port}",
        f"localhost.evil.example:{port}",
        f"127.0.0.1:{port}@evil.example",
        f"evil.example@127.0.0.1:{port}",
        f"user@127.0.0.1:{port}",
        f"127.0.0.1:{port + 1}",
        f"127.0.0.1:{port}0",
        "127.0.0.1",
        "127.0.0.1:",
        f"127.0.0.1.:{port}",
        f"localhost.:{port}",
        f"0.0.0.0:{port}",
        f"127.0.0.2:{port}",
        f"127.1:{port}",
        f"2130706433:{port}",
        f"0x7f.0.0.1:{port}",
        f"[::]:{port}",
        f"[::ffff:127.0.0.1]:{port}",
        f"[0:0:0:0:0:0:0:1]:{port}",
        f"::1:{port}",
        f"127.0.0.1:{port}, evil.example",
        f"127.0.0.1:{port}/evil.example",
        f"http://127.0.0.1:{port}",
        f"127.0.0.1:0{port}",
        "",
    ]
    origins = [
        "null",
        "",
        "http://evil.example",
        "https://evil.example",
        "http://127.0.0.1",
        f"http://127.0.0.1:{port + 1}",
        f"https://127.0.0.1:{port}",
        f"http://localhost:{port}",
        f"http://[::1]:{port}",
        f"http://127.0.0.1:{port}.evil.example",
        f"http://127.0.0.1:{port}/",
        f"http://127.0.0.1:{port} http://evil.example",
        "file://",
        "chrome-extension://abcdefghijklmnop",
    ]
    sites = ["cross-site", "same-site", "", "none, cross-site", "SAME-ORIGIN", "unknown"]
    return {
        **{f"host {host}": [("Host", host)] for host in hosts},
        "no host": [],
        "two hosts": [own, ("Host", "evil.example")],
        "two hosts, the other way round": [("Host", "evil.example"), own],
        "the same host twice": [own, own],
        **{f"origin {origin}": [own, ("Origin", origin)] for origin in origins},
        "two origins": [own, ("Origin", f"http://127.0.0.1:{port}"), ("Origin", "http://evil.example")],
        **{f"site {site}": [own, ("Sec-Fetch-Site", site)] for site in sites},
        "two sites": [own, ("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "cross-site")],
        "navigation from elsewhere": [
            own,
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Mode", "navigate"),
            ("Sec-Fetch-Dest", "document"),
        ],
        "forwarded for the own host": [("Host", "evil.example"), ("X-Forwarded-Host", own[1]), ("Forwarded", own[1])],
    }


def welcome(port: int) -> dict[str, Headers]:
    """Return the headers of requests that must be served."""
    return {
        "by address": [("Host", f"127.0.0.1:{port}")],
        "by name": [("Host", f"localhost:{port}")],
        "by IPv6 address": [("Host", f"[::1]:{port}")],
        "in capitals": [("Host", f"LocalHost:{port}")],
        "typed": [("Host", f"127.0.0.1:{port}"), ("Sec-Fetch-Site", "none")],
        "from its own page": [
            ("Host", f"localhost:{port}"),
            ("Origin", f"http://localhost:{port}"),
            ("Sec-Fetch-Site", "same-origin"),
        ],
    }


def exchange(port: int, request: bytes) -> bytes:
    """Send bytes to a server on 127.0.0.1, and return all that it answers until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(2**16):
            answer += part
        return answer


def ask(
    port: int, path: str, headers: Headers, *, method: str = "GET", version: str = "1.1", body: bytes = b""
) -> bytes:
    """Send one request with exactly these headers; return the answer."""
    lines = [f"{method} {path} HTTP/{version}", *(f"{name}: {value}" for name, value in headers), "Connection: close"]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return exchange(port, "\r\n".join([*lines, "", ""]).encode("latin-1") + body)


def status(answer: bytes) -> int:
    """Return the status of an answer."""
    return int(answer.split(b" ", 2)[1])


def statuses(port: int, path: str, cases: Callable[[int], dict[str, Headers]]) -> dict[str, int]:
    """Send every case; return the status of each answer."""
    return {name: status(ask(port, path, headers)) for name, headers in cases(port).items()}
