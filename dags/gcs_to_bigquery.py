"""From the lake to the warehouse: one month of trips as one partition in BigQuery.

- **Owner** data-platform
- **Schedule** once for each month that arrives in the asset `lake_<dataset>`
- **Input** the month's Parquet object in the lake
- **Output** the external table `trips.<dataset>_external` over the whole lake folder; the month's partition of
  `trips.<dataset>`, asset `warehouse_<dataset>`
- **When it fails** read the log of the failed task. The partition is replaced by the last step alone, so that the
  warehouse keeps what it had. A check that fails names itself; compare the lake's object with the source.
- **Rerun** clear the run, or start one with the same `month`. The partition is replaced whole.
"""

from __future__ import annotations

from airflow.providers.google.cloud.operators.bigquery import (
    BigQueryCreateTableOperator,
    BigQueryDeleteTableOperator,
    BigQueryInsertJobOperator,
    BigQueryTableCheckOperator,
)
from airflow.providers.google.cloud.transfers.gcs_to_bigquery import GCSToBigQueryOperator
from airflow.sdk import DAG

from nyc_taxi.dag_defaults import (
    announce_month,
    dag_args,
    lake_asset,
    month_params,
    on_each_partition,
    warehouse_asset,
)
from nyc_taxi.datasets import TRIP_DATASETS
from nyc_taxi.schema import bigquery_fields

for dataset in TRIP_DATASETS:
    with DAG(
        dag_id=f"{dataset.name}_gcs_to_bigquery",
        description=f"{dataset.title}: one month from the lake to the warehouse",
        doc_md=__doc__,
        schedule=on_each_partition(lake_asset(dataset)),
        is_paused_upon_creation=False,
        params=month_params(),
        tags=["nyc-taxi", "warehouse", dataset.name],
        **dag_args(dataset),
    ):
        create_table = BigQueryInsertJobOperator(
            task_id="create_table",
            configuration={"query": {"query": "bigquery/create/trip_table.sql", "useLegacySql": False}},
        )

        create_external_table = BigQueryCreateTableOperator(
            task_id="create_external_table",
            dataset_id="trips",
            table_id=f"{dataset.name}_external",
            table_resource={
                "description": f"{dataset.title}: the lake's Parquet, as it is",
                "externalDataConfiguration": {
                    "sourceFormat": "PARQUET",
                    "autodetect": True,
                    "sourceUris": [f"gs://{{{{ var.value.lake_bucket }}}}/{dataset.name}/*.parquet"],
                    "hivePartitioningOptions": {
                        "mode": "CUSTOM",
                        "sourceUriPrefix": f"gs://{{{{ var.value.lake_bucket }}}}/{dataset.name}"
                        "/{year:INTEGER}/{month:INTEGER}",
                    },
                },
            },
            if_exists="ignore",
        )

        load_staging = GCSToBigQueryOperator(
            task_id="load_staging",
            bucket="{{ var.value.lake_bucket }}",
            source_objects=["{{ file().lake_object }}"],
            source_format="PARQUET",
            destination_project_dataset_table="trips_staging.{{ staging_table() }}",
            schema_fields=bigquery_fields(dataset),
            autodetect=None,
            write_disposition="WRITE_TRUNCATE",
        ).as_setup()

        check_staging = BigQueryTableCheckOperator(
            task_id="check_staging",
            retry_on_failure=False,
            table="trips_staging.{{ staging_table() }}",
            use_legacy_sql=False,
            checks={
                "has_rows": {"check_statement": "COUNT(*) > 0"},
                "has_every_row_of_the_lake": {
                    "check_statement": f"COUNT(*) = (SELECT COUNT(*) FROM trips.{dataset.name}_external"
                    " WHERE year = {{ file().month.year }} AND month = {{ file().month.month }})"
                },
                "is_of_one_month": {
                    "check_statement": "COUNTIF(source_month = DATE '{{ file().month.first_day }}') = COUNT(*)"
                },
            },
        )

        publish_partition = BigQueryInsertJobOperator(
            task_id="publish_partition",
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
            outlets=[warehouse_asset(dataset)],
            post_execute=announce_month(warehouse_asset(dataset)),
        )

        drop_staging = BigQueryDeleteTableOperator(
            task_id="drop_staging",
            deletion_dataset_table="trips_staging.{{ staging_table() }}",
            ignore_if_missing=True,
        ).as_teardown(setups=load_staging)

        create_table >> [create_external_table, load_staging] >> check_staging >> publish_partition >> drop_staging
