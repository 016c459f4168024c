"""Fixtures for the tests of the embedded cloud: real servers on free ports and in temporary folders."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from local.cloud.settings import REPOSITORY, Settings
from tests.ports import free_port

CLOUD_PYTHON = REPOSITORY / "local/cloud/.venv/bin/python"
COMMAND_TIMEOUT = 400
"""Seconds that a command may take; below pytest's own limit, so that its output is shown."""
GRACE_SECONDS = 60
"""Seconds that threads and child processes of a test may take to end after it."""


@dataclass(frozen=True)
class Cloud:
    """A separate embedded cloud, and the command that controls it."""

    settings: Settings
    env: dict[str, str]

    def run(self, *arguments: str, **more_env: str) -> subprocess.CompletedProcess[str]:
        """Run ``python -m local.cloud`` with ``arguments``; return its exit code and output."""
        return subprocess.run(
            [CLOUD_PYTHON, "-m", "local.cloud", *arguments],
            cwd=REPOSITORY,
            env={**self.env, **more_env},
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT,
            check=False,
        )

    def must(self, *arguments: str, **more_env: str) -> str:
        """Run it, check that it succeeds, and return its output."""
        done = self.run(*arguments, **more_env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def storage_client(self) -> storage.Client:
        """Return the official client, configured as STORAGE_EMULATOR_HOST would configure it."""
        return storage.Client(
            project=self.settings.project,
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": self.settings.gcs_url},
        )


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    """Fail if a test leaves a thread or a child process running.

    Servers of session and module fixtures start before this fixture and are not counted.
    """
    threads, children = set(threading.enumerate()), _children()
    yield
    deadline = time.monotonic() + GRACE_SECONDS
    for thread in set(threading.enumerate()) - threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    while _children() - children and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [str(one) for one in (*(set(threading.enumerate()) - threads), *(_children() - children))]
    assert left == [], "the test left these running"


def _children() -> set[psutil.Process]:
    return {child for child in psutil.Process().children(recursive=True) if _is_running(child)}


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _free_ports(count: int) -> list[int]:
    return [free_port() for _ in range(count)]


def cloud_in(state_dir: Path, **more_env: str) -> Cloud:
    """Return a cloud with its state in ``state_dir``, without starting it."""
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


def _commands_with(needle: str) -> list[str]:
    lines = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or [])
        if needle in line and process.info["status"] != psutil.STATUS_ZOMBIE:
            lines.append(line)
    return lines


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """GCS, Postgres and the synthetic source, shared by all tests."""
    made = cloud_in(tmp_path_factory.mktemp("cloud") / "state")
    try:
        made.must("up", "gcs", "postgres", "source")
        yield made
    finally:
        made.must("down")


@pytest.fixture
def make_cloud() -> Iterator[Callable[..., Cloud]]:
    """Return a factory for clouds that the test itself starts; its arguments are the state folder and variables.

    The components run detached from the test's process. They are stopped after the test, and none may be left.
    """
    made: list[Cloud] = []

    def make(state_dir: Path, **more_env: str) -> Cloud:
        made.append(cloud_in(state_dir, **more_env))
        return made[-1]

    yield make
    for one in made:
        one.run("down")
    assert [_commands_with(str(one.settings.state_dir)) for one in made] == [[] for _ in made]


@pytest.fixture
def own_cloud(tmp_path: Path, make_cloud: Callable[..., Cloud]) -> Cloud:
    """Return a cloud that the test itself starts."""
    return make_cloud(tmp_path / "state")


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def free_ports() -> Callable[[int], list[int]]:
    return _free_ports


@pytest.fixture(scope="session")
def cloud_python() -> Path:
    return CLOUD_PYTHON


@pytest.fixture
def commands_with() -> Callable[[str], list[str]]:
    """Return a function that lists the command lines of running processes that contain a text."""
    return _commands_with
