"""The simulated backfill: the shape of its DAGs, how long their tasks sleep, and what counts as a failure."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lab import DAGS
from benchmarks.measure import MeasureError
from benchmarks.rows.simulation import Task, most_at_once, plan_of, require_once
from benchmarks.scale_page import tasks_of
from benchmarks.shapes import shape
from local.airflow.gcp_forecast import MILLIONS
from local.cloud.settings import REPOSITORY

FILE = DAGS / "simulated_backfill.py"
COSTS = {
    "rows": 500_000,
    "by_dataset": {name: {"cpu_seconds_by_task": {"to_parquet": 2.0, "load_staging": 9.0}} for name in MILLIONS},
}
TWO = {"a": {"downstream": ["b"], "is_setup": True, "is_teardown": False},
       "b": {"downstream": [], "is_setup": False, "is_teardown": True}}  # fmt: skip
PLAN = {"one": TWO}
DONE = [
    Task("one", run, task, "success", 1, start, start + 2)
    for run, first in (("r1", 0.0), ("r2", 1.0))
    for task, start in (("a", first), ("b", first + 2))
]


@pytest.fixture(scope="module")
def real() -> Any:
    """The DAG of the last dataset, from the web to the lake."""
    return runpy.run_path(str(REPOSITORY / "dags" / "web_to_gcs.py"))["dag"]


def test_the_shape_is_that_of_the_pipelines_dag(real: Any) -> None:
    found = shape(real.tasks)
    assert len(found) == tasks_of("green", "web_to_gcs")
    assert found["to_parquet"] == {
        "downstream": ["local_to_gcs", "remove_files"], "is_setup": True, "is_teardown": False,
    }  # fmt: skip
    assert found["skip_unchanged"]["downstream"] == ["download"]
    assert found["remove_files"] == {"downstream": [], "is_setup": False, "is_teardown": True}


def test_tasks_sleep_as_long_as_measured_for_the_assumed_rows() -> None:
    plan = plan_of({name: {**TWO, "to_parquet": TWO["a"]} for name in MILLIONS}, COSTS)
    assert list(plan) == [f"simulated_{name}_web_to_gcs" for name in MILLIONS]
    slept = {name: task["seconds"] for name, task in plan["simulated_yellow_web_to_gcs"].items()}
    assert slept == {"a": 0, "b": 0, "to_parquet": 2.0 * 8_000_000 / 500_000}
    assert plan["simulated_green_web_to_gcs"]["a"] == {**TWO["a"], "seconds": 0}


def test_the_dag_file_makes_what_the_plan_says(real: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = dict.fromkeys(MILLIONS, shape(real.tasks))
    plan = plan_of(shapes, COSTS)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan))
    monkeypatch.setenv("SIMULATED_BACKFILL", str(path))
    dag = runpy.run_path(str(FILE))["dag"]
    assert dag.dag_id == "simulated_fhvhv_web_to_gcs"
    assert shape(dag.tasks) == shapes["fhvhv"]
    assert dag.get_task("to_parquet").op_args == [72.0]
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    dag.get_task("to_parquet").execute({})
    assert slept == [72.0]


def test_without_a_plan_there_is_no_dag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIMULATED_BACKFILL", raising=False)
    assert "dag" not in runpy.run_path(str(FILE))


def test_runs_that_ended_well_are_accepted() -> None:
    require_once(DONE, PLAN, 2)


@pytest.mark.parametrize(
    ("tasks", "told"),
    [
        (DONE[:-1], "3 tasks in 2 runs, not 2 in 2"),
        (DONE[:2], "2 tasks in 1 runs"),
        ([*DONE, replace(DONE[0], state="failed")], "1 tasks did not succeed at once"),
        ([replace(DONE[0], tries=2), *DONE[1:]], "1 tasks did not succeed at once"),
        ([*DONE, DONE[0]], "5 tasks in 2 runs"),
        ([replace(DONE[0], task_id="c"), *DONE[1:]], "one: 4 tasks"),
    ],
)
def test_what_is_missing_failed_or_ran_twice_is_a_failure(tasks: list[Task], told: str) -> None:
    with pytest.raises(MeasureError, match=told):
        require_once(tasks, PLAN, 2)


def test_the_busiest_moment() -> None:
    assert most_at_once(DONE) == 2
    assert most_at_once(DONE[:2]) == 1  # one begins when the other ends
