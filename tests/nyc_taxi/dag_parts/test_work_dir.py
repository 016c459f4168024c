"""The folders in the work dir: a later run removes those of runs that have ended, and of no others."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from nyc_taxi.dag_parts.work_dir import LONGEST, folder_name, remove_ended_runs

DAG_ID = "green_web_to_gcs"
OWN = "manual__own"
TIMEOUT = timedelta(days=45)
RUN_IDS = [
    "scheduled__2021-01-01T00:00:00+00:00",
    "a/b",
    "..",
    "a b-c",
    "x" * LONGEST,
    "ä" * 20,
    "manual__2021-01__3f2a",
]


def _clean(work_dir: Path, states: Mapping[str, str], *, asked: list[str] | None = None) -> None:
    """Remove what runs have left, for the run ``OWN``; a run without a state was deleted, or cannot be asked for."""

    def count(dag_id: str, run_ids: list[str], states_: list[str]) -> int:
        if asked is not None:
            asked.append(run_ids[0])
        assert (dag_id, states_) == (DAG_ID, ["queued", "running"])
        if states.get(run_ids[0]) == "unknown":
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))
        return int(states.get(run_ids[0]) in states_)

    ti = SimpleNamespace(get_dr_count=lambda dag_id, run_ids, states: count(dag_id, run_ids, states))
    context: Any = {
        "ti": ti,
        "dag": SimpleNamespace(dag_id=DAG_ID, dagrun_timeout=TIMEOUT),
        "run_id": OWN,
        "task": SimpleNamespace(dst=str(work_dir / DAG_ID / folder_name(DAG_ID, OWN) / "file.csv.gz")),
    }
    remove_ended_runs(context)


def _leave(work_dir: Path, run_id: str, *, dag_id: str = DAG_ID) -> Path:
    folder = work_dir / dag_id / folder_name(dag_id, run_id)
    folder.mkdir(parents=True)
    (folder / ".file.csv.gz.0123.part").write_bytes(b"x")
    return folder


@pytest.mark.parametrize("run_id", [run_id for run_id in RUN_IDS if len(run_id) < LONGEST and run_id.isascii()])
@pytest.mark.parametrize(
    ("state", "stays"),
    [("queued", True), ("running", True), ("success", False), ("failed", False), ("deleted", False), ("unknown", True)],
)
def test_only_what_ended_runs_have_left_is_removed(tmp_path: Path, run_id: str, state: str, stays: bool) -> None:
    folder, asked = _leave(tmp_path, run_id), []
    _clean(tmp_path, {run_id: state}, asked=asked)
    assert asked == [run_id]
    assert folder.exists() is stays


def test_the_runs_own_folder_and_those_of_other_dags_stay(tmp_path: Path) -> None:
    kept = [_leave(tmp_path, OWN), _leave(tmp_path, "other", dag_id="yellow_web_to_gcs")]
    (tmp_path / DAG_ID / "somebody's file").write_bytes(b"x")
    asked: list[str] = []
    _clean(tmp_path, {}, asked=asked)
    assert asked == []
    assert all(folder.exists() for folder in kept)
    assert (tmp_path / DAG_ID / "somebody's file").exists()


def test_a_first_run_has_nothing_to_remove(tmp_path: Path) -> None:
    _clean(tmp_path / "none", {})


@pytest.mark.parametrize(("older", "stays"), [(-60, True), (60, False)])
@pytest.mark.parametrize("name", [folder_name(DAG_ID, "x" * (LONGEST + 1)), "somebody's folder"])
def test_a_folder_that_does_not_name_its_run_stays_for_as_long_as_a_run_may_last(
    tmp_path: Path, name: str, older: int, stays: bool
) -> None:
    folder, asked = tmp_path / DAG_ID / name, []
    folder.mkdir(parents=True)
    then = time.time() - TIMEOUT.total_seconds() - older
    os.utime(folder, (then, then))
    _clean(tmp_path, {}, asked=asked)
    assert asked == []
    assert folder.exists() is stays


def test_a_folder_that_cannot_be_removed_is_logged_and_does_not_fail_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folders, remove = [_leave(tmp_path, run_id) for run_id in ("one", "two")], shutil.rmtree

    def refuse(path: Path) -> None:
        if path == folders[0]:
            raise PermissionError(13, "Permission denied", str(path))
        remove(path)

    monkeypatch.setattr(shutil, "rmtree", refuse)
    caplog.set_level(logging.WARNING)
    _clean(tmp_path, {})
    assert [folder.exists() for folder in folders] == [True, False]
    assert f"Cannot remove {folders[0]}" in caplog.text


def test_names_tell_runs_apart_and_are_valid() -> None:
    names = {folder_name(dag_id, run_id) for dag_id in (DAG_ID, "other") for run_id in [*RUN_IDS, "x" * 300, "ä" * 200]}
    assert len(names) == 2 * (len(RUN_IDS) + 2)
    assert all(len(name.encode()) <= 255 and "/" not in name and name not in ("", ".", "..") for name in names)
