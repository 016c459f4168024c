"""The yearly rollup on the real scheduler: it waits for the whole year, counts exactly, and follows a month's reload.

The test writes the months' Parquet into the lake directly; other tests cover the load.
"""

from __future__ import annotations

import datetime
from collections import Counter
from typing import Any

import pytest

from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from nyc_taxi.registry.months import Month
from tests import clients
from tests.integration.support import await_, end, put_into_lake, put_into_warehouse, task_states

pytestmark = pytest.mark.full

ROLLUP = "trips_yearly_rollup"
MONTHS = [Month(2021, number) for number in range(1, 13)]
# As if fhvhv had been complete before: the rollup must keep the rows of a dataset that is incomplete now.
OF_ANOTHER_DATASET = ("fhvhv", datetime.date(2021, 2, 1), 7, 99)


def _zones(month: Month, *, seed: int = 0) -> list[int | None]:
    """The zone of each trip of the month; some are not known."""
    return [None if row % 7 == 0 else 1 + (row * row + seed) % 5 for row in range(20 * month.month + seed)]


def _load(settings: AirflowSettings, api: AirflowApi, month: Month, zones: list[int | None]) -> str:
    """Take a month from the lake to the warehouse by its DAG; returns the run of the rollup that this starts."""
    put_into_lake(settings, month, zones)
    run_id = api.trigger("fhv_gcs_to_bigquery", {"month": str(month)})
    assert end(api, "fhv_gcs_to_bigquery", run_id) == "success"

    def started() -> str | None:
        runs = [run["dag_run_id"] for run in api.runs(ROLLUP) if run["partition_key"] == "2021"]
        return next((rollup for rollup in runs if run_id in api.started_by(ROLLUP, rollup)), None)

    rollup = await_(started, f"{month} in the warehouse starts {ROLLUP}")
    assert end(api, ROLLUP, rollup) == "success"
    return rollup


def _rollup(settings: AirflowSettings) -> list[tuple[Any, ...]]:
    query = (
        "SELECT dataset, month, zone, trips FROM trips.yearly_rollup WHERE month BETWEEN '2021-01-01' AND '2021-12-31'"
    )
    return [tuple(row.values()) for row in clients.bigquery_client(settings).query(query).result()]


def _expected(zones: dict[Month, list[int | None]]) -> list[tuple[Any, ...]]:
    return [
        ("fhv", month.first_day, zone, trips)
        for month, of_month in zones.items()
        for zone, trips in Counter(of_month).items()
    ]


@pytest.fixture(scope="module")
def zones(stack: AirflowSettings, api: AirflowApi) -> dict[Month, list[int | None]]:
    """What the lake gets, by month."""
    await_(lambda: api.dag("fhv_gcs_to_bigquery") and api.dag(ROLLUP), "Airflow knows the DAGs")
    return {month: _zones(month) for month in MONTHS}


def test_a_year_that_is_not_whole_is_skipped_with_its_reason(
    stack: AirflowSettings, api: AirflowApi, zones: dict[Month, list[int | None]]
) -> None:
    run = _load(stack, api, MONTHS[0], zones[MONTHS[0]])

    assert task_states(api, ROLLUP, run) == {"check_months": "skipped", "create_table": "skipped", "publish": "skipped"}
    assert "fhv 1 of 12 (missing: 2021-02 to 2021-12)" in "\n".join(api.log(ROLLUP, run, "check_months", 1))


def test_the_last_month_of_a_year_builds_it(
    stack: AirflowSettings, api: AirflowApi, zones: dict[Month, list[int | None]]
) -> None:
    put_into_warehouse(stack, [put_into_lake(stack, month, zones[month]) for month in MONTHS[1:-1]])

    run = _load(stack, api, MONTHS[-1], zones[MONTHS[-1]])

    assert set(task_states(api, ROLLUP, run).values()) == {"success"}
    assert Counter(_rollup(stack)) == Counter(_expected(zones))
    table = clients.bigquery_client(stack).get_table("trips.yearly_rollup")
    assert (table.time_partitioning.type_, table.time_partitioning.field) == ("YEAR", "month")
    assert table.clustering_fields == ["dataset", "month", "zone"]


def test_a_month_that_is_loaded_again_is_counted_again_and_the_rest_stays(
    stack: AirflowSettings, api: AirflowApi, zones: dict[Month, list[int | None]]
) -> None:
    dataset, month, zone, trips = OF_ANOTHER_DATASET
    clients.bigquery_client(stack).query(
        "INSERT INTO trips.yearly_rollup (dataset, month, zone, trips) "
        f"VALUES ('{dataset}', DATE '{month}', {zone}, {trips})"
    ).result()
    zones[MONTHS[2]] = _zones(MONTHS[2], seed=3)

    run = _load(stack, api, MONTHS[2], zones[MONTHS[2]])

    assert set(task_states(api, ROLLUP, run).values()) == {"success"}
    assert Counter(_rollup(stack)) == Counter([*_expected(zones), OF_ANOTHER_DATASET])


def test_a_run_started_by_hand_leaves_the_same_rows(
    stack: AirflowSettings, api: AirflowApi, zones: dict[Month, list[int | None]]
) -> None:
    before = Counter(_rollup(stack))

    run = api.trigger(ROLLUP, {"year": "2021"})

    assert end(api, ROLLUP, run) == "success"
    assert set(task_states(api, ROLLUP, run).values()) == {"success"}
    assert Counter(_rollup(stack)) == before
