"""The provenance line of a Parquet file."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nyc_taxi.parquet import provenance as module
from nyc_taxi.parquet.provenance import METADATA_KEY, contract_id, provenance, read_provenance
from nyc_taxi.registry.columns import Column, Type
from nyc_taxi.registry.datasets import DATASETS, GREEN, YELLOW
from nyc_taxi.registry.model import Dataset

LINE = 'green_tripdata_2021-01.csv.gz etag="5f2a" length=1234 contract=0123456789'


def _parquet(path: Path, line: str | None) -> Path:
    with pq.ParquetWriter(path, pa.schema([("a", pa.int64())])) as writer:
        if line is not None:
            writer.add_key_value_metadata({METADATA_KEY: line})
    return path


# Writing the line


def test_the_line_names_file_version_and_contract() -> None:
    line = provenance(GREEN, "green_tripdata_2021-01.csv.gz", 'etag="5f2a" length=1234')
    assert line == f'green_tripdata_2021-01.csv.gz etag="5f2a" length=1234 contract={contract_id(GREEN)}'


def test_an_unknown_version_gives_no_line() -> None:
    assert provenance(GREEN, "green_tripdata_2021-01.csv.gz", "") == ""


def test_every_contract_has_a_short_id_of_its_own() -> None:
    ids = [contract_id(dataset) for dataset in DATASETS.values()]
    assert all(re.fullmatch("[0-9a-f]{10}", each) for each in ids)
    assert len(set(ids)) == len(ids)
    assert contract_id(GREEN) == contract_id(replace(GREEN))


def _with_first(column: Column) -> Dataset:
    return replace(GREEN, source_columns=(column, *GREEN.source_columns[1:]))


@pytest.mark.parametrize(
    "changed",
    [
        _with_first(Column("vendor", Type.INTEGER, GREEN.source_columns[0].description)),
        _with_first(Column("VendorID", Type.FLOAT, GREEN.source_columns[0].description)),
        replace(GREEN, source_columns=GREEN.source_columns[1:]),
        replace(GREEN, source_columns=(*GREEN.source_columns, Column("x", Type.FLOAT, "X."))),
        replace(GREEN, source_columns=(*GREEN.source_columns[1:], GREEN.source_columns[0])),
    ],
    ids=["name", "type", "one less", "one more", "order"],
)
def test_the_contracts_id_changes_with_the_columns(changed: Dataset) -> None:
    assert contract_id(changed) != contract_id(GREEN)


@pytest.mark.parametrize(
    "same",
    [
        _with_first(Column("VendorID", Type.INTEGER, "In other words.", aliases=("vendor",))),
        replace(GREEN, title="Other"),
    ],
    ids=["description and aliases", "title"],
)
def test_the_contracts_id_stays_the_same_if_the_files_would(same: Dataset) -> None:
    assert contract_id(same) == contract_id(GREEN)


def test_the_contracts_id_changes_with_the_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    before = contract_id(GREEN)
    monkeypatch.setattr(module, "CONVERSION", module.CONVERSION + 1)
    assert contract_id(GREEN) != before
    assert contract_id(GREEN) != contract_id(YELLOW)


# Reading it


def test_the_line_is_read_from_a_path_and_from_an_open_file(tmp_path: Path) -> None:
    path = _parquet(tmp_path / "x.parquet", LINE)
    assert read_provenance(path) == LINE
    with path.open("rb") as file:
        assert read_provenance(file) == LINE
    assert read_provenance(io.BytesIO(path.read_bytes())) == LINE


def test_letters_beyond_ascii_survive(tmp_path: Path) -> None:
    assert read_provenance(_parquet(tmp_path / "x.parquet", "Zürich \N{SNOWMAN}")) == "Zürich \N{SNOWMAN}"


@pytest.mark.parametrize("line", [None, ""])
def test_a_file_may_have_no_line(tmp_path: Path, line: str | None) -> None:
    assert read_provenance(_parquet(tmp_path / "x.parquet", line)) is None


def test_a_file_with_other_metadata_has_no_line(tmp_path: Path) -> None:
    table = pa.table({"a": [1]}).replace_schema_metadata({"other": "x"})
    pq.write_table(table, tmp_path / "x.parquet")
    assert read_provenance(tmp_path / "x.parquet") is None


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"PAR1", b"PAR1PAR1", b"PAR1" + bytes(100)], ids=repr)
def test_a_file_that_is_not_parquet_has_no_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.parquet").write_bytes(content)
    assert read_provenance(tmp_path / "x.parquet") is None
    assert read_provenance(io.BytesIO(content)) is None


def test_a_damaged_footer_has_no_line(tmp_path: Path) -> None:
    path = _parquet(tmp_path / "x.parquet", LINE)
    content = path.read_bytes()
    length = int.from_bytes(content[-8:-4], "little")
    path.write_bytes(content[: -8 - length] + b"\xff" * length + content[-8:])
    assert read_provenance(path) is None


class _Broken(io.BytesIO):
    """A file on a network that is down: clients raise subclasses of OSError without an errno."""

    def read(self, size: int | None = -1) -> bytes:
        raise ConnectionError("the store is gone")


def test_a_network_error_is_not_reported_as_a_damaged_file() -> None:
    with pytest.raises(ConnectionError, match="the store is gone"):
        read_provenance(_Broken(bytes(100)))


def test_other_errors_of_reading_are_raised(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_provenance(tmp_path / "absent.parquet")
    with pytest.raises(ValueError, match="closed file"):
        read_provenance(_closed())


def _closed() -> io.BytesIO:
    file = io.BytesIO(b"PAR1")
    file.close()
    return file
