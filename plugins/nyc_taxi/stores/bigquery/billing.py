"""The most that one query may bill: BigQuery refuses a query that would bill more, and then bills nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nyc_taxi.registry.model import ContractError

if TYPE_CHECKING:
    from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook

VARIABLE = "maximum_bytes_billed"
# Three times what the largest query of the pipeline reads: docs/gcp.md.
DEFAULT = 100 * 2**30

# The options of every query job; the second is a template, rendered when the task runs.
QUERY = {"useLegacySql": False, "maximumBytesBilled": "{{ maximum_bytes_billed() }}"}


def maximum_bytes_billed() -> str:
    """Return the variable ``maximum_bytes_billed``, or its default, as jobs of BigQuery's REST API take it.

    Raises:
        ContractError: the variable is no number of bytes.
    """
    from airflow.sdk import Variable

    most = str(Variable.get(VARIABLE, DEFAULT)).strip()
    if not re.fullmatch(r"[1-9]\d*", most, re.ASCII):
        raise ContractError(f"the variable maximum_bytes_billed is {most!r}; set it to a number of bytes, or delete it")
    return most


class BoundedCheckMixin:
    """Mixin for BigQuery's check operators, which take no options of their query job."""

    sql: str
    use_legacy_sql: bool
    project_id: str
    location: str | None

    def _submit_job(self, hook: BigQueryHook, job_id: str) -> Any:
        """Submit the check's query with the most that it may bill."""
        query = {"query": self.sql, "useLegacySql": self.use_legacy_sql, "maximumBytesBilled": maximum_bytes_billed()}
        return hook.insert_job(
            configuration={"query": query},
            project_id=self.project_id,
            location=self.location,
            job_id=job_id,
            nowait=False,
        )
