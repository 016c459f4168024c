"""Errors of the database that quote a value of a file: nothing in them reaches a terminal or a log unescaped."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nyc_taxi.parquet.schema import arrow_schema
from nyc_taxi.registry.checks import Level
from nyc_taxi.registry.datasets import GREEN
from nyc_taxi.stores.postgres.check_table import SQLTableAuditOperator
from nyc_taxi.stores.postgres.errors import printable_errors
from nyc_taxi.stores.postgres.parquet_to_postgres import ParquetToPostgresOperator
from nyc_taxi.stores.postgres.publish import PublishOperator
from nyc_taxi.stores.postgres.statement import LockingStatementOperator
from nyc_taxi.stores.postgres.store import PostgresStore
from tests.attacks.promises import attack
from tests.nyc_taxi.stores.postgres.conftest import FILE, Database

HOSTILE = "\x1b[2J\u202eforged\nERROR: another line\x07"
SHOWN = r"\x1b[2J\u202eforged"
CONTEXT: Any = {
    "ti": SimpleNamespace(xcom_push=lambda key, value: None),
    "dag": SimpleNamespace(dag_id="green_web_to_postgres"),
    "run_id": "manual__x",
}
# The cast fails, and the error quotes the value.
CAST = f"SELECT '{HOSTILE}'::int"


def _load(database: Database, folder: Path) -> None:
    """A row of another month: the error says which row fails, with all of its values."""
    load = database.stage("first", 1, rows=1)
    row = dict.fromkeys(arrow_schema(GREEN).names) | {
        "store_and_fwd_flag": HOSTILE,
        "source_month": datetime.date(2021, 2, 1),
        "source_file": "x.csv.gz",
    }
    source = folder / "x.parquet"
    pq.write_table(pa.Table.from_pylist([row], schema=arrow_schema(GREEN)), source)
    table = load.postgres_staging_table
    ParquetToPostgresOperator(task_id="load", src=str(source), table=table, create_sql="SELECT 1").execute(CONTEXT)


def _statement(operator: type[LockingStatementOperator]) -> Callable[[Database, Path], object]:
    return lambda database, folder: operator(task_id="x", conn_id="ny_taxi", sql=CAST).execute(CONTEXT)


def _check(database: Database, folder: Path) -> None:
    database.rows(f"CREATE TABLE checked AS SELECT '{HOSTILE}'::text AS flag")
    SQLTableAuditOperator(
        task_id="check",
        conn_id="ny_taxi",
        table="checked",
        level=Level.FAIL,
        checks={"is_a_number": {"check_statement": "MAX(flag::int) = 1"}},
    ).execute(CONTEXT)


def _count(database: Database, folder: Path) -> None:
    database.rows(
        f"CREATE TABLE flags AS SELECT '{HOSTILE}'::text AS flag; "
        "CREATE VIEW green_trips AS SELECT DATE '2021-01-01' AS source_month FROM flags WHERE flag::int = 1"
    )
    PostgresStore(lambda: psycopg.connect(database.url)).count(FILE)


@pytest.mark.parametrize(
    ("fail", "begins"),
    [
        (_load, 'new row for relation "green_2021_01_'),
        (_statement(LockingStatementOperator), "invalid input syntax for type integer: "),
        (_statement(PublishOperator), "invalid input syntax for type integer: "),
        (_check, "invalid input syntax for type integer: "),
        (_count, "invalid input syntax for type integer: "),
    ],
    ids=["load", "statement", "publish", "check", "store"],
)
@attack("files-are-data")
def test_what_an_error_quotes_is_escaped(
    database: Database, tmp_path: Path, fail: Callable[[Database, Path], object], begins: str
) -> None:
    with pytest.raises(psycopg.Error) as caught:
        fail(database, tmp_path)
    text = str(caught.value)
    assert text.isprintable(), ascii(text)
    assert text.startswith(begins)
    assert SHOWN in text
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_an_error_keeps_its_type_and_what_it_says_of_itself(database: Database) -> None:
    with pytest.raises(psycopg.errors.InvalidTextRepresentation) as caught, printable_errors():
        database.rows(CAST)
    assert caught.value.sqlstate == "22P02"
    assert HOSTILE in (caught.value.diag.message_primary or "")


def test_a_long_error_is_cut(database: Database) -> None:
    with pytest.raises(psycopg.Error) as caught, printable_errors():
        database.rows(f"SELECT '{'x' * 100_000}'::int")
    assert len(str(caught.value)) < 5_000


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(ValueError, match="\x1b"), printable_errors():
        raise ValueError("\x1b")
