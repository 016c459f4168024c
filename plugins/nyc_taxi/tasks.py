"""The steps that several DAGs share: from the source to a local Parquet file, and tidying up."""

from __future__ import annotations

import shutil

from airflow.sdk import BaseOperator, XComArg, task

from nyc_taxi.operators.csv_to_parquet import CsvToParquetOperator
from nyc_taxi.operators.http_to_local import HttpToLocalFilesystemOperator

LOCAL_PARQUET = "{{ run_dir() }}/{{ file().parquet_name }}"


@task
def remove_files(folder: str) -> None:
    """Remove the run's own folder in the work dir."""
    shutil.rmtree(folder, ignore_errors=True)


def fetch_parquet() -> tuple[BaseOperator, XComArg]:
    """Declare download and conversion to ``LOCAL_PARQUET``, and the removal of their files at the end of the run.

    Both are setups and the removal is their teardown: the files are gone however the run ends, and clearing a task that
    needs them makes them again.

    Returns:
        The task to wait for, and the teardown to put behind the last task that reads the file.
    """
    download = HttpToLocalFilesystemOperator(
        task_id="download",
        endpoint="{{ file().source_path }}",
        dst="{{ run_dir() }}/{{ file().source_name }}",
    ).as_setup()
    to_parquet = CsvToParquetOperator(
        task_id="to_parquet",
        src=download.output,
        dst=LOCAL_PARQUET,
        dataset="{{ dataset.name }}",
        month="{{ file().month or '' }}",
    ).as_setup()
    removed = remove_files("{{ run_dir() }}")
    removed.as_teardown(setups=[download, to_parquet])
    return to_parquet, removed
