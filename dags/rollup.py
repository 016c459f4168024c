"""From months to years: trips per month, zone and dataset, for each dataset of which the warehouse has the whole year.

- **Owner** data-platform
- **Schedule** for its year, whenever a month of any dataset arrives in its asset `warehouse_<dataset>`
- **Input** the year's partitions of `trips.yellow`, `trips.green`, `trips.fhv` and `trips.fhvhv`; the connection
  `taxi_source`, which says how far its source goes
- **Output** the year's partition of `trips.yearly_rollup`, asset `warehouse_yearly_rollup`. A dataset counts when no
  month is missing that its source has published by now; what the partition has of the others stays.
- **When it fails** read the log of the failed task. The partition is replaced by the last step alone, so that it keeps
  what it had. A run that is skipped is no failure: `check_months` says which months are missing.
- **Rerun** clear the run, or start one with the `year`. The partition is replaced whole.
"""

from __future__ import annotations

from airflow.providers.google.cloud.operators.bigquery import BigQueryInsertJobOperator
from airflow.sdk import DAG

from nyc_taxi.dag_parts.assets import store_asset, updates_year, yearly_rollup_asset
from nyc_taxi.dag_parts.defaults import yearly_dag_args
from nyc_taxi.dag_parts.params import year_params
from nyc_taxi.dag_parts.schedules import on_update_of_a_month
from nyc_taxi.registry.datasets import TRIP_DATASETS
from nyc_taxi.rollup.whole_years import WholeYearsOperator
from nyc_taxi.stores.bigquery.store import BigQueryStore

with DAG(
    dag_id="trips_yearly_rollup",
    description="All trips: from the months to the year, per zone",
    doc_md=__doc__,
    schedule=on_update_of_a_month(*(store_asset(BigQueryStore, dataset) for dataset in TRIP_DATASETS)),
    is_paused_upon_creation=False,
    params=year_params(),
    tags=["nyc-taxi", "warehouse", "rollup"],
    **yearly_dag_args(),
):
    create_table = BigQueryInsertJobOperator(
        task_id="create_table",
        configuration={"query": {"query": "bigquery/create/rollup.sql", "useLegacySql": False}},
    )

    check_months = WholeYearsOperator(
        task_id="check_months",
        store=BigQueryStore.name,
        year="{{ year() }}",
        layout="{{ layout() }}",
        last_month="{{ last_month() }}",
    )

    publish = BigQueryInsertJobOperator(
        task_id="publish",
        configuration={
            "query": {
                "query": "bigquery/publish/rollup.sql",
                "useLegacySql": False,
                "destinationTable": {
                    "projectId": "{{ conn.google_cloud_default.extra_dejson.project }}",
                    "datasetId": "trips",
                    "tableId": "yearly_rollup${{ year() }}",
                },
                "writeDisposition": "WRITE_TRUNCATE",
                "createDisposition": "CREATE_NEVER",
            }
        },
        **updates_year(yearly_rollup_asset()),
    )

    # Most months complete no year: those runs end with the first task.
    check_months >> create_table >> publish
