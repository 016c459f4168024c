"""The types of a dataset's columns in SQLite, derived from the registry."""

from __future__ import annotations

from nyc_taxi.registry.columns import Column, Type


def sqlite_type(column: Column) -> str:
    """Return the SQLite type of ``column``; SQLite keeps dates and times as text."""
    return {Type.INTEGER: "integer", Type.FLOAT: "real"}.get(column.type, "text")
