"""Checks the columns of a staging table in BigQuery."""

from __future__ import annotations

from airflow.providers.google.cloud.operators.bigquery import BigQueryColumnCheckOperator

from nyc_taxi.stores.audit import AuditMixin
from nyc_taxi.stores.bigquery.billing import BoundedCheckMixin


class BigQueryColumnAuditOperator(AuditMixin, BoundedCheckMixin, BigQueryColumnCheckOperator):  # type: ignore[misc]  # execute() without a context
    """Check conditions on single columns, such as no nulls; see :class:`AuditMixin`.

    Takes the arguments of BigQueryColumnCheckOperator, and ``level``. Column names are not quoted.
    """
