"""PublicationSensor and its trigger: published files, waits in the triggerer, and waits that end as skipped."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred

from nyc_taxi.source import publication_sensor, publication_trigger
from nyc_taxi.source.errors import NotPublishedError, PermanentSourceError, RefusedError, SourceError
from nyc_taxi.source.publication_sensor import PublicationSensor
from nyc_taxi.source.publication_trigger import PublicationTrigger

PATH = "/trip-data/green_tripdata_2026-09.parquet"
START = datetime(2026, 11, 1, tzinfo=UTC)
PUSHED: dict[str, Any] = {}
CONTEXT: Any = {
    "dag_run": SimpleNamespace(start_date=START),
    "ti": SimpleNamespace(xcom_push=lambda key, value: PUSHED.update({key: value})),
}


@pytest.fixture
def taxi_source(source, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_TAXI_SOURCE", json.dumps({"conn_type": "http", "host": source.url}))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return source


def _sensor(wait_seconds: float | str = 0) -> PublicationSensor:
    return PublicationSensor(task_id="wait", endpoint=PATH.removeprefix("/"), wait_seconds=wait_seconds)


def test_no_run_waits_for_a_published_file(taxi_source) -> None:
    taxi_source.serve(PATH, b"the file", ETag='"5f2a"')
    assert _sensor("3600").execute(CONTEXT) == 'etag="5f2a" length=8'
    assert len(taxi_source.requests) == 1
    assert PUSHED["announced"] == 'etag="5f2a" length=8'


def test_the_length_is_announced_also_without_a_version(taxi_source) -> None:
    taxi_source.serve(PATH, b"the file")
    assert _sensor().execute(CONTEXT) == ""
    assert PUSHED["announced"] == "length=8"


def test_the_source_is_said_to_be_asked_before_it_has_chosen_what_to_answer(taxi_source) -> None:
    """A download that begins between the question and the answer may be newer than the answer."""
    chosen = []
    taxi_source.serve(PATH, b"the file", ETag='"5f2a"')
    answer = publication_sensor.published_version

    def slow(*arguments: str) -> Any:
        chosen.append(datetime.now(UTC))
        return answer(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publication_sensor, "published_version", slow)
        for start in (lambda: _sensor().execute(CONTEXT), lambda: _sensor("60").resume(CONTEXT, {"published": True})):
            before = datetime.now(UTC)
            start()
            assert before <= datetime.fromisoformat(PUSHED["asked_at"]) <= chosen[-1]


@pytest.mark.parametrize("status", [401, 451])
def test_a_source_that_refuses_for_good_is_not_waited_for(taxi_source, status: int) -> None:
    taxi_source.serve(PATH, b"", status=status)
    with pytest.raises(PermanentSourceError, match=f"HTTP {status}"):
        _sensor("3600").execute(CONTEXT)


def test_a_refusal_during_the_wait_fails_the_task() -> None:
    with pytest.raises(PermanentSourceError, match=r"^the reason$"):
        _sensor("3600").resume(CONTEXT, {"published": False, "refused": "the reason"})


@pytest.mark.parametrize(("status", "error"), [(404, NotPublishedError), (403, RefusedError)])
def test_a_run_that_does_not_wait_fails(taxi_source, status: int, error: type[Exception]) -> None:
    taxi_source.serve(PATH, b"", status=status)
    with pytest.raises(error):
        _sensor("0.0").execute(CONTEXT)


@pytest.mark.parametrize("status", [404, 403])
@pytest.mark.parametrize(("wait", "poll"), [(50, 1.0), (3600, 36.0), (45 * 86400, 3600.0)])
def test_a_run_that_waits_does_so_in_the_triggerer(taxi_source, status: int, wait: int, poll: float) -> None:
    taxi_source.serve(PATH, b"", status=status)
    with pytest.raises(TaskDeferred) as deferred:
        _sensor(str(wait)).execute(CONTEXT)
    assert deferred.value.method_name == "resume"
    path, arguments = deferred.value.trigger.serialize()
    assert path == "nyc_taxi.source.publication_trigger.PublicationTrigger"
    assert arguments == {
        "endpoint": PATH.removeprefix("/"),
        "http_conn_id": "taxi_source",
        "deadline": (START + timedelta(seconds=wait)).isoformat(),
        "poll_seconds": poll,
    }


def test_a_source_that_is_down_is_an_error_to_retry_for_a_run_that_does_not_wait(taxi_source) -> None:
    taxi_source.serve(PATH, b"", status=503)
    with pytest.raises(SourceError, match="HTTP 503"):
        _sensor("0.0").execute(CONTEXT)


def test_a_source_that_is_down_is_waited_for_by_a_run_that_waits(taxi_source) -> None:
    taxi_source.serve(PATH, b"", status=503)
    with pytest.raises(TaskDeferred):
        _sensor("3600").execute(CONTEXT)


def test_a_file_that_is_gone_again_after_the_wait_is_retried(taxi_source) -> None:
    taxi_source.serve(PATH, b"", status=404)
    with pytest.raises(SourceError, match="the source had the file a moment ago"):
        _sensor("3600").resume(CONTEXT, {"published": True})


def test_after_the_wait_the_version_is_returned(taxi_source) -> None:
    taxi_source.serve(PATH, b"the file", ETag='"5f2a"')
    assert _sensor("3600").resume(CONTEXT, {"published": True}) == 'etag="5f2a" length=8'


def test_too_late_is_skipped_with_the_reason() -> None:
    pushed: dict[str, str] = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
    with pytest.raises(AirflowSkipException) as skipped:
        _sensor("3888000").resume({**CONTEXT, "ti": ti}, {"published": False, "reason": "404:Not Found"})
    assert pushed == {"skip_reason": str(skipped.value)}
    assert str(skipped.value) == (
        "trip-data/green_tripdata_2026-09.parquet was not published within 45 days, 0:00:00 of the run's start; "
        "the source's last answer: 404:Not Found"
    )


# The trigger


class _Clock:
    """In place of the trigger's clock: it goes on only by the trigger's own pauses.

    Attributes:
        now: what it shows.
        pauses: the pauses in seconds.
    """

    def __init__(self) -> None:
        self.now = START
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    made = _Clock()
    shown = SimpleNamespace(now=lambda zone: made.now, fromisoformat=datetime.fromisoformat)
    monkeypatch.setattr(publication_trigger, "datetime", shown)
    pausing = SimpleNamespace(to_thread=asyncio.to_thread, sleep=made.sleep)
    monkeypatch.setattr(publication_trigger, "asyncio", pausing)
    return made


def _first_event(*, wait: float) -> Any:
    """The payload of the trigger's event; its deadline is ``wait`` seconds after its start, and it polls every 40."""
    path, arguments = PublicationTrigger(
        endpoint=PATH.removeprefix("/"),
        http_conn_id="taxi_source",
        deadline=(START + timedelta(seconds=wait)).isoformat(),
        poll_seconds=40.0,
    ).serialize()
    assert path == "nyc_taxi.source.publication_trigger.PublicationTrigger"

    async def run() -> Any:
        async for event in PublicationTrigger(**arguments).run():
            return event.payload
        return None

    return asyncio.run(run())


