"""Load one month of trips, or the taxi zones, from the web into a table of an SQLite file.

- **Owner** data-platform
- **Schedule** monthly, for the month two months earlier
- **Input** the month's file at the connection `taxi_source`
- **Output** the month's rows in the file that the variable `sqlite_file` names; asset `sqlite_<dataset>`
- **When it is skipped** `skip_unchanged` skips the run if the rows were made from the same version of the file.
- **When it fails** read the log of the failed task.
- **When it is late** Airflow's `DeadlineAlert` sends a message: if a scheduled run has not ended 35 days
  after it was due.
- **Rerun** clear the run, or start one with the same `month`; the month is replaced whole.
"""

from __future__ import annotations

from nyc_taxi.dag_parts.assets import store_asset, updates
from nyc_taxi.dag_parts.deadlines import DeadlineDAG
from nyc_taxi.dag_parts.defaults import each_dataset, source_dag_args
from nyc_taxi.dag_parts.docs import dag_doc
from nyc_taxi.dag_parts.links import link_tasks
from nyc_taxi.dag_parts.params import load_params
from nyc_taxi.dag_parts.schedules import monthly
from nyc_taxi.dag_parts.tasks import PARQUET, fetch_parquet, wait_for_publication
from nyc_taxi.stores.skip_unchanged import SkipUnchangedOperator
from nyc_taxi.stores.sqlite.parquet_to_sqlite import ParquetToSqliteOperator
from nyc_taxi.stores.sqlite.store import SqliteStore

for dag_id, dataset in each_dataset("web_to_sqlite"):
    with DeadlineDAG(
        dag_id=dag_id,
        dag_display_name=f"5 {dag_id}",
        description=f"{dataset.title}: from the web to SQLite",
        doc_md=dag_doc(__doc__, dataset, dag_id),
        schedule=monthly(dataset),
        params=load_params(dataset),
        tags=["nyc-taxi", "sqlite", dataset.name],
        **source_dag_args(dataset),
    ) as dag:
        wait = wait_for_publication()
        skip_unchanged = SkipUnchangedOperator(
            task_id="skip_unchanged", store=SqliteStore.name, made_from="{{ source_provenance() }}"
        )
        download, to_parquet, remove_files = fetch_parquet()
        publish = ParquetToSqliteOperator(
            task_id="publish",
            src=PARQUET,
            table="{{ dataset.table }}",
            create_sql="sqlite/create.sql",
            delete_sql="sqlite/delete.sql",
            **updates(dataset, store_asset(SqliteStore, dataset)),
        )
        wait >> skip_unchanged >> download
        to_parquet >> publish >> remove_files

        link_tasks(dag, dataset=dataset)
