"""The checks in front of Airflow's own: who may start runs is still decided by Airflow, and its answers stay."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.api_fastapi.core_api.datamodels.assets import CreateAssetEventsBody, MaterializeAssetBody
from airflow.api_fastapi.core_api.datamodels.backfills import BackfillPostBody
from airflow.api_fastapi.core_api.datamodels.dag_run import TriggerDAGRunPostBody
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.testclient import TestClient

import run_requests
from nyc_taxi.run_requests import middleware
from nyc_taxi.run_requests.middleware import RunRequestMiddleware

RUNS = "/api/v2/dags/green_web_to_gcs/dagRuns"
BACKFILLS = "/api/v2/backfills"
MATERIALIZE = "/api/v2/assets/7/materialize"
EVENTS = "/api/v2/assets/events"
LOGGED_IN = {"authorization": "me"}


def _log_in(authorization: str = Header("")) -> None:
    if authorization != "me":
        raise HTTPException(401, "log in")


@pytest.fixture
def made() -> list[dict[str, Any]]:
    """The requests that reached Airflow."""
    return []


@pytest.fixture
def client(made: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A server with Airflow's own model of the request, and a login; asset 7 is that of green's lake."""
    monkeypatch.setattr(middleware, "producer", lambda asset_id: "green_web_to_gcs" if asset_id == 7 else "")
    app = FastAPI()

    @app.post("/prefix/api/v2/dags/{dag_id}/dagRuns", dependencies=[Depends(_log_in)])
    @app.post("/api/v2/dags/{dag_id}/dagRuns", dependencies=[Depends(_log_in)])
    def start(dag_id: str, body: TriggerDAGRunPostBody) -> dict[str, Any]:
        made.append(body.model_dump())
        return {"dag_run_id": body.dag_run_id}

    @app.post("/api/v2/backfills/dry_run", dependencies=[Depends(_log_in)])
    @app.post("/api/v2/backfills", dependencies=[Depends(_log_in)])
    def backfill(body: BackfillPostBody) -> dict[str, Any]:
        made.append(body.model_dump())
        return {}

    @app.post("/api/v2/assets/{asset_id}/materialize", dependencies=[Depends(_log_in)])
    def materialize(asset_id: int, body: MaterializeAssetBody | None = None) -> dict[str, Any]:
        made.append(body.model_dump() if body else {})
        return {}

    @app.post("/api/v2/assets/events", dependencies=[Depends(_log_in)])
    def event(body: CreateAssetEventsBody) -> dict[str, Any]:
        made.append(body.model_dump())
        return {}

    @app.get("/api/v2/dags/{dag_id}/dagRuns")
    def listed(dag_id: str) -> dict[str, Any]:
        return {"dag_id": dag_id}

    app.add_middleware(run_requests.middleware)  # as Airflow adds it
    return TestClient(app)


@pytest.mark.parametrize("prefix", ["", "/prefix"])
def test_a_run_gets_its_month_as_partition_key(client: TestClient, made: list[dict[str, Any]], prefix: str) -> None:
    answer = client.post(prefix + RUNS, json={"logical_date": None, "conf": {"month": "2021-01"}}, headers=LOGGED_IN)
    assert answer.status_code == 200
    [run] = made
    assert (run["partition_key"], run["conf"]) == ("2021-01", {"month": "2021-01"})
    assert answer.json()["dag_run_id"].startswith("manual__2021-01__")


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (RUNS, {"logical_date": None, "conf": {"month": None}}, "Which month?"),
        (RUNS, {"logical_date": None, "conf": {"month": "2021-13"}}, "'2021-13' is not a month"),
        (RUNS + "/", {"logical_date": None, "conf": {"month": "2021-13"}}, "'2021-13' is not a month"),
        (RUNS, {"logical_date": None, "conf": {"mouth": "2021-01"}}, "did you mean 'month'?"),
        (BACKFILLS, {"dag_id": "green_web_to_gcs", "dag_run_conf": {"month": "2021-01"}}, "Leave Month empty"),
        (MATERIALIZE, {}, "Which month?"),
        (MATERIALIZE, {"conf": {"month": "2021-13"}}, "'2021-13' is not a month"),
        (MATERIALIZE, {"partition_key": "2013-12"}, "The first published month is 2014-01"),
        (EVENTS, {"asset_id": 7}, "Which month? Fill in Partition Key"),
        (EVENTS, {"asset_id": 7, "partition_key": "2021-13"}, "'2021-13' is not a month"),
        (BACKFILLS + "/dry_run", {"dag_id": "green_web_to_gcs", "dag_run_conf": {"x": 1}}, "'x' is no parameter"),
    ],
)
def test_a_refusal_is_a_sentence_and_no_run_is_made(
    client: TestClient, made: list[dict[str, Any]], path: str, body: dict[str, Any], words: str
) -> None:
    answer = client.post(path, json=body, headers=LOGGED_IN)
    assert answer.status_code == 400
    assert words in answer.json()["detail"]
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert made == []


