"""Backfills over ranges of months, by the command line: in parallel, with unavailable months, and repeated."""

from __future__ import annotations

from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from local.airflow import reconcile
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from nyc_taxi.registry.datasets import FHVHV
from nyc_taxi.registry.months import Month
from tests.integration.conftest import SYNTHETIC_ROWS, publish
from tests.integration.support import AirflowCli, await_, end, line, runs_of

pytestmark = pytest.mark.full

TO_GCS, TO_POSTGRES, TO_BIGQUERY = "fhvhv_web_to_gcs", "fhvhv_web_to_postgres", "fhvhv_gcs_to_bigquery"
DAG_IDS = (TO_GCS, TO_POSTGRES)
# The mirror's fhvhv begins with 2019-02.
TOO_EARLY, GOOD, BROKEN, ABSENT = "2019-01", ("2019-02", "2019-03"), "2019-04", "2019-05"
RANGE = (TOO_EARLY, *GOOD, BROKEN, ABSENT)
PARALLEL = 2

Runs = dict[str, dict[str, dict[str, Any]]]


def _backfill(api: AirflowApi, cli: AirflowCli, months: tuple[str, ...], *options: str) -> None:
    """Backfill the range in both DAGs that read the source."""
    dates = ("--from-date", f"{months[0]}-01", "--to-date", f"{months[-1]}-01")
    for dag_id in DAG_IDS:
        api.close_backfills(dag_id)
        cli.must("backfill", "create", "--dag-id", dag_id, *dates, "--max-active-runs", str(PARALLEL), *options)


def _ended(api: AirflowApi, months: tuple[str, ...], *, nth: int) -> Runs:
    """Wait for the end of each month's ``nth`` run, from 1; the runs by DAG and month."""

    def run(dag_id: str, month: str) -> dict[str, Any]:
        newest = await_(
            lambda: runs[0] if len(runs := runs_of(api, dag_id, month)) >= nth else None,
            f"{dag_id} has run {nth} of {month}",
        )
        end(api, dag_id, newest["dag_run_id"])
        return api.run(dag_id, newest["dag_run_id"])

    return {dag_id: {month: run(dag_id, month) for month in months} for dag_id in DAG_IDS}


def _await_warehouse(api: AirflowApi, runs: Runs, months: tuple[str, ...]) -> None:
    """Wait until the lake's runs have taken the months to the warehouse."""
    for month in months:
        upstream = runs[TO_GCS][month]["dag_run_id"]
        run_id = await_(
            lambda month=month, upstream=upstream: next(
                (
                    run["dag_run_id"]
                    for run in runs_of(api, TO_BIGQUERY, month)
                    if upstream in api.started_by(TO_BIGQUERY, run["dag_run_id"])
                ),
                None,
            ),
            f"{month} in the lake starts the warehouse's DAG",
        )
        assert end(api, TO_BIGQUERY, run_id) == "success"


def _lines(settings: AirflowSettings, months: tuple[str, ...]) -> list[str]:
    return [reconcile.count(settings, FHVHV.file(Month.parse(month))).line("fhvhv", month) for month in months]


@pytest.fixture(scope="module")
def runs(stack: AirflowSettings, api: AirflowApi, stack_cli: AirflowCli, source_dir: Path) -> Runs:
    """The ended runs of the first backfill."""
    for month in GOOD:
        publish(source_dir, "fhvhv", month)
    publish(source_dir, "fhvhv", BROKEN, defects=["cut-short"])
    for dag_id in DAG_IDS:
        api.set_paused(dag_id, False)
    _backfill(api, stack_cli, RANGE)
    return _ended(api, RANGE, nth=1)


def test_the_months_that_can_be_had_arrive(stack: AirflowSettings, api: AirflowApi, runs: Runs) -> None:
    _await_warehouse(api, runs, GOOD)

    assert _lines(stack, GOOD) == [line("fhvhv", month, SYNTHETIC_ROWS) for month in GOOD]
    for dag_id in DAG_IDS:
        assert [runs[dag_id][month]["state"] for month in RANGE] == [
            *("failed", "success"),
            "success",
            "failed",
            "failed",
        ]


def test_the_others_fail_with_their_reason(api: AirflowApi, runs: Runs) -> None:
    for month, task_id, reason in (
        (TOO_EARLY, "wait_for_publication", "no fhvhv file for 2019-01: the source starts with 2019-02"),
        (BROKEN, "to_parquet", "fhvhv_tripdata_2019-04.csv.gz is not a valid fhvhv file: it is cut short: "),
        (ABSENT, "wait_for_publication", "fhvhv_tripdata_2019-05.csv.gz (HTTP 404): not published, or misspelt"),
    ):
        for dag_id in DAG_IDS:
            assert reason in "\n".join(api.log(dag_id, runs[dag_id][month]["dag_run_id"], task_id, 1))


def test_as_many_months_run_at_once_as_the_backfill_may(runs: Runs) -> None:
    for dag_id in DAG_IDS:
        times = [
            tuple(datetime.fromisoformat(run[moment]) for moment in ("start_date", "end_date"))
            for run in runs[dag_id].values()
        ]
        assert any(max(one[0], other[0]) < min(one[1], other[1]) for one, other in combinations(times, 2))
        for begin, _ in times:
            assert sum(other[0] <= begin < other[1] for other in times) <= PARALLEL


def test_failed_months_alone_are_reprocessed_and_a_corrected_one_arrives(
    stack: AirflowSettings, api: AirflowApi, stack_cli: AirflowCli, source_dir: Path, runs: Runs
) -> None:
    publish(source_dir, "fhvhv", BROKEN)

    _backfill(api, stack_cli, RANGE, "--reprocess-behavior", "failed")

    failed = (TOO_EARLY, BROKEN, ABSENT)
    again = _ended(api, failed, nth=2)
    for dag_id in DAG_IDS:
        assert [again[dag_id][month]["state"] for month in failed] == ["failed", "success", "failed"]
        assert [len(runs_of(api, dag_id, month)) for month in GOOD] == [1, 1]
    _await_warehouse(api, again, (BROKEN,))
    assert _lines(stack, (BROKEN,)) == [line("fhvhv", BROKEN, SYNTHETIC_ROWS)]


def test_a_completed_month_that_is_reprocessed_has_the_same_content(
    stack: AirflowSettings, api: AirflowApi, stack_cli: AirflowCli, runs: Runs
) -> None:
    file, months = FHVHV.file(Month.parse(GOOD[-1])), GOOD[-1:]
    _await_warehouse(api, runs, months)
    before = reconcile.contents(stack, file)
    assert {content.rows for content in before.values()} == {SYNTHETIC_ROWS}

    _backfill(api, stack_cli, months, "--reprocess-behavior", "completed", "--dag-run-conf", '{"force": true}')

    # Airflow keeps the run that was completed, and makes another one of the same key.
    again = _ended(api, months, nth=2)
    assert [again[dag_id][months[0]]["state"] for dag_id in DAG_IDS] == ["success", "success"]
    _await_warehouse(api, again, months)
    assert reconcile.contents(stack, file) == before
