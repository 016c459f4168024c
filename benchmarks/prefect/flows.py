"""The course's two flows: python -m benchmarks.prefect.flows URL FOLDER, with the environment beside this file.

They run twice in one process. The first run is cold: it starts Prefect's own server. The second one is what counts.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from benchmarks.baselines import course_cloud, course_files
from benchmarks.clock import clock, report

# Nothing is cached, as it is by default in the course's version; today's Prefect would first hash each frame.
fetch = task(retries=3, cache_policy=NO_CACHE)(course_files.fetch)
clean = task(log_prints=True, cache_policy=NO_CACHE)(course_files.clean)
write_local = task(cache_policy=NO_CACHE)(course_files.write_local)
write_gcs = task(cache_policy=NO_CACHE)(course_cloud.write_gcs)
extract_from_gcs = task(retries=3, cache_policy=NO_CACHE)(course_cloud.extract_from_gcs)
transform = task(cache_policy=NO_CACHE)(course_files.transform)
write_bq = task(cache_policy=NO_CACHE)(course_cloud.write_bq)


@flow
def etl_web_to_gcs(url: str, folder: Path) -> str:
    """From the web to the lake; returns the object's name."""
    path = folder / url.rpartition("/")[2].replace(".csv.gz", ".parquet")
    frame: pd.DataFrame = clean(fetch(url))
    write_local(frame, path)
    write_gcs(path, f"course/{path.name}")
    return f"course/{path.name}"


@flow
def etl_gcs_to_bq(name: str, folder: Path) -> None:
    """From the lake to BigQuery."""
    path = folder / name.rpartition("/")[2]
    extract_from_gcs(name, path)
    write_bq(transform(path))


def _run(url: str, folder: Path) -> dict[str, float]:
    course_cloud.start_anew()
    with clock() as figures:
        etl_gcs_to_bq(etl_web_to_gcs(url, folder), folder)
    figures["rows"] = course_cloud.count_rows()
    return figures


if __name__ == "__main__":
    arguments = sys.argv[1], Path(sys.argv[2])
    cold = _run(*arguments)
    warm = _run(*arguments)
    report({**warm, "cold_seconds": cold["seconds"]})
