"""Checks the columns of a staging table in BigQuery."""

from __future__ import annotations

from airflow.providers.google.cloud.operators.bigquery import BigQueryColumnCheckOperator

from nyc_taxi.stores.audit import AuditMixin


class BigQueryColumnAuditOperator(AuditMixin, BigQueryColumnCheckOperator):  # type: ignore[misc]  # execute() without a context
    """Check single columns, such as that none of their values is missing; see :class:`AuditMixin`.

    Takes the arguments of BigQueryColumnCheckOperator, and ``level``. Names of columns are not quoted.
    """
