"""Imports what the DAGs need before the workers fork.

A task runs in a process forked from the scheduler's worker. What the parent has imported, the child has for nothing;
importing the Google operators anew takes about three seconds of CPU in every task. The DAG processor forks in the same
way for each file that it parses.

Airflow imports this module at start-up in all its components, from any folder on ``PYTHONPATH``.
"""

import sys

if {"scheduler", "dag-processor", "worker"}.intersection(sys.argv):
    import airflow.providers.common.sql.operators.sql
    import airflow.providers.google.cloud.hooks.gcs
    import airflow.providers.google.cloud.operators.bigquery
    import airflow.providers.google.cloud.transfers.gcs_to_bigquery
    import airflow.providers.google.cloud.transfers.local_to_gcs
    import airflow.providers.http.hooks.http
    import airflow.providers.postgres.hooks.postgres
    import google.cloud.bigquery
    import google.cloud.storage
    import pandas
    import pgpq
    import pyarrow.csv
    import pyarrow.parquet  # noqa: F401
