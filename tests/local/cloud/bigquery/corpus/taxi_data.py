"""Loads synthetic months into the emulator as the pipeline does: convert, put into the lake, load into a partition."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from google.cloud import bigquery

from comparison.statements import Load
from local.cloud.source import months, synthetic
from local.cloud.source.zones import lookup_csv
from nyc_taxi.parquet.convert import to_parquet
from nyc_taxi.registry.datasets import GREEN, YELLOW, published_file
from nyc_taxi.registry.model import Dataset, PublishedFile
from tests.local.cloud.bigquery import support
from tests.local.cloud.bigquery.conftest import Server

DATASET = "corpus_taxi"
LAKE = f"gs://{support.BUCKET}/green"
"""The folder of the lake with the objects of the green months."""
ROWS = 2000
TRIPS = [("green", "2021-01"), ("green", "2021-02"), ("yellow", "2021-01")]


@dataclass(frozen=True)
class Taxi:
    """The loaded rows, for pandas.

    Attributes:
        green: two months of green trips.
        yellow: one month of yellow trips.
        zones: the zones.
    """

    green: pd.DataFrame
    yellow: pd.DataFrame
    zones: pd.DataFrame


def load_taxi(server: Server) -> Taxi:
    """Load the months and the zones into the dataset ``DATASET``, and return their rows."""
    client = server.client()
    client.create_dataset(DATASET)
    trips: dict[str, list[pd.DataFrame]] = {"green": [], "yellow": []}
    for name, month in TRIPS:
        trips[name].append(_load(server, client, published_file(name, month)))
    for dataset in (GREEN, YELLOW):
        support.query(client, _external_table(dataset))
    zones = _load(server, client, published_file("zones"))
    green, yellow = (pd.concat(parts, ignore_index=True) for parts in trips.values())
    return Taxi(green, yellow, zones[["LocationID", "Borough", "Zone"]])


def _load(server: Server, client: bigquery.Client, file: PublishedFile) -> pd.DataFrame:
    """Write a file as the source publishes it, convert it, load it, and return its rows."""
    table, partition = f"{DATASET}.{file.dataset.name}", ""
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name, "published.csv.gz" if file.month else "published.csv"), Path(name, "lake.parquet")
        if file.month:
            synthetic.write_month(file.dataset.name, months.Month.parse(str(file.month)), source, rows=ROWS)
            partition = f"${file.month.first_day:%Y%m}"
        else:
            source.write_bytes(lookup_csv())
        to_parquet(source, target, dataset=file.dataset, month=file.month)
        rows = pq.read_table(target)
    uri = server.put(file.lake_object, rows)
    template = "trip_table" if file.month else "lookup_table"
    for statement in Load(file=file, run="corpus").render(f"bigquery/create/{template}.sql").split(";\n"):
        if "CREATE TABLE" in statement:
            support.query(client, statement.replace("trips.", f"{DATASET}."))
    support.load(client, uri, table + partition, write_disposition="WRITE_TRUNCATE")
    return _frame(rows)


def _external_table(dataset: Dataset) -> str:
    prefix = f"gs://{support.BUCKET}/{dataset.name}"
    return (
        f"CREATE EXTERNAL TABLE {DATASET}.{dataset.name}_external WITH PARTITION COLUMNS (year INT64, month INT64) "
        f"OPTIONS (format = 'PARQUET', uris = ['{prefix}/*.parquet'], hive_partition_uri_prefix = '{prefix}')"
    )


def _frame(rows: pa.Table) -> pd.DataFrame:
    """Return integers with nulls as pandas' own nullable integers."""
    return rows.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype(), pa.string(): pd.StringDtype()}.get)
