"""Loads Parquet into Postgres with binary COPY."""

from __future__ import annotations

import logging
from pathlib import Path

import pgpq
import psycopg
import pyarrow.parquet as pq
from psycopg import sql

from nyc_taxi.common.progress import Progress

# Reading page by page, without keeping row groups, bounds memory use.
BUFFER_BYTES = 1 << 16
BATCH_ROWS = 1 << 13

log = logging.getLogger(__name__)


def copy_parquet(connection: psycopg.Connection, source: Path, table: sql.Identifier) -> int:
    """Append the rows of a Parquet file to a table; memory use is bounded by one batch.

    Columns are matched by name, and their types must agree; the registry defines both. The caller's transaction
    commits all rows or none.

    Args:
        connection: an open connection; its current transaction is used.
        source: the Parquet file.
        table: the table.

    Returns:
        The number of rows copied.

    Raises:
        psycopg.Error: the table lacks a column, or a constraint rejects a row.
    """
    file = pq.ParquetFile(source, pre_buffer=False, buffer_size=BUFFER_BYTES)
    encoder = pgpq.ArrowToPostgresBinaryEncoder(file.schema_arrow)
    statement = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT binary)").format(
        table, sql.SQL(", ").join(map(sql.Identifier, file.schema_arrow.names))
    )
    rows = size = 0
    with (
        connection.cursor() as cursor,
        Progress(log, f"copy to {table.as_string()}", rows=file.metadata.num_rows) as progress,
    ):
        with cursor.copy(statement) as copy:
            copy.write(encoder.write_header())
            for batch in file.iter_batches(BATCH_ROWS):
                encoded = encoder.write_batch(batch)
                copy.write(encoded)
                rows += batch.num_rows
                size += len(encoded)
                progress.reach(rows=rows, size=size)
            copy.write(encoder.finish())
        return cursor.rowcount
