"""The course's flows: ``python -m comparison.course_flows.flows BASE_URL FOLDER``, in Prefect's environment.

They run twice in one process. The first run is cold: it starts Prefect's own server. The benchmarks use the second run.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from benchmarks.clock import clock, report
from benchmarks.conditions import YELLOW_MONTH
from comparison.course_flows import cloud, files

# No caching, which was the default in the course's version; today's Prefect would first hash each frame.
fetch = task(retries=3, cache_policy=NO_CACHE)(files.fetch)
clean = task(log_prints=True, cache_policy=NO_CACHE)(files.clean)
write_local = task(cache_policy=NO_CACHE)(files.write_local)
write_gcs = task(cache_policy=NO_CACHE)(cloud.write_gcs)
extract_from_gcs = task(retries=3, cache_policy=NO_CACHE)(cloud.extract_from_gcs)
transform = task(cache_policy=NO_CACHE)(files.transform)
write_bq = task(cache_policy=NO_CACHE)(cloud.write_bq)


@flow
def etl_web_to_gcs(year: int, month: int, color: str, base_url: str, folder: Path) -> None:
    """Load a month from the web into the lake."""
    name = f"{color}_tripdata_{year}-{month:02}"
    frame: pd.DataFrame = clean(fetch(f"{base_url}/{color}/{name}.csv.gz"))
    write_local(frame, folder / f"{name}.parquet")
    write_gcs(folder / f"{name}.parquet", f"course/{color}/{name}.parquet")


@flow
def etl_gcs_to_bq(year: int, month: int, color: str, folder: Path) -> None:
    """Load a month from the lake into BigQuery; the frame is appended to the table."""
    name = f"{color}_tripdata_{year}-{month:02}"
    extract_from_gcs(f"course/{color}/{name}.parquet", folder / f"{name}.parquet")
    write_bq(transform(folder / f"{name}.parquet"), cloud.table(color))


@flow
def etl_parent_flow(months: list[int], year: int, color: str, base_url: str, folder: Path) -> None:
    """Load months one after another."""
    for month in months:
        etl_web_to_gcs(year, month, color, base_url, folder)
        etl_gcs_to_bq(year, month, color, folder)


def _run(base_url: str, folder: Path) -> dict[str, float]:
    year, month = map(int, YELLOW_MONTH.split("-"))
    table = cloud.table("yellow")
    cloud.start_anew(table)
    with clock() as figures:
        etl_parent_flow([month], year, "yellow", base_url, folder)
    figures["rows"] = cloud.count_rows(table)
    return figures


if __name__ == "__main__":
    arguments = sys.argv[1], Path(sys.argv[2])
    cold = _run(*arguments)
    warm = _run(*arguments)
    report({**warm, "cold_seconds": cold["seconds"]})
