"""The DuckDB database under the emulator: a cursor for each request, one writer at a time, whole transactions.

bqemulator runs everything on one DuckDB connection, and one event loop, so a long query stops the server and
a failed write leaves its first half behind. Here each request and each job has a cursor of its own, in a thread of its
own: reads see one consistent state (DuckDB's snapshots), writes take one lock in turn and commit or roll back as a
whole, together with bqemulator's catalog, which lives in the same database.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import bqemulator.catalog.duckdb_repository as duckdb_repository
import duckdb
import duckdb_extension_spatial
from bqemulator.api.dependencies import AppContext
from bqemulator.catalog.etag import generate_etag
from bqemulator.catalog.memory_repository import MemoryCatalogRepository
from bqemulator.catalog.models import PartitionMeta, SnapshotMeta, TableMeta
from bqemulator.domain.events import TableDataChanged
from bqemulator.storage.engine import DuckDBEngine
from bqemulator.versioning.snapshots import SnapshotManager

from local.cloud.bigquery.limits import limit

_cursor: ContextVar[duckdb.DuckDBPyConnection | None] = ContextVar("cursor", default=None)
_writing: ContextVar[bool] = ContextVar("writing", default=False)
_in_transaction: ContextVar[bool] = ContextVar("in_transaction", default=False)


class StoredTable(TableMeta):
    """bqemulator's table metadata, and what it has no field for.

    Attributes:
        external: the ``externalDataConfiguration`` of an external table, as the client gave it.
        hive_columns: those of its columns that come from the objects' names.
    """

    external: dict[str, Any] | None = None
    hive_columns: tuple[str, ...] = ()


class Engine(DuckDBEngine):
    """bqemulator's engine with a cursor for each request or job, found through a context variable."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._lock = threading.Lock()

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The cursor of the current session; outside of one (start, stop), the base connection."""
        return _cursor.get() or super().connection

    @contextmanager
    def session(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give the caller, and what it awaits, a cursor of its own; temporary tables end with it."""
        cursor = super().connection.cursor()
        token = _cursor.set(cursor)
        try:
            yield cursor
        finally:
            _cursor.reset(token)
            cursor.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock of the one writer. Nested use joins the outer one."""
        if _writing.get():
            yield
            return
        with self._lock:
            token = _writing.set(True)
            try:
                yield
            finally:
                _writing.reset(token)

    @asynccontextmanager
    async def write_lock(self) -> AsyncIterator[None]:
        """bqemulator's way to ask for the same lock; its callers already hold it here, as a rule."""
        if _writing.get():
            yield
            return
        await asyncio.to_thread(self._lock.acquire)
        token = _writing.set(True)
        try:
            yield
        finally:
            _writing.reset(token)
            self._lock.release()

    def _apply_session_pragmas(self) -> None:
        """Global settings: UTC, as BigQuery; never reach for an extension on the network."""
        for setting in (
            "TimeZone = 'UTC'",
            "autoinstall_known_extensions = false",
            # DuckDB would take a table name that it does not know for one of Python's variables.
            "python_enable_replacements = false",
        ):
            self.connection.execute(f"SET GLOBAL {setting}")

    def _load_spatial(self) -> None:
        """Load the spatial extension straight from its wheel: nothing is written, no HOME is needed."""
        folder = Path(duckdb_extension_spatial.__path__[0]) / "extensions" / f"v{duckdb.__version__}"
        path = str(folder / "spatial.duckdb_extension").replace("'", "''")
        self.connection.execute(f"LOAD '{path}'")


def _locked(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: LockedMemoryCatalog, *args: Any, **kwargs: Any) -> Any:
        with self.lock:
            return method(self, *args, **kwargs)

    return call


class LockedMemoryCatalog(MemoryCatalogRepository):
    """bqemulator's catalog cache, safe to iterate while another thread writes."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.RLock()


for _name, _method in list(vars(MemoryCatalogRepository).items()):
    if callable(_method) and not _name.startswith("_"):
        setattr(LockedMemoryCatalog, _name, _locked(_method))


class Catalog(duckdb_repository.DuckDBCatalogRepository):
    """bqemulator's persistent catalog, whose cache can be put back when a transaction rolls back."""

    # Jobs are left out: other threads record theirs meanwhile, outside of any transaction.
    _CACHES = ("_datasets", "_tables", "_routines", "_models", "_snapshots", "_mviews", "_row_access")

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._cache: LockedMemoryCatalog = LockedMemoryCatalog()
        # bqemulator reads its stored JSON through this name.
        duckdb_repository.TableMeta = StoredTable  # type: ignore[misc]

    def mark(self) -> dict[str, dict[Any, Any]]:
        """A copy of the cache, to be given to :meth:`restore`."""
        with self._cache.lock:
            return {name: dict(getattr(self._cache, name)) for name in self._CACHES}

    def restore(self, mark: dict[str, dict[Any, Any]]) -> None:
        """Put the cache back to what it was at :meth:`mark`."""
        with self._cache.lock:
            for name, content in mark.items():
                setattr(self._cache, name, content)

    def list_partitions(self, project_id: str, dataset_id: str, table_id: str) -> tuple[PartitionMeta, ...]:
        """Partitions of native tables; external tables and views have none, as in BigQuery."""
        table = self.get_table(project_id, dataset_id, table_id)
        if table is not None and table.table_type != "TABLE":
            return ()
        return super().list_partitions(project_id, dataset_id, table_id)


class NoTimeTravel(SnapshotManager):
    """Replaces bqemulator's copy of the whole table at every change; ``FOR SYSTEM_TIME AS OF`` is refused instead."""

    def record_change(self, project_id: str, dataset_id: str, table_id: str) -> SnapshotMeta | None:
        """Note the time of the change, and tell materialized views."""
        table = self._catalog.get_table(project_id, dataset_id, table_id)
        if table is not None:
            self._catalog.update_table(touched(table, self._clock.now()))
        self._events.publish(TableDataChanged(project_id, dataset_id, table_id))
        return None

    def resolve_time_travel(self, *_: Any) -> SnapshotMeta | None:
        raise limit("keep old versions of tables; leave out FOR SYSTEM_TIME AS OF")


def touched(table: TableMeta, now: datetime, **changes: Any) -> TableMeta:
    """A copy of ``table`` with ``changes``, a new modification time and a new etag."""
    etag = generate_etag(table.project_id, table.dataset_id, table.table_id, str(now))
    return table.model_copy(update={"last_modified_time": now, "etag": etag, **changes})


@dataclass(frozen=True, kw_only=True)
class Store:
    """Everything a request needs: bqemulator's context, and the engine and catalog in it by their own types."""

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
        """Undo data and catalog to what they were at :meth:`begin`."""
        try:
            self.execute("ROLLBACK")
        finally:
            self.catalog.restore(mark)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all that is done inside, or, at an exception, nothing of it. Nested use joins the outer one."""
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
