"""The routes of the months page: who may see what, and what they answer when something is wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import _get_session
from airflow.api_fastapi.core_api.security import get_user
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from nyc_taxi.months_page import app as module
from nyc_taxi.months_page import runs, trips
from nyc_taxi.months_page.looks import Looks
from nyc_taxi.registry.datasets import DATASETS
from nyc_taxi.registry.model import Dataset
from nyc_taxi.registry.months import Month
from nyc_taxi.stores import STORES
from nyc_taxi.stores.store import MissingMonthError, StoredMonth
from tests.attacks.promises import attack
from tests.nyc_taxi.stores.fakes import FakeStore
from tests.waiting import wait_until

JANUARY = Month(2021, 1)
ALL_DAGS = {f"{name}_{store.step}" for name in DATASETS for store in STORES}
PATHS = {"name": "months.js", "dag_id": "green_web_to_gcs", "run_id": "x", "dataset": "green", "month": "2021-01"}


class _Manager:
    """An auth manager that lets everybody read ``readable``, their runs if ``followed``, and start ``runnable``."""

    readable = ALL_DAGS
    followed: set[str] = ALL_DAGS
    runnable: set[str] = ALL_DAGS

    def get_authorized_dag_ids(self, *, user: Any) -> set[str]:
        return self.readable

    def is_authorized_dag(self, *, method: str, access_entity: Any, details: Any, user: Any) -> bool:
        assert access_entity == DagAccessEntity.RUN
        return details.id in {"GET": self.followed, "POST": self.runnable}[method]


class _Store(FakeStore):
    def __init__(self, name: str) -> None:
        self._name = name

    def months(self, dataset: Dataset) -> dict[Month | None, StoredMonth]:
        if self._name == "postgres":
            raise ConnectionError("Postgres is down")
        if dataset.name != "green":
            return {}
        made_from, revision = ("file 1", "17") if self._name == "lake" else ("16", "")
        return {JANUARY: StoredMonth(rows=3, made_from=made_from, published_at=None, revision=revision)}


@pytest.fixture
def manager() -> _Manager:
    return _Manager()


@pytest.fixture
def client(manager: _Manager, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client that is logged in, of stores that a test knows."""
    monkeypatch.setattr(module, "get_auth_manager", lambda: manager)
    monkeypatch.setattr(module, "_looks", Looks(_Store))
    monkeypatch.setitem(module.app.dependency_overrides, get_user, lambda: SimpleNamespace())
    session = SimpleNamespace(execute=lambda statement: [])
    monkeypatch.setitem(module.app.dependency_overrides, _get_session, lambda: session)
    with TestClient(module.app) as opened:
        yield opened


def _overview(client: TestClient) -> dict[str, dict[str, Any]]:
    """The overview, once no look is under way; by dataset."""

    def ended() -> list[dict[str, Any]] | None:
        datasets = client.get("/api/overview").json()["datasets"]
        running = any(look["running"] for dataset in datasets for look in dataset["looks"].values())
        return None if running else datasets

    return {dataset["name"]: dataset for dataset in wait_until(ended, "the looks end")}


@attack("pages-ask-for-a-login")
@pytest.mark.parametrize("route", [route for route in module.app.routes if isinstance(route, APIRoute)], ids=str)
def test_no_route_answers_without_a_login(route: APIRoute) -> None:
    assert TestClient(module.app).get(route.path.replace(":path", "").format(**PATHS)).status_code == 401


@attack("pages-ask-for-a-login")
def test_the_application_has_no_route_but_its_own() -> None:
    assert [route for route in module.app.routes if not isinstance(route, APIRoute)] == []


