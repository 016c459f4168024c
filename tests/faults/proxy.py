"""A TCP proxy on 127.0.0.1 that harms one connection at a time, as a test asks.

It stands between a task and one server, and relays bytes until a :class:`Fault` is due. A fault is due when what the
client has sent on a connection matches the fault's pattern; some faults then wait for a number of bytes. HTTP faults
need no parser: clients send one request at a time, so a pattern finds the request, and the next bytes from the server
are its answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from tests.ports import free_port

HOST = "127.0.0.1"
CHUNK_BYTES = 1 << 16
# Seconds between two looks at whether a stalled connection may go on.
POLL_SECONDS = 0.005
# A stream is searched in what it sent last, so that a pattern is found across two chunks.
WINDOW_BYTES = 4096
RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Direction = Literal["request", "answer"]


class Kind(Enum):
    """What a fault does to the connection on which it is due."""

    LATENCY = "every chunk of the answer arrives late"
    DRIP = "the answer arrives a few bytes at a time"
    STALL = "nothing more arrives, and the connection stays open"
    RESET = "the connection is reset"
    TRUNCATE = "the connection is closed in the middle"
    REFUSE = "connections are refused"
    CLOSE = "the connection is closed before the request reaches the server"
    LOSE_ANSWER = "the server does what it was asked, and the answer is lost"
    STATUS = "the server answers with an HTTP status of its own"
    LENGTH = "the answer announces another length than it has"
    CORRUPT = "bytes of the answer are changed"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault.

    Attributes:
        kind: what happens.
        match: pattern of what the client sends; the fault is due from there on. Empty: with the first bytes.
        after: number of bytes, of the direction's stream and after the match, that pass unharmed.
        direction: the stream in which ``after`` counts, and that RESET, TRUNCATE and STALL cut.
        times: the number of matches that it harms; None: all, until it is lifted.
        seconds: the delay of LATENCY, for each chunk, and of DRIP, for each few bytes.
        status: the status line of STATUS, such as ``503 Service Unavailable``.
        headers: more headers of STATUS.
        add: what LENGTH adds to the announced length.
    """

    kind: Kind
    match: bytes = b""
    after: int = 0
    direction: Direction = "answer"
    times: int | None = 1
    seconds: float = 0.02
    status: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    add: int = 0


@dataclass
class Due:
    """A fault that is set, and what has become of it.

    Attributes:
        matches: the number of times that it was due. A match alone harms nothing: what it would cut or change may
            never come.
        reached: is set when it has harmed something, for a killer that waits for this very moment. Connections that
            are refused until the fault is lifted are the exception: nobody sees them but the client.
        lifted: connections go on unharmed from then on; stalled ones too.
    """

    fault: Fault
    matches: int = 0
    reached: threading.Event = field(default_factory=threading.Event)
    lifted: bool = False

    @property
    def is_spent(self) -> bool:
        return self.lifted or (self.fault.times is not None and self.matches >= self.fault.times)


