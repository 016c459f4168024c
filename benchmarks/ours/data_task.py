"""Do the work of one task for a month: python -m benchmarks.ours.data_task worker TASK DATASET SOURCE [TARGET]

The argument ``worker`` makes ``airflow_local_settings`` import what an Airflow worker has imported, so that the process
starts with the memory of a task's process.
"""

from __future__ import annotations

import runpy
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import airflow_local_settings  # noqa: F401 # see above
import pyarrow.parquet as pq
from airflow.providers.postgres.hooks.postgres import PostgresHook

from benchmarks.clock import clock, report
from benchmarks.conditions import MONTH
from local.cloud.settings import REPOSITORY, Settings
from nyc_taxi.parquet.to_parquet import ToParquetOperator
from nyc_taxi.registry.datasets import get_dataset
from nyc_taxi.stores.lake.upload import UploadOperator
from nyc_taxi.stores.postgres.parquet_to_postgres import ParquetToPostgresOperator
from nyc_taxi.stores.postgres.schema import postgres_type

TABLE = "staging.data_task"
BLOB = "benchmarks/data_task.parquet"


def to_parquet(dataset: str, source: str, target: str) -> int:
    """Run the task ``to_parquet``; returns the number of rows."""
    operator = ToParquetOperator(task_id="to_parquet", src=source, dst=target, dataset=dataset, month=MONTH)
    return operator.execute({})


def load_staging(dataset: str, source: str) -> int:
    """Run the task ``load_staging`` of Postgres and drop its table; returns the number of rows."""
    hook = PostgresHook("ny_taxi")
    columns = ", ".join(f'"{column.name}" {postgres_type(column)}' for column in get_dataset(dataset).columns)
    hook.run(["CREATE SCHEMA IF NOT EXISTS staging", f"DROP TABLE IF EXISTS {TABLE}"])
    create = f"CREATE TABLE {TABLE} ({columns})"
    operator = ParquetToPostgresOperator(
        task_id="load_staging", src=source, table=TABLE, create_sql=create, dataset=dataset
    )
    operator.execute({"dag": SimpleNamespace(dag_id="benchmark"), "run_id": "benchmark"})  # type: ignore[typeddict-item]
    rows = hook.get_first(f"SELECT count(*) FROM {TABLE}")[0]
    hook.run(f"DROP TABLE {TABLE}")
    return int(rows)


def local_to_gcs(dataset: str, source: str) -> int:
    """Run the task ``local_to_gcs`` with its DAG's chunk size; returns the number of rows of the file."""
    chunk_size = runpy.run_path(str(REPOSITORY / "dags" / "web_to_gcs.py"))["UPLOAD_CHUNK_BYTES"]
    UploadOperator(
        task_id="local_to_gcs",
        src=source,
        bucket=Settings.from_env().lake_bucket,
        dst=BLOB,
        chunk_size=chunk_size,
        downloaded_at=datetime.now(UTC).isoformat(),
        dataset=dataset,
    ).execute({})
    return pq.ParquetFile(Path(source)).metadata.num_rows


TASKS: Mapping[str, Callable[..., int]] = {task.__name__: task for task in (to_parquet, load_staging, local_to_gcs)}

if __name__ == "__main__":
    _, _, task, *arguments = sys.argv
    began = time.process_time()
    with clock() as figures:
        figures["rows"] = TASKS[task](*arguments)
    # Without the imports, which a worker's task inherits.
    figures["cpu_seconds"] = time.process_time() - began
    report(figures)
