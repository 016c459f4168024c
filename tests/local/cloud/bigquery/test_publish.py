"""Publishing on the BigQuery emulator: of runs that publish one month at once, the newest object wins."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook
from airflow.sdk.exceptions import AirflowSkipException
from google.cloud import bigquery

from comparison.statements import Load
from nyc_taxi.registry.datasets import GREEN
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.bigquery.publish import PublishOperator
from nyc_taxi.stores.bigquery.schema import bigquery_type
from tests.local.cloud.bigquery.support import PROJECT, query

FILE = GREEN.file(Month(2021, 1))


@pytest.fixture
def publish(client: bigquery.Client, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that stages one row of a lake object and publishes it; the table ``trips.green`` is empty."""
    monkeypatch.setattr(BigQueryHook, "__init__", lambda self, **_: None)
    monkeypatch.setattr(BigQueryHook, "get_client", lambda self, **_: client)
    for name in ("project_id", "location", "labels"):
        monkeypatch.setattr(BigQueryHook, name, PROJECT if name == "project_id" else None, raising=False)
    monkeypatch.setattr(PublishOperator, "_persist_job_links", lambda self, job, context: None)
    for statement in Load(file=FILE, run="x").render("bigquery/create/trip_table.sql").split(";\n"):
        query(client, statement)
    query(client, "DELETE FROM trips.green WHERE TRUE")
    monkeypatch.setattr(Load, "staging_table", property(lambda self: f"green_{self.run}"))

    def run(generation: int, wait: Callable[[], object] = lambda: None, *, force: bool = False) -> None:
        load = Load(file=FILE, run=f"{generation}_{random.getrandbits(60)}", generation=generation, force=force)
        columns = ", ".join(f"CAST(NULL AS {bigquery_type(one)}) AS `{one.name}`" for one in GREEN.source_columns)
        query(
            client,
            f"CREATE TABLE trips_staging.{load.staging_table} AS SELECT {columns}, DATE '2021-01-01' AS source_month, "
            f"'{generation}' AS source_file",
        )
        wait()
        _operator(load).execute(_context())

    return run


def _context() -> Any:
    ti = SimpleNamespace(try_number=1, xcom_push=lambda key, value: None)
    now = datetime.now(UTC)
    return {"ti": ti, "dag_run": SimpleNamespace(run_after=now, logical_date=now, start_date=now)}


def _operator(load: Load) -> PublishOperator:
    destination = {"projectId": PROJECT, "datasetId": "trips", "tableId": FILE.bigquery_table}
    return PublishOperator(
        task_id="publish",
        published_query=load.render("bigquery/publish/published.sql"),
        durable=False,
        configuration={
            "query": {
                "query": load.render("bigquery/publish/rows.sql"),
                "useLegacySql": False,
                "destinationTable": destination,
                "writeDisposition": "WRITE_TRUNCATE",
                "createDisposition": "CREATE_NEVER",
            }
        },
    )


def _published(client: bigquery.Client) -> list[tuple[Any, ...]]:
    return query(client, "SELECT source_file, lake_generation FROM trips.green WHERE source_month = '2021-01-01'")


def test_an_older_run_is_skipped_and_a_forced_one_is_not(client: bigquery.Client, publish: Callable[..., None]) -> None:
    publish(20)
    with pytest.raises(AirflowSkipException, match="overtaken"):
        publish(10)
    assert _published(client) == [("20", 20)]
    publish(20)
    publish(10, force=True)
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