class Proxy:
    """A proxy in front of one port of 127.0.0.1, in a thread of its own.

    Args:
        upstream: the port of the server.
        rewrite: whether each side sees its own address where the other writes its own: the server in the Host header,
            and clients in the links that they follow. Both ports must have five digits then.
    """

    def __init__(self, upstream: int, *, rewrite: bool = False) -> None:
        self.upstream = upstream
        self.due: Due | None = None
        # Takes what clients send: the number of the connection, and each chunk.
        self.tap: Callable[[int, bytes], object] | None = None
        self._links: tuple[bytes, bytes] | None = None
        self.port = free_port()  # nobody else takes it while connections are refused
        self._listener = _listen(self.port)
        if rewrite:
            self._links = (f"{HOST}:{upstream}".encode(), f"{HOST}:{self.port}".encode())
            assert len(self._links[0]) == len(self._links[1])
        # asyncio keeps only weak references, and a collected task would leave its sockets open.
        self._connections: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy of {upstream}", daemon=True)
        self._thread.start()
        self._server: asyncio.Server | None = None
        self._call(self._open())

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def close(self) -> None:
        """Close all connections, and end the thread."""
        if self._loop.is_closed():
            return
        if self.due is not None:
            self.due.lifted = True
        self._call(self._shut())
        self._call(self._cancel_connections())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def set(self, fault: Fault) -> Due:
        """Set a fault; the one before it is lifted."""
        self.lift()
        self.due = Due(fault)
        if fault.kind is Kind.REFUSE and fault.times is None:
            self._call(self._shut())
        return self.due

    def lift(self) -> None:
        """Relay unharmed from now on."""
        if self.due is not None:
            self.due.lifted = True
        if self._server is None:
            self._call(self._open())

    @contextmanager
    def fault(self, fault: Fault) -> Iterator[Due]:
        """Set a fault during the block."""
        due = self.set(fault)
        try:
            yield due
        finally:
            self.lift()

    def _call(self, coroutine: object) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(120)  # type: ignore[arg-type]

    async def _open(self) -> None:
        if self._listener.fileno() < 0:
            self._listener = _listen(self.port)
        self._server = await asyncio.start_server(self._serve, sock=self._listener, limit=CHUNK_BYTES)

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _cancel_connections(self) -> None:
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(POLL_SECONDS)  # transports close their sockets in the loop's next rounds

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        try:
            await self._relay(reader, writer)
        finally:
            self._connections.discard(connection)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        due = self.due
        if due is not None and not due.is_spent and due.fault.kind is Kind.REFUSE:
            due.matches += 1
            due.reached.set()
            _reset(writer)
            return
        try:
            upstream = await asyncio.open_connection(HOST, self.upstream)
        except OSError:
            _reset(writer)
            return
        relay = _Relay(self, client=(reader, writer), server=upstream)
        try:
            await relay.run()
        except asyncio.CancelledError:
            pass  # the proxy is closing
        finally:
            relay.close()

    def readdress(self, chunk: bytes, *, to_client: bool) -> bytes:
        """Replace the address of the one side by that which the other knows."""
        if self._links is None:
            return chunk
        server, proxy = self._links
        return chunk.replace(server, proxy) if to_client else chunk.replace(proxy, server)


_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Cut(Exception):
    """The connection ends here; the argument says whether by a reset."""


