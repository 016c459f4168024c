"""The types of a dataset's columns in Postgres, derived from the registry."""

from __future__ import annotations

from nyc_taxi.registry.columns import Column, Type

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
