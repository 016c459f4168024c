"""The taxi zones: one small lookup file to the lake, to BigQuery and to Postgres.

- **Owner** data-platform
- **Schedule** `zones_web_to_gcs` and `zones_web_to_postgres` monthly; `zones_gcs_to_bigquery` when the asset
  `lake_zones` is updated
- **Input** `misc/taxi_zone_lookup.csv` at the connection `taxi_source`
- **Output** `gs://<lake_bucket>/zones/taxi_zone_lookup.parquet`, BigQuery `trips.zones`, Postgres `taxi_zones`; assets
  `lake_zones`, `warehouse_zones`, `postgres_zones`
- **When it fails** read the log of the failed task. Each store keeps the zones it had.
- **Rerun** clear the run, or start another. The zones are replaced whole.
"""

from __future__ import annotations

from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator, SQLTableCheckOperator
from airflow.providers.google.cloud.operators.bigquery import (
    BigQueryDeleteTableOperator,
    BigQueryInsertJobOperator,
    BigQueryTableCheckOperator,
)
from airflow.providers.google.cloud.transfers.gcs_to_bigquery import GCSToBigQueryOperator
from airflow.providers.google.cloud.transfers.local_to_gcs import LocalFilesystemToGCSOperator
from airflow.sdk import DAG, CronTriggerTimetable

from nyc_taxi.dag_defaults import dag_args, lake_asset, postgres_asset, warehouse_asset
from nyc_taxi.datasets import ZONES
from nyc_taxi.operators.parquet_to_postgres import ParquetToPostgresOperator
from nyc_taxi.schema import bigquery_fields
from nyc_taxi.tasks import LOCAL_PARQUET, fetch_parquet

with DAG(
    dag_id="zones_web_to_gcs",
    description="Taxi zones: from the web to the lake",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 0 1 * *", timezone="UTC"),
    tags=["nyc-taxi", "lake", "zones"],
    **dag_args(ZONES),
):
    to_parquet, remove_files = fetch_parquet()

    local_to_gcs = LocalFilesystemToGCSOperator(
        task_id="local_to_gcs",
        src=LOCAL_PARQUET,
        bucket="{{ var.value.lake_bucket }}",
        dst="{{ file().lake_object }}",
        mime_type="application/vnd.apache.parquet",
        outlets=[lake_asset(ZONES)],
    )

    to_parquet >> local_to_gcs >> remove_files

with DAG(
    dag_id="zones_gcs_to_bigquery",
    description="Taxi zones: from the lake to the warehouse",
    doc_md=__doc__,
    schedule=[lake_asset(ZONES)],
    is_paused_upon_creation=False,
    tags=["nyc-taxi", "warehouse", "zones"],
    **dag_args(ZONES),
):
    create_datasets = BigQueryInsertJobOperator(
        task_id="create_datasets",
        configuration={"query": {"query": "bigquery/create/datasets.sql", "useLegacySql": False}},
    )

    load_staging = GCSToBigQueryOperator(
        task_id="load_staging",
        bucket="{{ var.value.lake_bucket }}",
        source_objects=["{{ file().lake_object }}"],
        source_format="PARQUET",
        destination_project_dataset_table="trips_staging.{{ staging_table() }}",
        schema_fields=bigquery_fields(ZONES),
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
            "has_one_row_a_zone": {"check_statement": "COUNT(*) = COUNT(DISTINCT LocationID)"},
        },
    )

    publish_table = BigQueryInsertJobOperator(
        task_id="publish_table",
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
                "createDisposition": "CREATE_IF_NEEDED",
            }
        },
        outlets=[warehouse_asset(ZONES)],
    )

    drop_staging = BigQueryDeleteTableOperator(
        task_id="drop_staging",
        deletion_dataset_table="trips_staging.{{ staging_table() }}",
        ignore_if_missing=True,
    ).as_teardown(setups=load_staging)

    create_datasets >> load_staging >> check_staging >> publish_table >> drop_staging

with DAG(
    dag_id="zones_web_to_postgres",
    description="Taxi zones: from the web to Postgres",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 0 1 * *", timezone="UTC"),
    tags=["nyc-taxi", "postgres", "zones"],
    **dag_args(ZONES),
):
    to_parquet, remove_files = fetch_parquet()

    create_table = SQLExecuteQueryOperator(
        task_id="create_table",
        conn_id="ny_taxi",
        sql="postgres/create/lookup_table.sql",
    )

    load_staging = ParquetToPostgresOperator(
        task_id="load_staging",
        src=LOCAL_PARQUET,
        table="staging.{{ staging_table() }}_{{ ti.try_number }}",
        create_sql="postgres/load/lookup_staging.sql",
    ).as_setup()

    check_staging = SQLTableCheckOperator(
        task_id="check_staging",
        retry_on_failure=False,
        conn_id="ny_taxi",
        table="{{ ti.xcom_pull('load_staging') }}",
        checks={
            "has_rows": {"check_statement": "COUNT(*) > 0"},
            "has_one_row_a_zone": {"check_statement": 'COUNT(*) = COUNT(DISTINCT "LocationID")'},
        },
    )

    publish_table = SQLExecuteQueryOperator(
        task_id="publish_table",
        conn_id="ny_taxi",
        sql="postgres/publish/lookup_table.sql",
        outlets=[postgres_asset(ZONES)],
    )

    drop_staging = SQLExecuteQueryOperator(
        task_id="drop_staging",
        conn_id="ny_taxi",
        sql="postgres/clean/staging.sql",
    ).as_teardown(setups=load_staging)

    [to_parquet, create_table] >> load_staging >> [check_staging, remove_files]
    check_staging >> publish_table >> drop_staging
