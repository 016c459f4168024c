"""The types of a dataset's columns in Postgres, derived from the registry."""

from __future__ import annotations

from nyc_taxi.registry.columns import Column, Type
from nyc_taxi.registry.model import Dataset

_POSTGRES = {
    Type.INTEGER: "bigint",
    Type.FLOAT: "double precision",
    Type.STRING: "text",
    Type.DATE: "date",
    Type.DATETIME: "timestamp without time zone",
}


def postgres_type(column: Column) -> str:
    """Return the Postgres type of ``column``."""
    return _POSTGRES[column.type]


def column_types(dataset: Dataset) -> list[tuple[str, str]]:
    """Return the names and the Postgres types of the columns of the dataset's table."""
    return [(column.name, postgres_type(column)) for column in dataset.columns]
