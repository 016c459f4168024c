"""The ASGI application before fake-gcs-server: checks a request, passes it on, and does what that server cannot.

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
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, unquote, urlsplit

from local.cloud import disk
from local.cloud.gcs import attributes, resources
from local.cloud.gcs.backend import Backend
from local.cloud.gcs.checksums import Content, MultipartContent, check_type
from local.cloud.gcs.conditions import (
    Turns,
    check_conditions,
    check_entity_tags,
    has_entity_tags,
    take_conditions,
    take_source_conditions,
)
from local.cloud.gcs.errors import NO_BUCKET, NOT_EMPTY, OWN_BUCKET, RefusedError, no_such_object
from local.cloud.gcs.listing import select
from local.cloud.gcs.metadata import (
    MAX_BYTES,
    BodyRefusedError,
    check_json,
    join_metadata,
    read_boundary,
    split_metadata,
)
from local.cloud.gcs.names import NameRefusedError, check_bucket, check_file, check_object, check_text
from local.cloud.gcs.parameters import find_operation
from local.cloud.gcs.request import Body, DisconnectedError, Request
from local.cloud.gcs.uploads import Upload, Uploads, read_part
from local.cloud.guard import Receive, Scope, Send

_PATH = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})+")
_COPY = re.compile(r"(?P<source>.+)/(?P<kind>rewriteTo|copyTo)/b/(?P<bucket>[^/]+)/o/(?P<object>.+)")
_HOP_BY_HOP = {"connection", "keep-alive", "proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade"}
_NOT_PASSED_ON = {*_HOP_BY_HOP, "date"}
"""Headers of an answer that the server before the front sets itself."""
_ANSWER_CHUNK = 2**18
_UPLOAD_CHUNK = 2**20
"""Bytes that one thread sends at once; a client's parts are smaller, and to change threads costs more than to copy."""
_WORKERS = 64
_FROM_DISK = 2**20
"""Size in bytes from which the front reads a whole object from its file, while fake-gcs-server answers only for it."""
_INCOMPLETE = 308
"""Status that asks a client for the rest of an upload."""
_CANCELLED = 499
_MAX_SOURCES = 32
"""Most objects that one request composes."""
_NAME = "Cloud Storage"
_NO_ROOM = 507
"""Status of a write to a full disk. Clients do not repeat it, as they would the 500 of fake-gcs-server for minutes."""


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: list[tuple[bytes, bytes]]
    content: bytes


