"""The local steps of the course's flows: each holds the whole month in memory as a pandas frame."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

TIMES = (
    "tpep_pickup_datetime",
    "tpep_dropoff_datetime",
    "lpep_pickup_datetime",
    "lpep_dropoff_datetime",
)


def fetch(source: str | Path) -> pd.DataFrame:
    """Read the month's csv.gz from a path or a URL."""
    return pd.read_csv(source)


def clean(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert the two time columns to timestamps."""
    for column in TIMES:
        if column in frame:
            frame[column] = pd.to_datetime(frame[column])
    return frame


def write_local(frame: pd.DataFrame, target: Path) -> None:
    """Write the frame as gzipped Parquet."""
    frame.to_parquet(target, compression="gzip")


def transform(source: Path) -> pd.DataFrame:
    """Read the Parquet file, and replace missing passenger counts by 0."""
    frame = pd.read_parquet(source)
    frame["passenger_count"] = frame["passenger_count"].fillna(0)
    return frame
