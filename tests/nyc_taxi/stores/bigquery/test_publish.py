"""Publishing a staging table, unless the destination is newer."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.google.cloud.operators.bigquery import BigQueryInsertJobOperator
from airflow.sdk.exceptions import AirflowSkipException
from google.api_core.exceptions import BadRequest, Conflict, NotFound

from nyc_taxi.common.sql import SQL_DIR
from nyc_taxi.stores.bigquery.publish import SUBMITTED_BY, PublishOperator
from nyc_taxi.stores.bigquery.schema import OVERTAKEN


def _operator() -> PublishOperator:
    configuration = {"query": {"destinationTable": {"datasetId": "trips", "tableId": "green$202101"}}}
    return PublishOperator(task_id="publish", configuration=configuration, mark_query="SELECT 1")


def _run(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> tuple[Any, dict[str, str]]:
    def execute(self: object, context: object) -> str:
        if error:
            raise error
        return "job"

    monkeypatch.setattr(BigQueryInsertJobOperator, "execute", execute)
    pushed: dict[str, str] = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
    return _operator().execute({"ti": ti}), pushed  # type: ignore[typeddict-item]


def test_it_returns_what_the_job_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(monkeypatch, None) == ("job", {})


def test_an_older_run_is_skipped_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AirflowSkipException, match="overtaken by a newer object of the lake: the published rows stay"):
        _run(monkeypatch, BadRequest(f"Query execution failed: {OVERTAKEN}"))


@pytest.mark.parametrize("error", [BadRequest("overtaken"), RuntimeError("no such table"), TimeoutError()])
def test_other_errors_stay_errors(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    with pytest.raises(type(error)):
        _run(monkeypatch, error)


def test_the_statement_raises_the_error_that_the_operator_looks_for() -> None:
    assert f"ERROR('{OVERTAKEN}')" in (SQL_DIR / "bigquery" / "publish" / "rows.sql").read_text()


def test_a_job_that_was_never_submitted_does_not_hide_why_the_task_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def on_kill(self: object) -> None:
        raise NotFound("Not found: Job")

    monkeypatch.setattr(BigQueryInsertJobOperator, "on_kill", on_kill)
    _operator().on_kill()


@pytest.mark.parametrize("rows", [1234, None])
def test_the_rows_that_were_published_are_logged_and_cannot_fail_the_publish(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, rows: int | None
) -> None:
    """After the commit a failure would start a publish again that has succeeded."""

    def result(**options: Any) -> Any:
        if not options and rows is None:
            raise NotFound("the result is gone")
        return SimpleNamespace(total_rows=rows)

    monkeypatch.setattr(PublishOperator, "log", logging.getLogger("publish"))
    caplog.set_level(logging.INFO)
    operator = _operator()
    operator._job = SimpleNamespace(
        job_id="job", state="DONE", error_result=None, errors=None, done=lambda **_: True, result=result
    )
    operator.poll_until_complete("job", {})
    known = "1,234 rows, " if rows else ""
    assert f"End of publish to trips.green$202101: {known}100%, " in caplog.text


# Two publishes at the same moment


class _Job:
    """A job that compares with the partition as it was when the job began, and replaces it later.

    Later is when it may end; without such an event, after a pause in which other jobs can begin.
    """

    def __init__(
        self, warehouse: _Warehouse, generation: int, may_end: threading.Event | None, labels: dict[str, str]
    ) -> None:
        self.done = threading.Event()
        self.labels = labels
        self._warehouse, self._generation, self._may_end = warehouse, generation, may_end
        self._passes = warehouse.generation <= generation
        threading.Thread(target=self._run).start()

    def _run(self) -> None:
        if self._may_end is None:
            time.sleep(0.05)
        else:
            assert self._may_end.wait(120)
        if self._passes:
            self._warehouse.generation = self._generation
        self.done.set()

    def exception(self) -> None:
        assert self.done.wait(120)


class _Warehouse:
    """Fake of a hook whose BigQuery runs a job in a snapshot, and accepts each job id once."""

    def __init__(self, generation: int = 1) -> None:
        self.generation = generation
        self.jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()

    def insert(
        self,
        job_id: str,
        generation: int,
        may_end: threading.Event | None = None,
        labels: dict[str, str] | None = None,
    ) -> _Job:
        with self._lock:
            if job_id in self.jobs:
                raise Conflict(f"Already Exists: Job {job_id}")
            self.jobs[job_id] = _Job(self, generation, may_end, labels or {})
            return self.jobs[job_id]

    def get_job(self, *, job_id: str, **_: object) -> _Job:
        return self.jobs[job_id]

    def get_client(self, **_: object) -> Any:
        rows = [{"mark": self.generation}]
        return SimpleNamespace(query=lambda query, config: SimpleNamespace(result=lambda: rows))


@pytest.fixture
def warehouse(monkeypatch: pytest.MonkeyPatch) -> _Warehouse:
    def submit(self: PublishOperator, hook: _Warehouse, job_id: str) -> _Job:
        return hook.insert(job_id, int(self.location or 0), labels=dict(self.configuration["labels"]))

    monkeypatch.setattr(BigQueryInsertJobOperator, "_submit_job", submit)
    return _Warehouse()


def _publish(warehouse: _Warehouse, generation: int) -> None:
    operator = _operator()
    operator.location = str(generation)  # hands the generation to the fake
    operator._submit_job(warehouse, "ignored").exception()  # type: ignore[arg-type]


def test_jobs_for_one_partition_that_are_submitted_at_once_run_one_after_another(warehouse: _Warehouse) -> None:
    with ThreadPoolExecutor(4) as pool:
        for generation in (5, 3, 4, 2):
            pool.submit(_publish, warehouse, generation)
    assert warehouse.generation == 5
    assert len(warehouse.jobs) == 4


def test_without_turns_the_older_of_two_jobs_can_win(warehouse: _Warehouse) -> None:
    """The test above can fail: the fake has the hole that the turns close."""
    may_end = threading.Event()
    older, newer = warehouse.insert("one", 2, may_end), warehouse.insert("two", 3)
    newer.exception()
    may_end.set()
    older.exception()
    assert warehouse.generation == 2


def test_the_ids_name_the_partition_the_generation_and_the_turn(warehouse: _Warehouse) -> None:
    for generation in (7, 7, 7, 9, 9):
        _publish(warehouse, generation)
    assert list(warehouse.jobs) == [
        "publish_green_202101_after_1_0",
        "publish_green_202101_after_7_0",
        "publish_green_202101_after_7_1",
        "publish_green_202101_after_7_2",
        "publish_green_202101_after_9_0",
    ]


def test_a_job_whose_acceptance_was_lost_is_recognized_and_not_submitted_again(
    warehouse: _Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client sends the request again, and BigQuery answers that the id is in use."""
    insert = BigQueryInsertJobOperator._submit_job

    def lose_answer(self: PublishOperator, hook: Any, job_id: str) -> Any:
        insert(self, hook, job_id)
        return insert(self, hook, job_id)

    monkeypatch.setattr(BigQueryInsertJobOperator, "_submit_job", lose_answer)
    operator = _operator()
    operator.location = "2"
    job = operator._submit_job(warehouse, "ignored")  # type: ignore[arg-type]
    job.exception()
    assert warehouse.jobs == {"publish_green_202101_after_1_0": job}
    assert operator.job_id == "publish_green_202101_after_1_0"


def test_each_try_labels_its_jobs_as_its_own(warehouse: _Warehouse) -> None:
    for _ in range(2):
        _publish(warehouse, 2)
    assert len({job.labels[SUBMITTED_BY] for job in warehouse.jobs.values()}) == 2


def test_a_task_that_is_killed_cancels_its_own_job_alone(
    warehouse: _Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator, seen = _operator(), []
    operator.location = "2"
    other = warehouse.insert("publish_green_202101_after_1_0", 1)
    monkeypatch.setattr(other, "exception", lambda: seen.append(operator.job_id))
    operator._submit_job(warehouse, "ignored").exception()  # type: ignore[arg-type]
    assert [*seen, operator.job_id] == [None, "publish_green_202101_after_1_1"]
