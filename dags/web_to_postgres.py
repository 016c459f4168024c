"""Load {one month of trips} (zones: the taxi zones) from the web into Postgres.

- **Owner** data-platform
- **Schedule** monthly, for {the month two months earlier} (zones: the file as it is then); the run waits until that is
  published, and is skipped if it takes too long. Unpausing starts nothing before the first of the next month.
  {Load past months by backfill.} (zones: To load the zones at once, start a run.)
- **Input** {the month's file} (zones: the file of all zones) at the connection `taxi_source`
- **Output** in the database of the connection `ny_taxi`, {the month's partition of `<dataset>_trips`}
  (zones: the table `taxi_zones`); asset `postgres_<dataset>`
- **When it is skipped** `skip_unchanged` skips the run if the rows were made from the same version of the source's
  file by the same contract. `publish` is skipped if another run has meanwhile published a newer download.
  `check_warnings` is skipped if a warning check does not hold; the rows are published all the same.
- **When it fails** read the log of the failed task; the message names the cause. There are no retries if the
  file is not published or violates the contract. HTTP 403 is retried, because the TLC also sends it for too many
  requests. Only `publish` changes the table, in one transaction, so it keeps the previous rows until then.
  `LockedError` names the session that holds a lock on the table.
- **When it is late** Airflow's `DeadlineAlert` sends a message: if a scheduled run has not ended 35 days
  after it was due.
- **Rerun** clear the run. Or start one {with the same `month`} (zones: by hand), with `force` if the source is
  unchanged. {The partition} (zones: The table) is replaced whole.
"""

from __future__ import annotations

from nyc_taxi.dag_parts.assets import store_asset, updates
from nyc_taxi.dag_parts.deadlines import DeadlineDAG
from nyc_taxi.dag_parts.defaults import PUBLISH_RULE, each_dataset, source_dag_args
from nyc_taxi.dag_parts.docs import dag_doc
from nyc_taxi.dag_parts.links import link_tasks
from nyc_taxi.dag_parts.notifications import notify_warning
from nyc_taxi.dag_parts.params import load_params
from nyc_taxi.dag_parts.schedules import monthly
from nyc_taxi.dag_parts.tasks import PARQUET, fetch_parquet, wait_for_publication
from nyc_taxi.registry.checks import Level
from nyc_taxi.stores.postgres.check_table import SQLTableAuditOperator
from nyc_taxi.stores.postgres.checks import postgres_checks
from nyc_taxi.stores.postgres.parquet_to_postgres import ParquetToPostgresOperator
from nyc_taxi.stores.postgres.publish import PublishOperator
from nyc_taxi.stores.postgres.statement import LockingStatementOperator
from nyc_taxi.stores.postgres.store import PostgresStore
from nyc_taxi.stores.skip_unchanged import SkipUnchangedOperator

for dag_id, dataset in each_dataset("web_to_postgres"):
    with DeadlineDAG(
        dag_id=dag_id,
        dag_display_name=f"3 {dag_id}",
        description=f"{dataset.title}: from the web to Postgres",
        doc_md=dag_doc(__doc__, dataset, dag_id),
        schedule=monthly(dataset),
        params=load_params(dataset),
        tags=["nyc-taxi", "postgres", dataset.name],
        **source_dag_args(dataset),
    ) as dag:
        wait = wait_for_publication()
        skip_unchanged = SkipUnchangedOperator(
            task_id="skip_unchanged",
            store=PostgresStore.name,
            made_from="{{ source_provenance() }}",
            seen_at="{{ asked_at() }}",
        )
        download, to_parquet, remove_files = fetch_parquet()

        create_table = LockingStatementOperator(
            task_id="create_table",
            conn_id="ny_taxi",
            sql=f"postgres/create/{dataset.kind}_table.sql",
        )

        load_staging = ParquetToPostgresOperator(
            task_id="load_staging",
            src=PARQUET,
            table="{{ new_staging() }}",
            create_sql=f"postgres/load/{dataset.kind}_staging.sql",
        ).as_setup()

        staging = {"conn_id": "ny_taxi", "table": "{{ loaded_staging() }}"}
        checks = [
            SQLTableAuditOperator(
                task_id="check_table", level=Level.FAIL, checks=postgres_checks(dataset, Level.FAIL), **staging
            )
        ]
        if warnings := postgres_checks(dataset, Level.WARN):
            checks.append(
                SQLTableAuditOperator(
                    task_id="check_warnings",
                    level=Level.WARN,
                    checks=warnings,
                    on_skipped_callback=notify_warning,
                    **staging,
                )
            )

        publish = PublishOperator(
            task_id="publish",
            conn_id="ny_taxi",
            sql=f"postgres/publish/{dataset.kind}.sql",
            rows="{{ converted_rows() }}",
            trigger_rule=PUBLISH_RULE,
            **updates(dataset, store_asset(PostgresStore, dataset)),
        )

        drop_staging = LockingStatementOperator(
            task_id="drop_staging",
            conn_id="ny_taxi",
            sql="postgres/clean/staging.sql",
        ).as_teardown(setups=load_staging)

        wait >> skip_unchanged >> [download, create_table]
        download >> to_parquet
        [to_parquet, create_table] >> load_staging >> [*checks, remove_files]
        checks >> publish >> drop_staging

        link_tasks(dag, dataset=dataset)
