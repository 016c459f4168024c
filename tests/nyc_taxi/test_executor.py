"""The executor's pauses: none while there is work, over when a task ends, short ones after work, long ones else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from multiprocessing import SimpleQueue
from typing import Any

import pytest
from airflow.executors.local_executor import LocalExecutor

from localcloud.settings import REPOSITORY, read_env_file
from nyc_taxi import executor as module
from nyc_taxi.executor import PromptLocalExecutor


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> Iterator[PromptLocalExecutor]:
    """One without workers, which only looks for what has ended; its pauses are long enough to be told apart."""
    monkeypatch.setattr(module, "BUSY_PAUSE", 0.2)
    monkeypatch.setattr(module, "IDLE_PAUSE", 0.6)
    monkeypatch.setattr(LocalExecutor, "_check_workers", lambda self: None)
    one = PromptLocalExecutor(parallelism=2)
    one.result_queue = SimpleQueue()
    yield one
    one.result_queue.close()


def _seconds(executor: PromptLocalExecutor) -> float:
    begin = time.monotonic()
    executor.sync()
    return time.monotonic() - begin


def _ended(executor: PromptLocalExecutor, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    told: list[Any] = []
    monkeypatch.setattr(executor, "change_state", lambda key, state: told.append((key, state)))
    return told


def test_it_waits_long_when_nothing_happens(executor: PromptLocalExecutor) -> None:
    assert _seconds(executor) >= 0.6


def test_it_does_not_wait_when_tasks_were_handed_out_and_then_only_a_little(
    executor: PromptLocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor.queued_tasks = {"a": object()}  # type: ignore[assignment,dict-item]
    monkeypatch.setattr(LocalExecutor, "trigger_tasks", lambda self, slots: self.queued_tasks.clear())
    executor.trigger_tasks(1)
    assert _seconds(executor) < 0.2

    executor.trigger_tasks(1)
    assert 0.2 <= _seconds(executor) < 0.6


def test_tasks_that_find_no_slot_are_not_taken_for_work(
    executor: PromptLocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor.queued_tasks = {"a": object()}  # type: ignore[assignment,dict-item]
    monkeypatch.setattr(LocalExecutor, "trigger_tasks", lambda self, slots: None)
    executor.trigger_tasks(0)

    assert _seconds(executor) >= 0.6


def test_the_end_of_a_task_ends_the_wait_and_is_told_in_the_next_turn(
    executor: PromptLocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = _ended(executor, monkeypatch)
    threading.Timer(0.1, executor.result_queue.put, [("a", "success", None)]).start()

    assert 0.1 <= _seconds(executor) < 0.5
    assert told == []  # the scheduler looks at the database first
    assert _seconds(executor) < 0.2
    assert told == [("a", "success")]
    assert 0.2 <= _seconds(executor) < 0.6


def test_where_several_tasks_run_their_ends_are_told_together(
    executor: PromptLocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = _ended(executor, monkeypatch)
    executor.running = {"a", "b"}  # type: ignore[assignment,arg-type]
    executor._last_work = time.monotonic()
    for delay, key in ((0.05, "a"), (0.1, "b")):
        threading.Timer(delay, executor.result_queue.put, [(key, "success", None)]).start()

    assert 0.2 <= _seconds(executor) < 0.6
    assert _seconds(executor) < 0.2
    assert told == [("a", "success"), ("b", "success")]


def test_it_is_the_executor_of_every_stack() -> None:
    settings = read_env_file(REPOSITORY / "config" / "airflow.env")

    assert settings["AIRFLOW__CORE__EXECUTOR"] == f"{PromptLocalExecutor.__module__}.{PromptLocalExecutor.__name__}"
