"""Import what the DAG files import of Airflow and its providers, and parse nothing: the floor of every parse."""

from __future__ import annotations

import airflow.providers.common.sql.operators.sql
import airflow.providers.google.cloud.hooks.gcs
import airflow.providers.google.cloud.operators.bigquery
import airflow.providers.google.cloud.transfers.gcs_to_bigquery
import airflow.providers.google.cloud.transfers.local_to_gcs
import airflow.providers.http.hooks.http
import airflow.providers.postgres.hooks.postgres
import airflow.sdk
from airflow.dag_processing import dagbag

from benchmarks.clock import clock, report

if __name__ == "__main__":
    with clock() as figures:
        figures["dags"] = 0
    report(figures)
