"""The ASGI application before fake-gcs-server: checks all names in a request, then passes it on.

Only the paths of the JSON API are passed on. fake-gcs-server knows more: the XML API, form uploads, batches of requests
and its own administration, each another way to name an object.

Bodies and answers are streamed. Connections to fake-gcs-server are blocking and used in worker threads, while this
thread's event loop serves the clients; measured with 20 MB, that is twice as fast as an asynchronous client.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
from collections.abc import AsyncIterable, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from local.cloud.gcs.backend import Backend
from local.cloud.gcs.metadata import (
    MAX_BYTES,
    BodyRefusedError,
    check_json,
    join_metadata,
    read_boundary,
    split_metadata,
)
from local.cloud.gcs.names import NameRefusedError, check_bucket, check_file, check_object, check_text
from local.cloud.gcs.preconditions import PreconditionFailedError, Preconditions, id_of_upload
from local.cloud.guard import Receive, Scope, Send, refusal_body

_PATH = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})+")
_BUCKETS = re.compile(r"/storage/v1/b/?")
_BUCKET = re.compile(r"/storage/v1/b/(?P<bucket>[^/]+)(?:/|/storageLayout|/acl(?:/[\w-]+)?|/o/?)?")
_OBJECT = re.compile(r"(?:/download)?/storage/v1/b/(?P<bucket>[^/]+)/o/(?P<object>.+)")
_UPLOAD = re.compile(r"/upload/storage/v1/b/(?P<bucket>[^/]+)/o/?")
_RESUMED = re.compile(r"/upload/resumable/[0-9A-Za-z]+")
_COPY = re.compile(r"(?P<source>.+)/(?:rewriteTo|copyTo)/b/(?P<bucket>[^/]+)/o/(?P<object>.+)")
_SUBRESOURCE = re.compile(r"(?P<object>.+)/(?:compose|acl(?:/[^/]+)?)")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_DROPPED = {
    *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
    *(b"content-length", b"expect", b"host", b"origin", b"forwarded", b"x-forwarded-proto", b"x-forwarded-host"),
    b"x-goog-upload-protocol",  # would start a resumable upload whatever the parameters say
}
_HOP_BY_HOP = {"connection", "keep-alive", "proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade"}
_ANSWER_CHUNK = 2**18
_UPLOAD_CHUNK = 2**20
"""Bytes that one thread sends at once; a client's parts are smaller, and to change threads costs more than to copy."""
_WORKERS = 64
_FROM_DISK = 2**20
"""Size in bytes from which the front reads a whole object from its file, while fake-gcs-server answers only for it."""


