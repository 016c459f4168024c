"""Load {one month of trips} (zones: the taxi zones) from the web into the lake as one Parquet object in GCS.

- **Owner** data-platform
- **Schedule** monthly, for {the month two months earlier} (zones: the file as it is then); the run waits until that is
  published, and is skipped if it takes too long. Unpausing starts nothing before the first of the next month.
  {Load past months by backfill.} (zones: To load the zones at once, start a run.)
- **Input** {the month's file} (zones: the file of all zones) at the connection `taxi_source`
- **Output** in the bucket of the variable `lake_bucket`, {the object `<dataset>_tripdata_YYYY-MM.parquet` in the folder
  `<dataset>/year=YYYY/month=MM`} (zones: the object `zones/taxi_zone_lookup.parquet`); asset `lake_<dataset>`
- **When it is skipped** `skip_unchanged` skips the load if the object was made from the same version of the source's
  file by the same contract. `announce_unchanged` then runs instead and updates the asset, so that
  `<dataset>_gcs_to_bigquery` starts and loads what the warehouse lacks. `local_to_gcs` is skipped if another
  run has meanwhile uploaded a newer download.
- **When it fails** read the log of the failed task; the message names the cause. There are no retries if the
  file is not published or violates the contract. HTTP 403 is retried, because the TLC also sends it for too many
  requests. The lake keeps the previous object.
- **When it is late** Airflow's `DeadlineAlert` sends a message: if a scheduled run has not ended 35 days
  after it was due.
- **Rerun** clear the run. Or start one {with the same `month`} (zones: by hand), with `force` if the source is
  unchanged. The object is replaced whole.
"""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator

from nyc_taxi.dag_parts.assets import store_asset, updates
from nyc_taxi.dag_parts.deadlines import DeadlineDAG
from nyc_taxi.dag_parts.defaults import each_dataset, source_dag_args
from nyc_taxi.dag_parts.docs import dag_doc
from nyc_taxi.dag_parts.links import LakeObjectLink, link_tasks
from nyc_taxi.dag_parts.params import load_params
from nyc_taxi.dag_parts.schedules import monthly
from nyc_taxi.dag_parts.tasks import PARQUET, fetch_parquet, wait_for_publication
from nyc_taxi.stores.lake.store import LakeStore
from nyc_taxi.stores.lake.upload import UploadOperator
from nyc_taxi.stores.skip_unchanged import SkipUnchangedOperator

# The upload keeps one chunk in memory; the hook's default of 100 MB is too much for a small worker.
UPLOAD_CHUNK_BYTES = 16 * 1024 * 1024

for dag_id, dataset in each_dataset("web_to_gcs"):
    with DeadlineDAG(
        dag_id=dag_id,
        dag_display_name=f"1 {dag_id}",
        description=f"{dataset.title}: from the web to the lake",
        doc_md=dag_doc(__doc__, dataset, dag_id),
        schedule=monthly(dataset),
        params=load_params(dataset),
        tags=["nyc-taxi", "lake", dataset.name],
        **source_dag_args(dataset),
    ) as dag:
        wait = wait_for_publication()
        skip_unchanged = SkipUnchangedOperator(
            task_id="skip_unchanged",
            store=LakeStore.name,
            made_from="{{ source_provenance() }}",
            seen_at="{{ asked_at() }}",
            unchanged_task_id="announce_unchanged",
        )
        # Updates the asset for an unchanged month as well: the warehouse may still lack the month.
        announce_unchanged = EmptyOperator(
            task_id="announce_unchanged", **updates(dataset, store_asset(LakeStore, dataset))
        )
        download, to_parquet, remove_files = fetch_parquet()

        local_to_gcs = UploadOperator(
            task_id="local_to_gcs",
            src=PARQUET,
            bucket="{{ var.value.lake_bucket }}",
            dst="{{ file().lake_object }}",
            mime_type="application/vnd.apache.parquet",
            chunk_size=UPLOAD_CHUNK_BYTES,
            rows="{{ converted_rows() }}",
            **updates(dataset, store_asset(LakeStore, dataset)),
        )

        wait >> skip_unchanged >> announce_unchanged
        skip_unchanged >> download >> to_parquet >> local_to_gcs >> remove_files

        link_tasks(dag, dataset=dataset, local_to_gcs=LakeObjectLink())
