"""From the web to the lake: one month of trips, or the zones, as one Parquet object in GCS.

- **Owner** data-platform
- **Schedule** monthly, for the month two months back, for whose publication the run waits; past months by backfill
- **Input** the month's file at the connection `taxi_source`
- **Output** `gs://<lake_bucket>/<dataset>/year=YYYY/month=MM/<dataset>_tripdata_YYYY-MM.parquet`, asset
  `lake_<dataset>`
- **When it fails** read the log of the failed task: it names what is wrong. A month that is not published, or a file
  that does not follow the contract, fails without retries (but not where the source answers 403, as the TLC does also
  to too many requests); the lake keeps what it had.
- **Rerun** start it with the same `month`, or clear the run. A month whose file at the source and contract are
  unchanged is skipped; with `force` its object is replaced whole.
"""

from __future__ import annotations

from airflow.providers.google.cloud.transfers.local_to_gcs import LocalFilesystemToGCSOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from nyc_taxi.dag_parts.assets import store_asset, updates
from nyc_taxi.dag_parts.defaults import each_dataset, source_dag_args
from nyc_taxi.dag_parts.params import load_params
from nyc_taxi.dag_parts.schedules import monthly
from nyc_taxi.dag_parts.tasks import LOCAL_PARQUET, fetch_parquet, wait_for_publication
from nyc_taxi.stores.lake.store import LakeStore
from nyc_taxi.stores.skip_unchanged import SkipUnchangedOperator

# A task holds a chunk of the upload in memory; the stock 100 MB are too much for a small worker.
UPLOAD_CHUNK_BYTES = 16 * 1024 * 1024

for dag_id, dataset in each_dataset("web_to_gcs"):
    with DAG(
        dag_id=dag_id,
        description=f"{dataset.title}: from the web to the lake",
        doc_md=__doc__,
        schedule=monthly(dataset),
        params=load_params(dataset),
        tags=["nyc-taxi", "lake", dataset.name],
        **source_dag_args(dataset),
    ):
        wait = wait_for_publication()
        skip_unchanged = SkipUnchangedOperator(
            task_id="skip_unchanged",
            store=LakeStore.name,
            made_from="{{ source_provenance() }}",
            unchanged_task_id="announce_unchanged",
        )
        # An unchanged month starts what follows, too: the warehouse may lack it all the same.
        announce_unchanged = EmptyOperator(
            task_id="announce_unchanged", **updates(dataset, store_asset(LakeStore, dataset))
        )
        download, to_parquet, remove_files = fetch_parquet()

        local_to_gcs = LocalFilesystemToGCSOperator(
            task_id="local_to_gcs",
            src=LOCAL_PARQUET,
            bucket="{{ var.value.lake_bucket }}",
            dst="{{ file().lake_object }}",
            mime_type="application/vnd.apache.parquet",
            chunk_size=UPLOAD_CHUNK_BYTES,
            **updates(dataset, store_asset(LakeStore, dataset)),
        )

        wait >> skip_unchanged >> announce_unchanged
        skip_unchanged >> download >> to_parquet >> local_to_gcs >> remove_files
