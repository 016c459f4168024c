"""The most that a query may bill: every query has it, and it stops no month."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from nyc_taxi.registry.columns import Type
from nyc_taxi.registry.datasets import DATASETS
from nyc_taxi.registry.model import ContractError
from nyc_taxi.stores.bigquery.billing import DEFAULT, BoundedCheckMixin, maximum_bytes_billed
from nyc_taxi.stores.bigquery.schema import bigquery_columns
from nyc_taxi.stores.bigquery.store import BigQueryStore
from tests.google.golden import FOLDER

# Twice what the longest month has had, of fhvhv, and more than any text in a trip.
ROWS, TEXT = 50_000_000, 64


def test_it_is_the_variable_or_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert maximum_bytes_billed() == str(DEFAULT) == "107374182400"
    monkeypatch.setenv("AIRFLOW_VAR_MAXIMUM_BYTES_BILLED", " 5000000000 ")
    assert maximum_bytes_billed() == "5000000000"


@pytest.mark.parametrize("value", ["", "0", "-1", "1e9", "10 GB", "٣"])
def test_a_variable_that_is_no_number_of_bytes_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_MAXIMUM_BYTES_BILLED", value)
    with pytest.raises(ContractError, match=r"the variable maximum_bytes_billed is '.*'; set it to a number of bytes"):
        maximum_bytes_billed()


def test_the_default_stops_no_month() -> None:
    """The largest query of a month reads all columns of its staging table, and one of the published rows."""
    for dataset in DATASETS.values():
        columns = bigquery_columns(dataset)
        row = sum(TEXT if column.type is Type.STRING else 8 for column in columns)
        assert ROWS * (row + 8) < DEFAULT, dataset.name


def test_the_stores_own_queries_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_MAXIMUM_BYTES_BILLED", "5")
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:9")
    connection = {"conn_type": "google_cloud_platform", "extra": {"project": "p", "is_anonymous": True}}
    monkeypatch.setenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", json.dumps(connection))
    assert BigQueryStore.connect()._client.default_query_job_config.maximum_bytes_billed == 5


def test_a_check_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_MAXIMUM_BYTES_BILLED", "5")
    check = BoundedCheckMixin()
    check.sql, check.use_legacy_sql, check.project_id, check.location = "SELECT 1", False, "p", None
    sent: dict[str, Any] = {}
    check._submit_job(SimpleNamespace(insert_job=sent.update), "id")  # type: ignore[arg-type]
    assert sent["configuration"] == {
        "query": {"query": "SELECT 1", "useLegacySql": False, "maximumBytesBilled": "5"},
    }


def test_every_query_on_record_has_it() -> None:
    queries = [
        request["body"]["configuration"]["query"]
        for path in sorted(FOLDER.glob("*.json"))
        for requests in json.loads(path.read_text()).values()
        for request in requests
        if "query" in request.get("body", {}).get("configuration", {})
    ]
    assert {query.get("maximumBytesBilled") for query in queries} == {str(DEFAULT)}
