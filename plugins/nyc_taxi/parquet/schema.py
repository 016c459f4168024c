"""The Arrow types of a dataset's columns, derived from the registry."""

from __future__ import annotations

import pyarrow as pa

from nyc_taxi.registry.columns import Column, Type
from nyc_taxi.registry.model import Dataset

_ARROW = {
    Type.INTEGER: pa.int64(),
    Type.FLOAT: pa.float64(),
    Type.STRING: pa.string(),
    Type.DATE: pa.date32(),
    # Microseconds, because nanoseconds overflow on years such as 3019, which the TLC's files contain.
    Type.DATETIME: pa.timestamp("us"),
}


def arrow_type(column: Column) -> pa.DataType:
    """Return the Arrow type of ``column``."""
    return _ARROW[column.type]


def arrow_schema(dataset: Dataset) -> pa.Schema:
    """Return the Arrow schema of the dataset's Parquet files: the source's columns, then the lineage columns."""
    return pa.schema([(column.name, arrow_type(column)) for column in dataset.columns])


def column_types(dataset: Dataset) -> list[tuple[str, str]]:
    """Return the names and the Arrow types of the columns of the dataset's Parquet files, as text."""
    return [(column.name, str(arrow_type(column))) for column in dataset.columns]
