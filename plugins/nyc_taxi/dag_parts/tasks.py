"""Tasks that several DAGs share: waiting, downloading, converting to Parquet, and cleaning up."""

from __future__ import annotations

from airflow.sdk import BaseOperator, XComArg, task

from nyc_taxi.common.work_files import remove_folder
from nyc_taxi.dag_parts.work_dir import remove_ended_runs
from nyc_taxi.parquet.to_parquet import ToParquetOperator
from nyc_taxi.source.http_to_local import HttpToLocalFilesystemOperator
from nyc_taxi.source.publication_sensor import PublicationSensor

PARQUET = "{{ parquet_path() }}"


def wait_for_publication() -> BaseOperator:
    """Declare the task that waits for the run's file and returns the file's version at the source."""
    return PublicationSensor(
        task_id="wait_for_publication", endpoint="{{ source_path() }}", wait_seconds="{{ publication_wait() }}"
    )


def fetch_parquet() -> tuple[BaseOperator, BaseOperator, XComArg]:
    """Declare the tasks that download the file, convert it to ``PARQUET``, and remove both files.

    The first two are setups and the removal is their teardown. So the files are removed however the run ends, and
    clearing a task that reads them also reruns the tasks that create them. The download first removes the files of runs
    that have ended without that: timed out, or killed in the last try of the download.

    Returns:
        The download task, the conversion task, and the teardown, which belongs after the last task that reads the file.
    """
    download = HttpToLocalFilesystemOperator(
        task_id="download",
        endpoint="{{ source_path() }}",
        dst="{{ try_dir() }}/{{ source_path().name }}",
        announced="{{ ti.xcom_pull('wait_for_publication', key='announced') or '' }}",
        pre_execute=remove_ended_runs,
    ).as_setup()
    to_parquet = ToParquetOperator(
        task_id="to_parquet",
        src=download.output,
        dst=PARQUET,
        dataset="{{ dataset.name }}",
        month="{{ file().month or '' }}",
        source_version="{{ ti.xcom_pull('download', key='version') }}",
        unknown_columns="{{ var.value.get('unknown_columns', 'fail') }}",
    ).as_setup()
    removed = remove_files("{{ run_dir() }}")
    removed.as_teardown(setups=[download, to_parquet])
    return download, to_parquet, removed


@task
def remove_files(folder: str) -> None:
    """Remove the run's own folder in the work dir.

    Raises:
        OSError: something is left of it; the error names the file or object.
    """
    remove_folder(folder)
