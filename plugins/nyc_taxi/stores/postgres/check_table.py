"""Checks a staging table in an SQL database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow.providers.common.sql.operators.sql import SQLTableCheckOperator

from nyc_taxi.stores.audit import TableAuditMixin
from nyc_taxi.stores.postgres.errors import printable_errors

if TYPE_CHECKING:
    from airflow.sdk import Context


class SQLTableAuditOperator(TableAuditMixin, SQLTableCheckOperator):
    """Check conditions on a whole table; see :class:`TableAuditMixin`.

    Takes the arguments of SQLTableCheckOperator, and ``level``; a ``partition_clause`` is refused. ``checks`` is
    templated.
    """

    template_fields: Sequence[str] = (*SQLTableCheckOperator.template_fields, "checks")

    @printable_errors()
    def execute(self, context: Context) -> None:
        super().execute(context)
