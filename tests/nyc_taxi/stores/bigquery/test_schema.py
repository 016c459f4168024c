"""The types of a dataset's columns in BigQuery, in GoogleSQL and in the REST API."""

from __future__ import annotations

import pytest

from nyc_taxi.registry.columns import Column, Type
from nyc_taxi.registry.datasets import DATASETS
from nyc_taxi.registry.model import Dataset
from nyc_taxi.stores.bigquery.schema import bigquery_fields, bigquery_type

# The REST API has other names for two of the types.
TYPES = {
    Type.INTEGER: ("INT64", "INTEGER"),
    Type.FLOAT: ("FLOAT64", "FLOAT"),
    Type.STRING: ("STRING", "STRING"),
    Type.DATE: ("DATE", "DATE"),
    Type.DATETIME: ("DATETIME", "DATETIME"),
}


@pytest.mark.parametrize("kind", Type)
def test_every_type_has_its_googlesql_type(kind: Type) -> None:
    assert bigquery_type(Column("x", kind, "X.")) == TYPES[kind][0]


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_the_fields_are_the_registrys_columns_in_its_order(dataset: Dataset) -> None:
    assert bigquery_fields(dataset) == [
        {"name": column.name, "type": TYPES[column.type][1], "mode": "NULLABLE", "description": column.description}
        for column in dataset.columns
    ]
