"""Publishes a staging table, unless the published rows were made from a newer download."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from psycopg.errors import RaiseException

from nyc_taxi.common.skip import skip
from nyc_taxi.stores.postgres.statement import LockingStatementOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

# The errors that include/sql/postgres/marks.sql raises if the published rows are newer, or may be.
OVERTAKEN = "overtaken by a newer download of the source"
CLOCK_AHEAD = "the worker's clock was ahead, so this run's download may be the older one"


class PublishOperator(LockingStatementOperator):
    """Run the statement that publishes a staging table; it replaces the published rows in one step, or changes nothing.

    A rerun after a publish that was committed does nothing more.

    Raises:
        AirflowSkipException: the published rows were made from a newer download than the staging table, or maybe were,
            and the worker's clock was ahead.
        LockedError: another session holds a lock that the statement needs.
        psycopg.Error: the database rejects the statement.
    """

    def execute(self, context: Context) -> Any:
        try:
            return super().execute(context)
        except RaiseException as error:
            reason = error.diag.message_primary or ""
            if not reason.startswith((OVERTAKEN, CLOCK_AHEAD)):
                raise
        # Outside the handler, so that the log does not show the caught exception.
        return skip(
            context["ti"],
            f"{reason}. The published rows stay. To load what the source has now, start a new run.",
            level=logging.WARNING if reason.startswith(CLOCK_AHEAD) else logging.INFO,
        )
