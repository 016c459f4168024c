"""The Arrow types of a dataset's columns."""

from __future__ import annotations

import datetime

import pyarrow as pa
import pytest

from nyc_taxi.parquet.schema import arrow_schema, arrow_type
from nyc_taxi.registry.columns import Column, Type
from nyc_taxi.registry.datasets import DATASETS
from nyc_taxi.registry.model import Dataset

TYPES = {
    Type.INTEGER: pa.int64(),
    Type.FLOAT: pa.float64(),
    Type.STRING: pa.string(),
    Type.DATE: pa.date32(),
    Type.DATETIME: pa.timestamp("us"),
}


@pytest.mark.parametrize("kind", Type)
def test_every_type_has_its_arrow_type(kind: Type) -> None:
    assert arrow_type(Column("x", kind, "X.")) == TYPES[kind]


def test_a_datetime_holds_the_years_that_the_files_contain() -> None:
    far = datetime.datetime(3019, 2, 3, 17, 30)
    assert pa.scalar(far, arrow_type(Column("x", Type.DATETIME, "X."))).as_py() == far


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_a_schema_has_the_registrys_columns_in_its_order(dataset: Dataset) -> None:
    assert [(field.name, field.type) for field in arrow_schema(dataset)] == [
        (column.name, TYPES[column.type]) for column in dataset.columns
    ]
