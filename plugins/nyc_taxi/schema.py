"""The types of a dataset's columns in Arrow, BigQuery and Postgres, derived from the registry."""

from __future__ import annotations

import pyarrow as pa

from nyc_taxi.datasets import Column, Dataset, Type

_ARROW = {
    Type.INTEGER: pa.int64(),
    Type.FLOAT: pa.float64(),
    Type.STRING: pa.string(),
    Type.DATE: pa.date32(),
    # Microseconds: nanoseconds overflow on years such as 3019, which the TLC's files do contain.
    Type.DATETIME: pa.timestamp("us"),
}
_BIGQUERY = {
    Type.INTEGER: "INT64",
    Type.FLOAT: "FLOAT64",
    Type.STRING: "STRING",
    Type.DATE: "DATE",
    Type.DATETIME: "DATETIME",
}
# What the REST API calls the same types.
_BIGQUERY_API = {**_BIGQUERY, Type.INTEGER: "INTEGER", Type.FLOAT: "FLOAT"}
_POSTGRES = {
    Type.INTEGER: "bigint",
    Type.FLOAT: "double precision",
    Type.STRING: "text",
    Type.DATE: "date",
    Type.DATETIME: "timestamp without time zone",
}


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type of ``column``."""
    return _ARROW[column.type]


def arrow_schema(dataset: Dataset) -> pa.Schema:
    """The Arrow schema of the dataset's Parquet files: its columns, then the lineage."""
    return pa.schema([(column.name, arrow_type(column)) for column in dataset.columns])


def bigquery_type(column: Column) -> str:
    """The GoogleSQL type of ``column``."""
    return _BIGQUERY[column.type]


def bigquery_fields(dataset: Dataset) -> list[dict[str, str]]:
    """The dataset's schema as BigQuery's REST API takes it: a list of field resources."""
    return [
        {
            "name": column.name,
            "type": _BIGQUERY_API[column.type],
            "mode": "NULLABLE",
            "description": column.description,
        }
        for column in dataset.columns
    ]


def postgres_type(column: Column) -> str:
    """The Postgres type of ``column``."""
    return _POSTGRES[column.type]
