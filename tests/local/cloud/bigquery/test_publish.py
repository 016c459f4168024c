"""Publishing on the BigQuery emulator: of runs that publish at once, the newest object wins, and the newest count."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from threading import Barrier, Event
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook
from airflow.sdk.exceptions import AirflowSkipException
from google.cloud import bigquery

from comparison.statements import Load
from nyc_taxi.common.sql import render_sql
from nyc_taxi.registry.datasets import GREEN, TRIP_DATASETS
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.bigquery.publish import PublishOperator
from nyc_taxi.stores.bigquery.schema import bigquery_type
from tests.local.cloud.bigquery.support import LONG_QUERY, PROJECT, query, running_job

FILE = GREEN.file(Month(2021, 1))


@pytest.fixture
def hook(client: bigquery.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operators' hook uses the client; the table ``trips.green`` is empty."""
    monkeypatch.setattr(BigQueryHook, "__init__", lambda self, **_: None)
    monkeypatch.setattr(BigQueryHook, "get_client", lambda self, **_: client)
    for name in ("project_id", "location", "labels"):
        monkeypatch.setattr(BigQueryHook, name, PROJECT if name == "project_id" else None, raising=False)
    monkeypatch.setattr(PublishOperator, "_persist_job_links", lambda self, job, context: None)
    _execute(client, Load(file=FILE, run="x").render("bigquery/create/trip_table.sql"))
    query(client, "DELETE FROM trips.green WHERE TRUE")


