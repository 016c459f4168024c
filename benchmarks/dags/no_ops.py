"""Chains of no-op tasks, in a file that imports Google's operators like the pipeline's DAG files.

The duration of such a task is Airflow's overhead per task.
"""

from __future__ import annotations

from airflow.providers.google.cloud.operators.bigquery import BigQueryInsertJobOperator
from airflow.providers.google.cloud.transfers.gcs_to_bigquery import GCSToBigQueryOperator
from airflow.sdk import DAG, chain, task

for tasks in (3, 10):
    with DAG(dag_id=f"no_ops_{tasks}", schedule=None, doc_md=__doc__, tags=["benchmarks"]):

        @task
        def do_nothing() -> None:
            """Nothing."""

        chain(*[do_nothing.override(task_id=f"do_nothing_{number}")() for number in range(tasks)])
