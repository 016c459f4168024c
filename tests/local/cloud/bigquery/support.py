"""Helpers for the BigQuery tests: trips as Parquet, and shortcuts to run jobs with the official client."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime
from typing import Any

import pyarrow as pa
from google.api_core.exceptions import GoogleAPIError, NotFound
from google.cloud import bigquery

PROJECT = "nyc-taxi-test"
BUCKET = "lake-bucket"


def trips(month: int, rows: int, *, first: int = 0) -> pa.Table:
    """Return trips as the pipeline writes them, with columns in another order than the table's."""
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
# Runs for minutes: no index or hash helps its join.
LONG_QUERY = (
    "SELECT COUNT(*) FROM UNNEST(GENERATE_ARRAY(1, 300000)) AS a JOIN UNNEST(GENERATE_ARRAY(1, 300000)) AS b ON a < b"
)
MONTHLY = bigquery.TimePartitioning(type_="MONTH", field="source_month")
NO_RETRY: dict[str, Any] = {"retry": None, "job_retry": None}
"""Arguments of ``Client.query`` and ``QueryJob.result`` that make them fail at the first error."""


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


@contextmanager
def running_job(client: bigquery.Client, job_id: str, sql: str, **options: Any) -> Iterator[None]:
    """Run a query job in a thread, until its end or until the server dies; enter when the job is running."""
    config = bigquery.QueryJobConfig(**options)

    def run() -> None:
        with suppress(GoogleAPIError, OSError):
            client.query(sql, job_id=job_id, job_config=config, **NO_RETRY).result(**NO_RETRY)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_for_state(client, job_id, "RUNNING", "DONE")
        yield
    except BaseException:
        with suppress(GoogleAPIError, OSError):
            client.cancel_job(job_id, retry=None)
        raise
    finally:
        thread.join(120)
        assert not thread.is_alive()


def wait_for_state(client: bigquery.Client, job_id: str, *states: str) -> None:
    """Wait until the job exists and has one of ``states``."""
    deadline = time.monotonic() + 120
    while True:
        with suppress(NotFound):
            if client.get_job(job_id).state in states:
                return
        assert time.monotonic() < deadline, f"job {job_id} is not {' or '.join(states)} in time"
        time.sleep(0.02)


def reference(table: str) -> bigquery.TableReference:
    return bigquery.TableReference.from_string(f"{PROJECT}.{table}")


def months(client: bigquery.Client, table: str) -> dict[str, int]:
    """Return the number of rows by month."""
    return dict(query(client, f"SELECT FORMAT_DATE('%Y%m', source_month), COUNT(*) FROM {table} GROUP BY 1 ORDER BY 1"))