def test_the_page_and_its_files_are_served_and_nothing_else(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "frame-ancestors 'self'" in page.headers["content-security-policy"]
    for name in ("months.js", "months.css"):
        assert f"static/{name}" in page.text
        assert client.get(f"/static/{name}").status_code == 200
    for name in ("index.html", "app.py", "..%2fapp.py", "%2e%2e/app.py"):
        assert client.get(f"/static/{name}").status_code == 404


def test_the_overview_compares_the_stores(client: TestClient) -> None:
    green = _overview(client)["green"]
    assert green["months"] == {
        "2021-01": {
            "lake": {"rows": 3, "state": "same", "run": None},
            "bigquery": {"rows": 3, "state": "behind", "run": None},
            "postgres": {"rows": None, "state": "unknown", "run": None},
        }
    }
    assert green["looks"]["postgres"]["error"] == "ConnectionError: Postgres is down"
    assert green["looks"]["lake"]["error"] == ""


def test_the_overview_says_which_months_there_are_to_load(client: TestClient) -> None:
    published = {name: dataset["published"] for name, dataset in _overview(client).items()}
    assert published["zones"] == {}
    assert published["green"] == {"tlc": "since 2014-01", "mirror": "from 2019-01 to 2021-07"}


@attack("pages-ask-for-a-login")
def test_a_user_sees_only_datasets_whose_dags_they_may_read(client: TestClient, manager: _Manager) -> None:
    manager.readable = {dag_id for dag_id in ALL_DAGS if dag_id.startswith("yellow_")} | {"green_web_to_gcs"}
    assert list(_overview(client)) == ["yellow"]
    for path in ("", "/trips", "/rows"):
        assert client.get(f"/api/months/green/2021-01{path}").status_code == 404


@attack("pages-ask-for-a-login")
def test_a_user_who_may_not_read_runs_sees_none(client: TestClient, manager: _Manager) -> None:
    manager.followed = ALL_DAGS - {"green_web_to_postgres"}
    assert "green" not in _overview(client)
    for path in ("months/green/2021-01", "runs/green_web_to_gcs/x"):
        assert client.get(f"/api/{path}").status_code == 404


@attack("pages-ask-for-a-login")
def test_the_overview_says_which_runs_a_user_may_start(client: TestClient, manager: _Manager) -> None:
    manager.runnable = {"green_web_to_postgres"}
    may_run = _overview(client)["green"]["may_run"]
    assert may_run == {"lake": False, "bigquery": False, "postgres": True}


def test_a_month_in_each_store(client: TestClient) -> None:
    _overview(client)
    stores = client.get("/api/months/green/2021-01").json()["stores"]
    assert {name: one["stored"] and one["stored"]["rows"] for name, one in stores.items()} == {
        "lake": 3,
        "bigquery": 3,
        "postgres": None,
    }


def test_a_run_leads_to_its_month(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "month_of", lambda session, dag_id, run_id: JANUARY if run_id == "a/b" else None)
    asked = {
        path: client.get(f"/api/runs/{path}") for path in ("green_web_to_gcs/a/b", "green_web_to_gcs/x", "no_dag/x")
    }
    assert [answer.status_code for answer in asked.values()] == [200, 200, 404]
    assert asked["green_web_to_gcs/a/b"].json() == {"dataset": "green", "month": "2021-01"}
    assert asked["green_web_to_gcs/x"].json() == {"dataset": "green", "month": None}
    assert client.get("/api/runs/zones_web_to_gcs/x").json() == {"dataset": "zones", "month": ""}


def test_only_some_questions_wait_for_the_warehouse(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_asking", threading.BoundedSemaphore(1))
    module._asking.acquire()
    assert client.get("/api/months/green/2021-01/rows").status_code == 503
    module._asking.release()


@pytest.mark.parametrize("path", ["green/2021-13", "green/..%2f..", "red/2021-01", "green/-", "' OR 1=1/2021-01"])
def test_a_path_that_names_no_month_is_404(client: TestClient, path: str) -> None:
    assert client.get(f"/api/months/{path}").status_code == 404


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (MissingMonthError("load it first"), 404, "load it first"),
        (OSError("BigQuery is down\nTraceback"), 503, "OSError: BigQuery is down"),
    ],
)
def test_what_goes_wrong_in_the_warehouse_is_said(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, detail: str
) -> None:
    def fail(file: object) -> Any:
        raise error

    monkeypatch.setattr(trips, "profile", fail)
    answer = client.get("/api/months/green/2021-01/trips")
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)
