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
# The names of the same types in the REST API.
_API = {**_GOOGLESQL, Type.INTEGER: "INTEGER", Type.FLOAT: "FLOAT"}

# A string literal in single quotes cannot contain these characters as they are.
_ESCAPES = str.maketrans({"\\": r"\\", "'": r"\'", "\n": r"\n", "\r": r"\r"})

# The lineage column that only BigQuery has, last in each table. It costs 8 bytes a row before compression, about 5 % of
# a yellow trip. One job replaces a month, so the generation always changes together with the rows.
LAKE_GENERATION = Column("lake_generation", Type.INTEGER, "Generation of the lake object that the row was loaded from.")


# The error that include/sql/bigquery/publish/rows.sql raises if the destination is newer.
OVERTAKEN = "overtaken by a newer object of the lake"


def bigquery_columns(dataset: Dataset) -> tuple[Column, ...]:
    """Return the columns of the dataset's table: those of the Parquet files, then ``lake_generation``."""
    return (*dataset.columns, LAKE_GENERATION)


def bigquery_type(column: Column) -> str:
    """Return the GoogleSQL type of ``column``."""
    return _GOOGLESQL[column.type]


def bigquery_text(text: str) -> str:
    """Return ``text`` as a GoogleSQL string literal."""
    return f"'{text.translate(_ESCAPES)}'"


def bigquery_fields(dataset: Dataset) -> list[dict[str, str]]:
    """Return the dataset's Parquet schema as a list of field resources of BigQuery's REST API."""
    return [
        {"name": column.name, "type": _API[column.type], "mode": "NULLABLE", "description": column.description}
        for column in dataset.columns
    ]
