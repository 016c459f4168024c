"""ParquetToPostgresOperator: the statements that it sends, and its use of the transaction."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg import sql

from nyc_taxi.common.files import DiskFullError
from nyc_taxi.parquet.provenance import METADATA_KEY
from nyc_taxi.parquet.schema import arrow_schema
from nyc_taxi.registry.datasets import GREEN
from nyc_taxi.stores.postgres import parquet_to_postgres
from nyc_taxi.stores.postgres.parquet_to_postgres import ParquetToPostgresOperator

STAGED_BY = "staged by green_web_to_postgres manual__2021-01%20it%27s"


class _Connection:
    """Fake connection that records the statements, and the error that left its ``with`` block."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.autocommit = False
        self.left_by: type[BaseException] | None = None

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.left_by = kind

    def execute(self, statement: str | bytes | sql.Composed) -> Any:
        if isinstance(statement, bytes):  # asks for staging tables of other runs
            assert self.autocommit
            return mock.Mock(fetchall=list)
        assert not self.autocommit
        self.statements.append(_text(statement))
        return None


def _text(statement: str | sql.Composed) -> str:
    return statement if isinstance(statement, str) else statement.as_string(None)


def _load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, copy: Any) -> _Connection:
    connection = _Connection()
    source = tmp_path / "x.parquet"
    with pq.ParquetWriter(source, arrow_schema(GREEN)) as writer:
        writer.add_key_value_metadata({METADATA_KEY: line})
    monkeypatch.setattr(
        parquet_to_postgres,
        "PostgresHook",
        lambda postgres_conn_id: {"ny_taxi": mock.Mock(get_conn=lambda: connection)}[postgres_conn_id],
    )
    monkeypatch.setattr(parquet_to_postgres, "copy_parquet", copy)
    operator = ParquetToPostgresOperator(
        task_id="load", src=str(source), table="staging.green_2021_01_x", create_sql="CREATE TABLE x ()"
    )
    context: Any = {"dag": mock.Mock(dag_id="green_web_to_postgres"), "run_id": "manual__2021-01 it's"}
    assert operator.execute(context) == "staging.green_2021_01_x"
    return connection


@pytest.mark.parametrize(
    ("line", "comment"),
    [
        (
            "it's from here",
            f"""COMMENT ON TABLE "staging"."green_2021_01_x" IS '{STAGED_BY}\nit''s from here'""",
        ),
        ("", f"""COMMENT ON TABLE "staging"."green_2021_01_x" IS '{STAGED_BY}'"""),
    ],
    ids=["known", "unknown"],
)
def test_the_table_is_created_loaded_and_commented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, comment: str
) -> None:
    copied: list[Any] = []

    def copy(connection: _Connection, source: Path, table: sql.Identifier) -> int:
        connection.statements.append("COPY")
        copied.append((source, table))
        return 7

    connection = _load(tmp_path, monkeypatch, line, copy)
    assert connection.statements == ["CREATE TABLE x ()", "COPY", comment]
    assert copied == [(tmp_path / "x.parquet", sql.Identifier("staging", "green_2021_01_x"))]
    assert connection.left_by is None


def test_a_rejected_row_aborts_the_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connections: list[_Connection] = []

    def refuse(connection: _Connection, source: Path, table: sql.Identifier) -> int:
        connections.append(connection)
        raise psycopg.DataError("no such column")

    with pytest.raises(psycopg.DataError, match="no such column"):
        _load(tmp_path, monkeypatch, "x", refuse)
    assert [connection.left_by for connection in connections] == [psycopg.DataError]
    assert connections[0].statements == ["CREATE TABLE x ()"]


@pytest.mark.parametrize("statement", ["CREATE TABLE", "COPY", "COMMENT ON"])
def test_a_full_disk_of_the_server_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    def fail_at(text: str) -> None:
        if text.startswith(statement):
            raise psycopg.errors.DiskFull('could not extend file "base/1/2": No space left on device')

    def copy(*_: object) -> int:
        fail_at("COPY")
        return 1

    monkeypatch.setattr(parquet_to_postgres, "drop_ended_runs", lambda *_: None)
    monkeypatch.setattr(_Connection, "execute", lambda _, query: fail_at(_text(query)))
    with pytest.raises(DiskFullError) as caught:
        _load(tmp_path, monkeypatch, "x", copy)
    assert str(caught.value) == (
        "[Errno 28] the Postgres server cannot write staging.green_2021_01_x: could not extend file "
        '"base/1/2": No space left on device; free some space on the disk of its data directory, then clear the task'
    )
