"""Every way to start a run, for every dataset: each leaves the same rows.

The file's name puts it before the other modules that use the stack: its DAGs' first unpausing is what it tests.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local.airflow import reconcile
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from local.airflow.reconcile import Content
from nyc_taxi.registry.datasets import TRIP_DATASETS
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.registry.months import Month
from tests.integration.conftest import REPOSITORY, SYNTHETIC_ROWS, publish
from tests.integration.support import (
    AirflowCli,
    await_,
    await_warehouse,
    end,
    line,
    run_months,
    runs_of,
    task_states,
    trigger_both,
    warehouse_runs,
)

DATASETS = [dataset.name for dataset in TRIP_DATASETS]
# A month of each dataset, none that another module has loaded before: real ones where there are any.
SYNTHETIC = dict.fromkeys(DATASETS, "2020-05")
MONTHS = {**SYNTHETIC, **({"yellow": "2020-04", "green": "2021-02"} if os.environ.get("NYC_TLC_DATA_DIR") else {})}
REAL_ROWS = {("yellow", "2020-04"): 10_000, ("green", "2021-02"): 64_572}
ROWS = {dataset: REAL_ROWS.get((dataset, month), SYNTHETIC_ROWS) for dataset, month in MONTHS.items()}
FLOWS = ("web_to_gcs", "web_to_postgres")
TOO_LATE = "green"


def _newest_month() -> str:
    """The month for which the clock starts a run today: two months back."""
    today = datetime.datetime.now(datetime.UTC).date()
    index = today.year * 12 + today.month - 1 - 2
    return f"{index // 12:04d}-{index % 12 + 1:02d}"


@pytest.fixture(scope="module")
def scheduled(api: AirflowApi) -> dict[str, str]:
    """The clock's runs of all DAGs that have one, for the newest month, which the source does not have yet."""
    dag_ids = [f"{dataset}_{flow}" for dataset in DATASETS for flow in FLOWS]
    for dag_id in dag_ids:
        api.set_paused(dag_id, False)

    def runs() -> dict[str, str] | None:
        found = {
            dag_id: run["dag_run_id"]
            for dag_id in dag_ids
            for run in api.runs(dag_id)
            if run["run_type"] == "scheduled" and run["partition_key"] == _newest_month()
        }
        return found if len(found) == len(dag_ids) else None

    return await_(runs, "the clock starts the newest month of every dataset")


def test_scheduled_runs_wait_for_publication_without_a_slot(
    stack: AirflowSettings, api: AirflowApi, scheduled: dict[str, str], source_dir: Path
) -> None:
    month = _newest_month()

    def all_wait() -> bool:
        states = [task_states(api, *run) for run in scheduled.items()]
        return all(state["wait_for_publication"] == "deferred" for state in states)

    await_(all_wait, "every run waits in the triggerer")
    published = {dataset: month for dataset in DATASETS if dataset != TOO_LATE}
    seen = warehouse_runs(api, published)
    for dataset in published:
        publish(source_dir, dataset, month)

    for dataset in published:
        for flow in FLOWS:
            dag_id = f"{dataset}_{flow}"
            assert end(api, dag_id, scheduled[dag_id]) == "success"
            assert set(task_states(api, dag_id, scheduled[dag_id]).values()) == {"success"}
    await_warehouse(api, published, seen)
    for dataset in published:
        assert _reconciled(stack, dataset, month) == line(dataset, month, SYNTHETIC_ROWS)


@pytest.fixture(scope="module")
def by_clock(stack: AirflowSettings, api: AirflowApi, scheduled: dict[str, str]) -> dict[str, Content]:
    """What the clock's runs of fhvhv left."""
    for flow in FLOWS:
        assert end(api, f"fhvhv_{flow}", scheduled[f"fhvhv_{flow}"]) == "success"
    return _contents_of(stack, "fhvhv", _newest_month())


@pytest.fixture(scope="module")
def by_hand(stack: AirflowSettings, api: AirflowApi, scheduled: dict[str, str]) -> dict[str, dict[str, Content]]:
    """A month of every dataset, taken through all DAGs by runs with the parameter ``month``; and what it left."""
    run_months(api, MONTHS)
    return _contents(stack)


def test_runs_started_by_hand(stack: AirflowSettings, by_hand: dict[str, dict[str, Content]]) -> None:
    for dataset, month in MONTHS.items():
        assert _reconciled(stack, dataset, month) == line(dataset, month, ROWS[dataset])
        assert {content.rows for content in by_hand[dataset].values()} == {ROWS[dataset]}