@pytest.fixture
def publish(client: bigquery.Client, hook: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that stages one row of a lake object and publishes it."""
    monkeypatch.setattr(Load, "staging_table", property(lambda self: f"green_{self.run}"))

    def run(generation: int, wait: Callable[[], object] = lambda: None) -> None:
        load = Load(file=FILE, run=f"{generation}_{random.getrandbits(60)}", generation=generation)
        columns = ", ".join(f"CAST(NULL AS {bigquery_type(one)}) AS `{one.name}`" for one in GREEN.source_columns)
        query(
            client,
            f"CREATE TABLE trips_staging.{load.staging_table} AS SELECT {columns}, DATE '2021-01-01' AS source_month, "
            f"'{generation}' AS source_file",
        )
        wait()
        _operator(
            load.render("bigquery/publish/rows.sql"), FILE.bigquery_table, load.render("bigquery/publish/rows_mark.sql")
        ).execute(_context())

    return run


def _execute(client: bigquery.Client, statements: str) -> None:
    for statement in statements.split(";\n"):
        query(client, statement)


def _context() -> Any:
    ti = SimpleNamespace(try_number=1, xcom_push=lambda key, value: None)
    now = datetime.now(UTC)
    return {"ti": ti, "dag_run": SimpleNamespace(run_after=now, logical_date=now, start_date=now)}


def _operator(statement: str, table: str, mark_query: str) -> PublishOperator:
    return PublishOperator(
        task_id="publish",
        mark_query=mark_query,
        durable=False,
        configuration={
            "query": {
                "query": statement,
                "useLegacySql": False,
                "destinationTable": {"projectId": PROJECT, "datasetId": "trips", "tableId": table},
                "writeDisposition": "WRITE_TRUNCATE",
                "createDisposition": "CREATE_NEVER",
            }
        },
    )


def _published(client: bigquery.Client) -> list[tuple[Any, ...]]:
    return query(client, "SELECT source_file, lake_generation FROM trips.green WHERE source_month = '2021-01-01'")


def test_an_older_run_is_skipped_until_the_mark_is_removed(
    client: bigquery.Client, publish: Callable[..., None]
) -> None:
    publish(20)
    with pytest.raises(AirflowSkipException, match="overtaken"):
        publish(10)
    assert _published(client) == [("20", 20)]
    publish(20)
    # As docs/operations.md says it: the rows stay.
    query(client, "UPDATE trips.green SET lake_generation = NULL WHERE source_month = '2021-01-01'")
    assert _published(client) == [("20", None)]
    publish(10)
    assert _published(client) == [("10", 10)]


@pytest.mark.parametrize("attempt", range(3))
def test_of_runs_that_publish_at_once_the_newest_object_wins(
    client: bigquery.Client, publish: Callable[..., None], attempt: int
) -> None:
    generations = [30, 10, 40, 20]
    barrier = Barrier(len(generations))
    with ThreadPoolExecutor(len(generations)) as pool:
        running = [pool.submit(publish, generation, barrier.wait) for generation in generations]
    errors = [one.exception() for one in running]
    assert {type(error) for error in errors if error} <= {AirflowSkipException}
    assert errors[2] is None
    assert _published(client) == [("40", 40)]
    ids = {job.job_id for job in client.list_jobs() if job.job_id.startswith("publish_green_202101_after_")}
    assert len(ids) >= len(generations)


# The rollup


@pytest.fixture
def rollup(client: bigquery.Client, hook: None) -> Callable[..., None]:
    """A function that publishes the rollup of 2021, of the green trips alone."""
    values = {"trip_datasets": TRIP_DATASETS, "whole_years": lambda: ["green"], "year": lambda: 2021}
    _execute(client, render_sql("bigquery/create/rollup.sql", **values))
    query(client, "DELETE FROM trips.yearly_rollup WHERE TRUE")

    def run() -> None:
        _operator(
            render_sql("bigquery/publish/rollup.sql", **values),
            "yearly_rollup$2021",
            render_sql("bigquery/publish/rollup_mark.sql", **values),
        ).execute(_context())

    return run


def _add_trip(client: bigquery.Client) -> None:
    query(client, "INSERT INTO trips.green (source_month, PULocationID) VALUES (DATE '2021-01-01', 7)")


def _counted(client: bigquery.Client) -> list[tuple[Any, ...]]:
    return query(client, "SELECT dataset, zone, trips FROM trips.yearly_rollup WHERE month = '2021-01-01'")


def test_a_rollup_waits_for_the_one_that_runs_and_counts_what_is_there_then(
    client: bigquery.Client, rollup: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job reads the months as they are when it begins, so the one that begins last must end last."""
    waits = Event()
    get_job = BigQueryHook.get_job
    monkeypatch.setattr(BigQueryHook, "get_job", lambda *args, **named: (get_job(*args, **named), waits.set())[0])
    _add_trip(client)
    mark = random.getrandbits(50)
    query(
        client,
        "INSERT INTO trips.yearly_rollup (dataset, month, trips, counted_at) "
        f"VALUES ('green', DATE '2021-01-01', 5, TIMESTAMP_MICROS({mark}))",
    )
    other = f"publish_yearly_rollup_2021_after_{mark}_0"
    with ThreadPoolExecutor() as pool, running_job(client, other, LONG_QUERY):
        second = pool.submit(rollup)
        assert waits.wait(60)
        _add_trip(client)
        assert not second.done()
        client.cancel_job(other)
        second.result()
    assert _counted(client) == [("green", 7, 2)]


def test_of_rollups_that_overlap_each_counts_after_the_one_before(
    client: bigquery.Client, rollup: Callable[..., None]
) -> None:
    barrier = Barrier(4)

    def add_and_count(_: int) -> None:
        _add_trip(client)
        barrier.wait()
        rollup()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add_and_count, range(4)))
    assert _counted(client) == [("green", 7, 4)]
    jobs = [job for job in client.list_jobs() if re.match(r"publish_yearly_rollup_2021_after_\d+_0$", job.job_id)]
    spans = sorted((job.started, job.ended) for job in jobs)
    assert len(spans) >= 4
    assert all(before[1] <= after[0] for before, after in pairwise(spans)), spans


def test_a_rollup_keeps_the_rows_of_datasets_that_are_not_complete(
    client: bigquery.Client, rollup: Callable[..., None]
) -> None:
    query(
        client,
        "INSERT INTO trips.yearly_rollup (dataset, month, zone, trips) VALUES ('fhv', DATE '2021-01-01', 1, 5), "
        "('green', DATE '2021-01-01', 1, 5)",
    )
    _add_trip(client)
    rollup()
    assert sorted(_counted(client)) == [("fhv", 1, 5), ("green", 7, 1)]
    [(of_green, of_fhv)] = query(
        client,
        "SELECT MAX(IF(dataset = 'green', counted_at, NULL)), MAX(IF(dataset = 'fhv', counted_at, NULL)) "
        "FROM trips.yearly_rollup WHERE month = '2021-01-01'",
    )
    assert abs(datetime.now(UTC) - of_green) < timedelta(minutes=5)
    assert of_fhv is None


def test_a_table_of_an_earlier_version_gets_the_time_of_the_count(
    client: bigquery.Client, rollup: Callable[..., None]
) -> None:
    query(client, "ALTER TABLE trips.yearly_rollup DROP COLUMN counted_at")
    _execute(client, render_sql("bigquery/create/rollup.sql"))
    _add_trip(client)
    rollup()
    assert _counted(client) == [("green", 7, 1)]
