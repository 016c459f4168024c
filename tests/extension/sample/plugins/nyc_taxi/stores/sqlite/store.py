"""SQLite as a store: one table for each dataset, and a table of what each file's rows were made from."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime
from typing import Any, ClassVar, Self

from nyc_taxi.common.sql import render_sql
from nyc_taxi.registry.model import Dataset, PublishedFile, TripDataset
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.sqlite.schema import sqlite_type
from nyc_taxi.stores.store import Content, Store, StoredMonth


class SqliteStore(Store):
    """The tables in one SQLite file.

    Args:
        path: path of the file.
    """

    name: ClassVar[str] = "sqlite"
    asset: ClassVar[str] = "sqlite"
    step: ClassVar[str] = "web_to_sqlite"
    macros: ClassVar[Mapping[str, Callable[..., Any]]] = {"sqlite_type": sqlite_type}

    def __init__(self, path: str) -> None:
        self._path = path

    @classmethod
    def connect(cls) -> Self:
        """Return the file that the variable ``sqlite_file`` names."""
        from airflow.sdk import Variable

        return cls(Variable.get("sqlite_file"))

    def months(self, dataset: Dataset) -> dict[Month | None, StoredMonth]:
        """Count the rows of each month, and look up what they were made from."""
        return self._months(dataset, None)

    def find(self, file: PublishedFile) -> StoredMonth | None:
        """Count the rows of the file, and look up what they were made from."""
        return self._months(file.dataset, file.month).get(file.month)

    def count(self, file: PublishedFile) -> int:
        """Count the rows of the file's month."""
        return len(self._rows("rows", file.dataset, file.month))

    def content(self, file: PublishedFile) -> Content:
        """Hash the text of the rows of the file's month."""
        rows = self._rows("rows", file.dataset, file.month)
        hashes = (int.from_bytes(hashlib.sha256(repr(row).encode()).digest()[:8]) for row in rows)
        return Content(len(rows), sum(hashes))

    def location(self, file: PublishedFile) -> str:
        """Return the name of the table and of the file in it."""
        return f"{file.dataset.table} ({file.parquet_name})"

    def _months(self, dataset: Dataset, month: Month | None) -> dict[Month | None, StoredMonth]:
        found: dict[Month | None, StoredMonth] = {}
        for first_day, rows in self._rows("months", dataset, month):
            each = Month.parse(first_day[:7]) if first_day else None
            found[each] = self._stored_month(dataset, each, rows)
        return found

    def _stored_month(self, dataset: Dataset, month: Month | None, rows: int) -> StoredMonth:
        file = (
            dataset.file(month)
            if isinstance(dataset, TripDataset) and month
            else PublishedFile(dataset=dataset, month=None)
        )
        query = "SELECT made_from, published_at FROM loaded_files WHERE file_name = ?"
        made_from, published_at = self._execute(query, (file.parquet_name,))[0]
        return StoredMonth(rows=rows, made_from=made_from, published_at=datetime.fromisoformat(published_at))

    def _rows(self, statement: str, dataset: Dataset, month: Month | None) -> list[tuple[Any, ...]]:
        """Return the result of a statement in ``include/sql/sqlite/store``; no rows if the table does not exist."""
        try:
            return self._execute(render_sql(f"sqlite/store/{statement}.sql", dataset=dataset, month=month))
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise

    def _execute(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._path)) as database:
            return database.execute(query, values).fetchall()
