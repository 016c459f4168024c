"""The types of a dataset's columns in BigQuery, derived from the registry."""

from __future__ import annotations

from nyc_taxi.registry.columns import Column, Type
from nyc_taxi.registry.model import Dataset

_GOOGLESQL = {
    Type.INTEGER: "INT64",
    Type.FLOAT: "FLOAT64",
    Type.STRING: "STRING",
    Type.DATE: "DATE",
    Type.DATETIME: "DATETIME",
}
# The REST API's names of the same types.
_API = {**_GOOGLESQL, Type.INTEGER: "INTEGER", Type.FLOAT: "FLOAT"}


def bigquery_type(column: Column) -> str:
    """Return the GoogleSQL type of ``column``."""
    return _GOOGLESQL[column.type]


def bigquery_fields(dataset: Dataset) -> list[dict[str, str]]:
    """Return the dataset's schema as a list of field resources of BigQuery's REST API."""
    return [
        {"name": column.name, "type": _API[column.type], "mode": "NULLABLE", "description": column.description}
        for column in dataset.columns
    ]