def test_the_trigger_fires_when_the_file_appears(taxi_source, clock: _Clock) -> None:
    statuses = iter([404, 403, 500, 200])

    def answer(request: Any) -> None:
        request.send_response(next(statuses))
        request.send_header("Content-Length", "0")
        request.end_headers()

    taxi_source.script(PATH, answer)
    assert _first_event(wait=3600) == {"published": True}
    assert clock.pauses == [40, 40, 40]
    assert len(taxi_source.requests) == 4
    assert {headers["Range"] for _, headers in taxi_source.requests} == {"bytes=0-0"}


def test_the_trigger_gives_up_at_its_deadline_with_the_last_answer(taxi_source, clock: _Clock) -> None:
    taxi_source.serve(PATH, b"", status=404)
    reason = f"the source has no {taxi_source.url}{PATH} (HTTP 404): not published, or misspelt"
    assert _first_event(wait=100) == {"published": False, "reason": reason}
    assert clock.pauses == [40, 40, 20], "the last request is at the deadline"
    assert len(taxi_source.requests) == 4


def test_a_deadline_that_has_passed_still_allows_one_request(taxi_source, clock: _Clock) -> None:
    taxi_source.serve(PATH, b"the file")
    assert _first_event(wait=-60) == {"published": True}
    taxi_source.serve(PATH, b"", status=404)
    assert _first_event(wait=-60)["published"] is False
    assert (len(taxi_source.requests), clock.pauses) == (2, [])


def test_the_trigger_waits_for_a_source_that_is_down(monkeypatch: pytest.MonkeyPatch, clock: _Clock) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TAXI_SOURCE", json.dumps({"conn_type": "http", "host": "http://127.0.0.1:9"}))
    event = _first_event(wait=60)
    assert event["published"] is False
    assert "127.0.0.1:9" in event["reason"]
    assert clock.pauses == [40, 20]


def test_the_trigger_ends_at_once_if_the_source_refuses_for_good(taxi_source, clock: _Clock) -> None:
    taxi_source.serve(PATH, b"", status=302, Location="file:///etc/passwd")
    event = _first_event(wait=60)
    assert event["published"] is False
    assert "which is no address of the web" in event["refused"]
    assert (len(taxi_source.requests), clock.pauses) == (1, [])


@pytest.mark.parametrize(
    ("asked", "pauses"), [("10", [40, 40, 20]), ("60", [60, 40]), ("3600", [100])], ids=["less", "more", "too much"]
)
def test_the_trigger_waits_for_as_long_as_the_source_asks(
    taxi_source, clock: _Clock, asked: str, pauses: list[float]
) -> None:
    taxi_source.serve(PATH, b"", status=429, **{"Retry-After": asked})
    assert "HTTP 429" in _first_event(wait=100)["reason"]
    assert clock.pauses == pauses
    assert len(taxi_source.requests) == len(pauses) + 1
