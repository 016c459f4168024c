"""A lake and a warehouse on emulators of their own, filled by the pipeline's own code and SQL, without Airflow."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage

from comparison.statements import Load
from local.cloud.settings import REPOSITORY, Settings
from local.cloud.source.months import Month as SourceMonth
from local.cloud.source.synthetic import write_month
from local.cloud.source.zones import lookup_csv
from nyc_taxi.parquet.convert import to_parquet
from nyc_taxi.registry.datasets import DATASETS
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.bigquery.schema import bigquery_fields
from tests.ports import PORTS, free_port

COMPONENTS = ("gcs", "bigquery")


@dataclass(frozen=True)
class Warehouse:
    """A running GCS and BigQuery.

    Attributes:
        settings: of the emulators.
        environment: the environment of commands that use them.
        folder: for the files between source and lake.
    """

    settings: Settings
    environment: dict[str, str]
    folder: Path

    def client(self) -> bigquery.Client:
        return bigquery.Client(
            self.settings.project,
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": self.settings.bigquery_url},
        )

    def load_zones(self) -> None:
        """Take the taxi zones to the lake and to BigQuery."""
        source = self.folder / "taxi_zone_lookup.csv"
        source.write_bytes(lookup_csv())
        self._load(DATASETS["zones"].file(), source)

    def load_month(self, dataset: str, month: str, *, rows: int) -> Path:
        """Take a synthetic month to the lake and to BigQuery; a month that is there is replaced.

        Returns:
            The month's Parquet file, as it is in the lake.
        """
        source = self.folder / f"{dataset}_tripdata_{month}.csv.gz"
        write_month(dataset, SourceMonth.parse(month), source, rows=rows)
        return self._load(DATASETS[dataset].file(Month.parse(month)), source)

    def _load(self, file: PublishedFile, source: Path) -> Path:
        parquet = self.folder / file.parquet_name
        to_parquet(source, parquet, dataset=file.dataset, month=file.month)
        generation = self._upload(parquet, file)
        load = Load(file=file, run=f"{file.slug}/{generation}", generation=generation)
        client = self.client()
        client.query_and_wait(load.render(f"bigquery/create/{file.dataset.kind}_table.sql"))
        staging = f"{client.project}.trips_staging.{load.staging_table}"
        fields = [bigquery.SchemaField.from_api_repr(field) for field in bigquery_fields(file.dataset)]
        config = bigquery.LoadJobConfig(source_format="PARQUET", schema=fields)
        uri = f"gs://{self.settings.lake_bucket}/{file.lake_object}"
        client.load_table_from_uri(uri, staging, job_config=config).result()
        published = bigquery.QueryJobConfig(
            destination=f"{client.project}.trips.{file.bigquery_table}", write_disposition="WRITE_TRUNCATE"
        )
        client.query_and_wait(load.render("bigquery/publish/rows.sql"), job_config=published)
        client.delete_table(staging)
        return parquet

    def _upload(self, parquet: Path, file: PublishedFile) -> int:
        """Upload the file to the lake, and return the object's generation."""
        client = storage.Client(
            self.settings.project,
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": self.settings.gcs_url},
        )
        blob = client.bucket(self.settings.lake_bucket).blob(file.lake_object)
        blob.upload_from_filename(parquet)
        return int(blob.generation)


@contextmanager
def running_warehouse(folder: Path) -> Iterator[Warehouse]:
    """An empty GCS and BigQuery with ports and state of their own."""
    own = {port: str(free_port()) for port in PORTS}
    own |= {"LOCAL_DIR": str(folder / "local"), "LOCAL_ENV_FILE": str(folder / "none.env"), "SOURCE": "synthetic"}
    (folder / "none.env").touch()
    environment = {**os.environ, **own}
    command = [str(REPOSITORY / "local/cloud/.venv/bin/python"), "-m", "local.cloud"]

    def run(word: str) -> None:
        subprocess.run([*command, word, *COMPONENTS], cwd=REPOSITORY, env=environment, check=True, capture_output=True)

    run("up")
    try:
        yield Warehouse(Settings.from_env(own), environment, folder)
    finally:
        run("down")
