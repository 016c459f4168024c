"""Every way to start a run, for every dataset: each leaves the same rows.

The module has a stack of its own: what starts when a DAG is unpaused for the first time is part of what it tests.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from local.airflow import reconcile
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from nyc_taxi.dag_parts.deadlines import LATE_AFTER
from nyc_taxi.registry.datasets import TRIP_DATASETS, ZONES
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.store import Content
from tests.integration.conftest import (
    REPOSITORY,
    SYNTHETIC_ROWS,
    make_source,
    publish,
    running_stack,
    stack_environment,
)
from tests.integration.support import (
    AirflowCli,
    assert_loaded,
    await_,
    await_warehouse,
    end,
    lake_objects,
    line,
    reason_of_skipping,
    run_months,
    runs_of,
    skip_reason,
    strike,
    task_states,
    trigger_both,
    warehouse_runs,
)

pytestmark = pytest.mark.full

DATASETS = [dataset.name for dataset in TRIP_DATASETS]
# A month of each dataset: real ones where there are any.
SYNTHETIC = dict.fromkeys(DATASETS, "2020-05")
MONTHS = {**SYNTHETIC, **({"yellow": "2020-04", "green": "2021-02"} if os.environ.get("NYC_TLC_DATA_DIR") else {})}
REAL_ROWS = {("yellow", "2020-04"): 10_000, ("green", "2021-02"): 64_572}
ROWS = {dataset: REAL_ROWS.get((dataset, month), SYNTHETIC_ROWS) for dataset, month in MONTHS.items()}
FLOWS = ("web_to_gcs", "web_to_postgres")
TOO_LATE = "green"
LATE = "fhv_web_to_postgres"
# Seconds for which the clock's runs wait for publication: longer than the tests need, and hardly at all. A run asks
# again after each hundredth of them.
LONG, SHORT = 1000, 5


@dataclass(frozen=True)
class Scheduled:
    """What the clock starts on the first of a month.

    Attributes:
        month: the month two months back.
        runs: the run of each DAG.
        late: the message that a run has missed its deadline.
        deadlines: by run, the time from its date to its deadline; all that were there when the last run waited.
    """

    month: str
    runs: dict[str, str]
    late: str
    deadlines: dict[str, timedelta]


@pytest.fixture(scope="module")
def source_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def stack(source_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowSettings]:
    """A stack on which no DAG was ever unpaused."""
    # Without the variable for the wait: the tests set it in Airflow's database, where it can be changed.
    with running_stack(stack_environment(tmp_path_factory.mktemp("local"), source_dir)) as settings:
        yield settings


@pytest.fixture(scope="module")
def api(stack: AirflowSettings) -> Iterator[AirflowApi]:
    with AirflowApi(stack) as client:
        yield client


@pytest.fixture(scope="module")
def stack_cli(stack: AirflowSettings) -> Iterator[AirflowCli]:
    with AirflowCli(stack) as cli:
        yield cli


@pytest.fixture(scope="module")
def scheduled(stack: AirflowSettings, api: AirflowApi, source_dir: Path) -> Scheduled:
    """The clock's ended runs of all DAGs that have one. All waited; one dataset's month was not published in time."""
    seconds = {"key": "publication_wait_seconds", "value": str(LONG)}
    api.call("POST", "/variables", **seconds)
    found = _struck(stack, api, [dataset for dataset in DATASETS if dataset != TOO_LATE])
    late = _late(stack, api, LATE, found[LATE]["dag_run_id"])
    api.call("PATCH", "/variables/publication_wait_seconds", **{**seconds, "value": str(SHORT)})
    too_late = _struck(stack, api, [TOO_LATE])
    deadlines = _deadlines(stack)
    [month] = {run["partition_key"] for run in (*found.values(), *too_late.values())}
    for dataset in DATASETS:
        if dataset != TOO_LATE:
            publish(source_dir, dataset, month)
    runs = {dag_id: run["dag_run_id"] for dag_id, run in {**found, **too_late}.items()}
    for run in runs.items():
        assert end(api, *run) == "success"
    for dag_id in runs:
        assert len(api.runs(dag_id)) == 1, "the clock strikes once"
    return Scheduled(month, runs, late, deadlines)


def _late(stack: AirflowSettings, api: AirflowApi, dag_id: str, run_id: str) -> str:
    """Let a waiting run fail and clear it, which starts it again, and let its deadline pass; returns the message."""
    api.fail(dag_id, run_id)
    # Cleared before its teardowns have ended, the run would keep the states that the scheduler is about to write.
    assert end(api, dag_id, run_id) == "failed"
    api.call("POST", f"/dags/{dag_id}/dagRuns/{run_id}/clear", dry_run=False)
    await_(lambda: task_states(api, dag_id, run_id)["wait_for_publication"] == "deferred", "the cleared run waits")
    with psycopg.connect(stack.cloud.postgres_url("airflow")) as connection:
        passed = connection.execute(
            "UPDATE deadline SET deadline_time = deadline_time - interval '1 year' FROM dag_run"
            " WHERE dag_run.id = dagrun_id AND dag_run.dag_id = %s AND run_id = %s",
            [dag_id, run_id],
        )
    assert passed.rowcount == 1

    def told() -> str | None:
        texts = [path.read_text() for path in stack.messages_dir.glob("*.txt")]
        return next((text for text in texts if " is late " in text), None)

    return await_(told, f"{dag_id} is told to be late")


def _deadlines(stack: AirflowSettings) -> dict[str, timedelta]:
    """The time from the date of a run to its deadline, by the run's DAG, for each deadline that was not missed."""
    with psycopg.connect(stack.cloud.postgres_url("airflow")) as connection:
        found = connection.execute(
            "SELECT dag_run.dag_id, deadline_time - run_after FROM deadline JOIN dag_run ON dag_run.id = dagrun_id"
            " WHERE NOT missed"
        )
        return dict(found.fetchall())


