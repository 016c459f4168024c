"""Google's client of a running stack's warehouse, for questions that the Store interface does not answer."""

from __future__ import annotations

from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook
from google.cloud import bigquery

from local.airflow.environment import AirflowSettings
from local.airflow.reconcile import stack_variables


def bigquery_client(settings: AirflowSettings) -> bigquery.Client:
    """Return Google's client of the stack's warehouse."""
    with stack_variables(settings):
        hook = BigQueryHook(use_legacy_sql=False)
        return hook.get_client(project_id=hook.project_id)
