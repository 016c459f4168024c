"""Loads Parquet into Postgres with binary COPY."""

from __future__ import annotations

from pathlib import Path

import pgpq
import psycopg
import pyarrow.parquet as pq
from psycopg import sql

# Reading page by page, without keeping row groups, bounds memory use.
BUFFER_BYTES = 1 << 16
BATCH_ROWS = 1 << 13


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
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            copy.write(encoder.write_header())
            for batch in file.iter_batches(BATCH_ROWS):
                copy.write(encoder.write_batch(batch))
            copy.write(encoder.finish())
        return cursor.rowcount
