"""The steps of the course's flows that use Google Cloud."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pandas_gbq
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage  # type: ignore[attr-defined] # storage has no types

from comparison.course_flows.files import clean, fetch, transform, write_local

DATASET = "course"


def table(color: str) -> str:
    """The table of the yellow or the green trips."""
    return f"{DATASET}.{color}"


def bucket() -> storage.Bucket:
    """The lake's bucket."""
    client = storage.Client(project=os.environ["GCP_PROJECT"], credentials=AnonymousCredentials())
    return client.bucket(os.environ["LAKE_BUCKET"])


def write_gcs(source: Path, name: str) -> None:
    """Upload the Parquet file."""
    bucket().blob(name).upload_from_filename(source)


def extract_from_gcs(name: str, target: Path) -> None:
    """Download the Parquet file again."""
    bucket().blob(name).download_to_filename(target)


def write_bq(frame: pd.DataFrame, to_table: str) -> None:
    """Append the frame to the table, and create the table from it if it does not exist."""
    pandas_gbq.to_gbq(
        frame,
        destination_table=to_table,
        project_id=os.environ["GCP_PROJECT"],
        credentials=AnonymousCredentials(),
        chunksize=500_000,
        if_exists="append",
        progress_bar=False,
    )


def web_to_bigquery(url: str, folder: Path) -> None:
    """The chain of both flows for a yellow month, one step after another."""
    path = folder / url.rpartition("/")[2].replace(".csv.gz", ".parquet")
    write_local(clean(fetch(url)), path)
    write_gcs(path, f"course/{path.name}")
    extract_from_gcs(f"course/{path.name}", path)
    write_bq(transform(path), table("yellow"))


def start_anew(old_table: str) -> None:
    """Drop the table, so that no run finds the rows of another; not measured."""
    client = _client()
    client.create_dataset(DATASET, exists_ok=True)
    client.delete_table(old_table, not_found_ok=True)


def count_rows(of_table: str) -> int:
    """Count the rows of the table; not measured."""
    [row] = _client().query_and_wait(f"SELECT COUNT(*) FROM {of_table}")
    return int(row[0])


def _client() -> bigquery.Client:
    return bigquery.Client(project=os.environ["GCP_PROJECT"], credentials=AnonymousCredentials())
