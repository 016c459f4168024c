"""Counts the rows of one month where they are: at the source and in every store, by each one's ordinary client.

And fingerprints them, to tell whether a month's content is the same as before. Nothing here asks Airflow or reads what
a task said; it is the pipeline's independent witness.
"""

from __future__ import annotations

import csv
import gzip
import io
import tempfile
from dataclasses import asdict, dataclass

import httpx
import pandas as pd
import psycopg
import pyarrow.parquet as pq
from google.api_core.exceptions import NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage  # type: ignore[attr-defined] # storage has no types
from psycopg import sql

from local.airflow.environment import AirflowSettings
from nyc_taxi.registry.datasets import TRIP_DATASETS
from nyc_taxi.registry.model import ContractError, PublishedFile
from nyc_taxi.registry.months import Month


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


def month_file(settings: AirflowSettings, dataset: str, month: str) -> PublishedFile:
    """The file of a month that somebody names.

    Raises:
        ContractError, MonthError: there is no such dataset with months, or no such month.
    """
    for each in TRIP_DATASETS:
        if each.name == dataset:
            file = each.file(Month.parse(month))
            file.source_path(settings.layout)  # refuses a month that the source never had
            return file
    raise ContractError(f"unknown dataset {dataset!r}; there are {', '.join(each.name for each in TRIP_DATASETS)}")


def count(settings: AirflowSettings, file: PublishedFile) -> Counts:
    """Count the rows of ``file``, a file with a month, in all five places; where it is not, it has 0.

    Raises:
        httpx.HTTPError: the source does not have it, or does not answer.
    """
    return Counts(
        source=count_source(f"{settings.source_base_url}/{file.source_path(settings.layout)}"),
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


@dataclass(frozen=True)
class Content:
    """The rows of one month in one place: how many, and the sum of their hashes, which their order does not change."""

    rows: int
    hash: int


def contents(settings: AirflowSettings, file: PublishedFile) -> dict[str, Content]:
    """The content of ``file`` in the lake, in BigQuery and in Postgres.

    Each store hashes in its own way, so that a hash can be compared only with one of the same store.
    """
    return {
        "lake": _content_of_lake(settings, file),
        "bigquery": _content_of_bigquery(settings, file),
        "postgres": _content_of_postgres(settings, file),
    }


def _content_of_lake(settings: AirflowSettings, file: PublishedFile) -> Content:
    with storage_client(settings).bucket(settings.cloud.lake_bucket).blob(file.lake_object).open("rb") as blob:
        frame = pq.read_table(blob).to_pandas()
    return Content(len(frame), int(pd.util.hash_pandas_object(frame, index=False).sum()))


def _content_of_bigquery(settings: AirflowSettings, file: PublishedFile) -> Content:
    where = "WHERE source_month = @first_day" if file.month else ""
    # The remainder: the sum of whole fingerprints would overflow.
    query = f"""
        SELECT COUNT(*), SUM(MOD(FARM_FINGERPRINT(TO_JSON_STRING(t)), 1000000007))
        FROM trips.{file.dataset.name} AS t {where}
    """
    return Content(*_query_bigquery(settings, query, file))


def _content_of_postgres(settings: AirflowSettings, file: PublishedFile) -> Content:
    query = sql.SQL("SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {} AS t").format(
        sql.Identifier(file.postgres_table)
    )
    with psycopg.connect(settings.cloud.postgres_url("ny_taxi")) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return Content(row[0], int(row[1]))


def count_source(url: str) -> int:
    """The rows of the file that ``url`` serves: Parquet, or CSV, gzipped or not, whose header is no row."""
    with tempfile.TemporaryFile() as spool:
        with httpx.stream("GET", url, follow_redirects=True, timeout=60) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_raw():
                spool.write(chunk)
        spool.seek(0)
        if url.endswith(".parquet"):
            return pq.ParquetFile(spool).metadata.num_rows
        file = gzip.GzipFile(fileobj=spool) if url.endswith(".gz") else spool
        with io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="") as text:
            return sum(1 for row in csv.reader(text) if row) - 1


def count_lake(settings: AirflowSettings, file: PublishedFile) -> int:
    """The rows of the month's Parquet object, by its own footer; 0 if there is none."""
    client = storage_client(settings)
    try:
        with client.bucket(settings.cloud.lake_bucket).blob(file.lake_object).open("rb") as blob:
            return pq.ParquetFile(blob).metadata.num_rows
    except NotFound:
        return 0


def count_postgres(settings: AirflowSettings, file: PublishedFile) -> int:
    """The rows of the month in the table, through the parent; 0 if there is no table."""
    assert file.month is not None
    query = sql.SQL("SELECT count(*) FROM {} WHERE source_month = %s").format(
        sql.Identifier(file.dataset.postgres_table)
    )
    try:
        with psycopg.connect(settings.cloud.postgres_url("ny_taxi")) as connection:
            row = connection.execute(query, [file.month.first_day]).fetchone()
    except psycopg.errors.UndefinedTable:
        return 0
    assert row is not None
    return row[0]


def _count_bigquery(settings: AirflowSettings, query: str, file: PublishedFile) -> int:
    """The one number that the query asks for; 0 if there is no table."""
    try:
        return _query_bigquery(settings, query, file)[0]
    except NotFound:
        return 0


def _query_bigquery(settings: AirflowSettings, query: str, file: PublishedFile) -> tuple[int, ...]:
    """The first row of the answer; the query can name the file's month by parameters."""
    parameters = []
    if file.month:
        parameters = [
            bigquery.ScalarQueryParameter("year", "INT64", file.month.year),
            bigquery.ScalarQueryParameter("month", "INT64", file.month.month),
            bigquery.ScalarQueryParameter("first_day", "DATE", file.month.first_day),
        ]
    used = [parameter for parameter in parameters if f"@{parameter.name}" in query]
    job = bigquery_client(settings).query(query, bigquery.QueryJobConfig(query_parameters=used))
    return tuple(next(iter(job.result())).values())


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