def test_what_is_unchanged_is_skipped_with_its_reason(
    stack: AirflowSettings, api: AirflowApi, by_hand: dict[str, dict[str, Content]]
) -> None:
    seen = warehouse_runs(api, MONTHS)
    started = {each: trigger_both(api, *each) for each in MONTHS.items()}
    for (dataset, month), runs in started.items():
        for dag_id, run_id in runs.items():
            assert end(api, dag_id, run_id) == "success"
            states = task_states(api, dag_id, run_id)
            assert states.pop("wait_for_publication") == "success"
            assert set(states.values()) == {"skipped"}
            reason = api.xcom(dag_id, run_id, "skip_unchanged", "skip_reason")
            assert f"is unchanged: it was made from {dataset}_tripdata_{month}.csv.gz etag=" in reason
            assert (f"trigger {dataset}_gcs_to_bigquery" in reason) == dag_id.endswith("_web_to_gcs")
            assert reason in api.log(dag_id, run_id, "skip_unchanged", 1)
    assert warehouse_runs(api, MONTHS) == seen
    assert _contents(stack) == by_hand


def _start_again(api: AirflowApi, cli: AirflowCli, dataset: str, dag_id: str) -> str:
    """Start the dataset's month by force, each dataset in another way; returns the run's id."""
    month = MONTHS[dataset]
    conf = {"month": month, "force": True}
    if dataset == "yellow":  # the parameter wins over the date
        return api.trigger(dag_id, conf, logical_date="2018-03-05T06:07:08Z")
    if dataset == "green":
        return api.trigger(dag_id, {"force": True}, partition_key=month)
    if dataset == "fhv":
        cli.must("dags", "trigger", dag_id, "--conf", json.dumps(conf), "--run-id", "by_command")
        return "by_command"
    return api.trigger(dag_id, conf)


def test_another_run_started_in_any_way_leaves_the_same_content(
    stack: AirflowSettings,
    api: AirflowApi,
    stack_cli: AirflowCli,
    by_hand: dict[str, dict[str, Content]],
    by_clock: dict[str, Content],
) -> None:
    scheduled_month = {"fhvhv": _newest_month()}
    seen, seen_of_clock = warehouse_runs(api, MONTHS), warehouse_runs(api, scheduled_month)
    dag_ids = [(dataset, f"{dataset}_{flow}") for dataset in MONTHS for flow in FLOWS]
    started = [(dag_id, _start_again(api, stack_cli, dataset, dag_id)) for dataset, dag_id in dag_ids]
    started += trigger_both(api, *next(iter(scheduled_month.items())), force=True).items()

    for run in started:
        assert end(api, *run) == "success", run
    await_warehouse(api, MONTHS, seen)
    await_warehouse(api, scheduled_month, seen_of_clock)
    assert _contents(stack) == by_hand
    assert _contents_of(stack, "fhvhv", _newest_month()) == by_clock


def test_dags_test_beside_the_scheduler_leaves_the_same_content(
    stack: AirflowSettings, by_clock: dict[str, Content]
) -> None:
    month = _newest_month()
    with psycopg.connect(stack.cloud.postgres_url("ny_taxi")) as connection:
        connection.execute(f"DROP TABLE fhvhv_trips_{month.replace('-', '_')}")  # type: ignore[call-overload]

    _airflow("dags", "test", "fhvhv_web_to_postgres", f"{month}-15", "-c", '{"force": true}')

    assert _contents_of(stack, "fhvhv", month) == by_clock


def test_a_backfill_leaves_the_same_content(
    stack: AirflowSettings, api: AirflowApi, by_hand: dict[str, dict[str, Content]]
) -> None:
    seen = warehouse_runs(api, MONTHS)
    for dataset, month in MONTHS.items():
        for flow in FLOWS:
            # That of green has a run with its key already.
            api.backfill(
                *(f"{dataset}_{flow}", f"{month}-01", f"{month}-28"),
                conf={"force": True},
                reprocess="completed",
                parallel=2,
            )

    for dataset in DATASETS:
        for flow in FLOWS:
            ((run_id, state),) = _backfilled(api, dataset, flow)
            assert state == "success", run_id
    await_warehouse(api, MONTHS, seen)
    assert _contents(stack) == by_hand


def test_a_backfill_that_does_not_reprocess_makes_no_run_of_a_month_that_has_one(
    stack: AirflowSettings, api: AirflowApi, by_hand: dict[str, dict[str, Content]]
) -> None:
    dag_id, month = "fhv_web_to_postgres", MONTHS["fhv"]
    before = api.runs(dag_id)
    api.close_backfills(dag_id)

    api.backfill(dag_id, f"{month}-01", f"{month}-28", conf={"force": True}, parallel=2)

    assert api.runs(dag_id) == before


def test_a_cleared_partition_key_leaves_the_same_content(
    stack: AirflowSettings, api: AirflowApi, stack_cli: AirflowCli, by_hand: dict[str, dict[str, Content]]
) -> None:
    dag_id = "fhv_web_to_postgres"
    ((run_id, _),) = _backfilled(api, "fhv", "web_to_postgres")
    first = {task["task_id"]: task["start_date"] for task in api.tasks(dag_id, run_id)}

    stack_cli.must("dags", "clear", dag_id, "--partition-key", MONTHS["fhv"], "--yes")

    _await_cleared(api, dag_id, run_id)
    assert all(task["start_date"] > first[task["task_id"]] for task in api.tasks(dag_id, run_id))
    assert _contents(stack) == by_hand


