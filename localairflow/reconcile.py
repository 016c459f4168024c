"""Counts the rows of one month where they are: at the source and in every store, by each one's ordinary client.

Nothing here asks Airflow or reads what a task said; it is the pipeline's independent witness.
"""

from __future__ import annotations

import csv
import gzip
import io
import tempfile
from dataclasses import asdict, dataclass

import httpx
import psycopg
import pyarrow.parquet as pq
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage  # type: ignore[attr-defined] # storage has no types
from psycopg import sql

from localairflow.environment import AirflowSettings
from nyc_taxi.datasets import PublishedFile


@dataclass(frozen=True)
class Counts:
    """The rows of one month in each place."""

    source: int
    lake: int
    external: int
    bigquery: int
    postgres: int

    @property
    def agree(self) -> bool:
        """Whether all are the same."""
        return len(set(asdict(self).values())) == 1

    def line(self, dataset: str, month: str) -> str:
        """The reconciliation line."""
        counts = " ".join(f"{place}={rows}" for place, rows in asdict(self).items())
        return f"{'reconciled' if self.agree else 'DISAGREE'} {dataset} {month} {counts}"


def count(settings: AirflowSettings, file: PublishedFile) -> Counts:
    """Count the rows of ``file``, a file with a month, in all five places."""
    return Counts(
        source=count_source(f"{settings.source_base_url}/{file.source_path}"),
        lake=count_lake(settings, file),
        external=_count_bigquery(
            settings,
            f"SELECT COUNT(*) FROM trips.{file.dataset.name}_external WHERE year = @year AND month = @month",
            file,
        ),
        bigquery=_count_bigquery(
            settings, f"SELECT COUNT(*) FROM trips.{file.dataset.name} WHERE source_month = @first_day", file
        ),
        postgres=count_postgres(settings, file),
    )


def count_source(url: str) -> int:
    """The rows of the CSV file, gzipped or not, that ``url`` serves; the header is no row."""
    with tempfile.TemporaryFile() as spool:
        with httpx.stream("GET", url, follow_redirects=True, timeout=60) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_raw():
                spool.write(chunk)
        spool.seek(0)
        file = gzip.GzipFile(fileobj=spool) if url.endswith(".gz") else spool
        with io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="") as text:
            return sum(1 for row in csv.reader(text) if row) - 1


def count_lake(settings: AirflowSettings, file: PublishedFile) -> int:
    """The rows of the month's Parquet object, by its own footer."""
    client = storage_client(settings)
    with client.bucket(settings.cloud.lake_bucket).blob(file.lake_object).open("rb") as blob:
        return pq.ParquetFile(blob).metadata.num_rows


def count_postgres(settings: AirflowSettings, file: PublishedFile) -> int:
    """The rows of the month in the table, through the parent."""
    assert file.month is not None
    query = sql.SQL("SELECT count(*) FROM {} WHERE source_month = %s").format(
        sql.Identifier(file.dataset.postgres_table)
    )
    with psycopg.connect(settings.cloud.postgres_url("ny_taxi")) as connection:
        row = connection.execute(query, [file.month.first_day]).fetchone()
    assert row is not None
    return row[0]


def _count_bigquery(settings: AirflowSettings, query: str, file: PublishedFile) -> int:
    assert file.month is not None
    parameters = [
        bigquery.ScalarQueryParameter("year", "INT64", file.month.year),
        bigquery.ScalarQueryParameter("month", "INT64", file.month.month),
        bigquery.ScalarQueryParameter("first_day", "DATE", file.month.first_day),
    ]
    used = [parameter for parameter in parameters if f"@{parameter.name}" in query]
    job = bigquery_client(settings).query(query, bigquery.QueryJobConfig(query_parameters=used))
    return next(iter(job.result()))[0]


def storage_client(settings: AirflowSettings) -> storage.Client:
    if settings.uses_real_google_cloud:
        return storage.Client(project=settings.cloud.project)
    return storage.Client(
        project=settings.cloud.project,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": settings.cloud.gcs_url},
    )


def bigquery_client(settings: AirflowSettings) -> bigquery.Client:
    if settings.uses_real_google_cloud:
        return bigquery.Client(project=settings.cloud.project)
    return bigquery.Client(
        project=settings.cloud.project,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": settings.cloud.bigquery_url},
    )
