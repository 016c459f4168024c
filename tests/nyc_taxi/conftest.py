"""Fixtures: an HTTP server whose answers a test scripts, and a folder for source files and their conversions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.nyc_taxi.support import Folder

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Source:
    """A server on 127.0.0.1: the answer for each path, and the requests it received."""

    url: str
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def serve(self, path: str, body: bytes, *, status: int = 200, announced: int | None = None, **headers: str) -> str:
        """Answer ``path`` with ``body``; ``announced`` overrides the Content-Length."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(status)
            request.send_header("Content-Length", str(len(body) if announced is None else announced))
            for name, value in headers.items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(body)

        return self.script(path, answer)

    def script(self, path: str, answer: Answer) -> str:
        """Answer ``path`` by calling ``answer``; return the URL."""
        self.answers[path] = answer
        return f"{self.url}{path}"


@pytest.fixture
def source() -> Iterator[Source]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.requests.append((self.path, dict(self.headers)))
            made.answers[self.path](self)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        made = Source(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.stopping.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)
