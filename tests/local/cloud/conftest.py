"""Servers for the tests of the embedded cloud: real ones, on free ports and in temporary folders."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from local.cloud.settings import REPOSITORY, Settings

CLOUD_PYTHON = REPOSITORY / "local/cloud/.venv/bin/python"


@dataclass(frozen=True)
class Cloud:
    """An embedded cloud of its own, and the command that steers it."""

    settings: Settings
    env: dict[str, str]

    def run(self, *arguments: str, **more_env: str) -> subprocess.CompletedProcess[str]:
        """Run ``python -m local.cloud`` with ``arguments``; the result has its exit code and its output."""
        return subprocess.run(
            [CLOUD_PYTHON, "-m", "local.cloud", *arguments],
            cwd=REPOSITORY,
            env={**self.env, **more_env},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def must(self, *arguments: str, **more_env: str) -> str:
        """Run it, demand that it succeeds, and return what it printed."""
        done = self.run(*arguments, **more_env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def storage_client(self) -> storage.Client:
        """The official client, as STORAGE_EMULATOR_HOST would set it up."""
        return storage.Client(
            project=self.settings.project,
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": self.settings.gcs_url},
        )


def _free_ports(count: int) -> list[int]:
    """Ports on which nothing listens just now; distinct, because all are held until the last is found."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _make_cloud(state_dir: Path, **more_env: str) -> Cloud:
    """The settings of a cloud below ``state_dir``; starts nothing."""
    names = ("GCS_PORT", "BIGQUERY_PORT", "POSTGRES_PORT", "SOURCE_PORT")
    given = {
        "LOCAL_DIR": str(state_dir),
        "GCP_PROJECT": "test-project",
        "LAKE_BUCKET": "test-lake",
        "SOURCE": "synthetic",
        "SYNTHETIC_ROWS": "2000",
        **dict(zip(names, map(str, _free_ports(len(names))), strict=True)),
        **more_env,
    }
    return Cloud(Settings.from_env(given), {**os.environ, **given})


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """GCS, Postgres and the synthetic source, shared by all tests."""
    made = _make_cloud(tmp_path_factory.mktemp("cloud") / "state")
    try:
        made.must("up", "gcs", "postgres", "source")
        yield made
    finally:
        made.must("down")


@pytest.fixture
def make_cloud() -> Iterator[Callable[..., Cloud]]:
    """Makes clouds that one test starts and stops as it likes; takes the state folder, and variables."""
    made: list[Cloud] = []

    def make(state_dir: Path, **more_env: str) -> Cloud:
        made.append(_make_cloud(state_dir, **more_env))
        return made[-1]

    yield make
    for one in made:
        one.run("down")


@pytest.fixture
def own_cloud(tmp_path: Path, make_cloud: Callable[..., Cloud]) -> Cloud:
    """One such cloud."""
    return make_cloud(tmp_path / "state")


@pytest.fixture
def port() -> int:
    return _free_ports(1)[0]


@pytest.fixture(scope="session")
def free_ports() -> Callable[[int], list[int]]:
    return _free_ports


@pytest.fixture(scope="session")
def cloud_python() -> Path:
    return CLOUD_PYTHON


@pytest.fixture
def commands_with() -> Callable[[str], list[str]]:
    """Lists the commands of all living processes that mention a text."""

    def find(needle: str) -> list[str]:
        lines = []
        for process in psutil.process_iter(["cmdline", "status"]):
            line = " ".join(process.info["cmdline"] or [])
            if needle in line and process.info["status"] != psutil.STATUS_ZOMBIE:
                lines.append(line)
        return lines

    return find
