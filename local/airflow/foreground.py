"""``airflow dags test`` beside a scheduler, which would take its run for its own and run the tasks a second time.

A scheduler leaves a paused DAG alone, so the DAG is paused for the time of the test. Nothing is to be lost by that:

- Tests of one DAG take turns, so that none unpauses it while another runs. The lock is held by the test's own process
  too, and so for as long as it lives.
- Airflow starts nothing for what arrives in an asset while the DAG is paused. So that is announced again afterwards.
- What a killed test has left paused, the next command finds by its mark, and mends.
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
        settings: of the stack, whose API server answers.
        arguments: of the Airflow CLI, from ``dags test`` on.
    """
    words = [word for word in arguments[2:] if re.fullmatch(r"\w[\w.-]*", word)]
    with AirflowApi(settings) as api:
        dag_id = next(filter(api.dag, words), None)
        if dag_id is None:  # Airflow says what it is that it does not know
            return stack.run_airflow(settings, *arguments).returncode
        with _turn(settings, dag_id) as lock:
            _pause(settings, api, dag_id)
            try:
                return stack.run_airflow(settings, *arguments, pass_fds=(lock,)).returncode
            finally:
                _restore(settings, api, dag_id)


def mend(settings: AirflowSettings) -> None:
    """Unpause what a killed test has left paused; what is tested just now is left alone."""
    if not (marks := list(_folder(settings).glob("*.paused"))):
        return
    with AirflowApi(settings) as api:
        for mark in marks:
            with _turn(settings, mark.stem, wait=False) as lock:
                # The test may have ended by itself since the look for marks.
                if lock is not None and mark.exists():
                    print(f"unpausing {mark.stem}, which a killed dags test has left paused", flush=True)
                    _restore(settings, api, mark.stem)


def _folder(settings: AirflowSettings) -> Path:
    folder = settings.home / "dags-test"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _mark(settings: AirflowSettings, dag_id: str) -> Path:
    """An empty file that is there while the DAG is paused for a test; its time is the moment from which it is."""
    return _folder(settings) / f"{dag_id}.paused"


@contextmanager
def _turn(settings: AirflowSettings, dag_id: str, *, wait: bool = True) -> Iterator[Any]:
    """Hold the DAG's lock for the time of the block; yields its file descriptor, or None if it is another's."""
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
    dag, mark = api.dag(dag_id), _mark(settings, dag_id)
    if dag and not dag["is_paused"]:
        mark.touch()
        api.set_paused(dag_id, True)


def _restore(settings: AirflowSettings, api: AirflowApi, dag_id: str) -> None:
    """Unpause the DAG if a test has paused it, and announce again what has arrived meanwhile."""
    mark = _mark(settings, dag_id)
    if not mark.exists():
        return
    since = datetime.fromtimestamp(mark.stat().st_mtime, UTC).isoformat()
    if api.dag(dag_id):
        api.set_paused(dag_id, False)
        for asset_id, key in sorted(_arrived(api, dag_id, since), key=str):
            print(f"announcing {key or 'an update'} again, which arrived while {dag_id} was paused", flush=True)
            api.announce(asset_id, key)
    mark.unlink()


def _arrived(api: AirflowApi, dag_id: str, since: str) -> set[tuple[int, str | None]]:
    """What has arrived since then in the assets that start the DAG: each asset with the partition."""
    events = (event for asset_id in api.assets_starting(dag_id) for event in api.asset_events(asset_id, since))
    return {(event["asset_id"], event["partition_key"]) for event in events}