def test_a_cleared_key_of_a_run_without_force_is_skipped_as_any_other_start(
    api: AirflowApi, stack_cli: AirflowCli, scheduled: dict[str, str], by_clock: dict[str, Content]
) -> None:
    dag_id, month = "yellow_web_to_gcs", _newest_month()
    seen = warehouse_runs(api, {"yellow": month})

    stack_cli.must("dags", "clear", dag_id, "--partition-key", month, "--yes")

    _await_cleared(api, dag_id, scheduled[dag_id])
    states = task_states(api, dag_id, scheduled[dag_id])
    assert states.pop("wait_for_publication") == "success"
    assert set(states.values()) == {"skipped"}
    assert warehouse_runs(api, {"yellow": month}) == seen


def test_a_month_that_is_not_published_in_time_is_skipped_with_its_reason(
    stack: AirflowSettings, api: AirflowApi, scheduled: dict[str, str]
) -> None:
    for flow in FLOWS:
        dag_id = f"{TOO_LATE}_{flow}"
        assert end(api, dag_id, scheduled[dag_id]) == "success"
        assert set(task_states(api, dag_id, scheduled[dag_id]).values()) == {"skipped"}
        reason = api.xcom(dag_id, scheduled[dag_id], "wait_for_publication", "skip_reason")
        assert f"green_tripdata_{_newest_month()}.csv.gz was not published within 0:00:30 of the run's start" in reason
        assert "404:Not Found" in reason
        assert reason in api.log(dag_id, scheduled[dag_id], "wait_for_publication", 1)


def test_a_cleared_key_of_the_clock_loads_a_month_that_came_too_late(
    stack: AirflowSettings, api: AirflowApi, stack_cli: AirflowCli, scheduled: dict[str, str], source_dir: Path
) -> None:
    month = {TOO_LATE: _newest_month()}
    seen = warehouse_runs(api, month)
    publish(source_dir, TOO_LATE, _newest_month())

    dag_ids = [f"{TOO_LATE}_{flow}" for flow in FLOWS]
    for dag_id in dag_ids:
        stack_cli.must("dags", "clear", dag_id, "--partition-key", _newest_month(), "--yes")

    for dag_id in dag_ids:
        _await_cleared(api, dag_id, scheduled[dag_id])
        assert set(task_states(api, dag_id, scheduled[dag_id]).values()) == {"success"}
    await_warehouse(api, month, seen)
    assert _reconciled(stack, TOO_LATE, _newest_month()) == line(TOO_LATE, _newest_month(), SYNTHETIC_ROWS)


def _backfilled(api: AirflowApi, dataset: str, flow: str) -> list[tuple[str, str]]:
    """The ended runs of the dataset's month that a backfill started, with their states."""
    dag_id = f"{dataset}_{flow}"

    def ended() -> list[tuple[str, str]] | None:
        runs = _backfills(api, dag_id, MONTHS[dataset])
        return [(run["dag_run_id"], run["state"]) for run in runs if run["state"] in ("success", "failed")] or None

    return await_(ended, f"the backfill of {dag_id} ends")


def _await_cleared(api: AirflowApi, dag_id: str, run_id: str) -> None:
    """Wait until a run that was cleared has begun again and ended well."""
    await_(lambda: api.run(dag_id, run_id)["state"] in ("queued", "running") or None, "the run starts again", 20)
    assert end(api, dag_id, run_id) == "success"


def _backfills(api: AirflowApi, dag_id: str, month: str) -> list[dict[str, Any]]:
    return [run for run in runs_of(api, dag_id, month) if run["run_type"] == "backfill"]


def _airflow(*arguments: str) -> None:
    """Run ``bin/airflow``, as a user would."""
    command = [REPOSITORY / "bin" / "airflow", *arguments]
    result = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


def _reconciled(settings: AirflowSettings, dataset: str, month: str) -> str:
    return reconcile.count(settings, _file(dataset, month)).line(dataset, month)


def _contents(settings: AirflowSettings) -> dict[str, dict[str, Content]]:
    """What each store has of the months, by dataset."""
    return {dataset: _contents_of(settings, dataset, month) for dataset, month in MONTHS.items()}


def _contents_of(settings: AirflowSettings, dataset: str, month: str) -> dict[str, Content]:
    return reconcile.contents(settings, _file(dataset, month))


def _file(dataset: str, month: str) -> PublishedFile:
    return next(each for each in TRIP_DATASETS if each.name == dataset).file(Month.parse(month))
