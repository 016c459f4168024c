"""The store of the emulator: DuckDB cursors, one writer at a time, and transactions that include the catalog.

bqemulator runs everything on one DuckDB connection and one event loop: a long query stops the server, and a failed
write leaves its first half behind. Here each request and each job has its own cursor in its own thread. Reads see one
consistent state (DuckDB's snapshots). Writes take turns at one lock, and commit or roll back as a whole, together with
bqemulator's catalog, which is in the same database.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
from bqemulator.api.dependencies import AppContext
from bqemulator.catalog.etag import generate_etag
from bqemulator.catalog.models import TableMeta

if TYPE_CHECKING:
    from local.cloud.bigquery.patches.catalog import Catalog
    from local.cloud.bigquery.patches.engine import Engine

_in_transaction: ContextVar[bool] = ContextVar("in_transaction", default=False)


@dataclass(frozen=True, kw_only=True)
class Store:
    """Everything a request needs: bqemulator's context, and its engine and catalog by their own types."""

    context: AppContext
    engine: Engine
    catalog: Catalog
    project: str
    gcs_root: Path

    def execute(self, sql: str, parameters: list[Any] | None = None) -> duckdb.DuckDBPyConnection:
        """Run DuckDB SQL on the cursor of the current session."""
        return self.engine.execute(sql, parameters)

    def begin(self) -> dict[str, dict[Any, Any]]:
        """Start a transaction on the current cursor; the caller must hold the write lock."""
        mark = self.catalog.mark()
        self.execute("BEGIN TRANSACTION")
        return mark

    def rollback(self, mark: dict[str, dict[Any, Any]]) -> None:
        """Restore data and catalog to their state at :meth:`begin`.

        A commit that fails has undone the transaction already, for example if the disk is full.
        """
        try:
            while not self._is_rolled_back():
                pass
        finally:
            self.catalog.restore(mark)

    def _is_rolled_back(self) -> bool:
        """Roll back; returns whether it was not interrupted, as a job that is cancelled is again and again."""
        try:
            with suppress(duckdb.TransactionException):
                self.execute("ROLLBACK")
        except duckdb.InterruptException:
            return False
        return True

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit the changes made inside, or none of them after an exception; a nested call joins the outer one."""
        if _in_transaction.get():
            yield
            return
        with self.engine.writing():
            mark = self.begin()
            token = _in_transaction.set(True)
            try:
                yield
                self.execute("COMMIT")
            except BaseException:
                self.rollback(mark)
                raise
            finally:
                _in_transaction.reset(token)


def touched(table: TableMeta, now: datetime, **changes: Any) -> TableMeta:
    """Return a copy of ``table`` with ``changes``, a new modification time and a new etag."""
    etag = generate_etag(table.project_id, table.dataset_id, table.table_id, str(now))
    return table.model_copy(update={"last_modified_time": now, "etag": etag, **changes})
