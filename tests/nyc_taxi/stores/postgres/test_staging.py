"""Staging tables that no teardown drops: the next load of the DAG drops those of runs that have ended."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from comparison.statements import Load
from nyc_taxi.parquet.provenance import METADATA_KEY
from nyc_taxi.stores.postgres.parquet_to_postgres import ParquetToPostgresOperator
from nyc_taxi.stores.postgres.publish import PublishOperator
from nyc_taxi.stores.postgres.store import PostgresStore
from tests.nyc_taxi.stores.postgres.conftest import FILE, Database

DAG_ID = "green_web_to_postgres"
ODD = "it's 100 % odd\n-- $publish$ \\"


def _context(run_id: str, states: Mapping[str, str], dag_id: str = DAG_ID) -> Any:
    def count(dag_id: str, run_ids: list[str], states: list[str], known: Mapping[str, str] = states) -> int:
        return int(known.get(run_ids[0]) in states)

    ti = SimpleNamespace(get_dr_count=count, xcom_push=lambda key, value: None)
    return {"ti": ti, "dag": SimpleNamespace(dag_id=dag_id), "run_id": run_id}


def _load(
    database: Database, folder: Path, run_id: str, *, dag_id: str = DAG_ID, line: str = "x.csv.gz etag=1", **states: str
) -> Load:
    """Load a staging table as a run does, with one row; ``states`` are those of other runs."""
    load = Load(file=FILE, run=f"{dag_id} {run_id}")
    database.rows(load.render("postgres/create/trip_table.sql"))
    source = folder / "file.parquet"
    table = pa.table({"source_month": [FILE.month.first_day], "source_file": [run_id]})  # type: ignore[union-attr]
    with pq.ParquetWriter(source, table.schema) as writer:
        writer.add_key_value_metadata({METADATA_KEY: line})
        writer.write_table(table)
    operator = ParquetToPostgresOperator(
        task_id="load",
        src=str(source),
        table=load.postgres_staging_table,
        create_sql=load.render("postgres/load/trip_staging.sql"),
    )
    assert operator.execute(_context(run_id, states, dag_id)) == load.postgres_staging_table
    return load


def _staged(database: Database) -> set[str]:
    return {
        f"staging.{name}" for (name,) in database.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'staging'")
    }


@pytest.mark.parametrize("run_id", ["scheduled__2021-01-01T00:00:00+00:00", ODD])
@pytest.mark.parametrize(
    ("state", "stays"), [("queued", True), ("running", True), ("success", False), ("failed", False), ("", False)]
)
def test_only_tables_of_ended_runs_are_dropped(
    database: Database, tmp_path: Path, run_id: str, state: str, stays: bool
) -> None:
    left = _load(database, tmp_path, run_id)
    own = _load(database, tmp_path, "own", **{run_id: state})
    assert _staged(database) == {own.postgres_staging_table, *([left.postgres_staging_table] if stays else [])}


def test_tables_of_other_dags_and_of_nobody_stay(database: Database, tmp_path: Path) -> None:
    other = _load(database, tmp_path, "other", dag_id="yellow_web_to_postgres")
    longer = _load(database, tmp_path, "other", dag_id=f"{DAG_ID}_too")
    nobody = database.stage("nobody", 1, rows=1)
    own = _load(database, tmp_path, "own")
    assert _staged(database) == {load.postgres_staging_table for load in (other, longer, nobody, own)}


def test_a_table_of_an_earlier_try_of_the_run_stays_for_its_own_teardown(database: Database, tmp_path: Path) -> None:
    first = _load(database, tmp_path, "own").postgres_staging_table
    database.rows(f"ALTER TABLE {first} RENAME TO {first.partition('.')[2]}0")
    second = _load(database, tmp_path, "own").postgres_staging_table
    assert _staged(database) == {f"{first}0", second}


def test_a_table_that_somebody_reads_stays_and_does_not_fail_the_load(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left = _load(database, tmp_path, "left").postgres_staging_table
    free = _load(database, tmp_path, "free", left="running").postgres_staging_table
    reader = database.connect()
    reader.autocommit = False
    reader.execute(f"SELECT * FROM {left}".encode())
    caplog.set_level(logging.WARNING)
    own = _load(database, tmp_path, "own").postgres_staging_table
    assert _staged(database) == {left, own}
    assert f"Cannot drop {left}, " in caplog.text
    assert free not in caplog.text


@pytest.mark.parametrize(("line", "rest"), [("x.csv.gz etag=1", ["x.csv.gz etag=1"]), ("", [])])
def test_the_publish_leaves_out_which_run_has_loaded_the_table(
    database: Database, tmp_path: Path, line: str, rest: list[str]
) -> None:
    load = _load(database, tmp_path, ODD, line=line)
    publish = PublishOperator(task_id="x", conn_id="ny_taxi", sql=load.render("postgres/publish/trip.sql"))
    publish.execute(_context(ODD, {}))
    [(comment,)] = database.rows("SELECT obj_description('green_trips_2021_01'::regclass)")
    first, published_at, *others = comment.splitlines()
    assert first == f"published from {load.postgres_staging_table}"
    assert published_at.startswith("published at ")
    assert others == rest
    stored = PostgresStore(lambda: psycopg.connect(database.url)).find(FILE)
    assert stored is not None
    assert stored.made_from == line
