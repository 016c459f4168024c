"""The names of files and tables in OpenLineage's events; the integration tests see the events themselves."""

from __future__ import annotations

from secrets import token_hex
from types import SimpleNamespace

import pytest

from nyc_taxi.common.lineage import file_dataset, postgres_dataset

# The provider is part of the extra for a team.
pytestmark = pytest.mark.full


@pytest.mark.parametrize(
    ("location", "namespace", "name"),
    [
        ("/data/a b/green.parquet", "file", "/data/a b/green.parquet"),
        ("gs://lake/green/year=2021/x.parquet", "gs://lake", "green/year=2021/x.parquet"),
        (f"https://me:{token_hex()}@example.org:8443/a/b.csv.gz?token=x", "https://example.org:8443", "a/b.csv.gz"),
    ],
)
def test_a_file_has_the_name_of_the_specification_and_no_secret(location: str, namespace: str, name: str) -> None:
    dataset = file_dataset(location)
    assert (dataset.namespace, dataset.name, dataset.facets) == (namespace, name, {})


def test_a_table_has_its_server_database_schema_and_columns() -> None:
    connection = SimpleNamespace(host="db.example.org", port=None, schema="ny_taxi")
    dataset = postgres_dataset(connection, "public.green_trips", [("VendorID", "bigint")])
    assert (dataset.namespace, dataset.name) == ("postgres://db.example.org:5432", "ny_taxi.public.green_trips")
    assert [(field.name, field.type) for field in dataset.facets["schema"].fields] == [("VendorID", "bigint")]
