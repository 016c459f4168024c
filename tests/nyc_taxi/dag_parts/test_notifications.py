"""The texts of notifications, and when they are sent."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG

from nyc_taxi.dag_parts import notifications
from nyc_taxi.dag_parts.notifications import (
    end_log_with_cause,
    failure_text,
    notify_failure,
    notify_late,
    notify_warning,
    run_url,
)
from nyc_taxi.registry.model import ContractError

RUN_ID = "scheduled__2021-03-01T00:00:00+00:00"
RUN_URL = "http://127.0.0.1:8080/dags/green_web_to_gcs/runs/scheduled__2021-03-01T00%3A00%3A00%2B00%3A00"
CONTEXT: dict[str, Any] = {
    "dag": DAG(dag_id="green_web_to_gcs", schedule=None),
    "run_id": RUN_ID,
    "reason": "task_failure",
    "dag_run": SimpleNamespace(partition_key="2021-01"),
    "params": {"month": None, "force": False},
    "ti": SimpleNamespace(
        task_id="to_parquet",
        log_url="http://127.0.0.1:8080/dags/x",
        xcom_pull=lambda task_ids, key: {("to_parquet", "skip_reason"): "failed warning checks: one, two"}[
            task_ids, key
        ],
    ),
}
WHERE = f"in run {RUN_ID}, task to_parquet, log http://127.0.0.1:8080/dags/x, {RUN_URL}"
TEXT = f"green_web_to_gcs failed for 2021-01: task_failure {WHERE}"


@pytest.fixture(autouse=True)
def base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://127.0.0.1:8080/")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is given to the channels."""
    texts: list[str] = []
    monkeypatch.setattr(notifications, "deliver", texts.append)
    return texts


def test_each_failure_sends_its_own_message(sent: list[str]) -> None:
    notify_failure(CONTEXT)
    notify_failure({**CONTEXT, "run_id": "other"})

    assert sent == [TEXT, failure_text({**CONTEXT, "run_id": "other"})]
    assert sent[0] != sent[1]


def test_the_month_or_year_is_the_key_or_what_was_asked_for() -> None:
    by_hand = {**CONTEXT, "dag_run": SimpleNamespace(partition_key=None)}

    assert failure_text(CONTEXT) == TEXT
    assert failure_text({**by_hand, "params": {"month": "2020-05"}}).startswith("green_web_to_gcs failed for 2020-05: ")
    assert failure_text({**by_hand, "params": {"year": "2020"}}).startswith("green_web_to_gcs failed for 2020: ")
    assert failure_text(by_hand).startswith("green_web_to_gcs failed: task_failure in run ")


def test_a_context_with_the_run_alone_is_enough() -> None:
    least = {"dag": CONTEXT["dag"], "run_id": "x", "reason": "timed_out"}

    address = "http://127.0.0.1:8080/dags/green_web_to_gcs/runs/x"
    assert failure_text(least) == f"green_web_to_gcs failed: timed_out in run x, {address}"


def test_warning_checks_are_told_by_name_with_month_and_addresses(sent: list[str]) -> None:
    notify_warning(CONTEXT)

    assert sent == [f"green_web_to_gcs warns for 2021-01: failed warning checks: one, two {WHERE}"]


def _late(sent: list[str], **run: Any) -> list[str]:
    """What is sent of a run at its deadline, with the context that Airflow hands to the callback."""
    run = {"dag_id": "green_web_to_gcs", "dag_run_id": RUN_ID, "partition_key": "2021-01", "state": "running", **run}
    deadline = {"id": "1", "deadline_time": datetime(2021, 4, 5, 7, 30, 1, tzinfo=UTC)}
    asyncio.run(notify_late(context={"dag_run": {"conf": None, **run}, "deadline": deadline}))
    return sent


@pytest.mark.parametrize("run", [{}, {"partition_key": None, "conf": {"month": "2021-01"}}])
def test_a_late_run_is_told_with_its_month_and_address(sent: list[str], run: dict[str, Any]) -> None:
    when = "not ended by 2021-04-05 07:30 UTC, but running"
    assert _late(sent, **run) == [f"green_web_to_gcs is late for 2021-01: {when}, in run {RUN_ID}, {RUN_URL}"]


@pytest.mark.parametrize("state", ["success", "failed"])
def test_a_run_that_has_ended_is_not_late(sent: list[str], state: str) -> None:
    assert _late(sent, state=state) == []


def test_no_message_has_more_than_one_line(sent: list[str]) -> None:
    forged = "x\nforged"
    notify_failure({**CONTEXT, "run_id": forged})
    notify_warning({**CONTEXT, "run_id": forged})
    _late(sent, dag_run_id=forged)

    assert [text.count("\n") for text in sent] == [0, 0, 0]


def test_the_address_of_a_run_is_quoted() -> None:
    assert run_url("green_web_to_gcs", RUN_ID) == RUN_URL


def test_the_cause_is_the_last_line_of_a_failed_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    end_log_with_cause({**CONTEXT, "exception": ContractError("x.csv is not valid:\nrow 3")})

    # Twice: a group of what follows the task, inside the one of what precedes it if a template could not be rendered.
    assert caplog.messages == ["::endgroup::", "::endgroup::", "ContractError: x.csv is not valid:\\nrow 3"]
    assert caplog.records[-1].levelno == logging.ERROR


def test_a_failure_without_an_exception_adds_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    end_log_with_cause(CONTEXT)

    assert caplog.messages == []
