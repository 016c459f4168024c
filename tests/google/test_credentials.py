"""Which credentials and endpoints the stores choose on Google Cloud: everything up to the first byte to Google."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.auth import impersonated_credentials
from google.oauth2 import service_account

from nyc_taxi.stores.bigquery.store import BigQueryStore
from nyc_taxi.stores.lake.store import LakeStore
from tests.google.conftest import ACCOUNT

PROJECT = "team-project"
OTHER = "loader@team-project.iam.gserviceaccount.com"
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
ENDPOINTS = {"lake": "https://storage.googleapis.com", "bigquery": "https://bigquery.googleapis.com"}


@pytest.fixture
def clients(no_emulators: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return each store's client of Google's services, by the store's name, for the connection's extra."""
    monkeypatch.setenv("AIRFLOW_VAR_LAKE_BUCKET", "team-lake")

    def connect(extra: dict[str, Any]) -> dict[str, Any]:
        connection = {"conn_type": "google_cloud_platform", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", json.dumps(connection))
        return {"lake": LakeStore.connect()._bucket.client, "bigquery": BigQueryStore.connect()._client}

    return connect


def test_a_key_in_the_connection(clients: Callable[..., dict[str, Any]], key: dict[str, str]) -> None:
    for store, client in clients({"project": PROJECT, "keyfile_dict": json.dumps(key)}).items():
        assert ENDPOINTS[store] == client._connection.API_BASE_URL
        assert client.project == PROJECT
        assert isinstance(client._credentials, service_account.Credentials)
        assert client._credentials.service_account_email == ACCOUNT
        assert tuple(client._credentials.scopes) == SCOPES


def test_a_key_in_a_file(clients: Callable[..., dict[str, Any]], key: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text(json.dumps(key))
    for client in clients({"project": PROJECT, "key_path": str(tmp_path / "key.json")}).values():
        assert (client.project, client._credentials.service_account_email) == (PROJECT, ACCOUNT)


def test_the_credentials_of_the_machine(
    clients: Callable[..., dict[str, Any]], key: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key.json").write_text(json.dumps(key))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    for store, client in clients({"project": PROJECT}).items():
        assert ENDPOINTS[store] == client._connection.API_BASE_URL
        assert (client.project, client._credentials.service_account_email) == (PROJECT, ACCOUNT)
    for client in clients({}).values():
        assert client.project == "project-of-the-key"


def test_one_account_acts_as_another(clients: Callable[..., dict[str, Any]], key: dict[str, str]) -> None:
    extra = {"project": PROJECT, "keyfile_dict": json.dumps(key), "impersonation_chain": OTHER}
    for store, client in clients(extra).items():
        assert ENDPOINTS[store] == client._connection.API_BASE_URL
        assert isinstance(client._credentials, impersonated_credentials.Credentials)
        assert client._credentials.service_account_email == OTHER
        assert client._credentials._source_credentials.service_account_email == ACCOUNT


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"key_path": "/no/such/key.json"}, "/no/such/key.json"),
        ({"keyfile_dict": "{"}, "Invalid key JSON"),
    ],
)
def test_a_wrong_key_is_refused_before_a_request(
    clients: Callable[..., dict[str, Any]], extra: dict[str, Any], message: str
) -> None:
    with pytest.raises(Exception, match=message):
        clients({"project": PROJECT, **extra})
