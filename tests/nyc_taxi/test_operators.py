"""The operators: what they hand on to the plain functions, and that all of it can be templated."""

from __future__ import annotations

import gzip
import inspect
import json
from pathlib import Path
from typing import Any
from unittest import mock

import psycopg
import pyarrow.parquet as pq
import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowNotFoundException
from psycopg import sql

from nyc_taxi.parquet.provenance import METADATA_KEY, contract_id, read_provenance
from nyc_taxi.parquet.schema import arrow_schema
from nyc_taxi.parquet.to_parquet import ToParquetOperator
from nyc_taxi.registry.datasets import GREEN
from nyc_taxi.registry.model import ContractError
from nyc_taxi.registry.months import MonthError
from nyc_taxi.rollup.whole_years import WholeYearsOperator
from nyc_taxi.source.download import NotPublishedError, SourceError
from nyc_taxi.source.http_to_local import HttpToLocalFilesystemOperator
from nyc_taxi.source.publication_sensor import PublicationSensor
from nyc_taxi.stores.postgres import parquet_to_postgres
from nyc_taxi.stores.postgres.parquet_to_postgres import ParquetToPostgresOperator
from tests.nyc_taxi.support import SYNTHETIC_ROWS, Folder

OPERATORS = [
    HttpToLocalFilesystemOperator,
    ParquetToPostgresOperator,
    PublicationSensor,
    ToParquetOperator,
    WholeYearsOperator,
]
PATH = "/green/green_tripdata_2021-01.csv.gz"


def _arguments(operator: type[BaseOperator]) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(inspect.unwrap(operator.__init__)).parameters
    return {name: parameter for name, parameter in parameters.items() if name not in ("self", "kwargs")}


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_argument_is_a_template_field_and_keyword_only(operator: type[BaseOperator]) -> None:
    arguments = _arguments(operator)
    assert set(operator.template_fields) == set(arguments)
    assert len(operator.template_fields) == len(arguments)
    assert {parameter.kind for parameter in arguments.values()} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_constructor_only_assigns(operator: type[BaseOperator]) -> None:
    values = {name: f"{{{{ params.{name} }}}}" for name in _arguments(operator)}
    made = operator(task_id="x", **values)
    assert {name: getattr(made, name) for name in values} == values


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_docstring_names_every_argument(operator: type[BaseOperator]) -> None:
    text = inspect.getdoc(operator) or ""
    for name in _arguments(operator):
        assert f"\n    {name}: " in text
    for part in ("\nReturns:\n", "\nRaises:\n"):
        assert part in text


# HttpToLocalFilesystemOperator


@pytest.fixture
def taxi_source(source, monkeypatch: pytest.MonkeyPatch):
    """The server of ``source`` as the connection ``taxi_source``, below a path as real mirrors have one."""
    host = f"{source.url}/releases/download"
    monkeypatch.setenv("AIRFLOW_CONN_TAXI_SOURCE", json.dumps({"conn_type": "http", "host": host}))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return source


class _Task:
    """Stands for the task instance: keeps what is pushed."""

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.pushed[key] = value


def _download(target: Path, *, ti: _Task | None = None, **arguments: str) -> str:
    operator = HttpToLocalFilesystemOperator(
        task_id="download", **{"endpoint": PATH.removeprefix("/"), "dst": str(target), **arguments}
    )
    return operator.execute({"ti": ti or _Task()})  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("headers", "version"), [({"ETag": '"5f2a"'}, 'etag="5f2a" length=8'), ({}, "")], ids=["told", "not told"]
)
def test_the_version_that_was_downloaded_is_handed_on(
    taxi_source, tmp_path: Path, headers: dict[str, str], version: str
) -> None:
    taxi_source.serve(f"/releases/download{PATH}", b"the file", **headers)
    ti = _Task()
    assert _download(tmp_path / "file", ti=ti) == str(tmp_path / "file")
    assert ti.pushed == {"version": version}


def test_a_download_goes_below_the_connections_base_url(taxi_source, tmp_path: Path) -> None:
    taxi_source.serve(f"/releases/download{PATH}", b"the file")
    target = tmp_path / "run" / "file.csv.gz"
    assert _download(target) == str(target)
    assert target.read_bytes() == b"the file"
    assert [path for path, _ in taxi_source.requests] == [f"/releases/download{PATH}"]


def test_a_slash_too_many_makes_no_difference(taxi_source, tmp_path: Path) -> None:
    taxi_source.serve(f"/releases/download{PATH}", b"the file")
    _download(tmp_path / "file", endpoint=PATH)
    assert (tmp_path / "file").read_bytes() == b"the file"


@pytest.mark.parametrize(("status", "error"), [(404, NotPublishedError), (403, SourceError), (500, SourceError)])
def test_a_refusal_reaches_the_retry_policy_as_it_is(
    taxi_source, tmp_path: Path, status: int, error: type[Exception]
) -> None:
    taxi_source.serve(f"/releases/download{PATH}", b"", status=status)
    ti = _Task()
    with pytest.raises(error):
        _download(tmp_path / "file", ti=ti)
    assert list(tmp_path.iterdir()) == []
    assert ti.pushed == {}


def test_another_connection_can_be_named(source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps({"conn_type": "http", "host": source.url}))
    source.serve(PATH, b"the other file")
    _download(tmp_path / "file", http_conn_id="other")
    assert (tmp_path / "file").read_bytes() == b"the other file"


def test_a_connection_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AirflowNotFoundException, match="absent"):
        _download(tmp_path / "file", http_conn_id="absent")


# ToParquetOperator

VERSION = 'etag="5f2a" length=1234'


