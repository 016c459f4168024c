"""Takes what is posted to it and gives it back: where both orchestrators send their alerts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from local.cloud.settings import HOST


@contextmanager
def receiver() -> Iterator[str]:
    """A server on a free port, for the time of the block; yields its address.

    A POST of a JSON object is kept; a GET returns all of them, oldest first.
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
            # Who asked may be gone by now; what it sent is kept.
            with suppress(BrokenPipeError, ConnectionResetError):
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
