"""Loads a Parquet file into a table of an SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from airflow.sdk import BaseOperator, Variable

from nyc_taxi.common.progress import Progress
from nyc_taxi.common.work_files import input_file
from nyc_taxi.parquet.provenance import read_footer


class ParquetToSqliteOperator(BaseOperator):
    """Replace one file's rows in an SQLite table by those of its Parquet file, in one transaction.

    Args:
        src: path or ``gs://`` URI of the Parquet file (templated).
        table: name of the table (templated).
        create_sql: statements that create the tables if they do not exist (templated).
        delete_sql: statement that deletes the file's rows (templated).
    """

    template_fields: Sequence[str] = ("src", "table", "create_sql", "delete_sql")
    template_ext: Sequence[str] = (".sql",)

    def __init__(self, *, src: str, table: str, create_sql: str, delete_sql: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.src = src
        self.table = table
        self.create_sql = create_sql
        self.delete_sql = delete_sql

    def execute(self, context: Any) -> int:
        """Return the number of rows."""
        with closing(sqlite3.connect(Variable.get("sqlite_file"))) as database, input_file(self.src) as source:
            database.executescript(self.create_sql)
            with Progress(self.log, f"load of {source.name}") as progress, database:
                rows = self._replace(database, source)
                progress.reach(rows=rows, size=source.stat().st_size)
        return rows

    def _replace(self, database: sqlite3.Connection, source: Path) -> int:
        database.execute(self.delete_sql)
        table = pq.read_table(source)
        values = ", ".join("?" * table.num_columns)
        rows = (tuple(_value(value) for value in row.values()) for row in table.to_pylist())
        database.executemany(f"INSERT INTO {self.table} VALUES ({values})", rows)
        loaded = (source.name, read_footer(source).provenance)
        database.execute("INSERT OR REPLACE INTO loaded_files VALUES (?, ?, datetime('now') || '+00:00')", loaded)
        return int(table.num_rows)


def _value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
