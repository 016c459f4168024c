"""Runs a statement that takes strong locks in Postgres, without holding up the table's readers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from psycopg.errors import LockNotAvailable

from nyc_taxi.stores.postgres.errors import printable_errors

if TYPE_CHECKING:
    from airflow.sdk import Context

# Seconds between the tries. They grow, because between two tries the readers that have queued up must get through.
PAUSES = (1, 2, 4, 8, 16)


class LockedError(RuntimeError):
    """Another session holds a lock that the statement needs; a retry may succeed."""


class LockingStatementOperator(SQLExecuteQueryOperator):
    """Run one statement, and try again a few times if another session holds a lock that it needs.

    The statement limits its waits by ``include/sql/postgres/locks.sql``. It runs as one transaction that the server
    commits by itself: no lock is held while the server waits for this client, which may be stopped or cut off.

    Raises:
        LockedError: the lock was not available in any try; the message says who holds it. Nothing was changed.
        psycopg.Error: the database rejects the statement.
    """

    def __init__(self, **kwargs: Any) -> None:
        # The operator logs the statement already.
        super().__init__(autocommit=True, hook_params={"log_sql": False}, **kwargs)

    @printable_errors()
    def execute(self, context: Context) -> Any:
        for pause in (*PAUSES, None):
            try:
                return super().execute(context)
            except LockNotAvailable as error:
                reason = error.diag.message_primary
            if pause is not None:
                self.log.warning("%s; trying again in %d s", reason, pause)
                time.sleep(pause)
        # Outside the handler, so that the log does not show the caught exception.
        raise LockedError(
            f"{reason}. Nothing was changed, after {len(PAUSES) + 1} tries. Wait until that session ends its "
            "transaction, or end it with pg_terminate_backend; then clear the task"
        )