class _RefusedError(Exception):
    """A request is refused with a status and a message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _DisconnectedError(Exception):
    """The client has gone before its request was complete."""


class Front:
    """Serves the buckets in ``root`` by the fake-gcs-server ``backend``."""

    def __init__(self, backend: Backend, *, root: Path) -> None:
        self._backend = backend
        self._root = root
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="gcs")
        self._preconditions = Preconditions(self._generation)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the front serves HTTP, not {scope['type']}")
        try:
            request = await self._check(scope, _Body(scope, receive))
            upload_id = id_of_upload(request.path, urlencode(request.query)) if request.method == "PUT" else ""
            if self._preconditions.holds(upload_id):
                await request.body.hold()  # while the upload is the only one that may end, nothing waits for its client
                async with self._preconditions.met(upload_id):
                    await self._pass_on(request, send)
            elif not await self._send_from_disk(request, send):
                await self._pass_on(request, send)
        except _DisconnectedError:
            pass
        except (NameRefusedError, BodyRefusedError) as error:
            await _answer(send, 400, str(error))
        except PreconditionFailedError as error:
            await _answer(send, 412, str(error))
        except _RefusedError as error:
            await _answer(send, error.status, str(error))

    async def _check(self, scope: Scope, body: _Body) -> _Request:
        """Check all names in a request, and return what to pass on in its place."""
        path, query = _path(scope), _query(scope)
        if scope["method"] not in _METHODS:
            raise _RefusedError(405, f"the method {scope['method']} is not served; use {', '.join(_METHODS)}")
        names: list[tuple[str, str]] = []
        request = _Request(scope, path, query, body, names)
        if _BUCKETS.fullmatch(path) or _RESUMED.fullmatch(path):
            pass
        elif match := _OBJECT.fullmatch(path):
            names += _objects(check_bucket(unquote(match["bucket"])), match["object"])
        elif match := _BUCKET.fullmatch(path) or _UPLOAD.fullmatch(path):
            names.append((check_bucket(unquote(match["bucket"])), query.get("name", "")))
        else:
            raise _RefusedError(404, f"{path[:200]} is not served; use the JSON API of Cloud Storage, without batches")
        await self._check_body(request)
        for bucket, name in names:
            check_file(self._root, bucket, name)
        return request

    async def _check_body(self, request: _Request) -> None:
        """Replace the metadata in a request's body by what was read and checked here."""
        method, path, body = request.method, request.path, request.body
        if path.startswith("/upload/") and method == "PUT":
            return  # a part of an upload whose name was checked when it began
        upload_type = request.query.get("uploadType")
        if path.startswith("/upload/") and method == "POST" and upload_type != "resumable":
            if upload_type == "media":
                check_object(request.query.get("name", ""))
            elif upload_type == "multipart":
                await _check_multipart(request)
            else:
                raise _RefusedError(400, f"uploadType {upload_type!r} is not served; use media, multipart or resumable")
            return
        if path.startswith("/upload/") and method == "POST" and "upload_id" in request.query:
            raise _RefusedError(400, "a POST does not continue an upload; send its parts with PUT")
        if content := await body.read_all():
            bucket = request.names[0][0] if request.names else ""
            checked, objects = check_json(content, bucket=bucket, names_a_bucket=bool(_BUCKETS.fullmatch(path)))
            if path.startswith("/upload/") and not objects:
                check_object(request.query.get("name", ""))
            request.names += objects
            body.replace(checked)
        elif path.startswith("/upload/") and method == "POST":
            check_object(request.query.get("name", ""))

    async def _send_from_disk(self, request: _Request, send: Send) -> bool:
        """Send a large object from its file, with the headers that fake-gcs-server has for it; return whether it did.

        A third of the time that it takes through fake-gcs-server. What is not the plain content of one whole object is
        left to that.
        """
        if request.method != "GET" or len(request.names) != 1 or b"range" in dict(request.headers):
            return False
        if request.query.get("alt") != "media" and not request.path.startswith("/download/"):
            return False
        path = check_file(self._root, *request.names[0])
        with contextlib.suppress(OSError), path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_size < _FROM_DISK or path.is_dir():
                return False
            answer = await self._run(self._ask, request)
            # The open file keeps its inode from being used again: so the answer was about this file.
            if not os.path.samestat(status, path.stat()) or not _is_whole(answer, status.st_size):
                return False
            await send({"type": "http.response.start", "status": 200, "headers": _headers(answer)})
            while chunk := file.read(_ANSWER_CHUNK):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            return True
        return False

    def _ask(self, request: _Request) -> http.client.HTTPResponse:
        """Return the answer to the request as a HEAD."""
        connection = self._backend.connect()
        _begin(connection, request, method="HEAD")
        answer = connection.getresponse()
        answer.read()
        self._backend.release(connection)
        return answer

    async def _generation(self, bucket: str, name: str) -> int:
        """Return the generation of an object; 0 if it does not exist."""

        def ask() -> int:
            connection = self._backend.connect()
            connection.request("GET", f"/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}")
            answer = connection.getresponse()
            content = answer.read()
            self._backend.release(connection)
            return int(json.loads(content)["generation"]) if answer.status == 200 else 0

        return await self._run(ask)

    async def _pass_on(self, request: _Request, send: Send) -> None:
        connection = await self._run(self._backend.connect)
        try:
            answer, chunk = await self._exchange(connection, request)
            if location := answer.getheader("location"):
                self._preconditions.begin(request.query, *request.names[-1], location)
            await send({"type": "http.response.start", "status": answer.status, "headers": _headers(answer)})
            while chunk:
                following = self._run(answer.read, _ANSWER_CHUNK)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                chunk = await following
            if answer.length:
                raise http.client.IncompleteRead(b"", answer.length)  # uvicorn then cuts the client's connection
            await send({"type": "http.response.body", "body": b""})
        except BaseException:
            connection.close()  # in the midst of a request or an answer, it serves no other
            raise
        self._backend.release(connection)

    async def _exchange(
        self, connection: http.client.HTTPSConnection, request: _Request
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Send a request; return the answer, and the start of its body."""

        def finish() -> tuple[http.client.HTTPResponse, bytes]:
            answer = connection.getresponse()
            return answer, answer.read(_ANSWER_CHUNK)

        try:
            await self._run(_begin, connection, request)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before the end
                await self._send_body(connection, request.body)
            return await self._run(finish)
        except (OSError, http.client.HTTPException) as error:
            raise _RefusedError(502, f"fake-gcs-server does not answer: {error!r}; see its log") from error

    async def _send_body(self, connection: http.client.HTTPSConnection, body: _Body) -> None:
        """Send the body, reading the next part from the client while the last is on its way."""
        chunked = body.exists and body.length is None
        sending: asyncio.Future[None] | None = None
        try:
            async for data in _gathered(body, _UPLOAD_CHUNK):
                if sending is not None:
                    await sending
                sending = self._run(connection.send, b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
        finally:
            if sending is not None:
                await sending
        if chunked:
            await self._run(connection.send, b"0\r\n\r\n")

    def _run(self, function: Any, *arguments: Any) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)


class _Body:
    """The body of a request, whose start can be read and replaced before the whole is passed on."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers = dict(scope["headers"])
        given = headers.get(b"content-length")
        self.length = int(given) if given is not None else None
        self.exists = given is not None or b"transfer-encoding" in headers
        self._receive = receive
        self._start = b""
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
        return self._complete

    async def hold(self) -> None:
        """Read the whole body, to be passed on from memory."""
        parts = [self._start]
        while not self._complete:
            parts.append(await self._next())
        self._start = b"".join(parts)

    def replace(self, start: bytes, *, consumed: int | None = None) -> None:
        """Put ``start`` in place of the first ``consumed`` bytes, or of all, of what was read."""
        old = len(self._start) if consumed is None else consumed
        self._start = start + self._start[old:]
        if self.length is not None:
            self.length += len(start) - old

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._start:
            yield self._start
            self._start = b""
        while not self._complete:
            if part := await self._next():
                yield part

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise _DisconnectedError
        self._complete = not message.get("more_body")
        return message.get("body", b"")


class _Request:
    """What is passed on: the method, the path as it came, the query, headers and body as they were read here."""

    def __init__(
        self, scope: Scope, path: str, query: dict[str, str], body: _Body, names: list[tuple[str, str]]
    ) -> None:
        self.method: str = scope["method"]
        self.path = path
        self.query = query
        self.body = body
        self.names = names
        self.headers: list[tuple[bytes, bytes]] = [
            (name, value) for name, value in scope["headers"] if name not in _DROPPED and not name.startswith(b"sec-")
        ]
        # With these two, the links in answers lead back to where the client's request went.
        self.headers += [(b"host", dict(scope["headers"])[b"host"]), (b"x-forwarded-proto", b"http")]

    @property
    def target(self) -> str:
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path

    def content_type(self) -> str:
        return dict(self.headers).get(b"content-type", b"").decode("latin-1")

    def set_content_type(self, value: str) -> None:
        self.headers = [(name, old) for name, old in self.headers if name != b"content-type"]
        self.headers.append((b"content-type", value.encode("latin-1")))


async def _gathered(parts: AsyncIterable[bytes], size: int) -> AsyncIterator[bytes]:
    """Yield ``parts`` joined to at least ``size`` bytes, but for the last."""
    gathered = bytearray()
    async for part in parts:
        gathered += part
        if len(gathered) >= size:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


def _path(scope: Scope) -> str:
    """Return the path as the client sent it, still percent-encoded.

    Raises:
        NameRefusedError: it could mean another path to fake-gcs-server.
    """
    path = scope["raw_path"].decode("latin-1")
    if not path.startswith("/") or not _PATH.fullmatch(path):
        raise NameRefusedError(f"the path {path[:200]!a} has characters that must be percent-encoded")
    check_text(path)
    return str(path)


def _query(scope: Scope) -> dict[str, str]:
    """Return the parameters, each of them once.

    Raises:
        NameRefusedError: one of them could name something outside of its bucket.
    """
    try:
        pairs = parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise NameRefusedError(f"the query is not percent-encoded UTF-8: {error}") from error
    for key, value in pairs:
        if key == "name":
            check_object(value)
        check_text(key)
        check_text(value)
    query = dict(pairs)
    if len(query) < len(pairs):
        raise NameRefusedError("a parameter of the query appears twice; send each once")
    return query


def _objects(bucket: str, rest: str) -> list[tuple[str, str]]:
    """Return the objects that the end of a path names: one, or the source and the destination of a copy."""
    check_object(unquote(rest))
    if len(re.findall(r"/(?:rewriteTo|copyTo)/b/", rest)) > 1:
        raise NameRefusedError("the path names more than one copy; percent-encode the slashes in object names")
    if match := _COPY.fullmatch(rest):
        pairs = [(bucket, match["source"]), (check_bucket(unquote(match["bucket"])), match["object"])]
    elif match := _SUBRESOURCE.fullmatch(rest):
        pairs = [(bucket, rest), (bucket, match["object"])]
    else:
        pairs = [(bucket, rest)]
    return [(each, check_object(unquote(name))) for each, name in pairs]


async def _check_multipart(request: _Request) -> None:
    """Check the metadata of a multipart upload, and put what was checked in its place."""
    boundary = read_boundary(request.content_type())
    start = await request.body.read_more()
    while (found := split_metadata(start, boundary)) is None:
        if request.body.complete or len(start) > MAX_BYTES:
            raise BodyRefusedError(f"the multipart body has no metadata in its first {MAX_BYTES} bytes; send it first")
        start = await request.body.read_more()
    content, consumed = found
    checked, objects = check_json(content, bucket=request.names[0][0])
    if not objects and "name" not in request.query:
        raise BodyRefusedError("neither the metadata nor the query names the object; add its name")
    request.names += objects
    request.body.replace(join_metadata(checked, boundary), consumed=consumed)
    request.set_content_type(f'multipart/related; boundary="{boundary}"')


def _begin(connection: http.client.HTTPSConnection, request: _Request, *, method: str = "") -> None:
    connection.putrequest(method or request.method, request.target, skip_host=True, skip_accept_encoding=True)
    for name, value in request.headers:
        connection.putheader(name.decode("latin-1"), value)
    if request.body.length is not None:
        connection.putheader("content-length", str(request.body.length))
    elif request.body.exists:
        connection.putheader("transfer-encoding", "chunked")
    connection.endheaders()


def _headers(answer: http.client.HTTPResponse) -> list[tuple[bytes, bytes]]:
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in answer.getheaders()
        if name.lower() not in _HOP_BY_HOP
    ]


def _is_whole(answer: http.client.HTTPResponse, size: int) -> bool:
    return (
        answer.status == 200
        and answer.getheader("content-length") == str(size)
        and answer.getheader("content-encoding") is None
    )


async def _answer(send: Send, status: int, message: str) -> None:
    """Answer without having read the body, and end the connection, which may still carry it."""
    body = refusal_body(status, message)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
