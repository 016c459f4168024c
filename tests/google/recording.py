"""Records the HTTP requests that a DAG's tasks send to Google's services, here to the embedded ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import h11

from tests.faults.proxy import Proxy


@dataclass(frozen=True)
class Request:
    """One request to one of Google's services.

    Attributes:
        service: ``storage`` or ``bigquery``.
        method: of HTTP.
        path: without the query, as it was sent.
        query: the parameters of the URL.
        body: the JSON that it carries; None without one.
        media: the content types of the bytes that it carries beside.
        is_part: whether it asks for a part of an object only.
        sent_range: which bytes of how many it carries, as the client writes it; empty if it does not say.
    """

    service: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: Any = None
    media: tuple[str, ...] = ()
    is_part: bool = False
    sent_range: str = ""

    @property
    def is_continued(self) -> bool:
        """Return whether it goes on with an upload in parts, at the address that the first answer gave."""
        return self.method == "PUT" and "upload_id" in dict(self.query)


@dataclass
class _Connection:
    """What one client has sent on one connection."""

    parser: h11.Connection = field(default_factory=lambda: h11.Connection(h11.SERVER))
    head: h11.Request | None = None
    content: bytearray = field(default_factory=bytearray)

    def feed(self, chunk: bytes) -> Iterator[tuple[h11.Request, bytes]]:
        """Take a chunk; yields each request that it completes, and its content."""
        self.parser.receive_data(chunk)
        while (event := self.parser.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            if isinstance(event, h11.Request):
                self.head, self.content = event, bytearray()
            elif isinstance(event, h11.Data):
                self.content += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert self.head is not None
                yield self.head, bytes(self.content)
                # The parser takes the next request only once this one has been answered; the proxy's server does that.
                self.parser.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                self.parser.send(h11.EndOfMessage())
                if self.parser.our_state is h11.DONE and self.parser.their_state is h11.DONE:
                    self.parser.start_next_cycle()
            else:
                return


@contextmanager
def recorded(proxies: dict[str, Proxy]) -> Iterator[list[Request]]:
    """Record what passes proxies during the block.

    Args:
        proxies: the proxy of each service, by the service's name.
    """
    requests: list[Request] = []
    connections: dict[tuple[str, int], _Connection] = {}

    def tap(service: str, number: int, chunk: bytes) -> None:
        connection = connections.setdefault((service, number), _Connection())
        requests.extend(_request(service, head, content) for head, content in connection.feed(chunk))

    for service, proxy in proxies.items():
        proxy.tap = lambda number, chunk, service=service: tap(service, number, chunk)  # type: ignore[misc]
    try:
        yield requests
    finally:
        for proxy in proxies.values():
            proxy.tap = None


def _request(service: str, head: h11.Request, content: bytes) -> Request:
    url = urlsplit(head.target.decode())
    query = tuple(sorted(parse_qsl(url.query, keep_blank_values=True)))
    headers = dict(head.headers)
    body, media = _content(headers.get(b"content-type", b"").decode(), content)
    sent_range = headers.get(b"content-range", b"").decode()
    return Request(service, head.method.decode(), url.path, query, body, media, b"range" in headers, sent_range)


def _content(kind: str, content: bytes) -> tuple[Any, tuple[str, ...]]:
    """Return the JSON of a body, and the types of the bytes that come with it."""
    if kind.startswith("multipart/"):
        parts = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + content).get_payload()
        assert isinstance(parts, list)
        found = [(part.get_content_type(), part.get_payload(decode=False)) for part in parts]
        bodies = [json.loads(text) for type_, text in found if type_ == "application/json"]
        return bodies[0], tuple(type_ for type_, _ in found if type_ != "application/json")
    if kind.startswith("application/json"):
        return json.loads(content) if content else None, ()
    return None, (kind,) if content else ()