def _struck(stack: AirflowSettings, api: AirflowApi, datasets: list[str]) -> dict[str, dict[str, Any]]:
    """Unpause the DAGs that read the source, which starts nothing, and let the clock strike.

    Returns:
        The clock's runs, once all wait without a worker slot; a short wait may be over already.
    """
    dag_ids = [f"{dataset}_{flow}" for dataset in datasets for flow in FLOWS]
    for dag_id in dag_ids:
        api.set_paused(dag_id, False)

    def waiting(dag_id: str) -> dict[str, Any] | None:
        # Again and again: the dag-processor may just have computed the time anew.
        strike(stack, dag_id)
        for run in api.runs(dag_id):
            if task_states(api, dag_id, run["dag_run_id"])["wait_for_publication"] in ("deferred", "skipped"):
                return run
        return None

    return {dag_id: await_(partial(waiting, dag_id), f"the clock's run of {dag_id} waits") for dag_id in dag_ids}


def test_the_clocks_runs_load_what_is_published_while_they_wait(
    stack: AirflowSettings, api: AirflowApi, scheduled: Scheduled
) -> None:
    published = {dataset: scheduled.month for dataset in DATASETS if dataset != TOO_LATE}
    await_warehouse(api, published, {dataset: set() for dataset in published})
    for dataset, month in published.items():
        for flow in FLOWS:
            dag_id = f"{dataset}_{flow}"
            assert api.run(dag_id, scheduled.runs[dag_id])["run_type"] == "scheduled"
            assert_loaded(api, dag_id, scheduled.runs[dag_id])
        assert _reconciled(stack, dataset, month) == line(dataset, month, SYNTHETIC_ROWS)


@pytest.fixture(scope="module")
def by_clock(stack: AirflowSettings, api: AirflowApi, scheduled: Scheduled) -> dict[str, Content]:
    """What the clock's runs of fhvhv left."""
    await_warehouse(api, {"fhvhv": scheduled.month}, {"fhvhv": set()})
    return _contents_of(stack, "fhvhv", scheduled.month)


