"""The types of a dataset's columns in Postgres."""

from __future__ import annotations

import pytest

from nyc_taxi.registry.columns import Column, Type
from nyc_taxi.stores.postgres.schema import postgres_type

TYPES = {
    Type.INTEGER: "bigint",
    Type.FLOAT: "double precision",
    Type.STRING: "text",
    Type.DATE: "date",
    Type.DATETIME: "timestamp without time zone",
}


@pytest.mark.parametrize("kind", Type)
def test_every_type_has_its_postgres_type(kind: Type) -> None:
    assert postgres_type(Column("x", kind, "X.")) == TYPES[kind]
