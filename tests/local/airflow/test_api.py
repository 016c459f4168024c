"""The client of Airflow's REST API: what it repeats, and what it must not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import httpx
import pytest
from airflow.api_fastapi.core_api.datamodels.assets import DagRunAssetReference
from pydantic import ValidationError

from local.airflow.api import TRIES, AirflowApi, _messages, _Repeated
from local.airflow.environment import AirflowSettings

Asked = Callable[[list[httpx.Response]], AirflowApi]


class _CutShort(httpx.SyncByteStream):
    """The beginning of an answer, and then a reset."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"{"
        raise httpx.ReadError("[Errno 104] Connection reset by peer")


class _Resets:
    """Fails a number of requests as a server does that closes the connection, at once or within the answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, resets: int, *, within: bool = False) -> None:
        self.sent = 0
        self._within = within
        monkeypatch.setattr(httpx.HTTPTransport, "handle_request", lambda _, request: self._answer(resets))

    def _answer(self, resets: int) -> httpx.Response:
        self.sent += 1
        if self.sent <= resets and self._within:
            return httpx.Response(200, stream=_CutShort())
        if self.sent <= resets:
            raise httpx.ReadError("[Errno 104] Connection reset by peer")
        return httpx.Response(200)


def _send(method: str) -> int:
    with httpx.Client(transport=_Repeated()) as client:
        return client.request(method, "http://127.0.0.1:9/").status_code


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT"])
def test_a_request_whose_connection_is_reset_is_sent_again(
    monkeypatch: pytest.MonkeyPatch, method: str, within: bool
) -> None:
    resets = _Resets(monkeypatch, TRIES - 1, within=within)
    assert _send(method) == 200
    assert resets.sent == TRIES


@pytest.mark.parametrize(("method", "sent"), [("GET", TRIES), ("PATCH", TRIES), ("POST", 1)])
def test_resets_that_go_on_and_one_of_what_must_not_happen_twice_are_errors(
    monkeypatch: pytest.MonkeyPatch, method: str, sent: int
) -> None:
    resets = _Resets(monkeypatch, TRIES)
    with pytest.raises(httpx.ReadError):
        _send(method)
    assert resets.sent == sent


@pytest.fixture
def asked(settings: AirflowSettings, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """A client that is logged in, and gets the given answers one after the other."""

    def api(answers: list[httpx.Response]) -> AirflowApi:
        answers = [httpx.Response(200, json={"access_token": "token"}), *answers]
        monkeypatch.setattr(httpx.HTTPTransport, "handle_request", lambda *_: answers.pop(0))
        return AirflowApi(settings)

    return api


@pytest.mark.parametrize("run_start", [None, "2026-11-28T05:08:52Z"])
def test_airflow_has_no_answer_about_the_events_of_a_queued_run(run_start: str | None) -> None:
    run = {"run_id": "r", "dag_id": "d", "logical_date": None, "start_date": run_start, "end_date": None}
    rest = {"data_interval_start": None, "data_interval_end": None, "partition_key": None, "triggering": True}
    with nullcontext() if run_start else pytest.raises(ValidationError, match="start_date"):
        DagRunAssetReference.model_validate({**run, **rest, "state": "queued"})


def test_what_started_a_run_is_known_once_it_is_not_queued(asked: Asked) -> None:
    api = asked([httpx.Response(500), httpx.Response(200, json={"asset_events": [{"source_run_id": "upstream"}]})])
    assert api.started_by("dag", "run") == set()
    assert api.started_by("dag", "run") == {"upstream"}


def test_the_events_of_an_asset_are_awaited_while_a_run_is_queued(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.airflow.api.time.sleep", lambda _: None)
    assert asked([httpx.Response(500), httpx.Response(200, json={"asset_events": []})]).asset_events(1, "2026") == []
    monkeypatch.setattr("local.airflow.api._QUEUED_SECONDS", 0.0)
    with pytest.raises(httpx.HTTPStatusError, match="GET /api/v2/assets/events: HTTP 500 a run is queued"):
        asked([httpx.Response(500, text="a run is queued")] * 2).asset_events(1, "2026")


def test_what_a_log_quotes_does_not_write_to_the_terminal() -> None:
    error = {"exc_type": "ProviderError", "exc_value": "refused \x1b]0;title\x07"}
    record = {"timestamp": "x", "event": "a\x1b[2Jb\nc\u202ed", "reason": "\x1b[1A", "error_detail": [error]}
    assert _messages(record) == [
        r"a\x1b[2Jb",
        r"c\u202ed",
        r"reason: \x1b[1A",
        r"ProviderError: refused \x1b]0;title\x07",
    ]
