"""Load {one month of trips} (zones: the taxi zones) from the lake into BigQuery.

- **Owner** data-platform
- **Schedule** {once for each month announced in} (zones: after each update of) the asset `lake_<dataset>`
- **Input** {the month's} (zones: the zones') Parquet object in the lake
- **Output** {the month's partition of `trips.<dataset>`, and the external table `trips.<dataset>_external` over all of
  the dataset's objects in the lake} (zones: the table `trips.<dataset>`); asset `warehouse_<dataset>`
- **When it is skipped** `skip_unchanged` skips the load if the rows were loaded from the same generation of the
  object that the lake has now. `announce_unchanged` then runs instead and updates the asset, which a run that was
  killed after its publish could not do. `publish` is skipped if another run has meanwhile published a newer object.
  `check_warnings` is skipped if a warning check does not hold; the rows are published all the same.
- **When it fails** read the log of the failed task. Only `publish` changes the table, in one step, so the
  warehouse keeps the previous rows until then. If a check failed, its log has a table of all results; compare the
  lake's object with the source. If the lake lacks the object (`MissingMonthError`), there are no retries: run
  `<dataset>_web_to_gcs` first.
- **Rerun** clear the run. Or start one {with the same `month`} (zones: by hand), with `force` if the source is
  unchanged. {The partition} (zones: The table) is replaced whole.
"""

from __future__ import annotations

from airflow.providers.google.cloud.operators.bigquery import (
    BigQueryCreateTableOperator,
    BigQueryInsertJobOperator,
)
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from nyc_taxi.dag_parts.assets import store_asset, updates
from nyc_taxi.dag_parts.defaults import PUBLISH_RULE, dag_args, each_dataset
from nyc_taxi.dag_parts.docs import dag_doc
from nyc_taxi.dag_parts.links import BigQueryTableLink, LakeObjectLink, link_tasks
from nyc_taxi.dag_parts.notifications import notify_warning
from nyc_taxi.dag_parts.params import load_params
from nyc_taxi.dag_parts.schedules import on_update
from nyc_taxi.registry.checks import Level
from nyc_taxi.registry.model import TripDataset
from nyc_taxi.stores.bigquery.billing import QUERY
from nyc_taxi.stores.bigquery.check_columns import BigQueryColumnAuditOperator
from nyc_taxi.stores.bigquery.check_table import BigQueryTableAuditOperator
from nyc_taxi.stores.bigquery.checks import bigquery_column_checks, bigquery_table_checks
from nyc_taxi.stores.bigquery.publish import PublishOperator
from nyc_taxi.stores.bigquery.schema import bigquery_fields
from nyc_taxi.stores.bigquery.store import BigQueryStore
from nyc_taxi.stores.lake.store import LakeStore
from nyc_taxi.stores.lake_to_bigquery import LakeToBigQueryOperator
from nyc_taxi.stores.skip_unchanged import SkipUnchangedOperator

for dag_id, dataset in each_dataset("gcs_to_bigquery"):
    with DAG(
        dag_id=dag_id,
        dag_display_name=f"2 {dag_id}",
        description=f"{dataset.title}: from the lake to BigQuery",
        doc_md=dag_doc(__doc__, dataset, dag_id),
        schedule=on_update(dataset, store_asset(LakeStore, dataset)),
        is_paused_upon_creation=False,
        params=load_params(dataset),
        tags=["nyc-taxi", "warehouse", dataset.name],
        **dag_args(dataset),
    ) as dag:
        skip_unchanged = SkipUnchangedOperator(
            task_id="skip_unchanged",
            store=BigQueryStore.name,
            loaded_from=BigQueryStore.loaded_from,
            unchanged_task_id="announce_unchanged",
        )
        # Updates the asset for an unchanged month as well: a run that is killed after its publish announces nothing.
        announce_unchanged = EmptyOperator(
            task_id="announce_unchanged", **updates(dataset, store_asset(BigQueryStore, dataset))
        )

        create_table = BigQueryInsertJobOperator(
            task_id="create_table",
            configuration={"query": {"query": f"bigquery/create/{dataset.kind}_table.sql", **QUERY}},
        )

        load_staging = LakeToBigQueryOperator(
            task_id="load_staging",
            bucket="{{ var.value.lake_bucket }}",
            source_objects=["{{ file().lake_object }}"],
            source_format="PARQUET",
            destination_project_dataset_table="trips_staging.{{ staging_table() }}_{{ ti.try_number }}",
            schema_fields=bigquery_fields(dataset),
            autodetect=None,
            write_disposition="WRITE_TRUNCATE",
        ).as_setup()

        staging = {"table": "{{ loaded_object().table }}", "use_legacy_sql": False}
        checks = [
            BigQueryTableAuditOperator(
                task_id="check_table", level=Level.FAIL, checks=bigquery_table_checks(dataset, Level.FAIL), **staging
            )
        ]
        if columns := bigquery_column_checks(dataset):
            checks.append(
                BigQueryColumnAuditOperator(
                    task_id="check_columns", level=Level.FAIL, column_mapping=columns, **staging
                )
            )
        if warnings := bigquery_table_checks(dataset, Level.WARN):
            checks.append(
                BigQueryTableAuditOperator(
                    task_id="check_warnings",
                    level=Level.WARN,
                    checks=warnings,
                    on_skipped_callback=notify_warning,
                    **staging,
                )
            )

        publish = PublishOperator(
            task_id="publish",
            configuration={
                "query": {
                    "query": "bigquery/publish/rows.sql",
                    **QUERY,
                    "destinationTable": {
                        "projectId": "{{ conn.google_cloud_default.extra_dejson.project }}",
                        "datasetId": "trips",
                        "tableId": "{{ file().bigquery_table }}",
                    },
                    "writeDisposition": "WRITE_TRUNCATE",
                    "createDisposition": "CREATE_NEVER",
                }
            },
            mark_query="bigquery/publish/rows_mark.sql",
            trigger_rule=PUBLISH_RULE,
            **updates(dataset, store_asset(BigQueryStore, dataset)),
        )

        drop_staging = BigQueryInsertJobOperator(
            task_id="drop_staging",
            configuration={"query": {"query": "bigquery/clean/staging.sql", **QUERY}},
        ).as_teardown(setups=load_staging)

        create_table >> skip_unchanged >> announce_unchanged
        skip_unchanged >> load_staging >> checks >> publish >> drop_staging

        if isinstance(dataset, TripDataset):
            # Queries the lake's Parquet files in place. An unchanged month restores it too, if somebody deleted it.
            create_external_table = BigQueryCreateTableOperator(
                task_id="create_external_table",
                dataset_id="trips",
                table_id=f"{dataset.name}_external",
                table_resource={
                    "description": f"{dataset.title}: the Parquet files in the lake",
                    "externalDataConfiguration": {
                        "sourceFormat": "PARQUET",
                        "autodetect": True,
                        "sourceUris": ["gs://{{ var.value.lake_bucket }}/{{ dataset.name }}/*.parquet"],
                        "hivePartitioningOptions": {
                            "mode": "CUSTOM",
                            "sourceUriPrefix": "gs://{{ var.value.lake_bucket }}/{{ dataset.name }}"
                            "/{year:INTEGER}/{month:INTEGER}",
                        },
                    },
                },
                if_exists="ignore",
            )

            create_table >> create_external_table

        links = {"load_staging": LakeObjectLink(), "publish": BigQueryTableLink()}
        link_tasks(dag, dataset=dataset, **links)
