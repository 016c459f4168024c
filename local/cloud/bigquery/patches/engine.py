"""Patch of bqemulator 1.4.0: a DuckDB cursor for each request or job.

Subclasses ``bqemulator.storage.engine.DuckDBEngine``. Overrides its public ``start``, ``connection`` and
``write_lock``, and the private start-up steps ``_apply_session_pragmas`` and ``_load_spatial``.

Why: bqemulator runs everything on one connection, so that a long query stops the server. Its start-up also downloads
the spatial extension, which fails offline, and lets DuckDB read Python variables as tables. And it lets SQL read every
file of the user through DuckDB's ``read_text``, for example in the body of a function.

Can be removed when bqemulator gives each request a cursor, loads the spatial extension from a local path and restricts
DuckDB's access to files.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import duckdb
import duckdb_extension_spatial
from bqemulator.storage.engine import DuckDBEngine

from local.cloud.bigquery.schemas import literal

_cursor: ContextVar[duckdb.DuckDBPyConnection | None] = ContextVar("cursor", default=None)
_writing: ContextVar[bool] = ContextVar("writing", default=False)


class Engine(DuckDBEngine):
    """bqemulator's engine with a cursor for each request or job, found through a context variable.

    Args:
        settings: bqemulator's settings.
        folders: the folders whose files SQL may read.
    """

    def __init__(self, settings: Any, *, folders: Iterable[Path]) -> None:
        super().__init__(settings)
        self._folders = sorted({str(path) for folder in folders for path in (folder, folder.resolve())})
        self._lock = threading.Lock()

    async def start(self) -> None:
        """Open the database; afterwards no statement can open another file or undo that."""
        await super().start()
        folders = ", ".join(literal(folder) for folder in self._folders)
        for setting in (
            f"allowed_directories = [{folders}]",
            "enable_external_access = false",
            "lock_configuration = true",
        ):
            super().connection.execute(f"SET GLOBAL {setting}")

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The cursor of the current session, or the base connection outside of one (start and stop)."""
        return _cursor.get() or super().connection

    @contextmanager
    def session(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give the caller, and what it awaits, its own cursor; temporary tables are dropped with it."""
        cursor = super().connection.cursor()
        token = _cursor.set(cursor)
        try:
            yield cursor
        finally:
            _cursor.reset(token)
            cursor.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the write lock; reentrant."""
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
        """Hold the same lock on behalf of bqemulator's code; reentrant, because callers usually hold it already."""
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
        """Apply global settings: UTC as in BigQuery, and no downloads of extensions."""
        for setting in (
            "TimeZone = 'UTC'",
            "autoinstall_known_extensions = false",
            # Otherwise DuckDB looks up unknown table names among Python's variables.
            "python_enable_replacements = false",
        ):
            self.connection.execute(f"SET GLOBAL {setting}")

    def _load_spatial(self) -> None:
        """Load the spatial extension from its wheel, which needs neither a download nor a HOME."""
        folder = Path(duckdb_extension_spatial.__path__[0]) / "extensions" / f"v{duckdb.__version__}"
        path = str(folder / "spatial.duckdb_extension").replace("'", "''")
        self.connection.execute(f"LOAD '{path}'")