def test_an_asset_is_materialized_for_a_month(client: TestClient, made: list[dict[str, Any]]) -> None:
    for body in ({"conf": {"month": "2021-01"}}, {"partition_key": "2021-01"}):
        assert client.post(MATERIALIZE, json=body, headers=LOGGED_IN).status_code == 200
    assert [run["partition_key"] for run in made] == ["2021-01", "2021-01"]
    assert client.post(MATERIALIZE, headers=LOGGED_IN).json() == {
        "detail": "Which month? Fill in Month, for example 2021-01."
    }


def test_assets_of_others_stay_as_they_are(client: TestClient, made: list[dict[str, Any]]) -> None:
    assert client.post(MATERIALIZE.replace("7", "8"), headers=LOGGED_IN).status_code == 200
    assert client.post(EVENTS, json={"asset_id": 8}, headers=LOGGED_IN).status_code == 200
    assert made[1]["partition_key"] is None


def test_who_is_not_logged_in_learns_nothing(client: TestClient, made: list[dict[str, Any]]) -> None:
    for conf in ({"month": "2021-13"}, {"forse": 1}, {"month": "2021-01"}):
        for path in (RUNS, MATERIALIZE):
            answer = client.post(path, json={"logical_date": None, "conf": conf})
            assert (answer.status_code, answer.json()) == (401, {"detail": "log in"})
    answer = client.post(EVENTS, json={"asset_id": 7})
    assert (answer.status_code, answer.json()) == (401, {"detail": "log in"})
    assert made == []


@pytest.mark.parametrize(
    "content",
    [b"", b"no json", b'["list"]', b"\xff", b"[" * 100_000, b'{"conf": {"month": "2021-01"}}'],
    ids=lambda content: repr(content[:20]),
)
def test_airflow_itself_answers_a_request_that_is_malformed(
    made: list[dict[str, Any]], client: TestClient, content: bytes
) -> None:
    headers = {**LOGGED_IN, "content-type": "application/json"}
    guarded = TestClient(client.app, raise_server_exceptions=False).post(RUNS, content=content, headers=headers)
    assert guarded.status_code in (400, 422, 500)
    assert made == []


def test_a_backfill_without_a_month_passes(client: TestClient, made: list[dict[str, Any]]) -> None:
    dates = {"from_date": "2021-01-01T00:00:00Z", "to_date": "2021-03-01T00:00:00Z"}
    body = {"dag_id": "green_web_to_gcs", **dates, "dag_run_conf": {"month": None, "force": True}}
    assert client.post(BACKFILLS, json=body, headers=LOGGED_IN).status_code == 200
    assert made[0]["dag_run_conf"] == {"month": None, "force": True}


def test_other_requests_pass(client: TestClient, made: list[dict[str, Any]]) -> None:
    assert client.get(RUNS).json() == {"dag_id": "green_web_to_gcs"}
    other = {"logical_date": None, "conf": {"anything": 1}}
    assert client.post(RUNS.replace("green_web_to_gcs", "other"), json=other, headers=LOGGED_IN).status_code == 200
    assert made[0]["partition_key"] is None


def test_the_plugin_adds_the_checks() -> None:
    [added] = run_requests.RunRequestsPlugin.fastapi_root_middlewares
    assert isinstance(added["middleware"](None), RunRequestMiddleware)
