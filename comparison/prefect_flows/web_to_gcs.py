"""From the web to the lake: one month of trips as one Parquet object in GCS."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.assets import add_asset_metadata, materialize
from prefect.context import TaskRunContext

from comparison.prefect_flows import blocks
from comparison.prefect_flows.fetch import fetch_parquet, find_version, source_url
from comparison.prefect_flows.parameters import DatasetName, MonthName, published_file, run_name, scheduled_month
from comparison.prefect_flows.retries import RETRIED
from nyc_taxi.parquet.provenance import provenance
from nyc_taxi.registry.model import PublishedFile


def same_file(context: TaskRunContext, parameters: dict[str, Any]) -> str | None:
    """The cache key: an object made from this version under the current contract need not be made again."""
    file: PublishedFile = parameters["file"]
    bucket = parameters["bucket"]
    made_from = provenance(file.dataset, file.parquet_name, parameters["version"])
    return f"{bucket.bucket}-{made_from}" if made_from else None


@task(cache_key_fn=same_file, persist_result=True)
def to_lake(file: PublishedFile, bucket: blocks.LakeBucket, version: str) -> str:
    """Fetch the file, convert it and upload it to the lake, unless this is cached; returns the URI."""
    uri = f"gs://{bucket.bucket}/{file.lake_object}"
    with tempfile.TemporaryDirectory() as folder:
        parquet, rows = fetch_parquet(file, Path(folder))
        upload.with_options(assets=[uri])(bucket, parquet, file, rows)
    return uri


# A call names the object that it makes.
@materialize("gs://lake", **RETRIED)
def upload(bucket: blocks.LakeBucket, parquet: Path, file: PublishedFile, rows: int) -> None:
    """Upload the Parquet file to the lake. Its asset event carries the month, for the flow that it starts."""
    bucket.upload_from_path(parquet, file.lake_object)
    add_asset_metadata(
        f"gs://{bucket.bucket}/{file.lake_object}",
        {"dataset": file.dataset.name, "month": str(file.month), "rows": rows},
    )


@task(**RETRIED)
def is_in_lake(file: PublishedFile, bucket: blocks.LakeBucket) -> bool:
    """Whether the object is there; the cache knows what was made, but not whether it still exists."""
    return bool(bucket.get_bucket().blob(file.lake_object).exists())


@flow(name="web-to-gcs", flow_run_name=run_name, timeout_seconds=2 * 60 * 60, log_prints=True)
def web_to_gcs(dataset: DatasetName = "green", month: MonthName | None = None, force: bool = False) -> str:
    """Load one month from the source into the lake.

    Args:
        dataset: which dataset.
        month: the month; by default that of the schedule.
        force: load the month even if neither the source's file nor the contract changed.

    Returns:
        The object's URI.
    """
    file, bucket = published_file(dataset, month or scheduled_month()), blocks.lake()
    version = find_version(source_url(file))
    again = force or not is_in_lake(file, bucket)
    return to_lake.with_options(refresh_cache=again)(file, bucket, version)
