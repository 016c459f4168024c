"""What every change must pass on the real scheduler: a month, its rerun, the other layout, a backfill, a failure.

All other starts, datasets and faults are in the modules that only ``make test-all`` runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from local.airflow import reconcile
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from local.cloud.source.layouts import TLC
from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.datasets import FHV, GREEN
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.bigquery.schema import bigquery_columns
from tests import clients
from tests.integration.conftest import SYNTHETIC_ROWS, publish
from tests.integration.support import (
    FLOWS,
    NOTHING_LEFT,
    AirflowCli,
    await_,
    await_warehouse,
    end,
    lake_objects,
    leftovers,
    line,
    query_bigquery,
    query_postgres,
    reason_of_skipping,
    runs_of,
    source_variable,
    trigger_both,
    warehouse_runs,
)

# Real months where there are any.
IS_REAL = bool(os.environ.get("NYC_TLC_DATA_DIR"))
MONTH, ROWS, OUTSIDE = (Month(2021, 1), 76_518, 3) if IS_REAL else (Month(2020, 6), SYNTHETIC_ROWS, None)
TLC_MONTH, TLC_ROWS = (Month(2024, 1), 56_551) if IS_REAL else (Month(2023, 3), SYNTHETIC_ROWS)
BACKFILLED = ("2020-05", "2020-06")
TRUNCATED = "2019-02"
OF_SOURCE = ("web_to_gcs", "web_to_postgres")


@pytest.fixture(scope="module")
def broken(stack: AirflowSettings, api: AirflowApi, stack_cli: AirflowCli) -> dict[str, str]:
    """The ended runs of a truncated month, by DAG. A whole month and a backfill of two have ended beside them."""
    seen = warehouse_runs(api, {"green": str(MONTH)})
    whole, broken = trigger_both(api, "green", str(MONTH), force=True), trigger_both(api, "green", TRUNCATED)
    dates = ("--from-date", f"{BACKFILLED[0]}-01", "--to-date", f"{BACKFILLED[-1]}-01")
    for flow in OF_SOURCE:
        api.set_paused(f"fhv_{flow}", False)
        stack_cli.must("backfill", "create", "--dag-id", f"fhv_{flow}", *dates, "--max-active-runs", "2")

    assert [end(api, *run) for run in whole.items()] == ["success", "success"]
    assert [end(api, *run) for run in broken.items()] == ["failed", "failed"]
    await_warehouse(api, {"green": str(MONTH)}, seen)
    for month in BACKFILLED:
        for dag_id in (f"fhv_{flow}" for flow in OF_SOURCE):
            [run] = await_(lambda month=month, dag_id=dag_id: runs_of(api, dag_id, month), f"{dag_id} has {month}")
            assert end(api, dag_id, run["dag_run_id"]) == "success"
        await_warehouse(api, {"fhv": month}, {"fhv": set()})
    return broken


def test_a_month_arrives_in_every_store(stack: AirflowSettings, broken: dict[str, str]) -> None:
    assert reconcile.count(stack, GREEN.file(MONTH)).line("green", str(MONTH)) == line("green", str(MONTH), ROWS)


@pytest.mark.skipif(not IS_REAL, reason="no real month is there")
def test_pickups_outside_the_month_stay_with_the_file_that_published_them(
    stack: AirflowSettings, broken: dict[str, str]
) -> None:
    outside = "lpep_pickup_datetime < '2021-01-01' OR lpep_pickup_datetime >= '2021-02-01'"
    in_bigquery = f"SELECT COUNT(*) FROM trips.green WHERE source_month = '2021-01-01' AND ({outside})"
    assert query_bigquery(stack, in_bigquery) == [(OUTSIDE,)]
    assert query_postgres(stack, f"SELECT count(*) FROM green_trips_2021_01 WHERE {outside}") == [(OUTSIDE,)]


def test_bigquery_tables_are_as_declared(stack: AirflowSettings, broken: dict[str, str]) -> None:
    client = clients.bigquery_client(stack)
    table, external = client.get_table("trips.green"), client.get_table("trips.green_external")

    assert [field.name for field in table.schema] == [column.name for column in bigquery_columns(GREEN)]
    assert table.time_partitioning.type_ == "MONTH"
    assert table.time_partitioning.field == "source_month"
    assert table.clustering_fields == ["lpep_pickup_datetime", "PULocationID"]
    assert external.table_type == "EXTERNAL"
    assert external.external_data_configuration.source_uris == [f"gs://{stack.cloud.lake_bucket}/green/*.parquet"]


@pytest.mark.parametrize("month", BACKFILLED)
def test_a_backfill_takes_each_month_to_every_store(stack: AirflowSettings, broken: dict[str, str], month: str) -> None:
    counts = reconcile.count(stack, FHV.file(Month.parse(month)))
    assert counts.line("fhv", month) == line("fhv", month, SYNTHETIC_ROWS)


def test_a_truncated_month_fails_with_its_reason_and_leaves_nothing(
    stack: AirflowSettings, api: AirflowApi, broken: dict[str, str]
) -> None:
    for dag_id, run_id in broken.items():
        reason = f"{TRUNCATED}.csv.gz is not a valid green file: it is cut short: its gzip data does not end"
        assert reason in "\n".join(api.log(dag_id, run_id, "to_parquet", 1))
    assert lake_objects(stack, "green/year=2019/month=02/") == []
    assert query_postgres(stack, "SELECT to_regclass('green_trips_2019_02')") == [(None,)]
    assert leftovers(stack) == NOTHING_LEFT


def test_a_month_that_is_unchanged_is_skipped_everywhere_and_stays_as_it_was(
    stack: AirflowSettings, api: AirflowApi, broken: dict[str, str]
) -> None:
    before = reconcile.contents(stack, GREEN.file(MONTH))
    seen = warehouse_runs(api, {"green": str(MONTH)})

    runs = trigger_both(api, "green", str(MONTH))
    reasons = [reason_of_skipping(api, *run) for run in runs.items()]
    # The lake announces what it has, and the warehouse sees by itself that it has it.
    await_warehouse(api, {"green": str(MONTH)}, seen)
    [warehouse_run] = warehouse_runs(api, {"green": str(MONTH)})["green"] - seen["green"]
    reasons.append(reason_of_skipping(api, "green_gcs_to_bigquery", warehouse_run))

    assert all("is unchanged: it was made from " in reason for reason in reasons)
    assert reconcile.contents(stack, GREEN.file(MONTH)) == before
    assert {content.rows for content in before.values()} == {ROWS}


@pytest.fixture
def green_is_paused(api: AirflowApi, broken: dict[str, str]) -> Iterator[None]:
    """The scheduler leaves the runs of green alone, as ``bin/airflow dags test`` makes it do."""
    for flow in FLOWS:
        api.set_paused(f"green_{flow}", True)
    yield
    for flow in FLOWS:
        api.set_paused(f"green_{flow}", False)


def test_a_month_in_the_tlcs_layout_arrives_in_every_store(
    stack: AirflowSettings, stack_cli: AirflowCli, source_dir: Path, green_is_paused: None
) -> None:
    if not IS_REAL:
        publish(source_dir, "green", str(TLC_MONTH), layout=TLC)

    for flow in FLOWS:
        of_tlc = source_variable(stack.source_base_url, layout="tlc")
        stack_cli.must("dags", "test", f"green_{flow}", "-c", json.dumps({"month": str(TLC_MONTH)}), **of_tlc)

    counts = reconcile.count(replace(stack, layout=Layout.TLC), GREEN.file(TLC_MONTH))
    assert counts.line("green", str(TLC_MONTH)) == line("green", str(TLC_MONTH), TLC_ROWS)
    assert leftovers(stack) == NOTHING_LEFT
