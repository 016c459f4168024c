"""Helpers: published files, written by hand or by the synthetic source, their conversions, and asset events."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk import Asset

from local.cloud.source.months import Month as SourceMonth
from local.cloud.source.synthetic import write_month
from nyc_taxi.parquet.convert import Converted, to_parquet
from nyc_taxi.registry.datasets import DATASETS, GREEN, ZONES
from nyc_taxi.registry.model import ContractError, TripDataset
from nyc_taxi.registry.months import Month

JANUARY = Month(2021, 1)
ZONES_HEADER = "LocationID,Borough,Zone,service_zone\n"
GREEN_ROW = {
    "VendorID": "2",
    "lpep_pickup_datetime": "2021-01-01 00:15:56",
    "lpep_dropoff_datetime": "2021-01-01 00:19:52",
    "store_and_fwd_flag": "N",
    "RatecodeID": "1",
    "PULocationID": "43",
    "DOLocationID": "151",
    "passenger_count": "1",
    "trip_distance": "1.01",
    "fare_amount": "5.5",
    "extra": "0.5",
    "mta_tax": "0.5",
    "tip_amount": "0",
    "tolls_amount": "-3.25",
    "ehail_fee": "",
    "improvement_surcharge": "0.3",
    "total_amount": "6.8",
    "payment_type": "2",
    "trip_type": "1",
    "congestion_surcharge": "0",
}
# What messages say about a value that is not one of its type, and about a damaged file.
NO_INTEGER = "is not a valid integer; correct it at the source, to the form 12"
NO_AMOUNT = "is not a valid amount; correct it at the source, to the form 5.5"
NO_TIME = "is not a valid wall-clock time; correct it at the source, to the form 2021-01-01 00:15:56"
WHOLE_COPY = "; get a whole copy from the source"
PICKUP = datetime.datetime(2021, 1, 1, 0, 15, 56)
SYNTHETIC_ROWS = 200


class Folder:
    """A folder with one source file and its conversion."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.target = path / "out" / "target.parquet"

    def zones(self, content: str | bytes, *, accept_unknown: bool = False) -> Converted:
        """Convert ``content`` as the zones file."""
        source = self.path / "taxi_zone_lookup.csv"
        source.write_bytes(content.encode() if isinstance(content, str) else content)
        return to_parquet(source, self.target, dataset=ZONES, month=None, accept_unknown=accept_unknown)

    def green(
        self, *rows: dict[str, str], columns: Sequence[str] = tuple(GREEN_ROW), accept_unknown: bool = False
    ) -> Converted:
        """Convert a gzipped file with ``rows``, each given as the fields that differ from ``GREEN_ROW``."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([{**GREEN_ROW, **row}[name] for name in columns] for row in rows)
        return self.green_bytes(gzip.compress(text.getvalue().encode()), accept_unknown=accept_unknown)

    def green_bytes(self, content: bytes, *, accept_unknown: bool = False) -> Converted:
        """Convert ``content`` as the mirror's file of a green month."""
        source = self.path / "green_tripdata_2021-01.csv.gz"
        source.write_bytes(content)
        return to_parquet(source, self.target, dataset=GREEN, month=JANUARY, accept_unknown=accept_unknown)

    def parquet(self, table: pa.Table, *, accept_unknown: bool = False, **options: Any) -> Converted:
        """Convert ``table``, written with ``options``, as the TLC's file of a green month."""
        return self.parquet_bytes(parquet_bytes(table, **options), accept_unknown=accept_unknown)

    def parquet_bytes(self, content: bytes, *, accept_unknown: bool = False) -> Converted:
        """Convert ``content`` as the TLC's file of a green month."""
        source = self.path / "green_tripdata_2021-01.parquet"
        source.write_bytes(content)
        return to_parquet(source, self.target, dataset=GREEN, month=JANUARY, accept_unknown=accept_unknown)

    def publish(self, dataset: str, suffix: str, *defects: str, month: Month = JANUARY) -> Path:
        """Write a synthetic month."""
        source = self.path / f"{dataset}_tripdata_{month}.{suffix}"
        write_month(dataset, SourceMonth.parse(str(month)), source, rows=SYNTHETIC_ROWS, defects=defects)
        return source

    def synthetic(
        self, dataset: str, suffix: str, *defects: str, month: Month = JANUARY, accept_unknown: bool = False
    ) -> pa.Table:
        """Write a synthetic month, convert it, and return the result."""
        source = self.publish(dataset, suffix, *defects, month=month)
        contract = DATASETS[dataset]
        assert isinstance(contract, TripDataset)
        to_parquet(source, self.target, dataset=contract, month=month, accept_unknown=accept_unknown)
        return self.table()

    def table(self) -> pa.Table:
        return pq.read_table(self.target)

    def rows(self) -> list[dict[str, Any]]:
        return self.table().to_pylist()

    def left(self) -> list[str]:
        """Return the names of the files in the target's folder."""
        return sorted(path.name for path in self.target.parent.glob("*"))


@contextmanager
def refused(folder: Folder) -> Iterator[pytest.ExceptionInfo[ContractError]]:
    """Assert that the block raises a ContractError and leaves no file."""
    with pytest.raises(ContractError) as error:
        yield error
    assert folder.left() == []


def zone(number: int | None, borough: str | None, name: str | None, service_zone: str | None) -> dict[str, Any]:
    """Return a row of the zones' Parquet."""
    return {
        "LocationID": number,
        "Borough": borough,
        "Zone": name,
        "service_zone": service_zone,
        "source_month": None,
        "source_file": "taxi_zone_lookup.csv",
    }


def green_table(rows: int = 3, **differences: pa.Array) -> pa.Table:
    """Return the table of a TLC file: ``rows`` times ``GREEN_ROW``, with the columns in ``differences`` replaced."""
    columns = {name: pa.array([value or None] * rows, pa.string()) for name, value in GREEN_ROW.items()}
    typed = {name: values.cast(_usual_type(name)) for name, values in columns.items()}
    return pa.table({**typed, **differences})


def _usual_type(name: str) -> pa.DataType:
    if name.endswith("datetime"):
        return pa.timestamp("us")
    if name == "store_and_fwd_flag":
        return pa.string()
    return pa.int64() if GREEN_ROW[name].isdigit() and name.endswith(("ID", "_count", "_type")) else pa.float64()


def parquet_bytes(table: pa.Table, **options: Any) -> bytes:
    """Return the table as a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


class _OutletEvents(dict[Asset, Any]):
    """Fake ``outlet_events`` that records the partitions added to each asset."""

    def __init__(self) -> None:
        super().__init__()
        self.added: list[tuple[str, str]] = []

    def __missing__(self, asset: Asset) -> Any:
        return SimpleNamespace(add_partitions=lambda key: self.added.append((asset.name, key)))


def announced(
    arguments: dict[str, Any], partition_key: str | None, params: dict[str, str | None]
) -> list[tuple[str, str]]:
    """Return the asset partitions that a task with these ``arguments`` adds, as pairs of asset name and key."""
    events = _OutletEvents()
    run = SimpleNamespace(partition_key=partition_key, logical_date=None)
    arguments["post_execute"]({"dag_run": run, "params": params, "outlet_events": events}, None)
    return events.added
