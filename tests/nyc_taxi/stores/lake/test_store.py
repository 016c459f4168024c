"""What the lake says of its objects: in the order of the months, and of one generation only."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.cloud.exceptions import NotFound

from nyc_taxi.parquet.provenance import METADATA_KEY
from nyc_taxi.registry.datasets import GREEN, ZONES
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.lake.store import LOOK_UPS, LakeStore


def _parquet(rows: int, line: str = "") -> bytes:
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, pa.schema([("a", pa.int64())])) as writer:
        writer.add_key_value_metadata({METADATA_KEY: line})
        writer.write_table(pa.table({"a": list(range(rows))}))
    return sink.getvalue()


class _Blob:
    time_created = None

    def __init__(self, name: str, content: bytes | None, generation: int = 1) -> None:
        self.name, self.content, self.generation = name, content, generation

    def open(self, mode: str, chunk_size: int) -> io.BytesIO:
        if self.content is None:
            raise NotFound("this generation is gone")
        return io.BytesIO(self.content)


class _Client:
    """Stands for a client whose bucket lists ``blobs``, and gives the next of ``versions`` at each look-up."""

    name = "lake"

    def __init__(self, *blobs: _Blob, versions: tuple[_Blob | None, ...] = ()) -> None:
        self.blobs, self.versions = blobs, iter(versions)

    def bucket(self, name: str) -> _Client:
        return self

    def list_blobs(self, prefix: str) -> list[_Blob]:
        return sorted((blob for blob in self.blobs if blob.name.startswith(prefix)), key=lambda blob: blob.name)

    def get_blob(self, name: str) -> _Blob | None:
        return next(self.versions)


def _store(client: Any) -> LakeStore:
    return LakeStore(client, "lake")


def test_months_are_in_order() -> None:
    months = [Month(year, month) for year in (2019, 2020) for month in range(1, 13)]
    blobs = [_Blob(GREEN.file(month).lake_object, _parquet(month.month)) for month in reversed(months)]
    found = _store(_Client(*blobs)).months(GREEN)
    assert list(found) == months
    assert [stored.rows for stored in found.values()] == [month.month for month in months]


@pytest.mark.parametrize(
    "name",
    ["green/year=2021/month=01/other.parquet", "green/year=2021/month=13/x.parquet", "green/x", "green/zones.parquet"],
)
def test_objects_that_are_not_the_pipelines_are_no_months(name: str) -> None:
    assert _store(_Client(_Blob(name, _parquet(1)))).months(GREEN) == {}


def test_a_dataset_without_months_has_one() -> None:
    found = _store(_Client(_Blob(ZONES.file().lake_object, _parquet(265)))).months(ZONES)
    assert [(month, stored.rows) for month, stored in found.items()] == [(None, 265)]


@pytest.mark.parametrize("replaced", range(LOOK_UPS))
def test_an_object_that_is_replaced_while_it_is_read_is_looked_up_again(replaced: int) -> None:
    gone = [_Blob("x", None, generation) for generation in range(replaced)]
    client = _Client(versions=(*gone, _Blob("x", _parquet(3, "a line"), 99)))
    found = _store(client).find(GREEN.file(Month(2021, 1)))
    assert found is not None
    assert (found.rows, found.made_from, found.revision) == (3, "a line", "99")


def test_an_object_that_is_replaced_each_time_is_an_error_and_not_absent() -> None:
    client = _Client(versions=tuple(_Blob("x", None) for _ in range(LOOK_UPS)))
    with pytest.raises(RuntimeError, match="was replaced during each"):
        _store(client).find(GREEN.file(Month(2021, 1)))


def test_an_object_that_was_deleted_is_absent() -> None:
    assert _store(_Client(versions=(_Blob("x", None), None))).find(GREEN.file(Month(2021, 1))) is None


def test_content_is_the_same_whatever_the_row_groups() -> None:
    contents = []
    for size in (1, 100):
        sink = io.BytesIO()
        pq.write_table(pa.table({"a": list(range(100))}), sink, row_group_size=size)
        contents.append(_store(_Client(versions=(_Blob("x", sink.getvalue()),))).content(GREEN.file(Month(2021, 1))))
    assert contents[0].rows == 100
    assert contents[0] == contents[1]
