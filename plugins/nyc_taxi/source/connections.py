"""Opens connections to a source: only to permitted addresses, and such that another thread can cut them off."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.poolmanager import ProxyManager

from nyc_taxi.source.addresses import AddressGuard
from nyc_taxi.source.errors import SlowSourceError

_ABORT_SECONDS = 0.5
"""Seconds between two cuts of a connection that was too slow."""


class SourceAdapter(HTTPAdapter):
    """The transport of a session to one source.

    Every request opens a connection of its own, because a kept one would escape the check of its address.
    """

    def __init__(self) -> None:
        self.guard = AddressGuard()
        self._current: socket.socket | None = None
        super().__init__()

    @classmethod
    def of(cls, session: requests.Session) -> SourceAdapter:
        """Return the session's adapter; a session that has none gets one, for all its requests."""
        adapter = session.adapters.get("https://")
        if not isinstance(adapter, cls):
            adapter = cls()
            session.mount("http://", adapter)
            session.mount("https://", adapter)
        return adapter

    def abort(self) -> None:
        """Cut off the connection that was opened last; a thread that reads from it wakes up."""
        if self._current is not None:
            with suppress(OSError):
                self._current.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close all connections."""
        self._keep(None)
        super().close()

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request over a new connection."""
        address = request.url or ""
        url = urlsplit(address)
        self.poolmanager.clear()
        if select_proxy(address, kwargs.get("proxies")):
            self.guard.check_proxied(str(url.hostname), url.port or (443 if url.scheme == "https" else 80))
        return super().send(request, *args, **kwargs)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pool of connections; they are opened by :meth:`_open`."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pool_classes()

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pool of connections through a proxy; those through a SOCKS proxy cannot be cut off."""
        manager = super().proxy_manager_for(*args, **kwargs)
        if isinstance(manager, ProxyManager):
            manager.pool_classes_by_scheme = self._pool_classes()
        return manager

    def _pool_classes(self) -> dict[str, type[HTTPConnectionPool]]:
        adapter = self

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return adapter._open(self, super()._new_conn)

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return adapter._open(self, super()._new_conn)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        return {"http": PlainPool, "https": SecurePool}

    def _open(self, connection: HTTPConnection, connect: Callable[[], socket.socket]) -> socket.socket:
        """Open a connection, unless its address is not permitted; that of a proxy always is."""
        direct = connection.proxy is None
        if direct:
            self.guard.check_name(connection.host, connection.port)
        opened = connect()
        try:
            if direct:
                self.guard.check_connected(connection.host, opened.getpeername()[0])
            self._keep(opened.dup())  # TLS takes the socket itself over
        except BaseException:
            opened.close()
            raise
        return opened

    def _keep(self, current: socket.socket | None) -> None:
        before, self._current = self._current, current
        if before is not None:
            before.close()


class Pace:
    """Context manager that cuts a connection off on which less than a minimum arrives within a window.

    A timeout of a socket does not do that: one byte every few seconds never lets it expire.

    Args:
        adapter: the transport of the connection.
        seconds: length of a window; the first begins with the block.
        minimum: bytes that must arrive in each window until the block ends.
        message: what the error says.

    Raises:
        SlowSourceError: less arrived in a window; raised when the block ends or fails because it was cut off.
    """

    def __init__(self, adapter: SourceAdapter, *, seconds: float, minimum: int, message: str) -> None:
        self._adapter = adapter
        self._seconds = seconds
        self._minimum = minimum
        self._message = message
        self._bytes = 0
        self._too_slow = False
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="pace", daemon=True)

    def add(self, size: int) -> None:
        """Count bytes that have arrived."""
        self._bytes += size

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._done.set()
        self._watcher.join()
        # An error that is no Exception, such as the task's timeout, goes first.
        if self._too_slow and (error is None or isinstance(error, Exception)):
            raise SlowSourceError(self._message) from None

    def _watch(self) -> None:
        before = 0
        while not self._done.wait(self._seconds):
            if self._bytes - before < self._minimum:
                self._too_slow = True
                break
            before = self._bytes
        # More than once, because the connection may still be about to be opened.
        while not self._done.is_set():
            self._adapter.abort()
            self._done.wait(_ABORT_SECONDS)
