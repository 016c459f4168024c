"""The steps that several DAGs share: from the source to a local Parquet file, and tidying up."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from airflow.sdk import BaseOperator, XComArg, task

from nyc_taxi.common.skip import skip
from nyc_taxi.parquet.provenance import provenance, read_provenance
from nyc_taxi.parquet.to_parquet import ToParquetOperator
from nyc_taxi.registry.datasets import get_dataset
from nyc_taxi.source.http_to_local import HttpToLocalFilesystemOperator
from nyc_taxi.source.publication_sensor import PublicationSensor

LOCAL_PARQUET = "{{ run_dir() }}/{{ file().parquet_name }}"


def wait_for_publication() -> BaseOperator:
    """Declare the wait for the run's file; it returns the file's version at the source."""
    return PublicationSensor(
        task_id="wait_for_publication", endpoint="{{ source_path() }}", wait_seconds="{{ publication_wait() }}"
    )


def fetch_parquet() -> tuple[BaseOperator, BaseOperator, XComArg]:
    """Declare download and conversion to ``LOCAL_PARQUET``, and the removal of their files at the end of the run.

    Both are setups and the removal is their teardown: the files are gone however the run ends, and clearing a task that
    needs them makes them again.

    Returns:
        The first task; the last, to wait for; and the teardown to put behind the last task that reads the file.
    """
    download = HttpToLocalFilesystemOperator(
        task_id="download",
        endpoint="{{ source_path() }}",
        dst="{{ run_dir() }}/{{ source_path().name }}",
    ).as_setup()
    to_parquet = ToParquetOperator(
        task_id="to_parquet",
        src=download.output,
        dst=LOCAL_PARQUET,
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
    """Remove the run's own folder in the work dir."""
    shutil.rmtree(folder, ignore_errors=True)


# What is loaded already carries the provenance of the file that it was made from: in the lake the Parquet itself, in
# Postgres the table's comment. So what is deleted there, or was never finished, is never taken for loaded.


@task(task_id="skip_unchanged")
def skip_unchanged_in_lake(
    version: str,
    dataset: str,
    source_path: str,
    bucket: str,
    lake_object: str,
    params: Mapping[str, Any] | None = None,
    ti: Any = None,
) -> None:
    """Skip the run if the lake's object was made from this version of the source's file, by today's contract.

    Args:
        version: the file's version at the source; empty if it is not known, and then nothing is skipped.
        dataset: name of the dataset in the registry.
        source_path: where the source serves the file.
        bucket: the lake's bucket.
        lake_object: name of the object.
        params: the run's parameters, passed by Airflow; with ``force``, nothing is skipped.
        ti: the task instance, passed by Airflow.

    Raises:
        AirflowSkipException: the object is there and would come out the same; the reason says of what it was made.
    """
    # Here, so that parsing a DAG file imports no provider that its own tasks do not need.
    from airflow.providers.google.cloud.hooks.gcs import GCSHook
    from google.cloud.exceptions import NotFound

    blob = GCSHook().get_conn().bucket(bucket).blob(lake_object)
    try:
        with blob.open("rb") as file:
            loaded = read_provenance(file)
    except NotFound:
        loaded = None
    target = f"gs://{bucket}/{lake_object}"
    _skip_unchanged(loaded, version, dataset, source_path, target, params, ti, downstream=f"{dataset}_gcs_to_bigquery")


@task(task_id="skip_unchanged")
def skip_unchanged_in_postgres(
    version: str,
    dataset: str,
    source_path: str,
    table: str,
    params: Mapping[str, Any] | None = None,
    ti: Any = None,
) -> None:
    """Skip the run if the table was made from this version of the source's file, by today's contract.

    Args:
        version: the file's version at the source; empty if it is not known, and then nothing is skipped.
        dataset: name of the dataset in the registry.
        source_path: where the source serves the file.
        table: name of the table or partition.
        params: the run's parameters, passed by Airflow; with ``force``, nothing is skipped.
        ti: the task instance, passed by Airflow.

    Raises:
        AirflowSkipException: the table is there and would come out the same; the reason says of what it was made.
    """
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    hook = PostgresHook(postgres_conn_id="ny_taxi")
    row = hook.get_first("SELECT obj_description(to_regclass(%s), 'pg_class')", parameters=(f"public.{table}",))
    # The second line of the comment; the first says from which staging table it was published.
    comment = row[0] if row else None
    loaded = comment.partition("\n")[2] if comment else None
    _skip_unchanged(loaded, version, dataset, source_path, table, params, ti)


def _skip_unchanged(
    loaded: str | None,
    version: str,
    dataset: str,
    source_path: str,
    target: str,
    params: Mapping[str, Any] | None,
    ti: Any,
    downstream: str = "",
) -> None:
    current = provenance(get_dataset(dataset), PurePosixPath(source_path).name, version)
    if version and loaded == current and not (params and params["force"]):
        reason = f"{target} is unchanged: it was made from {current}. To load it again, set force."
        if downstream:
            reason += f" To load only what follows from it, trigger {downstream}."
        skip(ti, reason)