def _green_csv(path: Path, *more: str) -> Path:
    """A green month of one row, whose fields are all empty, with ``more`` columns."""
    names = [column.name for column in GREEN.source_columns]
    source = path / "green_tripdata_2021-01.csv.gz"
    source.write_bytes(gzip.compress(f"{','.join([*names, *more])}\n{',' * (len(names) + len(more) - 1)}\n".encode()))
    return source


def _convert(source: Path, **arguments: str) -> int:
    given = {"src": str(source), "dst": str(source.parent / "out.parquet"), "dataset": "green", "month": "2021-01"}
    return ToParquetOperator(task_id="to_parquet", **{**given, **arguments}).execute({})


def test_a_conversion_returns_the_number_of_rows(tmp_path: Path) -> None:
    assert _convert(_green_csv(tmp_path)) == 1
    (row,) = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert str(row["source_month"]) == "2021-01-01"
    assert row["source_file"] == "green_tripdata_2021-01.csv.gz"


def test_a_parquet_file_is_converted_too(folder: Folder) -> None:
    assert _convert(folder.publish("green", "parquet")) == SYNTHETIC_ROWS
    assert pq.read_table(folder.path / "out.parquet").schema.equals(arrow_schema(GREEN))


def test_a_dataset_without_months_has_an_empty_month(tmp_path: Path) -> None:
    source = tmp_path / "taxi_zone_lookup.csv"
    source.write_text("LocationID,Borough,Zone,service_zone\n1,EWR,Newark Airport,EWR\n")
    assert _convert(source, dataset="zones", month="") == 1
    (row,) = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert row["source_month"] is None


@pytest.mark.parametrize(
    ("version", "line"),
    [(VERSION, f"green_tripdata_2021-01.csv.gz {VERSION} contract={contract_id(GREEN)}"), ("", None)],
    ids=["known", "unknown"],
)
def test_the_file_says_of_which_version_it_was_made(tmp_path: Path, version: str, line: str | None) -> None:
    _convert(_green_csv(tmp_path), source_version=version)
    assert read_provenance(tmp_path / "out.parquet") == line


def test_unknown_columns_fail_unless_they_are_ignored_with_a_warning(tmp_path: Path) -> None:
    source = _green_csv(tmp_path, "note", "other")
    for fails in ({}, {"unknown_columns": "fail"}):
        with pytest.raises(ContractError) as error:
            _convert(source, **fails)
        assert str(error.value) == (
            "green_tripdata_2021-01.csv.gz is no valid file of green: it has other columns; unknown: note, other; "
            "set the variable unknown_columns to ignore to leave them out"
        )
        assert not (tmp_path / "out.parquet").exists()
    with mock.patch.object(ToParquetOperator, "log") as log:
        assert _convert(source, unknown_columns="ignore") == 1
    assert mock.call("Left out columns that are not in the contract: %s", "note, other") in log.warning.mock_calls
    assert pq.read_table(tmp_path / "out.parquet").schema.equals(arrow_schema(GREEN))


def test_without_unknown_columns_nothing_is_warned_of(tmp_path: Path) -> None:
    with mock.patch.object(ToParquetOperator, "log") as log:
        _convert(_green_csv(tmp_path), unknown_columns="ignore")
    assert not [call for call in log.warning.mock_calls if "Left out" in call.args[0]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dataset": "blue"}, ContractError, "unknown dataset 'blue'; there are "),
        ({"month": "2021-13"}, MonthError, "'2021-13' is not a month"),
        ({"dataset": "zones"}, ContractError, "is no valid file of zones: .*; its columns are those of green"),
        ({"unknown_columns": "drop"}, ContractError, "unknown_columns is 'drop'; it can be fail or ignore"),
        ({"unknown_columns": ""}, ContractError, "unknown_columns is ''; it can be fail or ignore"),
    ],
)
def test_wrong_arguments_are_refused(
    tmp_path: Path, arguments: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        _convert(_green_csv(tmp_path), **arguments)
    assert not (tmp_path / "out.parquet").exists()


# ParquetToPostgresOperator


class _Connection:
    """Stands for a connection: keeps what it is asked to execute, and whether it was left by an error."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.left_by: type[BaseException] | None = None

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.left_by = kind

    def execute(self, statement: str | sql.Composed) -> None:
        self.statements.append(statement if isinstance(statement, str) else statement.as_string(None))


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
    assert operator.execute({}) == "staging.green_2021_01_x"
    return connection


@pytest.mark.parametrize(
    ("line", "comments"),
    [
        (
            "it's from here",
            ["""COMMENT ON TABLE "staging"."green_2021_01_x" IS 'it''s from here'"""],
        ),
        ("", []),
    ],
    ids=["known", "unknown"],
)
def test_a_table_is_made_filled_and_told_what_it_was_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, comments: list[str]
) -> None:
    copied: list[Any] = []

    def copy(connection: _Connection, source: Path, table: sql.Identifier) -> int:
        connection.statements.append("COPY")
        copied.append((source, table))
        return 7

    connection = _load(tmp_path, monkeypatch, line, copy)
    assert connection.statements == ["CREATE TABLE x ()", "COPY", *comments]
    assert copied == [(tmp_path / "x.parquet", sql.Identifier("staging", "green_2021_01_x"))]
    assert connection.left_by is None


def test_a_refused_row_leaves_the_transaction_by_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connections: list[_Connection] = []

    def refuse(connection: _Connection, source: Path, table: sql.Identifier) -> int:
        connections.append(connection)
        raise psycopg.DataError("no such column")

    with pytest.raises(psycopg.DataError, match="no such column"):
        _load(tmp_path, monkeypatch, "x", refuse)
    assert [connection.left_by for connection in connections] == [psycopg.DataError]
    assert connections[0].statements == ["CREATE TABLE x ()"]
