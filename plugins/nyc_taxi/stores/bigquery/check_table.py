"""Checks a staging table in BigQuery."""

from __future__ import annotations

from collections.abc import Sequence

from airflow.providers.google.cloud.operators.bigquery import BigQueryTableCheckOperator

from nyc_taxi.stores.audit import TableAuditMixin
from nyc_taxi.stores.bigquery.billing import BoundedCheckMixin


class BigQueryTableAuditOperator(TableAuditMixin, BoundedCheckMixin, BigQueryTableCheckOperator):  # type: ignore[misc]  # execute() without a context
    """Check conditions on a whole table; see :class:`TableAuditMixin`.

    Takes the arguments of BigQueryTableCheckOperator, and ``level``; a ``partition_clause`` is refused. ``checks`` is
    templated.
    """

    template_fields: Sequence[str] = (*sorted(BigQueryTableCheckOperator.template_fields), "checks")