@pytest.fixture(scope="module")
def by_hand(stack: AirflowSettings, api: AirflowApi, scheduled: Scheduled) -> dict[str, dict[str, Content]]:
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
        for run in runs.items():
            made_from = f"is unchanged: it was made from {dataset}_tripdata_{month}.csv.gz etag="
            assert made_from in reason_of_skipping(api, *run)
    await_warehouse(api, MONTHS, seen)
    now = warehouse_runs(api, MONTHS)
    for dataset in MONTHS:
        [run_id] = now[dataset] - seen[dataset]
        assert reason_of_skipping(api, f"{dataset}_gcs_to_bigquery", run_id)
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
    scheduled: Scheduled,
    by_clock: dict[str, Content],
) -> None:
    scheduled_month = {"fhvhv": scheduled.month}
    seen, seen_of_clock = warehouse_runs(api, MONTHS), warehouse_runs(api, scheduled_month)
    dag_ids = [(dataset, f"{dataset}_{flow}") for dataset in MONTHS for flow in FLOWS]
    started = [(dag_id, _start_again(api, stack_cli, dataset, dag_id)) for dataset, dag_id in dag_ids]
    started += trigger_both(api, *next(iter(scheduled_month.items())), force=True).items()

    for run in started:
        assert end(api, *run) == "success", run
    await_warehouse(api, MONTHS, seen)
    await_warehouse(api, scheduled_month, seen_of_clock)
    assert _contents(stack) == by_hand
    assert _contents_of(stack, "fhvhv", scheduled.month) == by_clock


def test_dags_test_beside_the_scheduler_leaves_the_same_content(
    stack: AirflowSettings, scheduled: Scheduled, by_clock: dict[str, Content]
) -> None:
    month = scheduled.month
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
            # Each has a run with its key already.
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
    # Not a DAG whose backfill another test cancels: Airflow starts no cleared run of a cancelled backfill.
    dag_id = "yellow_web_to_postgres"
    ((run_id, _),) = _backfilled(api, "yellow", "web_to_postgres")
    first = {task["task_id"]: task["start_date"] for task in api.tasks(dag_id, run_id)}

    stack_cli.must("dags", "clear", dag_id, "--partition-key", MONTHS["yellow"], "--yes")

    assert end(api, dag_id, run_id) == "success"
    assert all(task["start_date"] > first[task["task_id"]] for task in api.tasks(dag_id, run_id))
    assert _contents(stack) == by_hand


def test_only_runs_of_the_clock_that_read_the_source_have_a_deadline(
    stack: AirflowSettings, api: AirflowApi, scheduled: Scheduled
) -> None:
    others = [f"{dataset}_{flow}" for dataset in DATASETS for flow in FLOWS if dataset != TOO_LATE]
    assert {dag_id: scheduled.deadlines.get(dag_id) for dag_id in others} == {
        **dict.fromkeys(others, LATE_AFTER),
        LATE: None,  # it has missed its own
    }
    assert _deadlines(stack) == {}, "a run that has ended needs none, and one that is not the clock's has none"


def test_a_run_that_misses_its_deadline_is_told_once_with_its_month(
    stack: AirflowSettings, scheduled: Scheduled
) -> None:
    """It was cleared before, which starts it again and leaves it its deadline."""
    run_id = scheduled.runs[LATE]
    assert scheduled.late.startswith(f"{LATE} is late for {scheduled.month}: not ended by ")
    address = f"{stack.url}/dags/{LATE}/runs/{quote(run_id)}"
    assert scheduled.late.endswith(f" UTC, but running, in run {run_id}, {address}\n")
    texts = [path.read_text() for path in stack.messages_dir.glob("*.txt")]
    assert [text for text in texts if " is late " in text] == [scheduled.late]


def test_a_cleared_run_loads_its_unchanged_month_again(
    stack: AirflowSettings, api: AirflowApi, stack_cli: AirflowCli, scheduled: Scheduled, by_clock: dict[str, Content]
) -> None:
    dag_id, month = "yellow_web_to_gcs", scheduled.month
    seen = warehouse_runs(api, {"yellow": month})
    before = _contents_of(stack, "yellow", month)

    stack_cli.must("dags", "clear", dag_id, "--partition-key", month, "--yes")

    assert end(api, dag_id, scheduled.runs[dag_id]) == "success"
    assert_loaded(api, dag_id, scheduled.runs[dag_id])
    await_warehouse(api, {"yellow": month}, seen)
    assert _contents_of(stack, "yellow", month) == before


