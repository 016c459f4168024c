"""What the tests of BigQuery share: trips in Parquet, and short ways to run jobs with the official client."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pyarrow as pa
from google.cloud import bigquery

PROJECT = "nyc-taxi-test"
BUCKET = "lake-bucket"


def trips(month: int, rows: int, *, first: int = 0) -> pa.Table:
    """Trips as the pipeline writes them; the columns are not in the table's order, as Parquet's need not be."""
    return pa.table(
        {
            "source_month": pa.array([date(2021, month, 1)] * rows, pa.date32()),
            "VendorID": pa.array(range(first, first + rows), pa.int32()),
            "lpep_pickup_datetime": pa.array([datetime(2021, month, 1, 12, 30)] * rows, pa.timestamp("us")),
            "fare_amount": pa.array([1.5] * rows, pa.float64()),
            "source_file": pa.array([f"green_tripdata_2021-{month:02d}.csv.gz"] * rows, pa.string()),
        }
    )


TRIP_FIELDS = [
    bigquery.SchemaField("VendorID", "INTEGER"),
    bigquery.SchemaField("lpep_pickup_datetime", "DATETIME"),
    bigquery.SchemaField("fare_amount", "FLOAT"),
    bigquery.SchemaField("source_month", "DATE"),
    bigquery.SchemaField("source_file", "STRING"),
]
# Runs for minutes, on a join that no index or hash helps.
LONG_QUERY = (
    "SELECT COUNT(*) FROM UNNEST(GENERATE_ARRAY(1, 300000)) AS a JOIN UNNEST(GENERATE_ARRAY(1, 300000)) AS b ON a < b"
)
MONTHLY = bigquery.TimePartitioning(type_="MONTH", field="source_month")


def query(client: bigquery.Client, sql: str, **options: Any) -> list[tuple[Any, ...]]:
    """Run a query job and return its rows."""
    config = bigquery.QueryJobConfig(**options)
    return [tuple(row.values()) for row in client.query(sql, job_config=config).result()]


def load(client: bigquery.Client, uris: str | list[str], table: str, **options: Any) -> bigquery.LoadJob:
    """Run a load job of Parquet objects to its end."""
    config = bigquery.LoadJobConfig(source_format="PARQUET", **options)
    job = client.load_table_from_uri(uris, f"{PROJECT}.{table}", job_config=config)
    job.result()
    return job


def create_trips(client: bigquery.Client, table: str) -> None:
    """Create an empty table, partitioned by month and clustered, through the API."""
    resource = bigquery.Table(f"{PROJECT}.{table}", schema=TRIP_FIELDS)
    resource.time_partitioning = MONTHLY
    resource.clustering_fields = ["lpep_pickup_datetime", "VendorID"]
    client.create_table(resource)


def reference(table: str) -> bigquery.TableReference:
    return bigquery.TableReference.from_string(f"{PROJECT}.{table}")


def months(client: bigquery.Client, table: str) -> dict[str, int]:
    """Rows by month."""
    return dict(query(client, f"SELECT FORMAT_DATE('%Y%m', source_month), COUNT(*) FROM {table} GROUP BY 1 ORDER BY 1"))
