"""Fixtures: a running BigQuery server, its official client, and Parquet objects in the folder of its GCS emulator."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from tests.local.cloud.bigquery.support import BUCKET, PROJECT
from tests.ports import free_port

REPOSITORY = Path(__file__).resolve().parents[4]
PYTHON = REPOSITORY / "local/cloud/.venv/bin/python"
_START_SECONDS = 120
_STOP_SECONDS = 120
_numbers = itertools.count(1)


@dataclass
class Server:
    """The server as a separate process, which a test can stop, kill and restart on the same data."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def gcs_root(self) -> Path:
        return self.folder / "gcs"

    def start(self) -> None:
        """Start it without a HOME, and wait until it answers."""
        self.gcs_root.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        arguments = [
            "--port",
            str(self.port),
            "--data-dir",
            self.folder / "data",
            "--gcs-root",
            self.gcs_root,
            "--project",
            PROJECT,
        ]
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [PYTHON, "-m", "local.cloud.bigquery", *arguments],
                cwd=REPOSITORY,
                env=environment,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                urllib.request.urlopen(f"{self.url}/healthz", timeout=20).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError((self.folder / "server.log").read_text())

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(_STOP_SECONDS)

    def client(self) -> bigquery.Client:
        """Return a client with Google's default retries: for 600 s after a connection error.

        If a request may be running when the server is killed, pass ``support.NO_RETRY`` to it.
        """
        return bigquery.Client(
            project=PROJECT,
            credentials=AnonymousCredentials(),
            client_options=ClientOptions(api_endpoint=self.url),
        )

    def put(self, name: str, table: pa.Table) -> str:
        """Write a Parquet object to the bucket atomically, as the GCS emulator does."""
        path = self.gcs_root / BUCKET / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}4711")
        pq.write_table(table, temporary)
        temporary.rename(path)
        return f"gs://{BUCKET}/{name}"

    def remove(self, name: str) -> None:
        (self.gcs_root / BUCKET / name).unlink()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(folder=tmp_path_factory.mktemp("bigquery"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def client(server: Server) -> bigquery.Client:
    return server.client()


@pytest.fixture
def dataset(client: bigquery.Client) -> str:
    """Create an empty dataset for the test and return its id."""
    name = f"d{next(_numbers)}"
    client.create_dataset(name)
    return name
