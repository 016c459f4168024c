"""A front of its own for a test module, with fake-gcs-server behind it."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from local.cloud.settings import REPOSITORY
from tests.local.forgeries import ask, status

BUCKET = "test-lake"


@dataclass(frozen=True)
class Front:
    """A front of its own, with files beside its root that nothing may touch."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def host(self) -> tuple[str, str]:
        return "Host", f"127.0.0.1:{self.port}"

    @property
    def backend(self) -> psutil.Process:
        [child] = psutil.Process(self.process.pid).children()
        return child

    @property
    def backend_port(self) -> int:
        [port] = [one.laddr.port for one in self.backend.net_connections("tcp") if one.status == "LISTEN"]
        return int(port)

    def send(self, method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
        given = [(name.replace("_", "-"), value) for name, value in headers.items()]
        return ask(self.port, target, [self.host, *given], method=method, body=body)

    def outside(self) -> dict[str, bytes]:
        """All files beside the root, and what is in them."""
        paths = [path for path in self.folder.rglob("*") if path.is_file() and not path.is_relative_to(self.root)]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths}


# The front on a kernel that cannot close the server's port.
_WITHOUT_DOOR = """
import sys
from local.cloud.gcs import __main__, backend
backend.Door.of = lambda *_: None
sys.exit(__main__.main())
"""


def start(folder: Path, port: int, python: Path, *, door: bool = True) -> Front:
    (folder / "root" / BUCKET).mkdir(parents=True, exist_ok=True)
    module = ["-m", "local.cloud.gcs"] if door else ["-c", _WITHOUT_DOOR]
    command = [str(python), *module, "--port", str(port), "--root", str(folder / "root")]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log)
    front = Front(process, port, folder)
    deadline = time.monotonic() + 60
    while True:
        try:
            assert status(front.send("GET", "/storage/v1/b")) == 200
            return front
        except ConnectionRefusedError:
            assert process.poll() is None, (folder / "log.txt").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)


def stop(front: Front) -> None:
    front.process.terminate()
    front.process.wait(60)
