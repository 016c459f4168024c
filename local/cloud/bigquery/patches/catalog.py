"""Patch of bqemulator 1.4.0: a catalog that can be rolled back, and read while another thread writes.

Subclasses ``bqemulator.catalog.duckdb_repository.DuckDBCatalogRepository`` and replaces its private ``_cache``, a
``MemoryCatalogRepository``, whose private dictionaries are saved and restored.

Why: the cache has no lock, since bqemulator serves all requests on one thread. It has no transactions either: after a
rollback it would still show tables that are gone from the database.

Can be removed when bqemulator's catalog takes part in DuckDB transactions and is safe for threads.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from bqemulator.catalog.duckdb_repository import DuckDBCatalogRepository
from bqemulator.catalog.memory_repository import MemoryCatalogRepository

from local.cloud.bigquery.patches.engine import Engine


def _locked(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: LockedMemoryCatalog, *args: Any, **kwargs: Any) -> Any:
        with self.lock:
            return method(self, *args, **kwargs)

    return call


class LockedMemoryCatalog(MemoryCatalogRepository):
    """bqemulator's catalog cache, with every public method under one lock."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.RLock()


for _name, _method in list(vars(MemoryCatalogRepository).items()):
    if callable(_method) and not _name.startswith("_"):
        setattr(LockedMemoryCatalog, _name, _locked(_method))


class Catalog(DuckDBCatalogRepository):
    """bqemulator's persistent catalog, with a cache that can be restored when a transaction is rolled back."""

    # Without jobs: other threads record theirs at any time, outside of transactions.
    _CACHES = ("_datasets", "_tables", "_routines", "_models", "_snapshots", "_mviews", "_row_access")

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._cache: LockedMemoryCatalog = LockedMemoryCatalog()

    def mark(self) -> dict[str, dict[Any, Any]]:
        """Return a copy of the cache, for :meth:`restore`."""
        with self._cache.lock:
            return {name: dict(getattr(self._cache, name)) for name in self._CACHES}

    def restore(self, mark: dict[str, dict[Any, Any]]) -> None:
        """Restore the cache to its state at :meth:`mark`."""
        with self._cache.lock:
            for name, content in mark.items():
                setattr(self._cache, name, content)
