"""What each store says of its months, and that one start of a month reaches every store."""

from __future__ import annotations

import datetime
import json
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from google.cloud import bigquery

from comparison.statements import Load
from local.airflow import reconcile
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from nyc_taxi.dag_parts.work_dir import folder_name
from nyc_taxi.registry.datasets import DATASETS, GREEN
from nyc_taxi.registry.model import TripDataset
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.bigquery.store import BigQueryStore
from nyc_taxi.stores.lake.store import LakeStore
from nyc_taxi.stores.postgres.store import PostgresStore
from nyc_taxi.stores.store import NOTHING, Store
from tests import clients
from tests.integration.conftest import SYNTHETIC_ROWS, publish
from tests.integration.support import (
    await_warehouse,
    end,
    run_months,
    skip_reason,
    task_states,
    trigger,
    trigger_both,
    warehouse_runs,
)

pytestmark = pytest.mark.full

MONTH = Month(2019, 10)
FILE = GREEN.file(MONTH)
ABSENT = GREEN.file(Month(2019, 11))


@pytest.fixture(scope="module")
def loaded(stack: AirflowSettings, api: AirflowApi, source_dir: Any) -> dict[str, Store]:
    """The stores by name, after a synthetic month has gone through all DAGs."""
    publish(source_dir, "green", str(MONTH))
    run_months(api, {"green": str(MONTH)}, force=True)
    return {store.name: store for store in reconcile.connected_stores(stack)}


@pytest.mark.parametrize("name", [LakeStore.name, BigQueryStore.name, PostgresStore.name])
def test_a_store_answers_for_its_months(loaded: dict[str, Store], name: str) -> None:
    store = loaded[name]
    months = store.months(GREEN)

    assert MONTH in store.available(GREEN)
    assert store.available(GREEN) == months.keys()
    assert list(months) == sorted(months)
    assert months[MONTH] == store.find(FILE)
    assert months[MONTH].rows == store.count(FILE) == store.content(FILE).rows == SYNTHETIC_ROWS
    published_at = months[MONTH].published_at
    assert published_at is not None
    age = datetime.datetime.now(datetime.UTC) - published_at
    assert datetime.timedelta(0) <= age < datetime.timedelta(hours=1)


@pytest.mark.parametrize("name", [LakeStore.name, BigQueryStore.name, PostgresStore.name])
def test_a_store_has_nothing_of_a_month_that_was_not_loaded(loaded: dict[str, Store], name: str) -> None:
    store = loaded[name]
    assert (store.find(ABSENT), store.count(ABSENT), store.content(ABSENT)) == (None, 0, NOTHING)
    assert ABSENT.month not in store.available(GREEN)


def test_what_a_month_was_made_from_leads_back_to_the_source(loaded: dict[str, Store]) -> None:
    lake, warehouse, postgres = (loaded[name].find(FILE) for name in ("lake", "bigquery", "postgres"))
    assert lake is not None
    assert warehouse is not None
    assert postgres is not None
    assert lake.made_from.startswith(f"green_tripdata_{MONTH}.csv.gz etag=")
    assert postgres.made_from == lake.made_from
    assert warehouse.made_from == lake.revision


def test_an_unchanged_month_is_announced_and_the_warehouse_skips_it(loaded: dict[str, Store], api: AirflowApi) -> None:
    before = {name: store.content(FILE) for name, store in loaded.items()}
    states, reason = _start_again(api)

    ran = {task_id for task_id, state in states.items() if state == "success"}
    assert ran == {"create_table", "create_external_table", "skip_unchanged", "announce_unchanged"}
    assert set(states.values()) == {"success", "skipped"}
    assert reason.startswith(f"trips.green${MONTH.partition_id} is unchanged: it was made from ")
    assert {name: store.content(FILE) for name, store in loaded.items()} == before


def test_a_month_that_the_warehouse_lost_is_loaded_again_by_an_ordinary_start(
    loaded: dict[str, Store], stack: AirflowSettings, api: AirflowApi
) -> None:
    before = loaded["bigquery"].content(FILE)
    _delete_partition(stack)
    assert loaded["bigquery"].find(FILE) is None

    states, _ = _start_again(api)

    assert states["publish"] == "success"
    assert loaded["bigquery"].content(FILE) == before


def test_force_loads_the_warehouse_again(loaded: dict[str, Store], api: AirflowApi) -> None:
    before = loaded["bigquery"].find(FILE)
    run_id = trigger(api, "green_gcs_to_bigquery", {"month": str(MONTH), "force": True})

    assert end(api, "green_gcs_to_bigquery", run_id) == "success"
    assert task_states(api, "green_gcs_to_bigquery", run_id)["publish"] == "success"
    after = loaded["bigquery"].find(FILE)
    assert before is not None
    assert after is not None
    assert (after.made_from, after.rows) == (before.made_from, before.rows)
    assert after.published_at is not None
    assert before.published_at is not None
    assert after.published_at > before.published_at


def test_the_next_run_removes_what_ended_runs_have_left(
    loaded: dict[str, Store], stack: AirflowSettings, api: AirflowApi
) -> None:
    """Airflow itself says which runs have ended; one that it does not know was deleted."""
    dag_id = "green_web_to_postgres"
    ended, *_ = [run["dag_run_id"] for run in api.runs(dag_id) if run["state"] == "success"]
    folders = [stack.work_dir / dag_id / folder_name(dag_id, run_id) for run_id in (ended, "deleted+run")]
    with psycopg.connect(stack.cloud.postgres_url("ny_taxi"), autocommit=True) as connection:
        for number, run_id in enumerate((ended, "deleted+run")):
            folders[number].mkdir(parents=True)
            (folders[number] / ".file.part").touch()
            table, line = f"staging.left_{number}", f"staged by {dag_id} {quote(run_id, safe='')}"
            connection.execute(f"CREATE TABLE {table} (); COMMENT ON TABLE {table} IS '{line}'".encode())

        run_id = trigger(api, dag_id, {"month": str(MONTH), "force": True})
        assert end(api, dag_id, run_id) == "success"

        assert [folder.exists() for folder in folders] == [False, False]
        left = "SELECT tablename FROM pg_tables WHERE schemaname = 'staging' AND tablename LIKE 'left%'"
        assert connection.execute(left).fetchall() == []


