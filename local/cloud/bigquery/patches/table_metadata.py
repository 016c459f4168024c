"""Patch of bqemulator 1.4.0: table metadata with fields for external tables, and the text of views.

Replaces ``bqemulator.catalog.duckdb_repository.TableMeta``, the class that the catalog reads its stored JSON with.

Why: bqemulator's ``TableMeta`` has no field for ``externalDataConfiguration`` and drops fields that it does not know.
Its ``view_query`` is the query as sqlglot writes it, without comments' places and line ends.

Can be removed when bqemulator stores external tables and the text of views, or lets its catalog be built with another
metadata class.
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
        view_text: the query of a view, as the client wrote it.
    """

    external: dict[str, Any] | None = None
    hive_columns: tuple[str, ...] = ()
    view_text: str | None = None


def view_text(table: TableMeta) -> str | None:
    """Return the query of a view as its creator wrote it; None for other tables."""
    return getattr(table, "view_text", None) or table.view_query


def with_view_text(table: TableMeta, text: str) -> StoredTable:
    """Return the metadata of a view with the text of its query."""
    return StoredTable.model_validate({**table.model_dump(by_alias=True), "view_text": text})


def install() -> None:
    """Make the catalog read every table as a ``StoredTable``."""
    duckdb_repository.TableMeta = StoredTable  # type: ignore[misc]