class Front:
    """Serves the buckets in ``root`` by the fake-gcs-server ``backend``."""

    def __init__(self, backend: Backend, *, root: Path) -> None:
        self._backend = backend
        self._root = root
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="gcs")
        self._turns = Turns()
        self._uploads = Uploads()
        # Generations of deleted objects that are later than the clock was then: it had been set back.
        self._deleted: dict[tuple[str, str], int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the front serves HTTP, not {scope['type']}")
        try:
            request = await self._check(scope, Body(scope, receive))
            await self._serve(request, send)
        except DisconnectedError:
            pass
        except (NameRefusedError, BodyRefusedError) as error:
            await _refuse(scope, send, RefusedError(400, str(error)))
        except RefusedError as error:
            await _refuse(scope, send, error)
        except OSError as error:
            if error.errno not in disk.ERRORS:
                raise
            await _refuse(scope, send, RefusedError(_NO_ROOM, disk.advice(_NAME, self._root)))

    async def _serve(self, request: Request, send: Send) -> None:
        match request.operation:
            case "list_buckets" | "list_objects":
                await self._list(request, send)
            case "create_bucket":
                await self._create_bucket(request, send)
            case "get_bucket":
                await _send(send, self._complete_bucket(await self._fetch(request)))
            case "get_layout":
                await _send(send, self._layout(request.names[0][0]))
            case "delete_bucket":
                await self._delete_bucket(request, send)
            case "get":
                await self._get(request, send)
            case "change":
                await self._change(request, send)
            case "continue_upload":
                await self._continue_upload(request, send)
            case "cancel_upload":
                self._uploads.cancel(request.query.get("upload_id", ""))
                await _send(send, _Answer(_CANCELLED, [], b""))
            case "upload" if request.query["uploadType"] == "resumable":
                await self._begin_upload(request, send)
            case "upload" | "copy" | "compose" | "delete":
                await self._write(request, send, take_conditions(request.query))
            case _:
                await _send(send, await self._fetch(request))

    # --- What a request may be

    async def _check(self, scope: Scope, body: Body) -> Request:
        """Check all names in a request, and return what to pass on in its place."""
        path, query = _path(scope), _query(scope)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        operation, match = find_operation(scope["method"], path, query, headers)
        request = Request(scope, operation.name, path, query, body)
        parts = match.groupdict()
        if "object" in parts:
            request.path, request.names = _objects(path, check_bucket(unquote(parts["bucket"])), parts["object"])
        elif "bucket" in parts:
            request.names = [(check_bucket(unquote(parts["bucket"])), query.get("name", ""))]
        await self._check_body(request)
        for bucket, name in request.names:
            check_file(self._root, bucket, name)
            if not (self._root / bucket).is_dir():
                raise RefusedError(404, NO_BUCKET)
        return request

    async def _check_body(self, request: Request) -> None:
        """Replace the metadata in a request's body by what was read and checked here."""
        body, is_upload = request.body, request.operation == "upload"
        kind = request.query.get("uploadType")
        if request.operation == "continue_upload":
            return  # a part of an upload whose name was checked when it began
        if is_upload and kind == "media":
            check_object(request.query.get("name", ""))
            _make_multipart(request)
        elif is_upload and kind == "multipart":
            await _check_multipart(request)
        elif is_upload and kind != "resumable":
            raise RefusedError(400, f"uploadType {kind!r} is not served; use media, multipart or resumable")
        elif content := await body.read_all():
            bucket = request.names[0][0] if request.names else ""
            is_bucket = request.operation == "create_bucket"
            checked, objects = check_json(content, bucket=bucket, names_a_bucket=is_bucket)
            request.resource = resources.read(request.operation, json.loads(checked))
            if is_upload and not objects:
                check_object(request.query.get("name", ""))
            if request.operation == "compose":
                objects = [*objects, *request.names]  # the object that is written is the last
            request.names += objects
            body.replace(checked)
        elif is_upload:
            check_object(request.query.get("name", ""))

    def _check_place(self, bucket: str, name: str) -> None:
        """Check that an object of this name can be a file.

        Raises:
            RefusedError: it cannot.
        """
        if name.endswith("/"):
            raise RefusedError(
                400,
                f"{name[:200]!r} ends in '/', and an object here is a file; folders need not be created",
            )
        path = check_file(self._root, bucket, name)
        below = [parent for parent in path.parents[: name.count("/")] if parent.is_file()]
        if below or path.is_dir():
            other = below[0].name if below else name
            raise RefusedError(
                400,
                f"{name[:200]!r} cannot be stored: {other[:200]!r} is an object and would be a folder too, and here "
                "objects are files; use another name",
            )

    # --- What the front does itself

    async def _list(self, request: Request, send: Send) -> None:
        """Answer with a page of objects or buckets."""
        prefix = {"prefix": request.query["prefix"]} if request.query.get("prefix") else {}
        answer = await self._fetch(request.derived(request.path, prefix))
        if answer.status == 200:
            content = json.loads(answer.content)
            page = select(content["kind"], content.get("items") or [], request.query)
            for item in page.get("items", ()):
                if request.operation == "list_objects":
                    self._complete(item, request.query)
                else:
                    item |= attributes.read_bucket(self._root / item["name"])
            answer = _json(page)
        await _send(send, answer)

    async def _create_bucket(self, request: Request, send: Send) -> None:
        """Create a bucket, and keep its properties."""
        folder = self._root / request.resource["name"]
        if folder.is_dir():
            raise RefusedError(409, OWN_BUCKET)
        answer = await self._fetch(request)
        if answer.status == 200:
            attributes.describe_bucket(folder, resources.of_new_bucket(request.resource))
        await _send(send, self._complete_bucket(answer))

    async def _delete_bucket(self, request: Request, send: Send) -> None:
        answer = await self._fetch(request)
        if answer.status == 412:
            raise RefusedError(409, NOT_EMPTY)
        attributes.forget_bucket(self._root / request.names[0][0])
        await _send(send, _of_deletion(answer))

    def _layout(self, bucket: str) -> _Answer:
        """Return a bucket's layout, which fake-gcs-server does not know."""
        kept = resources.of_new_bucket({}) | attributes.read_bucket(self._root / bucket)
        layout = {"kind": "storage#storageLayout", "bucket": bucket, "hierarchicalNamespace": {"enabled": False}}
        return _json(layout | {key: kept[key] for key in ("location", "locationType")})

    def _complete_bucket(self, answer: _Answer) -> _Answer:
        """Add to a bucket's resource the properties that it was created with."""
        if answer.status != 200:
            return answer
        resource = json.loads(answer.content)
        return _json(resource | attributes.read_bucket(self._root / resource["name"]))

    async def _get(self, request: Request, send: Send) -> None:
        """Answer with an object's content or resource."""
        conditions, where = take_conditions(request.query), request.names[0]
        async with AsyncExitStack() as turn:
            if conditions or has_entity_tags(request.given):
                await turn.enter_async_context(self._turns.of([where]))
                await self._require(request, where, conditions, must_exist=True, reads=True)
            if request.is_download:
                if not await self._send_from_disk(request, send, turn):
                    await self._pass_on(request, send, turn)
                return
            found = await self._resource(request, where)
        if found is None:
            check_conditions(where, None, {}, must_exist=True)
        await _send(send, _json(found))

    async def _change(self, request: Request, send: Send) -> None:
        """Change an object's metadata."""
        conditions, where = take_conditions(request.query), request.names[0]
        async with self._turns.of([where]):
            await self._require(request, where, conditions, must_exist=True)
            path = check_file(self._root, *where)
            attributes.change(path, request.resource, replaces=request.method == "PUT")
            found = await self._resource(request, where)
        await _send(send, _json(found))

    async def _write(self, request: Request, send: Send, conditions: dict[str, int]) -> _Answer:
        """Pass on a request that writes an object, when the object may be written."""
        sources = await _sources(request)
        before, found = 0, list[dict[str, Any]]()
        async with AsyncExitStack() as turn:

            async def ready() -> None:
                nonlocal before, found
                if request.content is not None:
                    request.content.check()
                await turn.enter_async_context(self._turns.of(request.names))
                await self._may_write(request, conditions)
                found = [await self._source(request, where, required) for where, required in sources]
                before = attributes.generation(check_file(self._root, *request.names[-1]))

            answer = await self._fetch(request, ready)
            where = request.names[-1]
            if request.operation == "delete":
                if before > time.time_ns() // 1000:
                    self._deleted[where] = before
                answer = _of_deletion(answer)
            elif answer.status == 200:
                self._describe(request, found)
                answer = await self._order(request, answer, max(before, self._deleted.pop(where, 0)))
            await _send(send, answer)
            return answer

    async def _may_write(self, request: Request, conditions: dict[str, int]) -> None:
        """Check the object that a request writes or deletes.

        Raises:
            RefusedError: a precondition does not hold, or the object cannot be a file.
        """
        deletes = request.operation == "delete"
        if conditions or deletes or has_entity_tags(request.given):
            await self._require(request, request.names[-1], conditions, must_exist=deletes)
        if not deletes:
            self._check_place(*request.names[-1])

    async def _source(self, request: Request, where: tuple[str, str], required: dict[str, int]) -> dict[str, Any]:
        """Return the attributes of an object that is copied or becomes part of another.

        Raises:
            RefusedError: see :func:`check_conditions`.
        """
        check_conditions(where, await self._resource(request, where), required, must_exist=True)
        return attributes.read(check_file(self._root, *where))

    def _describe(self, request: Request, sources: list[dict[str, Any]]) -> None:
        """Give an object that was written, from objects with these attributes, what fake-gcs-server leaves out."""
        bucket, name = request.names[-1]
        path, storage_class = check_file(self._root, bucket, name), self._class_of(bucket)
        if request.operation == "copy":
            attributes.describe_copy(path, request.resource, source=sources[0], storage_class=storage_class)
        else:
            count = sum(attributes.components(source) for source in sources)
            attributes.describe(path, request.resource, storage_class=storage_class, components=count)

    def _class_of(self, bucket: str) -> str:
        """Return the storage class of a bucket's objects for which the client names none."""
        return str(attributes.read_bucket(self._root / bucket).get("storageClass", resources.STANDARD))

    async def _order(self, request: Request, answer: _Answer, before: int) -> _Answer:
        """Give an object that was written a generation after ``before``, and return what then is the answer.

        In Cloud Storage, each generation of an object is greater than the ones before. Here it is taken from the clock,
        which may have been set back.
        """
        where = request.names[-1]
        path = check_file(self._root, *where)
        if attributes.generation(path) <= before:
            attributes.set_generation(path, before + 1)
        content, resource = json.loads(answer.content), await self._resource(request, where)
        return _json({**content, "resource": resource} if "resource" in content else resource)

    async def _begin_upload(self, request: Request, send: Send) -> None:
        """Begin a resumable upload."""
        conditions, where = take_conditions(request.query), request.names[-1]
        if conditions or has_entity_tags(request.given):
            await self._require(request, where, conditions, must_exist=False)
        self._check_place(*where)
        content = Content(request.resource, request.headers, is_partial=True)
        check_type(request.resource, request.given.get("x-upload-content-type", ""))
        answer = await self._fetch(request)
        if location := dict(answer.headers).get(b"location"):
            [upload_id] = parse_qs(urlsplit(location.decode("latin-1")).query)["upload_id"]
            self._uploads.begin(upload_id, Upload(where, conditions, resource=request.resource, content=content))
        await _send(send, answer)

    async def _continue_upload(self, request: Request, send: Send) -> None:
        """Add a part to a resumable upload, end it, or tell how much has arrived."""
        upload_id = request.query.get("upload_id", "")
        upload = self._uploads.find(upload_id)
        async with self._turns.of([("", upload_id)]):
            if upload.result is not None:
                await _send(send, _json(upload.result), close=True)
                return
            part = read_part(upload, request.given.get("content-range"), request.body.length)
            if part.is_question:
                arrived = [(b"range", f"bytes=0-{upload.received - 1}".encode())] if upload.received else []
                await _send(send, _Answer(_INCOMPLETE, arrived, b""), close=bool(request.body.length))
                return
            if part.skip:
                await request.body.skip(part.skip)
                total = part.end if part.is_last else "*"
                request.set_header("content-range", f"bytes {upload.received}-{(part.end or 0) - 1}/{total}")
            # A PUT, because fake-gcs-server takes a POST with JSON for the begin of another upload.
            request.method, request.names, request.resource = "PUT", [upload.where], upload.resource
            request.content = upload.content.copy()  # the part may break off
            if part.is_last:
                request.content.declare(request.headers)
                answer = await self._write(request, send, upload.conditions)
                upload.result = json.loads(answer.content) if answer.status == 200 else None
                return
            answer = await self._fetch(request)
            if answer.status in (200, _INCOMPLETE):
                upload.received, upload.content = part.end or 0, request.content
            await _send(send, answer)

    async def _require(
        self,
        request: Request,
        where: tuple[str, str],
        conditions: Mapping[str, int],
        *,
        must_exist: bool,
        reads: bool = False,
    ) -> None:
        """Check the preconditions of a request on an object.

        Raises:
            RefusedError: see :func:`check_conditions`.
        """
        found = await self._resource(request, where)
        check_conditions(where, found, conditions, must_exist=must_exist, reads=reads)
        check_entity_tags(found, request.given, reads=reads)

    def _complete(self, resource: dict[str, Any], query: Mapping[str, str]) -> dict[str, Any]:
        """Add to an object's resource what fake-gcs-server does not know, and leave out what is not asked for."""
        path = check_file(self._root, resource["bucket"], resource["name"])
        attributes.complete(path, resource)
        if query.get("projection", "").lower() != "full":
            resource.pop("acl", None)
        return resource

    # --- fake-gcs-server

    async def _resource(self, request: Request, where: tuple[str, str]) -> dict[str, Any] | None:
        """Return the resource of an object; None if it does not exist."""
        answer = await self._fetch(request.derived(_object_path(*where), {}))
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise RefusedError(502, f"fake-gcs-server answers {answer.status} for {'/'.join(where)}; see its log")
        return self._complete(json.loads(answer.content), request.query)

    async def _fetch(self, request: Request, ready: Callable[[], Awaitable[None]] | None = None) -> _Answer:
        """Pass on a request, and return the answer as a whole; ``ready`` is awaited before the request's end."""
        connection = await self._run(self._backend.connect)

        def finish() -> _Answer:
            answer = connection.getresponse()
            return _Answer(answer.status, _headers(answer), answer.read())

        try:
            await self._send_request(connection, request, ready)
            answer: _Answer = await self._finish(finish)
        except BaseException:
            connection.close()  # in the midst of a request or an answer, it serves no other
            raise
        self._backend.release(connection)
        if answer.status == 500 and (folder := disk.full_folder(answer.content.decode(errors="replace"))):
            raise RefusedError(_NO_ROOM, disk.advice(_NAME, folder))
        return answer

    async def _pass_on(self, request: Request, send: Send, turn: AsyncExitStack) -> None:
        """Pass on a download and its answer; the turn ends when the answer begins, which is of one generation."""
        connection = await self._run(self._backend.connect)

        def begin() -> tuple[http.client.HTTPResponse, bytes]:
            answer = connection.getresponse()
            return answer, answer.read(_ANSWER_CHUNK)

        try:
            await self._send_request(connection, request, None)
            answer, chunk = await self._finish(begin)
            if answer.status == 404:
                raise no_such_object(request.names[0])
            await turn.aclose()
            await send(_start(answer.status, self._download_headers(answer, request)))
            while chunk:
                following = self._run(answer.read, _ANSWER_CHUNK)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                chunk = await following
            if answer.length:
                raise http.client.IncompleteRead(b"", answer.length)  # uvicorn then cuts the client's connection
            await send({"type": "http.response.body", "body": b""})
        except BaseException:
            connection.close()
            raise
        self._backend.release(connection)

    async def _send_from_disk(self, request: Request, send: Send, turn: AsyncExitStack) -> bool:
        """Send a large object from its file, with the headers that fake-gcs-server has for it; return whether it did.

        A third of the time that it takes through fake-gcs-server. What is not the plain content of one whole object is
        left to that.
        """
        if request.method != "GET" or "range" in request.given:
            return False
        path = check_file(self._root, *request.names[0])
        with contextlib.suppress(OSError), path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_size < _FROM_DISK or path.is_dir():
                return False
            answer = await self._run(self._ask_head, request)
            # The open file keeps its inode from being used again: so the answer was about this file.
            if not os.path.samestat(status, path.stat()) or not _is_whole(answer, status.st_size):
                return False
            headers = self._download_headers(answer, request)
            await turn.aclose()
            await send(_start(200, headers))
            while chunk := file.read(_ANSWER_CHUNK):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            return True
        return False

    def _ask_head(self, request: Request) -> http.client.HTTPResponse:
        """Return the answer to the request as a HEAD."""
        connection = self._backend.connect()
        _begin(connection, request, method="HEAD")
        answer = connection.getresponse()
        answer.read()
        self._backend.release(connection)
        return answer

    def _download_headers(self, answer: http.client.HTTPResponse, request: Request) -> list[tuple[bytes, bytes]]:
        headers = _headers(answer)
        if generation := answer.getheader("x-goog-generation"):
            count = attributes.metageneration(check_file(self._root, *request.names[0]), generation)
            headers.append((b"x-goog-metageneration", count.encode()))
        return headers

    async def _finish(self, read: Callable[[], Any]) -> Any:
        try:
            return await self._run(read)
        except (OSError, http.client.HTTPException) as error:
            raise RefusedError(502, f"fake-gcs-server does not answer: {error!r}; see its log") from error

    async def _send_request(
        self,
        connection: http.client.HTTPSConnection,
        request: Request,
        ready: Callable[[], Awaitable[None]] | None,
    ) -> None:
        """Send a request; the next part of its body is read from the client while the last is on its way."""
        body, waiting = request.body, [ready] if ready else []
        content = request.content
        if waiting and (body.complete or body.length == 0):
            if content is not None:
                content.add(body.known)
                content = None
            await waiting.pop()()  # before the headers: fake-gcs-server may not wait for a body that it does not need
        await self._finish(lambda: _begin(connection, request))
        chunked = body.exists and body.length is None
        sending: asyncio.Future[None] | None = None
        try:
            async for data, is_last in body.parts(_UPLOAD_CHUNK):
                adding = self._run(content.add, data) if content is not None else None
                if sending is not None:
                    await sending
                if adding is not None:
                    await adding
                if is_last and waiting:
                    await waiting.pop()()
                sending = self._run(connection.send, b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
            if sending is not None:
                await sending
            if waiting:
                await waiting.pop()()
            if chunked:
                await self._run(connection.send, b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have answered before the end
        finally:
            if sending is not None and not sending.done():
                await asyncio.wait([sending])

    def _run(self, function: Any, *arguments: Any) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)


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


def _object_path(bucket: str, name: str) -> str:
    return f"/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}"


def _objects(path: str, bucket: str, rest: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the path to pass on, and the objects that its end names: one, or the source and the destination of a copy.

    Raises:
        NameRefusedError: a name is not allowed.
    """
    check_object(unquote(rest))
    if len(re.findall(r"/(?:rewriteTo|copyTo)/b/", rest)) > 1:
        raise NameRefusedError("the path names more than one copy; percent-encode the slashes in object names")
    prefix = "/download" if path.startswith("/download/") else ""
    if match := _COPY.fullmatch(rest):
        source = bucket, check_object(unquote(match["source"]))
        target = check_bucket(unquote(match["bucket"])), check_object(unquote(match["object"]))
        end = _object_path(*target).removeprefix("/storage/v1")
        return f"{_object_path(*source)}/{match['kind']}{end}", [source, target]
    compose = "/compose" if rest.endswith("/compose") and not prefix else ""
    name = check_object(unquote(rest.removesuffix(compose)))
    return f"{prefix}{_object_path(bucket, name)}{compose}", [(bucket, name)]


async def _sources(request: Request) -> list[tuple[tuple[str, str], dict[str, int]]]:
    """Return the objects that a copy or composition is made of, each with its generation and preconditions.

    Raises:
        RefusedError: a composition has none, too many, or one that is none.
    """
    of_source = take_source_conditions(request.query)
    if request.operation == "copy":
        return [(request.names[0], of_source)]
    if request.operation != "compose":
        return []
    found: list[tuple[tuple[str, str], dict[str, int]]] = []
    for source in json.loads(await request.body.read_all() or b"{}").get("sourceObjects") or ():
        required = source.get("objectPreconditions") or {} if isinstance(source, dict) else None
        if not isinstance(required, dict) or not source.get("name"):
            raise RefusedError(400, f"{str(source)[:200]} is not a source object; name an object of the same bucket")
        given = {"generation": source.get("generation"), "ifGenerationMatch": required.get("ifGenerationMatch")}
        conditions = take_conditions({key: value for key, value in given.items() if value})
        found.append(((request.names[-1][0], source["name"]), conditions))
    if not found:
        raise RefusedError(400, "the composition names no sourceObjects; name at least one")
    if len(found) > _MAX_SOURCES:
        raise RefusedError(
            400, f"The number of source components provided ({len(found)}) exceeds the maximum ({_MAX_SOURCES})"
        )
    return found


def _make_multipart(request: Request) -> None:
    """Send the content of a simple upload as a part of a multipart upload.

    fake-gcs-server serves nobody else while the client of a simple upload sends its content.
    """
    boundary = secrets.token_hex(16)
    kind = request.content_type() or "application/octet-stream"
    head = b"\r\n--%b\r\ncontent-type: %b\r\n\r\n" % (boundary.encode(), kind.encode("latin-1"))
    start = join_metadata(b"{}", boundary)
    request.body.enclose(start + head, f"\r\n--{boundary}--\r\n".encode())
    request.content = MultipartContent({}, request.headers, boundary=boundary, newline=b"\r\n", skip=len(start))
    request.query["uploadType"] = "multipart"
    request.set_header("content-type", f'multipart/related; boundary="{boundary}"')


async def _check_multipart(request: Request) -> None:
    """Check the metadata of a multipart upload, and put what was checked in its place."""
    boundary = read_boundary(request.content_type())
    start = await request.body.read_more()
    while (found := split_metadata(start, boundary)) is None:
        if request.body.complete or len(start) > MAX_BYTES:
            raise BodyRefusedError(f"the multipart body has no metadata in its first {MAX_BYTES} bytes; send it first")
        start = await request.body.read_more()
    content, consumed, newline = found
    checked, objects = check_json(content, bucket=request.names[0][0])
    if not objects and "name" not in request.query:
        raise BodyRefusedError("neither the metadata nor the query names the object; add its name")
    request.names += objects
    request.resource, start = resources.read("upload", json.loads(checked)), join_metadata(checked, boundary, newline)
    request.body.replace(start, consumed=consumed)
    request.content = MultipartContent(
        request.resource, request.headers, boundary=boundary, newline=newline, skip=len(start)
    )
    request.set_header("content-type", f'multipart/related; boundary="{boundary}"')


def _begin(connection: http.client.HTTPSConnection, request: Request, *, method: str = "") -> None:
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
        if name.lower() not in _NOT_PASSED_ON
    ]


def _is_whole(answer: http.client.HTTPResponse, size: int) -> bool:
    return (
        answer.status == 200
        and answer.getheader("content-length") == str(size)
        and answer.getheader("content-encoding") is None
    )


def _json(content: Any) -> _Answer:
    return _Answer(200, [(b"content-type", b"application/json")], json.dumps(content).encode())


def _start(status: int, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def _of_deletion(answer: _Answer) -> _Answer:
    """Return Cloud Storage's answer to a deletion, which has no content, where fake-gcs-server has ``null``."""
    return _Answer(204, [], b"") if answer.status == 200 else answer


async def _send(send: Send, answer: _Answer, *, close: bool = False) -> None:
    """Send an answer; ``close`` ends the connection, which may still carry a body that nobody has read."""
    headers = [header for header in answer.headers if header[0] != b"content-length"]
    if answer.status not in (204, 304):
        headers.append((b"content-length", str(len(answer.content)).encode()))
    if close:
        headers.append((b"connection", b"close"))
    await send(_start(answer.status, headers))
    await send({"type": "http.response.body", "body": answer.content})


async def _refuse(scope: Scope, send: Send, error: RefusedError) -> None:
    """Answer with an error: as a text where an object's content was asked for, as Cloud Storage does."""
    is_text = scope["path"].startswith("/download/") or b"alt=media" in scope["query_string"].split(b"&")
    kind = b"text/html; charset=UTF-8" if is_text else b"application/json; charset=UTF-8"
    content = str(error).encode() if is_text else error.body()
    answer = _Answer(error.status, [(b"content-type", kind)], b"" if error.status == 304 else content)
    await _send(send, answer, close=True)
