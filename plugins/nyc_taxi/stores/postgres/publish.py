"""Publishes a staging table, unless the published rows were made from a newer download."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.postgres.hooks.postgres import PostgresHook
from psycopg.errors import RaiseException

from nyc_taxi.common.lineage import postgres_dataset, reads_and_writes
from nyc_taxi.common.progress import Progress
from nyc_taxi.common.skip import skip
from nyc_taxi.registry.datasets import get_dataset
from nyc_taxi.stores.postgres.schema import column_types
from nyc_taxi.stores.postgres.statement import LockingStatementOperator

if TYPE_CHECKING:
    from airflow.sdk import Context
    from psycopg.errors import Diagnostic

# The errors that include/sql/postgres/marks.sql raises if the published rows are newer, or may be.
OVERTAKEN = "overtaken by a newer download of the source"
CLOCK_AHEAD = "the worker's clock was ahead, so this run's download may be the older one"

# What include/sql/postgres/marks.sql tells of a publish.
_PUBLISHED = re.compile(r"published (\d+) bytes")


class PublishOperator(LockingStatementOperator):
    """Run the statement that publishes a staging table; it replaces the published rows in one step, or changes nothing.

    A rerun after a publish that was committed does nothing more, and says so.

    Args:
        rows: the number of rows in the staging table, for the log; without one it is unknown (templated).
        staging: name of the staging table, ``schema.table`` (templated).
        dataset: name of the dataset in the registry, whose table is published (templated).
        kwargs: the arguments of LockingStatementOperator.

    Raises:
        AirflowSkipException: the published rows were made from a newer download than the staging table, or maybe were,
            and the worker's clock was ahead.
        LockedError: another session holds a lock that the statement needs.
        psycopg.Error: the database rejects the statement.
    """

    template_fields: Sequence[str] = (*LockingStatementOperator.template_fields, "rows", "staging", "dataset")

    def __init__(
        self,
        *,
        rows: str = "",
        staging: str = "{{ loaded_staging() }}",
        dataset: str = "{{ dataset.name }}",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rows = rows
        self.staging = staging
        self.dataset = dataset

    def get_db_hook(self) -> PostgresHook:
        """Return a hook that keeps what the statement tells of its publish."""
        return _ListeningHook(self._listen, postgres_conn_id=self.conn_id, log_sql=False)

    def execute(self, context: Context) -> Any:
        self._published_bytes: int | None = None
        progress = Progress(self.log, "publish")
        try:
            result = super().execute(context)
        except RaiseException as error:
            reason = error.diag.message_primary or ""
            if not reason.startswith((OVERTAKEN, CLOCK_AHEAD)):
                raise
        else:
            self._log_end(progress)
            return result
        # Outside the handler, so that the log does not show the caught exception.
        return skip(
            context["ti"],
            f"{reason}. The published rows stay. To load what the source has now, start a new run.",
            level=logging.WARNING if reason.startswith(CLOCK_AHEAD) else logging.INFO,
        )

    def get_openlineage_facets_on_start(self) -> Any:
        """Return what OpenLineage is told: the staging table, and the published table, with their columns."""
        dataset, connection = get_dataset(self.dataset), PostgresHook.get_connection(self.conn_id)
        tables = (self.staging, f"public.{dataset.table}")
        staging, table = (postgres_dataset(connection, name, column_types(dataset)) for name in tables)
        return reads_and_writes(inputs=[staging], outputs=[table])

    def _listen(self, notice: Diagnostic) -> None:
        if told := _PUBLISHED.fullmatch(notice.message_primary or ""):
            self._published_bytes = int(told[1])

    def _log_end(self, progress: Progress) -> None:
        if self._published_bytes is None:
            self.log.info("This run has published its rows before, and they are still there: nothing was done")
            return
        with progress:
            progress.complete(rows=int(self.rows) if self.rows.isdigit() else None, size=self._published_bytes)


class _ListeningHook(PostgresHook):
    """A hook whose connections hand on what the server tells its client."""

    def __init__(self, listen: Callable[[Diagnostic], None], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._listen = listen

    def get_conn(self) -> Any:
        connection: Any = super().get_conn()
        connection.add_notice_handler(self._listen)
        return connection
