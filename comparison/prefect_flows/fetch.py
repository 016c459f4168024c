"""The steps from the source to a local Parquet file, which several flows share."""

from __future__ import annotations

from pathlib import Path

import requests
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from comparison.prefect_flows import blocks
from comparison.prefect_flows.retries import RETRIED
from nyc_taxi.parquet.convert import to_parquet
from nyc_taxi.parquet.provenance import provenance
from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.source.download import download, file_version


def source_url(file: PublishedFile) -> str:
    """The URL of the file at the source."""
    source = blocks.source()
    return f"{source['url']}/{file.source_path(Layout(source['layout']))}"


@task(**RETRIED)
def find_version(url: str) -> str:
    """Ask the source for the version of the file."""
    with requests.Session() as session:
        return file_version(session, url)


@task(**RETRIED)
def fetch(url: str, target: Path) -> str:
    """Download the file; returns its version."""
    with requests.Session() as session:
        downloaded = download(session, url, target)
    get_run_logger().info("Downloaded %s: %s bytes, %s", url, f"{downloaded.size:,}", downloaded.version)
    return downloaded.version


@task(timeout_seconds=30 * 60, cache_policy=NO_CACHE)
def convert(source: Path, target: Path, file: PublishedFile, version: str) -> int:
    """Convert the file to Parquet that follows the contract; returns the number of rows."""
    made_from = provenance(file.dataset, source.name, version)
    rows = to_parquet(source, target, dataset=file.dataset, month=file.month, provenance=made_from).rows
    get_run_logger().info("Converted %s rows to %s", f"{rows:,}", target)
    return rows


def fetch_parquet(file: PublishedFile, folder: Path) -> tuple[Path, int]:
    """Download the file and convert it; returns the Parquet file and its number of rows."""
    url = source_url(file)
    source, parquet = folder / url.rpartition("/")[2], folder / file.parquet_name
    version = fetch(url, source)
    return parquet, convert(source, parquet, file, version)
