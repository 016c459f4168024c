"""The operators: what they hand on to the plain functions, and that all of it can be templated."""

from __future__ import annotations

import gzip
import inspect
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowNotFoundException

from nyc_taxi.datasets import GREEN, ContractError
from nyc_taxi.download import NotPublishedError, SourceError
from nyc_taxi.months import MonthError
from nyc_taxi.operators.csv_to_parquet import CsvToParquetOperator
from nyc_taxi.operators.http_to_local import HttpToLocalFilesystemOperator
from nyc_taxi.operators.parquet_to_postgres import ParquetToPostgresOperator

OPERATORS = [CsvToParquetOperator, HttpToLocalFilesystemOperator, ParquetToPostgresOperator]
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


def _download(target: Path, **arguments: str) -> str:
    operator = HttpToLocalFilesystemOperator(
        task_id="download", **{"endpoint": PATH.removeprefix("/"), "dst": str(target), **arguments}
    )
    return operator.execute({})


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
    with pytest.raises(error):
        _download(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_another_connection_can_be_named(source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps({"conn_type": "http", "host": source.url}))
    source.serve(PATH, b"the other file")
    _download(tmp_path / "file", http_conn_id="other")
    assert (tmp_path / "file").read_bytes() == b"the other file"


def test_a_connection_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AirflowNotFoundException, match="absent"):
        _download(tmp_path / "file", http_conn_id="absent")


# CsvToParquetOperator


def _convert(tmp_path: Path, **arguments: str) -> int:
    source = tmp_path / "green_tripdata_2021-01.csv.gz"
    names = [column.name for column in GREEN.source_columns]
    source.write_bytes(gzip.compress(f"{','.join(names)}\n{',' * (len(names) - 1)}\n".encode()))
    given = {"src": str(source), "dst": str(tmp_path / "out.parquet"), "dataset": "green", "month": "2021-01"}
    return CsvToParquetOperator(task_id="to_parquet", **{**given, **arguments}).execute({})


def test_a_conversion_returns_the_number_of_rows(tmp_path: Path) -> None:
    assert _convert(tmp_path) == 1
    (row,) = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert str(row["source_month"]) == "2021-01-01"


def test_a_dataset_without_months_has_an_empty_month(tmp_path: Path) -> None:
    source = tmp_path / "taxi_zone_lookup.csv"
    source.write_text("LocationID,Borough,Zone,service_zone\n1,EWR,Newark Airport,EWR\n")
    assert _convert(tmp_path, src=str(source), dataset="zones", month="") == 1
    (row,) = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert row["source_month"] is None


@pytest.mark.parametrize(
    ("arguments", "error"),
    [({"dataset": "blue"}, ContractError), ({"month": "2021-13"}, MonthError), ({"dataset": "zones"}, ContractError)],
)
def test_wrong_arguments_are_refused(tmp_path: Path, arguments: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        _convert(tmp_path, **arguments)
    assert not (tmp_path / "out.parquet").exists()
