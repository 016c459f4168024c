"""From the lake to the warehouse: one month of trips as one partition in BigQuery; the zones as one table.

- **Owner** data-platform
- **Schedule** once for each month that arrives in the asset `lake_<dataset>`; the zones, when they arrive
- **Input** the month's Parquet object in the lake
- **Output** the external table `trips.<dataset>_external` over the whole lake folder; the month's partition of
  `trips.<dataset>`, asset `warehouse_<dataset>`
- **When it fails** read the log of the failed task. The partition is replaced by the last step alone, so that the
  warehouse keeps what it had. The log of each check has a table of the results; compare the lake's object with the
  source. `check_warnings` never fails: it is skipped where a check does not hold that stops nothing.
- **Rerun** clear the run, or start one with the same `month`. The partition is replaced whole.
"""

from __future__ import annotations

from airflow.providers.google.cloud.operators.bigquery import (
    BigQueryCreateTableOperator,
    BigQueryDeleteTableOperator,
    BigQueryInsertJobOperator,
)
from airflow.sdk import DAG

from nyc_taxi.dag_parts.assets import store_asset, updates
from nyc_taxi.dag_parts.defaults import PUBLISH_RULE, dag_args, each_dataset
from nyc_taxi.dag_parts.params import load_params
from nyc_taxi.dag_parts.schedules import on_update
from nyc_taxi.registry.checks import Level
from nyc_taxi.registry.model import TripDataset
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
        description=f"{dataset.title}: from the lake to the warehouse",
        doc_md=__doc__,
        schedule=on_update(dataset, store_asset(LakeStore, dataset)),
        is_paused_upon_creation=False,
        params=load_params(dataset),
        tags=["nyc-taxi", "warehouse", dataset.name],
        **dag_args(dataset),
    ):
        skip_unchanged = SkipUnchangedOperator(
            task_id="skip_unchanged", store=BigQueryStore.name, loaded_from=LakeStore.name
        )

        create_table = BigQueryInsertJobOperator(
            task_id="create_table",
            configuration={"query": {"query": f"bigquery/create/{dataset.kind}_table.sql", "useLegacySql": False}},
        )

        load_staging = LakeToBigQueryOperator(
            task_id="load_staging",
            bucket="{{ var.value.lake_bucket }}",
            source_objects=["{{ file().lake_object }}"],
            source_format="PARQUET",
            destination_project_dataset_table="trips_staging.{{ staging_table() }}",
            schema_fields=bigquery_fields(dataset),
            autodetect=None,
            write_disposition="WRITE_TRUNCATE",
        ).as_setup()

        staging = {"table": "trips_staging.{{ staging_table() }}", "use_legacy_sql": False}
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
                BigQueryTableAuditOperator(task_id="check_warnings", level=Level.WARN, checks=warnings, **staging)
            )

        publish = PublishOperator(
            task_id="publish",
            configuration={
                "query": {
                    "query": "bigquery/publish/rows.sql",
                    "useLegacySql": False,
                    "destinationTable": {
                        "projectId": "{{ conn.google_cloud_default.extra_dejson.project }}",
                        "datasetId": "trips",
                        "tableId": "{{ file().bigquery_table }}",
                    },
                    "writeDisposition": "WRITE_TRUNCATE",
                    "createDisposition": "CREATE_NEVER",
                }
            },
            trigger_rule=PUBLISH_RULE,
            **updates(dataset, store_asset(BigQueryStore, dataset)),
        )

        drop_staging = BigQueryDeleteTableOperator(
            task_id="drop_staging",
            deletion_dataset_table="trips_staging.{{ staging_table() }}",
            ignore_if_missing=True,
        ).as_teardown(setups=load_staging)

        skip_unchanged >> create_table >> load_staging >> checks >> publish >> drop_staging

        if isinstance(dataset, TripDataset):
            # SQL over the lake itself, beside the table that is loaded from it.
            create_external_table = BigQueryCreateTableOperator(
                task_id="create_external_table",
                dataset_id="trips",
                table_id=f"{dataset.name}_external",
                table_resource={
                    "description": f"{dataset.title}: the lake's Parquet, as it is",
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
