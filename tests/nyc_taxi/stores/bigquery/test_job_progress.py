"""What a job of BigQuery tells of itself while it runs, with the client's own jobs and the answers of a test."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core.exceptions import NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client, LoadJob, QueryJob

from nyc_taxi.common.progress import Progress
from nyc_taxi.stores.bigquery import job_progress
from nyc_taxi.stores.bigquery.job_progress import watch, written_rows

log = logging.getLogger("a_task")
LOAD = {"load": {"destinationTable": {"projectId": "p", "datasetId": "d", "tableId": "t"}}}
QUERY = {"query": {"query": "SELECT 1", "destinationTable": LOAD["load"]["destinationTable"]}}
RUNNING = {"state": "RUNNING"}


class Server:
    """Answers one request after the other; five seconds pass between two of them."""

    def __init__(self, *answers: Any) -> None:
        self.now = 100.0
        self._answers: Iterator[Any] = iter(answers)
        self.client = Client("p", credentials=AnonymousCredentials())
        self.client._call_api = self._answer

    def _answer(self, *_: Any, **__: Any) -> Any:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sleep(self, _: float) -> None:
        self.now += 5


def _job(configuration: dict[str, Any], state: dict[str, Any], **statistics: Any) -> dict[str, Any]:
    reference = {"projectId": "p", "jobId": "j", "location": "US"}
    return {"jobReference": reference, "configuration": configuration, "status": state, "statistics": statistics}


def _watched(
    kind: type[LoadJob | QueryJob], server: Server, monkeypatch: pytest.MonkeyPatch, first: dict[str, Any], **total: int
) -> Any:
    monkeypatch.setattr(job_progress.time, "sleep", server.sleep)
    job = kind.from_api_repr(first, server.client)
    with Progress(log, "job", clock=lambda: server.now, **total) as progress:
        watch(job, progress)
    return job


def _lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == log.name]


def test_a_load_tells_its_state_its_rows_and_its_share(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server = Server(
        _job(LOAD, {"state": "PENDING"}),
        _job(LOAD, RUNNING, load={"outputRows": "250", "outputBytes": "5000000"}),
        _job(LOAD, RUNNING, load={"outputRows": "500", "outputBytes": "10000000"}),
        _job(LOAD, {"state": "DONE"}, load={"outputRows": "1000", "outputBytes": "20000000"}),
    )
    _watched(LoadJob, server, monkeypatch, _job(LOAD, {"state": "PENDING"}), rows=1000)

    assert _lines(caplog) == [
        "Progress of job: RUNNING, 250 rows, 5.0 MB, 25%, 5.0 s, 50 rows/s, 1.0 MB/s",
        "Progress of job: RUNNING, 500 rows, 10.0 MB, 50%, 10.0 s, 50 rows/s, 1.0 MB/s",
        "End of job: 1,000 rows, 20.0 MB, 100%, 15.0 s, 67 rows/s, 1.3 MB/s",
    ]


def test_a_query_tells_the_share_of_its_units_of_work(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    units = {"completedUnits": "30", "pendingUnits": "60", "activeUnits": "10"}
    server = Server(
        _job(QUERY, RUNNING),
        _job(QUERY, RUNNING, query={"timeline": [units]}),
        _job(QUERY, {"state": "DONE"}, query={"totalBytesProcessed": "9000000"}),
    )
    _watched(QueryJob, server, monkeypatch, _job(QUERY, RUNNING))

    assert _lines(caplog) == [
        "Progress of job: RUNNING, 30%, 5.0 s",
        "End of job: 9.0 MB, 100%, 10.0 s, 0.9 MB/s",
    ]


def test_a_look_that_fails_is_no_error(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    job = _watched(QueryJob, Server(NotFound("no such job")), monkeypatch, _job(QUERY, RUNNING))

    assert "Cannot see how far the job j is: 404 no such job" in caplog.messages
    assert job.state == "RUNNING"


@pytest.mark.parametrize(("answer", "rows"), [({"jobComplete": True, "totalRows": "7"}, 7), (NotFound("gone"), None)])
def test_the_rows_that_a_job_has_written_may_stay_unknown(answer: Any, rows: int | None) -> None:
    done = _job(QUERY, {"state": "DONE"})
    assert written_rows(QueryJob.from_api_repr(done, Server(answer, answer).client)) == rows
