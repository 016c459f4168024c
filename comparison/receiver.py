"""The server that receives the alerts of both orchestrators, and keeps them for the checks."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from local.cloud.settings import HOST


@contextmanager
def receiver() -> Iterator[str]:
    """Run the server on a free port; yields its address.

    It keeps each POST of a JSON object; a GET returns all of them, oldest first.
    """
    posts: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            value = json.loads(body or b"{}")
            # Prefect's webhook block sends the text of its payload as a JSON string.
            posts.append(json.loads(value) if isinstance(value, str) else value)
            self._answer([])

        def do_GET(self) -> None:
            self._answer(posts)

        def _answer(self, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            # The client may have gone; its alert is kept.
            with suppress(BrokenPipeError, ConnectionResetError):
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with serving(Handler) as url:
        yield url


class Note(NamedTuple):
    """A request that came: its path, its headers and its body."""

    path: str
    headers: dict[str, str]
    body: bytes


@contextmanager
def note_taker(status: int) -> Iterator[tuple[str, list[Note]]]:
    """Run a server that answers each request with this HTTP code; yields its address and the requests so far."""
    seen: list[Note] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            is_packed = self.headers.get("Content-Encoding") == "gzip"
            seen.append(Note(self.path, dict(self.headers), gzip.decompress(body) if is_packed else body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with serving(Handler) as url:
        yield url, seen


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve HTTP with ``handler`` on a free port of this machine; yields the address."""
    server = ThreadingHTTPServer((HOST, 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
