"""Load a Parquet file as the operator does: python -m benchmarks.ours.parquet_to_postgres SOURCE"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks.clock import clock, report
from benchmarks.ours.load import LOAD
from nyc_taxi.stores.postgres.copy import copy_parquet


def load(source: Path) -> int:
    """Create the staging table and copy the file into it, in one transaction; returns the number of rows."""
    with psycopg.connect(os.environ["POSTGRES_URL"]) as connection:
        connection.execute(LOAD.render("postgres/load/trip_staging.sql"))
        return copy_parquet(connection, source, sql.Identifier(*LOAD.postgres_staging_table.split(".")))


def _settle() -> None:
    """Remove an earlier run's table and write a checkpoint, so that its pending writes do not count."""
    with psycopg.connect(os.environ["POSTGRES_URL"], autocommit=True) as connection:
        connection.execute(LOAD.render("postgres/clean/staging.sql"))
        connection.execute("CHECKPOINT")


if __name__ == "__main__":
    _settle()
    with clock() as figures:
        figures["rows"] = load(Path(sys.argv[1]))
    report(figures)
