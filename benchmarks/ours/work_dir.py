"""Take a month from the web to the lake by its tasks: python -m benchmarks.ours.work_dir worker WORK_DIR

The work dir is a folder or ``gs://bucket/prefix``. The argument ``worker`` makes ``airflow_local_settings`` import what
an Airflow worker has imported.
"""

from __future__ import annotations

import runpy
import sys
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import airflow_local_settings  # noqa: F401 # see above
import pyarrow.parquet as pq

from benchmarks.clock import clock, report
from benchmarks.ours.load import FILE
from local.cloud.settings import REPOSITORY, Settings
from nyc_taxi.common.work_files import input_file, remove_folder
from nyc_taxi.parquet.to_parquet import ToParquetOperator
from nyc_taxi.registry.columns import Layout
from nyc_taxi.source.http_to_local import HttpToLocalFilesystemOperator
from nyc_taxi.stores.lake.upload import UploadOperator

_TI = SimpleNamespace(xcom_push=lambda key, value: None)
_CONTEXT: Any = {"ti": _TI, "dag_run": SimpleNamespace(start_date=None)}


def web_to_lake(folder: str) -> str:
    """Run ``download``, ``to_parquet`` and ``local_to_gcs``; returns the path or URI of the Parquet file."""
    endpoint, parquet = FILE.source_path(Layout.MIRROR), f"{folder}/{FILE.parquet_name}"
    HttpToLocalFilesystemOperator(task_id="download", endpoint=str(endpoint), dst=f"{folder}/{endpoint.name}").execute(
        _CONTEXT
    )
    ToParquetOperator(
        task_id="to_parquet",
        src=f"{folder}/{endpoint.name}",
        dst=parquet,
        dataset=FILE.dataset.name,
        month=str(FILE.month),
    ).execute(_CONTEXT)
    UploadOperator(
        task_id="local_to_gcs",
        src=parquet,
        bucket=Settings.from_env().lake_bucket,
        dst="benchmarks/work_dir.parquet",
        chunk_size=runpy.run_path(str(REPOSITORY / "dags" / "web_to_gcs.py"))["UPLOAD_CHUNK_BYTES"],
        downloaded_at=datetime.now(UTC).isoformat(),
    ).execute(_CONTEXT)
    return parquet


if __name__ == "__main__":
    _, _, work_dir = sys.argv
    with clock() as figures:
        written = web_to_lake(f"{work_dir}/run")
    with input_file(written) as path:
        figures["rows"] = pq.ParquetFile(path).metadata.num_rows
    with clock() as teardown:
        remove_folder(f"{work_dir}/run")
    figures["seconds"] += teardown["seconds"]
    report(figures)
