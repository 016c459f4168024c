"""What every Airflow process does first. Airflow imports this module at start-up from any folder on ``PYTHONPATH``.

It imports what the DAGs need before the workers fork. A task runs in a process forked from the scheduler's worker: what
the parent has imported, the child has for nothing, and importing the Google operators anew takes about three seconds of
CPU in every task. The DAG processor forks in the same way for each file that it parses.
"""

import os
import sys

if {"scheduler", "dag-processor", "worker"}.intersection(sys.argv):
    import airflow.providers.common.compat.assets
    import airflow.providers.common.io.assets.file
    import airflow.providers.common.sql.operators.sql
    import airflow.providers.google.assets.bigquery
    import airflow.providers.google.assets.gcs
    import airflow.providers.google.cloud.hooks.gcs
    import airflow.providers.google.cloud.operators.bigquery
    import airflow.providers.google.cloud.transfers.gcs_to_bigquery
    import airflow.providers.google.cloud.transfers.local_to_gcs
    import airflow.providers.http.hooks.http
    import airflow.providers.postgres.assets.postgres
    import airflow.providers.postgres.hooks.postgres
    import airflow.providers.standard.decorators.python
    import airflow.sdk.definitions.decorators
    import airflow.sdk.definitions.retry_policy
    import airflow.sdk.lineage
    import google.cloud.storage
    import google_crc32c
    import jinja2.ext
    import pandas
    import pgpq
    import pyarrow.csv
    import pyarrow.parquet

if "BIGQUERY_EMULATOR_HOST" in os.environ:
    # BigQuery's client reads results through the Storage API where it can, and through REST where that is missing. The
    # variable that leads it to an emulator does not lead the Storage API there, so it has to be missing.
    from google.cloud.bigquery import Client

    Client._ensure_bqstorage_client = lambda self, *args, **kwargs: None  # type: ignore[method-assign]
