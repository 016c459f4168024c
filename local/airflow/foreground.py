"""Runs ``airflow dags test`` beside a scheduler, which would otherwise run the tasks of the test's run a second time.

A scheduler ignores a paused DAG, so the DAG is paused during the test. Nothing is lost:

- Tests of one DAG take turns, so that none unpauses it while another runs. The test's own process also holds the lock,
  for as long as it lives.
- Airflow starts no run for asset events that arrive while the DAG is paused. They are announced again afterwards.
- If a test is killed, its DAG stays paused. The next command finds the file that the test left, and unpauses the DAG.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.airflow import stack
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings


def test_dag(settings: AirflowSettings, arguments: list[str]) -> int:
    """Run ``airflow dags test`` beside the scheduler; returns its exit code.

    Args:
        settings: of the running stack.
        arguments: of the Airflow CLI, starting with ``dags test``.
    """
    words = [word for word in arguments[2:] if re.fullmatch(r"\w[\w.-]*", word)]
    with AirflowApi(settings) as api:
        dag_id = next(filter(api.dag, words), None)
        if dag_id is None:  # Airflow's own message names what it does not know
            return stack.run_airflow(settings, *arguments).returncode
        with _turn(settings, dag_id) as lock:
            _pause(settings, api, dag_id)
            try:
                return stack.run_airflow(settings, *arguments, pass_fds=(lock,)).returncode
            finally:
                _restore(settings, api, dag_id)


def unpause_left_over(settings: AirflowSettings) -> None:
    """Unpause the DAGs that killed tests left paused; a DAG under test stays paused."""
    if not (pause_files := list(_folder(settings).glob("*.paused"))):
        return
    with AirflowApi(settings) as api:
        for pause_file in pause_files:
            with _turn(settings, pause_file.stem, wait=False) as lock:
                # The test may have ended since its file was listed.
                if lock is not None and pause_file.exists():
                    print(f"unpausing {pause_file.stem}: a dags test was killed and left it paused", flush=True)
                    _restore(settings, api, pause_file.stem)


def _folder(settings: AirflowSettings) -> Path:
    folder = settings.home / "dags-test"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _pause_file(settings: AirflowSettings, dag_id: str) -> Path:
    """Path of an empty file that exists while the DAG is paused for a test; its time is the start of the pause."""
    return _folder(settings) / f"{dag_id}.paused"


@contextmanager
def _turn(settings: AirflowSettings, dag_id: str, *, wait: bool = True) -> Iterator[Any]:
    """Hold the DAG's lock during the block; yields its file descriptor, or None if another process holds it."""
    lock = os.open(_folder(settings) / f"{dag_id}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                yield None
                return
            print(f"waiting for another dags test of {dag_id}", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def _pause(settings: AirflowSettings, api: AirflowApi, dag_id: str) -> None:
    dag, pause_file = api.dag(dag_id), _pause_file(settings, dag_id)
    if dag and not dag["is_paused"]:
        pause_file.touch()
        api.set_paused(dag_id, True)


def _restore(settings: AirflowSettings, api: AirflowApi, dag_id: str) -> None:
    """Unpause the DAG if a test paused it, and re-announce asset events that arrived while it was paused."""
    pause_file = _pause_file(settings, dag_id)
    if not pause_file.exists():
        return
    since = datetime.fromtimestamp(pause_file.stat().st_mtime, UTC).isoformat()
    if api.dag(dag_id):
        api.set_paused(dag_id, False)
        for asset_id, key in sorted(_arrived(api, dag_id, since), key=str):
            print(f"announcing {key or 'an update'} again: it arrived while {dag_id} was paused", flush=True)
            api.announce(asset_id, key)
    pause_file.unlink()


def _arrived(api: AirflowApi, dag_id: str, since: str) -> set[tuple[int, str | None]]:
    """Return the updates since then that start the DAG, each as asset id and partition key."""
    events = (event for asset_id in api.assets_starting(dag_id) for event in api.asset_events(asset_id, since))
    return {(event["asset_id"], event["partition_key"]) for event in events}
