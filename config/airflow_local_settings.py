"""What every Airflow process does at start-up. Airflow imports this module from any folder on ``PYTHONPATH``.

It imports what the DAGs need before the workers fork. A task runs in a process forked from the scheduler's worker, and
inherits every module that the worker has imported. Without that, each task would spend about three seconds of CPU on
importing the Google operators. The DAG processor forks in the same way for each file that it parses.
"""

import sys

# Airflow copies the names in __all__ into airflow.settings, and without __all__ every name of this module.
__all__: list[str] = []

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
    import airflow.providers.smtp.hooks.smtp
    import airflow.providers.standard.decorators.python
    import airflow.providers.standard.operators.branch
    import airflow.providers.standard.operators.empty
    import airflow.sdk.definitions.decorators
    import airflow.sdk.definitions.retry_policy
    import airflow.sdk.lineage
    import airflow.sdk.observability.stats
    import airflow.sdk.types
    import airflow.timetables.base
    import airflow.timetables.trigger
    import google.cloud.storage
    import google_crc32c
    import jinja2.ext
    import pandas
    import pgpq
    import pyarrow.csv
    import pyarrow.parquet
