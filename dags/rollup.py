"""Count the trips of a year per dataset, month and zone, for each dataset that is complete in the warehouse.

- **Owner** data-platform
- **Schedule** for a year, whenever one of its months arrives in an asset of the warehouse, such as `warehouse_green`
- **Input** the year's partitions of `trips.yellow`, `trips.green`, `trips.fhv` and `trips.fhvhv`; the connection
  `taxi_source`, whose extra says which months the source has
- **Output** the year's partition of `trips.yearly_rollup`, asset `warehouse_yearly_rollup`. A dataset is complete when
  the warehouse has every month that its source must have published by now. Datasets that are not complete keep the
  rows they already have in the partition.
- **When it is skipped** no dataset is complete; `check_months` says which months are missing.
- **When it fails** read the log of the failed task. Only `publish` changes the partition, in one step, so the partition
  keeps the previous rows until then.
- **Rerun** clear the run, or start one with the same `year`. The partition is replaced whole. Runs of one year that
  overlap publish one after the other, and each counts the months as they are when its turn comes.
"""

from __future__ import annotations

from airflow.providers.google.cloud.operators.bigquery import BigQueryInsertJobOperator
from airflow.sdk import DAG

from nyc_taxi.dag_parts.assets import store_asset, updates_year, yearly_rollup_asset
from nyc_taxi.dag_parts.defaults import yearly_dag_args
from nyc_taxi.dag_parts.docs import dag_doc
from nyc_taxi.dag_parts.links import BigQueryTableLink, link_tasks
from nyc_taxi.dag_parts.params import year_params
from nyc_taxi.dag_parts.schedules import on_update_of_a_month
from nyc_taxi.registry.datasets import TRIP_DATASETS
from nyc_taxi.rollup.whole_years import WholeYearsOperator
from nyc_taxi.stores.bigquery.billing import QUERY
from nyc_taxi.stores.bigquery.publish import PublishOperator
from nyc_taxi.stores.bigquery.store import BigQueryStore

with DAG(
    dag_id="trips_yearly_rollup",
    dag_display_name="4 trips_yearly_rollup",
    description="All trips: a year's trips per dataset, month and zone",
    doc_md=dag_doc(__doc__),
    schedule=on_update_of_a_month(*(store_asset(BigQueryStore, dataset) for dataset in TRIP_DATASETS)),
    is_paused_upon_creation=False,
    params=year_params(),
    tags=["nyc-taxi", "warehouse", "rollup"],
    **yearly_dag_args(),
) as dag:
    create_table = BigQueryInsertJobOperator(
        task_id="create_table",
        configuration={"query": {"query": "bigquery/create/rollup.sql", **QUERY}},
    )

    check_months = WholeYearsOperator(
        task_id="check_months",
        store=BigQueryStore.name,
        year="{{ year() }}",
        layout="{{ layout() }}",
        last_month="{{ last_month() }}",
    )

    publish = PublishOperator(
        task_id="publish",
        configuration={
            "query": {
                "query": "bigquery/publish/rollup.sql",
                **QUERY,
                "destinationTable": {
                    "projectId": "{{ conn.google_cloud_default.extra_dejson.project }}",
                    "datasetId": "trips",
                    "tableId": "yearly_rollup${{ year() }}",
                },
                "writeDisposition": "WRITE_TRUNCATE",
                "createDisposition": "CREATE_NEVER",
            }
        },
        mark_query="bigquery/publish/rollup_mark.sql",
        **updates_year(yearly_rollup_asset()),
    )

    # First, because most months complete no year: those runs end here and create nothing.
    check_months >> create_table >> publish

    link_tasks(dag, dataset=None, publish=BigQueryTableLink())
