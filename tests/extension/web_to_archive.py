"""From the web to the archive: one month of trips as one Parquet file in a second folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from airflow.sdk import DAG, task

from nyc_taxi.dag_parts.assets import store_asset, updates
from nyc_taxi.dag_parts.defaults import each_dataset, source_dag_args
from nyc_taxi.dag_parts.params import load_params
from nyc_taxi.dag_parts.schedules import monthly
from nyc_taxi.dag_parts.tasks import LOCAL_PARQUET, fetch_parquet, wait_for_publication
from nyc_taxi.stores.skip_unchanged import SkipUnchangedOperator
from tests.extension.archive_store import ArchiveStore


@task
def copy_to_archive(source: str, name: str) -> None:
    """Copy the month's Parquet into the archive."""
    shutil.copyfile(source, Path(ArchiveStore.folder()) / name)


for dag_id, dataset in each_dataset("web_to_archive"):
    with DAG(
        dag_id=dag_id,
        doc_md=__doc__,
        schedule=monthly(dataset),
        params=load_params(dataset),
        tags=["nyc-taxi", "archive", dataset.name],
        **source_dag_args(dataset),
    ):
        wait = wait_for_publication()
        skip_unchanged = SkipUnchangedOperator(
            task_id="skip_unchanged", store=ArchiveStore.name, made_from="{{ source_provenance() }}"
        )
        download, to_parquet, remove_files = fetch_parquet()
        copied = copy_to_archive.override(**updates(dataset, store_asset(ArchiveStore, dataset)))(
            LOCAL_PARQUET, "{{ file().parquet_name }}"
        )
        wait >> skip_unchanged >> download
        to_parquet >> copied >> remove_files