def test_a_month_that_is_not_published_in_time_is_skipped_with_its_reason(
    api: AirflowApi, scheduled: Scheduled
) -> None:
    for flow in FLOWS:
        dag_id = f"{TOO_LATE}_{flow}"
        assert set(task_states(api, dag_id, scheduled.runs[dag_id]).values()) == {"skipped"}
        reason = skip_reason(api, dag_id, scheduled.runs[dag_id], "wait_for_publication")
        assert (
            f"green_tripdata_{scheduled.month}.csv.gz was not published within 0:00:0{SHORT} of the run's start"
            in reason
        )
        assert "(HTTP 404): not published, or misspelt" in reason
        assert reason in api.log(dag_id, scheduled.runs[dag_id], "wait_for_publication", 1)


def test_a_cleared_key_of_the_clock_loads_a_month_that_came_too_late(
    stack: AirflowSettings, api: AirflowApi, stack_cli: AirflowCli, scheduled: Scheduled, source_dir: Path
) -> None:
    month = {TOO_LATE: scheduled.month}
    seen = warehouse_runs(api, month)
    publish(source_dir, TOO_LATE, scheduled.month)

    dag_ids = [f"{TOO_LATE}_{flow}" for flow in FLOWS]
    for dag_id in dag_ids:
        stack_cli.must("dags", "clear", dag_id, "--partition-key", scheduled.month, "--yes")

    for dag_id in dag_ids:
        assert end(api, dag_id, scheduled.runs[dag_id]) == "success"
        assert_loaded(api, dag_id, scheduled.runs[dag_id])
    await_warehouse(api, month, seen)
    assert _reconciled(stack, TOO_LATE, scheduled.month) == line(TOO_LATE, scheduled.month, SYNTHETIC_ROWS)


def test_zones_arrive_in_every_store_by_the_clock_and_by_hand(stack: AirflowSettings, api: AirflowApi) -> None:
    contents = []
    for start in (partial(_by_the_clock, stack), _by_hand):
        before = len(api.runs("zones_gcs_to_bigquery"))
        for dag_id, run_id in start(api).items():
            assert end(api, dag_id, run_id) == "success"
        (warehouse,) = await_(
            lambda before=before: api.runs("zones_gcs_to_bigquery")[: len(api.runs("zones_gcs_to_bigquery")) - before],
            "the lake's zones start the warehouse's DAG",
        )
        assert end(api, "zones_gcs_to_bigquery", warehouse["dag_run_id"]) == "success"
        contents.append(reconcile.contents(stack, ZONES.file()))

    assert {store: content.rows for store, content in contents[0].items()} == dict.fromkeys(contents[0], 265)
    assert contents[1] == contents[0]
    assert lake_objects(stack, "zones/") == ["zones/taxi_zone_lookup.parquet"]


def _by_the_clock(stack: AirflowSettings, api: AirflowApi) -> dict[str, str]:
    """Let the clock strike for the zones' DAGs, which starts the runs of this month; returns them."""
    dag_ids = ("zones_web_to_gcs", "zones_web_to_postgres")
    for dag_id in dag_ids:
        api.set_paused(dag_id, False)

    def started() -> list[list[dict[str, Any]]] | None:
        for dag_id in dag_ids:
            strike(stack, dag_id)
        return runs if all(runs := [api.runs(dag_id) for dag_id in dag_ids]) else None

    runs = await_(started, "the clock starts the zones")
    return {dag_id: run["dag_run_id"] for dag_id, (run,) in zip(dag_ids, runs, strict=True)}


def _by_hand(api: AirflowApi) -> dict[str, str]:
    return {dag_id: api.trigger(dag_id, {"force": True}) for dag_id in ("zones_web_to_gcs", "zones_web_to_postgres")}


def _backfilled(api: AirflowApi, dataset: str, flow: str) -> list[tuple[str, str]]:
    """The ended runs of the dataset's month that a backfill started, with their states."""
    dag_id = f"{dataset}_{flow}"

    def ended() -> list[tuple[str, str]] | None:
        runs = _backfills(api, dag_id, MONTHS[dataset])
        return [(run["dag_run_id"], run["state"]) for run in runs if run["state"] in ("success", "failed")] or None

    return await_(ended, f"the backfill of {dag_id} ends")


def _backfills(api: AirflowApi, dag_id: str, month: str) -> list[dict[str, Any]]:
    return [run for run in runs_of(api, dag_id, month) if run["run_type"] == "backfill"]


def _airflow(*arguments: str) -> None:
    """Run ``bin/airflow``, as a user would."""
    command = [REPOSITORY / "bin" / "airflow", *arguments]
    result = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=400, check=False)
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