class _Relay:
    """One connection of a client, and the one to the server that belongs to it."""

    def __init__(self, proxy: Proxy, *, client: _Stream, server: _Stream) -> None:
        self._proxy = proxy
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        self._due: Due | None = None  # the fault, once it is due on this connection
        self._passed = 0  # bytes after the match, in the fault's direction
        self._left = 0  # bytes of the answer whose length is misstated
        self._sent = b""  # what the client sent last

    async def run(self) -> None:
        pumps = [asyncio.create_task(self._requests()), asyncio.create_task(self._answers())]
        try:
            done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_EXCEPTION)
            for one in done:
                one.result()
        except _Cut as cut:
            if cut.args[0]:
                _reset(self._to_client)
            else:
                with contextlib.suppress(OSError):
                    await self._to_client.drain()
        except OSError:
            _reset(self._to_client)  # one side has gone: neither can go on
        finally:
            for one in pumps:
                one.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    def close(self) -> None:
        for writer in (self._to_client, self._to_server):
            writer.close()

    async def _requests(self) -> None:
        while chunk := await self._from_client.read(CHUNK_BYTES):
            chunk = self._proxy.readdress(chunk, to_client=False)
            if self._proxy.tap is not None:
                self._proxy.tap(id(self), chunk)
            start = self._find_fault(chunk)
            if self._due is not None and not self._due.lifted:
                chunk = await self._harm_request(self._due, chunk, start)
            self._to_server.write(chunk)
            await self._to_server.drain()
        self._to_server.write_eof()

    async def _answers(self) -> None:
        while chunk := await self._from_server.read(CHUNK_BYTES):
            chunk = self._proxy.readdress(chunk, to_client=True)
            if self._due is not None and not self._due.lifted:
                chunk = await self._harm_answer(self._due, chunk)
            self._to_client.write(chunk)
            await self._to_client.drain()
        # Not a half-close: a client that waits for an answer must see that there will be none.
        raise _Cut(False)

    def _find_fault(self, chunk: bytes) -> int:
        """Find out whether the fault is due on this connection; returns where it begins in the chunk."""
        due = self._proxy.due
        if self._due is not None and not self._due.lifted and self._due.fault.kind in _ENDS_WITH_THE_ANSWER:
            self._due = None  # the next request on this connection is another one
        if due is None or due.is_spent or self._due is due:
            self._sent = (self._sent + chunk)[-WINDOW_BYTES:]
            return 0
        seen = len(self._sent)
        found = re.search(due.fault.match, self._sent + chunk, re.DOTALL)
        self._sent = (self._sent + chunk)[-WINDOW_BYTES:]
        if found is None:
            return 0
        self._sent = b""
        self._due, self._passed = due, 0
        due.matches += 1
        return max(0, found.end() - seen)

    async def _harm_request(self, due: Due, chunk: bytes, start: int) -> bytes:
        fault = due.fault
        if fault.kind is Kind.CLOSE:
            due.reached.set()
            raise _Cut(False)
        if fault.kind is Kind.STATUS:
            due.reached.set()
            self._to_client.write(_canned(fault))
            raise _Cut(False)
        if fault.direction == "request" and fault.kind in _CUTS:
            return await self._cut(due, chunk, self._to_server, start)
        return chunk

    async def _harm_answer(self, due: Due, chunk: bytes) -> bytes:
        fault = due.fault
        if fault.direction == "request":
            return chunk
        if fault.kind in _CUTS:
            return await self._cut(due, chunk, self._to_client, 0)
        if fault.kind is Kind.LOSE_ANSWER:
            due.reached.set()
            raise _Cut(True)
        if fault.kind is Kind.LATENCY:
            due.reached.set()
            await asyncio.sleep(fault.seconds)
        elif fault.kind is Kind.DRIP:
            return await self._drip(due, chunk)
        elif fault.kind is Kind.LENGTH:
            return await self._misstate_length(due, chunk)
        elif fault.kind is Kind.CORRUPT:
            return self._corrupt(due, chunk)
        return chunk

    async def _drip(self, due: Due, chunk: bytes) -> bytes:
        """Send the chunk a few bytes at a time."""
        if len(chunk) > DRIP_BYTES:
            due.reached.set()
        for begin in range(0, len(chunk), DRIP_BYTES):
            self._to_client.write(chunk[begin : begin + DRIP_BYTES])
            await self._to_client.drain()
            await asyncio.sleep(0 if due.lifted else due.fault.seconds)
        return b""

    async def _cut(self, due: Due, chunk: bytes, to: asyncio.StreamWriter, start: int) -> bytes:
        """Let ``after`` bytes pass, and keep back what follows: stall or end the connection as soon as there is any."""
        room = due.fault.after - self._passed + start
        if room >= len(chunk):
            self._passed += len(chunk) - start
            return chunk
        room = max(room, 0)
        to.write(chunk[:room])
        await to.drain()
        due.reached.set()
        if due.fault.kind is not Kind.STALL:
            raise _Cut(due.fault.kind is Kind.RESET)
        while not due.lifted:
            await asyncio.sleep(POLL_SECONDS)
        return chunk[room:]

    async def _misstate_length(self, due: Due, chunk: bytes) -> bytes:
        """Change the announced length, and close the connection at the end of the body, as a server would."""
        if found := _LENGTH.search(chunk):
            due.reached.set()
            announced = int(found[2]) + due.fault.add
            chunk = chunk[: found.start(2)] + str(announced).encode() + chunk[found.end(2) :]
            self._left = chunk.index(b"\r\n\r\n") + 4 + int(found[2])
        elif self._left <= 0:
            return chunk  # it announces no length
        self._left -= len(chunk)
        if self._left > 0:
            return chunk
        self._to_client.write(chunk)
        raise _Cut(False)

    def _corrupt(self, due: Due, chunk: bytes) -> bytes:
        """Change eight bytes, ``after`` bytes behind the head of the answer."""
        head, separator, body = chunk.partition(b"\r\n\r\n") if chunk.startswith(b"HTTP/") else (b"", b"", chunk)
        place = due.fault.after - self._passed
        self._passed += len(body)
        if 0 <= place < len(body):
            due.reached.set()
            changed = bytes(byte ^ 0x55 for byte in body[place : place + 8])
            body = body[:place] + changed + body[place + 8 :]
        return head + separator + body


DRIP_BYTES = 64
_CUTS = {Kind.RESET, Kind.TRUNCATE, Kind.STALL}
# A later request on the same connection is unharmed, unless the fault is due again.
_ENDS_WITH_THE_ANSWER = {Kind.LATENCY, Kind.DRIP, Kind.LENGTH, Kind.CORRUPT}
_LENGTH = re.compile(rb"(?i)(\r\ncontent-length: )(\d+)")


def _canned(fault: Fault) -> bytes:
    body = b'{"error": {"message": "a fault of the test"}}'
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Connection", "close")]
    lines = [f"HTTP/1.1 {fault.status}", *(f"{name}: {value}" for name, value in (*headers, *fault.headers))]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by a reset instead of an orderly close."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()


def _listen(port: int) -> socket.socket:
    """Listen on a port, although connections of an earlier listener may not be quite over."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    listener.listen(128)
    return listener
