"""Settings of a local Airflow below a temporary folder; nothing is started but processes that sleep."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.airflow import environment, stack, watcher
from local.airflow.environment import AirflowSettings
from local.cloud.processes import Process, lost, start, stop
from tests.waiting import wait_until

NAMES = ("GCS_PORT", "BIGQUERY_PORT", "POSTGRES_PORT", "SOURCE_PORT", "GCP_PROJECT", "LAKE_BUCKET", "SYNTHETIC_ROWS")
MORE = ("START_TIMEOUT", "SOURCE_LAYOUT", "SOURCE_LAST_MONTH", "EXECUTOR", "WORKERS", "REDIS_PORT")
EMULATORS = ("STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT")


@pytest.fixture
def make_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AirflowSettings]:
    """Settings made from the given variables and no others, whatever the user's shell and ``.env`` say."""
    for name in (*NAMES, *MORE, *EMULATORS, "AIRFLOW_PORT", "SOURCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(environment, "load_env_file", lambda: None)

    def make(**variables: str) -> AirflowSettings:
        for name, value in {"LOCAL_DIR": str(tmp_path / "state"), **variables}.items():
            monkeypatch.setenv(name, value)
        return AirflowSettings.from_env()

    return make


@pytest.fixture
def settings(make_settings: Callable[..., AirflowSettings]) -> Iterator[AirflowSettings]:
    """Settings with the default ports; what is recorded as running ends with the test."""
    made = make_settings()
    yield made
    for folder in watcher.run_dirs(made.cloud.state_dir):
        stop(run_dir=folder)


@pytest.fixture
def sleeper(settings: AirflowSettings) -> Callable[[str], int]:
    """Starts a process that is recorded as the named component, and returns its pid."""

    def start_sleeper(name: str) -> int:
        log = settings.home / f"{name}.log"
        of_airflow = name in ("api-server", watcher.NAME, *stack.COMPONENTS)
        run_dir = watcher.run_dirs(settings.cloud.state_dir)[of_airflow]
        [started] = start(
            [Process(name=name, command=["sleep", "600"], log=log, healthy=lambda: True)], run_dir=run_dir
        )
        return started.pid

    return start_sleeper


def kill(settings: AirflowSettings, name: str, pid: int) -> None:
    """Kill a component, and wait until it counts as dead."""
    os.kill(pid, signal.SIGKILL)
    folders = watcher.run_dirs(settings.cloud.state_dir)
    wait_until(lambda: any(name in lost(folder) for folder in folders if folder.is_dir()), f"{name} counts as dead")
