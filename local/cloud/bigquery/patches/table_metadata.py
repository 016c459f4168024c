"""Patch of bqemulator 1.4.0: table metadata with fields for external tables.

Replaces ``bqemulator.catalog.duckdb_repository.TableMeta``, the class that the catalog reads its stored JSON with.

Why: bqemulator's ``TableMeta`` has no field for ``externalDataConfiguration`` and drops fields that it does not know.

Can be removed when bqemulator stores external tables, or lets its catalog be built with another metadata class.
"""

from __future__ import annotations

from typing import Any

from bqemulator.catalog import duckdb_repository
from bqemulator.catalog.models import TableMeta


class StoredTable(TableMeta):
    """bqemulator's table metadata, extended.

    Attributes:
        external: the ``externalDataConfiguration`` of an external table, as the client sent it.
        hive_columns: names of the columns that come from the objects' names.
    """

    external: dict[str, Any] | None = None
    hive_columns: tuple[str, ...] = ()


def install() -> None:
    """Make the catalog read every table as a ``StoredTable``."""
    duckdb_repository.TableMeta = StoredTable  # type: ignore[misc]
