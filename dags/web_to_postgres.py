"""From the web to Postgres: one month of trips as one partition of a table; the zones as one table.

- **Owner** data-platform
- **Schedule** monthly, for the month two months back; past months by backfill
- **Input** the month's file at the connection `taxi_source`
- **Output** the month's partition of `<dataset>_trips`, or `taxi_zones`, in the database of the connection `ny_taxi`;
  asset `postgres_<dataset>`
- **When it fails** read the log of the failed task: it names what is wrong. The partition is replaced by the last step
  alone, in one transaction, so that the table keeps what it had.
- **Rerun** clear the run, or start one with the same `month`. The partition is replaced whole.
"""

from __future__ import annotations

from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator, SQLTableCheckOperator
from airflow.sdk import DAG

from nyc_taxi.checks import postgres_checks
from nyc_taxi.dag_defaults import dag_args, monthly, postgres_asset, run_params, updates
from nyc_taxi.datasets import DATASETS
from nyc_taxi.operators.parquet_to_postgres import ParquetToPostgresOperator
from nyc_taxi.tasks import LOCAL_PARQUET, fetch_parquet

for dataset in DATASETS.values():
    with DAG(
        dag_id=f"{dataset.name}_web_to_postgres",
        description=f"{dataset.title}: from the web to Postgres",
        doc_md=__doc__,
        schedule=monthly(dataset),
        params=run_params(dataset),
        tags=["nyc-taxi", "postgres", dataset.name],
        **dag_args(dataset),
    ):
        to_parquet, remove_files = fetch_parquet()

        create_table = SQLExecuteQueryOperator(
            task_id="create_table",
            conn_id="ny_taxi",
            sql=f"postgres/create/{dataset.kind}_table.sql",
        )

        load_staging = ParquetToPostgresOperator(
            task_id="load_staging",
            src=LOCAL_PARQUET,
            table="staging.{{ staging_table() }}_{{ ti.try_number }}",
            create_sql=f"postgres/load/{dataset.kind}_staging.sql",
        ).as_setup()

        check_staging = SQLTableCheckOperator(
            task_id="check_staging",
            retry_on_failure=False,
            conn_id="ny_taxi",
            table="{{ ti.xcom_pull('load_staging') }}",
            checks=postgres_checks(dataset),
        )

        publish = SQLExecuteQueryOperator(
            task_id="publish",
            conn_id="ny_taxi",
            sql=f"postgres/publish/{dataset.kind}.sql",
            **updates(dataset, postgres_asset(dataset)),
        )

        drop_staging = SQLExecuteQueryOperator(
            task_id="drop_staging",
            conn_id="ny_taxi",
            sql="postgres/clean/staging.sql",
        ).as_teardown(setups=load_staging)

        [to_parquet, create_table] >> load_staging >> [check_staging, remove_files]
        check_staging >> publish >> drop_staging
