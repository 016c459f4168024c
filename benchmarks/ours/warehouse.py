"""The steps of the DAGs from a local Parquet file to BigQuery, with only Google's clients."""

from __future__ import annotations

import os
from pathlib import Path

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage  # type: ignore[attr-defined] # storage has no types

from benchmarks.ours.load import FILE, LOAD
from nyc_taxi.stores.bigquery.schema import bigquery_fields


class Warehouse:
    """The lake and BigQuery that the environment variables name."""

    def __init__(self) -> None:
        project, credentials = os.environ["GCP_PROJECT"], AnonymousCredentials()
        self._lake = storage.Client(project=project, credentials=credentials).bucket(os.environ["LAKE_BUCKET"])
        self._bigquery = bigquery.Client(project=project, credentials=credentials)
        self._staging = f"{project}.trips_staging.{LOAD.staging_table}"
        self._partition = f"{project}.trips.{FILE.bigquery_table}"

    def load(self, source: Path) -> None:
        """Upload the file, load it into staging, and publish it as the month's partition."""
        self._lake.blob(FILE.lake_object).upload_from_filename(source)
        self._load_staging()
        self._publish()
        self._bigquery.delete_table(self._staging)

    def create_tables(self) -> None:
        """Create the datasets and the table."""
        self._bigquery.query_and_wait(LOAD.render("bigquery/create/trip_table.sql"))

    def start_anew(self) -> None:
        """Recreate the table, so that no run finds the rows of another; not measured."""
        self._bigquery.delete_table(self._partition.partition("$")[0], not_found_ok=True)
        self.create_tables()

    def count_rows(self) -> int:
        """Count the month's rows in the table; not measured."""
        month = FILE.month.first_day if FILE.month else ""
        query = f"SELECT COUNT(*) FROM trips.{FILE.dataset.name} WHERE source_month = DATE '{month}'"
        [row] = self._bigquery.query_and_wait(query)
        return int(row[0])

    def _load_staging(self) -> None:
        configuration = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            schema=[bigquery.SchemaField.from_api_repr(field) for field in bigquery_fields(FILE.dataset)],
            write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
        )
        uri = f"gs://{self._lake.name}/{FILE.lake_object}"
        self._bigquery.load_table_from_uri(uri, self._staging, job_config=configuration).result()

    def _publish(self) -> None:
        configuration = bigquery.QueryJobConfig(
            destination=self._partition,
            write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
        )
        self._bigquery.query(LOAD.render("bigquery/publish/rows.sql"), job_config=configuration).result()
