"""ToParquetOperator: its return value, the provenance that it writes, and the arguments that it refuses."""

from __future__ import annotations

import gzip
from pathlib import Path
from unittest import mock

import pyarrow.parquet as pq
import pytest

from nyc_taxi.parquet.provenance import contract_id, read_provenance
from nyc_taxi.parquet.schema import arrow_schema
from nyc_taxi.parquet.to_parquet import ToParquetOperator
from nyc_taxi.registry.datasets import GREEN
from nyc_taxi.registry.model import ContractError
from nyc_taxi.registry.months import MonthError
from tests.nyc_taxi.support import SYNTHETIC_ROWS, Folder

VERSION = 'etag="5f2a" length=1234'


def _green_csv(path: Path, *more: str) -> Path:
    """Write a green month with one row of empty fields, and ``more`` columns."""
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
            "green_tripdata_2021-01.csv.gz is not a valid green file: its columns differ from the contract; "
            "unknown: note, other; set the variable unknown_columns to ignore to leave them out"
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
        ({"dataset": "blue"}, ContractError, "unknown dataset 'blue'; use one of "),
        ({"month": "2021-13"}, MonthError, "'2021-13' is not a month"),
        ({"dataset": "zones"}, ContractError, "is not a valid zones file: .*; its columns are those of green"),
        ({"unknown_columns": "drop"}, ContractError, "unknown_columns is 'drop'; set it to fail or ignore"),
        ({"unknown_columns": ""}, ContractError, "unknown_columns is ''; set it to fail or ignore"),
    ],
)
def test_wrong_arguments_are_refused(
    tmp_path: Path, arguments: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        _convert(_green_csv(tmp_path), **arguments)
    assert not (tmp_path / "out.parquet").exists()
