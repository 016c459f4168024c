"""Import what the DAG files import from Airflow and its providers, without parsing: the lower limit of a parse."""

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
