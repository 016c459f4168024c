"""Closes the port on which a child process listens to all but this process, where the kernel allows that.

fake-gcs-server can neither listen on anything but a TCP port nor authenticate its clients. This process takes a
duplicate of the child's listening socket and attaches a packet filter to it: no connection comes in but from the one
source port from which this process is connecting, and which nobody else can have meanwhile.

Sources: pidfd_getfd(2), which needs Linux 5.6 and the right to trace the child; the kernel's documentation of socket
filters, https://docs.kernel.org/networking/filter.html. A connection keeps the filter with which it came in.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Iterator
from typing import Self

_PIDFD_GETFD = 438  # the same on all architectures
_SO_ATTACH_FILTER = 26
# Instructions of the filter: load the source port, which a TCP header begins with; compare; take all or nothing.
_LOAD_HALF, _JUMP_IF_EQUAL, _RETURN = 0x28, 0x15, 0x06
_ALL = 0xFFFFFFFF


class Door:
    """The listening socket of a child process, closed to all but this process; threads may share it.

    Args:
        pid: the child.
        listener: a duplicate of its listening socket.
    """

    def __init__(self, pid: int, listener: socket.socket) -> None:
        self._pid = pid
        self._listener = listener
        self._address = listener.getsockname()
        self._lock = threading.Lock()
        self._let_in(None)

    @classmethod
    def of(cls, pid: int, port: int) -> Self | None:
        """Close the port of a child, which listens by now; None where the kernel does not allow it."""
        for one in _sockets(pid):
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and one.getsockname()[1] == port:
                try:
                    return cls(pid, one)
                except OSError:  # no filters here
                    one.close()
                    return None
            one.close()
        return None

    def connect(self, tls: ssl.SSLContext, *, timeout: float) -> ssl.SSLSocket:
        """Return a new connection of this process to the child.

        Raises:
            OSError: the child does not answer.
        """
        plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            plain.settimeout(timeout)
            plain.bind((self._address[0], 0))  # the port is this socket's alone from now on
            with self._lock:
                self._let_in(plain.getsockname()[1])
                try:
                    plain.connect(self._address)
                    # The answer to the handshake shows that the child has the connection.
                    return tls.wrap_socket(plain, server_hostname=self._address[0])
                finally:
                    self._let_in(None)
        except BaseException:
            plain.close()
            raise

    def end_others(self, own: socket.socket) -> None:
        """End the connections of the child that came in before the door was closed; one of this process stays."""
        own_address = own.getsockname()
        for one in _sockets(self._pid):
            with one, contextlib.suppress(OSError):  # it listens, or has ended
                if one.getpeername() != own_address:
                    one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the duplicate; the filter stays."""
        self._listener.close()

    def _let_in(self, source_port: int | None) -> None:
        """Let connections in from one source port, or from none; replaces the filter before."""
        program = [(_RETURN, 0, 0, 0)]
        if source_port is not None:
            program = [
                (_LOAD_HALF, 0, 0, 0),
                (_JUMP_IF_EQUAL, 0, 1, source_port),
                (_RETURN, 0, 0, _ALL),
                (_RETURN, 0, 0, 0),
            ]
        code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
        instructions = ctypes.create_string_buffer(code, len(code))
        self._listener.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(instructions))
        )


def _sockets(pid: int) -> Iterator[socket.socket]:
    """Yield a duplicate of each TCP socket of a process; none where the kernel does not allow it."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        process = os.pidfd_open(pid)
    except OSError:
        return
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):  # closed meanwhile
                if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                    continue
                descriptor = libc.syscall(_PIDFD_GETFD, process, int(name), 0)
                if descriptor < 0:
                    continue
                one = socket.socket(fileno=descriptor)
                if (one.family, one.type) == (socket.AF_INET, socket.SOCK_STREAM):
                    yield one
                else:
                    one.close()
    finally:
        os.close(process)
