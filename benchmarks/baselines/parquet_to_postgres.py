"""Load a Parquet file with pandas, in the course's chunks: python -m benchmarks.baselines.parquet_to_postgres SOURCE"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pandas as pd
import sqlalchemy

from benchmarks.clock import clock, report

CHUNK_ROWS = 100_000
TABLE = "course_yellow"


def load(engine: sqlalchemy.Engine, source: Path) -> int:
    """Create the table from the frame's columns and append in chunks; returns the number of rows."""
    frame = pd.read_parquet(source)
    frame.head(0).to_sql(TABLE, engine, if_exists="replace")
    for begin in range(0, len(frame), CHUNK_ROWS):
        frame.iloc[begin : begin + CHUNK_ROWS].to_sql(TABLE, engine, if_exists="append")
    return len(frame)


def _settle(engine: sqlalchemy.Engine) -> None:
    """Write a checkpoint, so that an earlier run's pending writes do not count."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sqlalchemy.text("CHECKPOINT"))


if __name__ == "__main__":
    engine = sqlalchemy.create_engine(os.environ["POSTGRES_URL"].replace("postgresql://", "postgresql+psycopg2://"))
    _settle(engine)
    with clock() as figures:
        figures["rows"] = load(engine, Path(sys.argv[1]))
    report(figures)
