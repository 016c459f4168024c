"""The months page of somebody who has loaded everything for ten years."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg

from benchmarks.lab import Lab
from benchmarks.measure import MeasureError, in_turns
from benchmarks.results import Benchmark, Measured, at_most
from local.airflow.api import AirflowApi
from nyc_taxi.registry.datasets import TRIP_DATASETS
from nyc_taxi.registry.months import Month

YEARS = 10
RUNS_OF_A_MONTH = 2
REQUESTS = 10
LOOKS_SECONDS = 120
OVERVIEW = "/months/api/overview"
# Airflow's own list of runs, as its UI asks for a page of it.
RUNS_LIST = "/api/v2/dags/~/dagRuns?limit=50&order_by=-run_after"


def _months_page(lab: Lab) -> Measured:
    lab.stock.stop()
    with lab.runs() as runs, _ten_years_of_runs(lab) as (months, made):
        _await_looks(runs.api)
        _require_cells(runs.api, made // RUNS_OF_A_MONTH)
        ours, baseline = in_turns(
            lab.conditions.repeats, lambda: _slowest(runs.api, OVERVIEW), lambda: _slowest(runs.api, RUNS_LIST)
        )
    note = (
        f"the slowest of {REQUESTS} answers; {months} months of {len(TRIP_DATASETS)} datasets in {YEARS} years, and "
        f"the zones; {made:,} runs in Airflow's database"
    )
    return Measured(ours=ours, baseline=baseline, note=note)


def _slowest(api: AirflowApi, path: str) -> float:
    """Ask several times; returns the milliseconds of the slowest answer."""
    found = []
    for _ in range(REQUESTS):
        begin = time.perf_counter()
        api.get(path)
        found.append(1000 * (time.perf_counter() - begin))
    return max(found)


def _await_looks(api: AirflowApi) -> None:
    """Wait until every store has been looked at: the page shows them meanwhile, but their clients are being imported.

    Raises:
        MeasureError: a store is silent.
    """
    end = time.monotonic() + LOOKS_SECONDS
    while time.monotonic() < end:
        looks = [look for dataset in api.get(OVERVIEW)["datasets"] for look in dataset["looks"].values()]
        if all(look["answered"] and not look["running"] for look in looks):
            return
        time.sleep(1)
    raise MeasureError(f"not every store has answered the page within {LOOKS_SECONDS} s")


def _require_cells(api: AirflowApi, number: int) -> None:
    """Check that the page shows a run for each month in each store.

    Raises:
        MeasureError: it shows fewer.
    """
    datasets = api.get(OVERVIEW)["datasets"]
    cells = [cell for one in datasets for stores in one["months"].values() for cell in stores.values()]
    shown = sum(cell["run"] is not None for cell in cells)
    if shown < number:
        raise MeasureError(f"the page shows {shown} cells with a run, not {number}")


@contextmanager
def _ten_years_of_runs(lab: Lab) -> Iterator[tuple[int, int]]:
    """Put runs of every month into Airflow's database for the length of the block; yields the months and the runs."""
    from nyc_taxi.stores import STORES  # here, because the process that measures imports nothing large

    now = datetime.now(UTC)
    rows = []
    months = 0
    for dataset in TRIP_DATASETS:
        month = max(min(dataset.first_month.values()), Month(now.year - YEARS, now.month))
        while month < Month(now.year, now.month):
            months += 1
            for store in STORES:
                for number in range(RUNS_OF_A_MONTH):
                    rows.append((store.dag_id(dataset), f"benchmark__{month}__{number}", str(month)))
            month = month.next
    with psycopg.connect(lab.cloud().cloud.postgres_url("airflow")) as connection:
        connection.cursor().executemany(
            "INSERT INTO dag_run (dag_id, run_id, partition_key, run_type, state, run_after, queued_at, start_date,"
            " end_date, clear_number, created_at, updated_at)"
            " VALUES (%s, %s, %s, 'manual', 'success', now(), now(), now(), now(), 0, now(), now())",
            rows,
        )
    try:
        yield months, len(rows)
    finally:
        with psycopg.connect(lab.cloud().cloud.postgres_url("airflow")) as connection:
            connection.execute("DELETE FROM dag_run WHERE run_id LIKE 'benchmark\\_\\_%'")


MONTHS_PAGE = Benchmark(
    name="months_page",
    title="The overview of the months page, ten years of every dataset",
    against="Airflow's own list of its newest 50 runs",
    unit="ms",
    run=_months_page,
    targets=[at_most(300, "ms")],
)