def test_a_month_that_the_lake_lacks_fails_at_once_and_says_what_to_do(
    loaded: dict[str, Store], api: AirflowApi
) -> None:
    run_id = trigger(api, "green_gcs_to_bigquery", {"month": str(ABSENT.month)})

    assert end(api, "green_gcs_to_bigquery", run_id) == "failed"
    log = "\n".join(api.log("green_gcs_to_bigquery", run_id, "skip_unchanged", 1))
    assert f"{ABSENT.lake_object}; run {ABSENT.dataset.name}_web_to_gcs for it first" in log


def test_older_rows_do_not_replace_newer_ones(loaded: dict[str, Store], stack: AirflowSettings) -> None:
    """The statement that publishes refuses, and leaves the partition as it was."""
    stored = loaded["bigquery"].find(FILE)
    before = loaded["bigquery"].content(FILE)
    assert stored is not None
    client = clients.bigquery_client(stack)
    for generation, is_older in ((int(stored.made_from) - 1, True), (int(stored.made_from), False)):
        load = Load(file=FILE, run=f"overtaken {generation}", generation=generation, rows=1)
        rows = f"SELECT * EXCEPT (lake_generation) FROM trips.green WHERE source_month = '{MONTH.first_day}'"
        client.query(f"CREATE TABLE trips_staging.{load.staging_table} AS {rows}").result()
        job = client.query(
            load.render("bigquery/publish/rows.sql"),
            job_config=bigquery.QueryJobConfig(
                destination=f"{client.project}.trips.{FILE.bigquery_table}", write_disposition="WRITE_TRUNCATE"
            ),
        )
        error = job.exception(timeout=60)
        client.delete_table(f"trips_staging.{load.staging_table}")
        assert (error is not None) == is_older
        assert not is_older or "overtaken" in str(error)
        assert loaded["bigquery"].content(FILE) == before
        assert loaded["bigquery"].find(FILE).made_from == stored.made_from  # type: ignore[union-attr]


def test_the_first_month_that_is_loaded_into_a_table_of_an_earlier_version_marks_it(
    loaded: dict[str, Store], stack: AirflowSettings, api: AirflowApi
) -> None:
    """A table without the column is one of which nothing is known: its month is loaded, and known from then on."""
    client = clients.bigquery_client(stack)
    client.query("ALTER TABLE trips.green DROP COLUMN lake_generation").result()
    unknown = loaded["bigquery"].find(FILE)
    assert unknown is not None
    assert (unknown.rows, unknown.made_from) == (SYNTHETIC_ROWS, "")

    states, _ = _start_again(api)

    assert states["publish"] == "success"
    known, lake = loaded["bigquery"].find(FILE), loaded["lake"].find(FILE)
    assert known is not None
    assert lake is not None
    assert known.made_from == lake.revision


def test_comments_that_publishing_did_not_write_say_nothing(loaded: dict[str, Store], stack: AirflowSettings) -> None:
    with psycopg.connect(stack.cloud.postgres_url("ny_taxi")) as connection:
        connection.execute(f"COMMENT ON TABLE {FILE.table} IS 'ours'".encode())
        stored = PostgresStore(lambda: _Same(connection)).find(FILE)
        connection.rollback()
    assert stored is not None
    assert (stored.rows, stored.made_from, stored.published_at) == (SYNTHETIC_ROWS, "", None)


class _Same:
    """A connection that is not closed by those who use it."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def __enter__(self) -> Any:
        return self.connection

    def __exit__(self, *_: object) -> None:
        pass


def _start_again(api: AirflowApi) -> tuple[dict[str, str], str]:
    """Start the unchanged month again; returns the states of the warehouse's run, and why it was skipped."""
    month = {"green": str(MONTH)}
    seen = warehouse_runs(api, month)
    started = trigger_both(api, "green", str(MONTH))
    assert [end(api, *run) for run in started.items()] == ["success", "success"]
    lake = task_states(api, "green_web_to_gcs", started["green_web_to_gcs"])
    assert (lake["announce_unchanged"], lake["download"], lake["local_to_gcs"]) == ("success", "skipped", "skipped")
    await_warehouse(api, month, seen)
    [run_id] = warehouse_runs(api, month)["green"] - seen["green"]
    states = task_states(api, "green_gcs_to_bigquery", run_id)
    is_skipped = states["load_staging"] == "skipped"
    reason = skip_reason(api, "green_gcs_to_bigquery", run_id, "skip_unchanged") if is_skipped else ""
    return states, reason


def _delete_partition(stack: AirflowSettings) -> None:
    client = clients.bigquery_client(stack)
    client.query(f"DELETE FROM trips.green WHERE source_month = '{MONTH.first_day}'").result()


def test_every_dataset_is_found_in_every_store(loaded: dict[str, Store]) -> None:
    """Also one of which nothing is loaded: no table of it exists."""
    for dataset in DATASETS.values():
        for store in loaded.values():
            months = store.months(dataset)
            assert json.dumps([str(month) for month in months])
            assert isinstance(dataset, TripDataset) == (None not in months) or not months
