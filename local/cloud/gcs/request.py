"""A request as the front passes it on: method, path, parameters, headers and body, all of which it may replace."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlencode

from local.cloud.gcs.checksums import Content
from local.cloud.gcs.errors import RefusedError
from local.cloud.gcs.metadata import MAX_BYTES, BodyRefusedError
from local.cloud.guard import Message, Receive, Scope

_DROPPED = {
    *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
    *(b"content-length", b"expect", b"host", b"origin", b"forwarded", b"x-forwarded-proto", b"x-forwarded-host"),
    *(b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"),  # the front decides on them
    b"x-goog-upload-protocol",  # would start a resumable upload whatever the parameters say
}


class DisconnectedError(Exception):
    """The client has gone before its request was complete."""


class Body:
    """The body of a request, whose start can be read and replaced before the whole is passed on."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers = dict(scope["headers"])
        given = headers.get(b"content-length")
        self.length = int(given) if given is not None else None
        self.exists = given is not None or b"transfer-encoding" in headers
        self._receive = receive
        self._start = b""
        self._end = b""
        self._complete = not self.exists

    async def read_more(self) -> bytes:
        """Read one more part, and return all that was read so far."""
        self._start += await self._next()
        return self._start

    async def read_all(self) -> bytes:
        """Read a small body to its end.

        Raises:
            BodyRefusedError: it is larger than 1 MiB.
        """
        while not self._complete:
            if len(await self.read_more()) > MAX_BYTES:
                raise BodyRefusedError(f"the metadata is longer than {MAX_BYTES} bytes; shorten it")
        return self._start

    @property
    def complete(self) -> bool:
        """Whether the client has sent all of it."""
        return self._complete

    @property
    def known(self) -> bytes:
        """What has been read and not yet been passed on; all of it, if it is complete."""
        return self._start + self._end

    def replace(self, start: bytes, *, consumed: int | None = None) -> None:
        """Put ``start`` in place of the first ``consumed`` bytes, or of all, of what was read."""
        old = len(self._start) if consumed is None else consumed
        self._start = start + self._start[old:]
        if self.length is not None:
            self.length += len(start) - old

    def enclose(self, start: bytes, end: bytes) -> None:
        """Put ``start`` before it and ``end`` behind it."""
        self.replace(start, consumed=0)
        self._end = end
        self.exists = True
        if self.length is not None:
            self.length += len(end)
        elif self._complete:
            self.length = len(self._start) + len(end)

    async def skip(self, number: int) -> None:
        """Leave out its first ``number`` bytes."""
        while len(self._start) < number and not self._complete:
            await self.read_more()
        self.replace(b"", consumed=number)

    async def parts(self, size: int) -> AsyncIterator[tuple[bytes, bool]]:
        """Yield the body in parts of at least ``size`` bytes, but for the last, each with whether it is the last.

        A part is yielded when the next one has begun to arrive, or the body has ended. An empty body has no parts.
        """
        gathered, part = bytearray(self._start), b""
        self._start = b""
        while not self._complete:
            following = await self._next()
            if following and len(gathered) >= size:
                part = bytes(gathered)
                gathered.clear()
                yield part, False
            gathered += following
        gathered += self._end
        if gathered:
            yield bytes(gathered), True

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        self._complete = not message.get("more_body")
        return bytes(message.get("body", b""))


class Request:
    """What is passed on: the method, the path as it came, the parameters, headers and body as they were read here.

    Attributes:
        operation: what the client asks for; see :mod:`local.cloud.gcs.parameters`.
        names: bucket and name of all objects that the request names; an empty name stands for the bucket.
        resource: the metadata of the object or bucket that it writes.
        content: what looks at the content that it uploads.
    """

    def __init__(self, scope: Scope, operation: str, path: str, query: dict[str, str], body: Body) -> None:
        self.method: str = scope["method"]
        self.operation = operation
        self.path = path
        self.query = query
        self.body = body
        self.names: list[tuple[str, str]] = []
        self.resource: dict[str, Any] = {}
        self.content: Content | None = None
        self.given = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.headers: list[tuple[bytes, bytes]] = [
            (name, value) for name, value in scope["headers"] if name not in _DROPPED and not name.startswith(b"sec-")
        ]
        # With these two, the links in answers lead back to where the client's request went.
        self.headers += [(b"host", dict(scope["headers"])[b"host"]), (b"x-forwarded-proto", b"http")]

    @property
    def target(self) -> str:
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path

    @property
    def is_download(self) -> bool:
        """Whether it asks for an object's content."""
        return self.operation == "get" and (
            self.method == "HEAD" or self.query.get("alt") == "media" or self.path.startswith("/download/")
        )

    def content_type(self) -> str:
        return self.given.get("content-type", "")

    def set_header(self, name: str, value: str) -> None:
        self.headers = [(old, kept) for old, kept in self.headers if old != name.encode()]
        self.headers.append((name.encode(), value.encode("latin-1")))

    def derived(self, path: str, query: dict[str, str]) -> Request:
        """Return a GET without a body, for the same client."""
        other = copy.copy(self)
        other.method, other.path, other.query = "GET", path, query
        other.body = Body({"headers": ()}, _receive_nothing)
        other.headers = [header for header in self.headers if header[0] in (b"host", b"x-forwarded-proto")]
        return other


async def _receive_nothing() -> Message:
    return {"type": "http.disconnect"}


def boolean(query: Mapping[str, str], name: str) -> bool:
    """Return a parameter that is ``true`` or ``false``; false if it is not there.

    Raises:
        RefusedError: it is neither.
    """
    value = query.get(name, "false")
    if value.lower() not in ("true", "false"):
        raise RefusedError(400, f"{name}={value!r} is neither true nor false")
    return value.lower() == "true"


def number(query: Mapping[str, Any], name: str) -> int | None:
    """Return a parameter that is a whole number of 0 or more; None if it is not there.

    Raises:
        RefusedError: it is no such number.
    """
    if (value := query.get(name)) is None:
        return None
    text = str(value)
    if not (text.isascii() and text.isdecimal()):
        raise RefusedError(400, f"{name}={text[:100]!r} is not a whole number of 0 or more")
    return int(text)
