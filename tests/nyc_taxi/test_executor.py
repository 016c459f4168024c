"""When the executor waits for the end of a task, when it returns, and which tasks it hands out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import SimpleQueue
from typing import Any

import pytest
from airflow.executors.local_executor import LocalExecutor

from localcloud.settings import REPOSITORY, read_env_file
from nyc_taxi import executor as module
from nyc_taxi.executor import PromptLocalExecutor

BUSY, IDLE = 0.3, 0.8


@dataclass(frozen=True)
class Workload:
    """What the scheduler queues, as far as the executor looks at it."""

    key: str


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> Iterator[PromptLocalExecutor]:
    """One without workers, on two processors, that has been idle; its pauses are long enough to be told apart."""
    monkeypatch.setattr(module, "BUSY_PAUSE", BUSY)
    monkeypatch.setattr(module, "IDLE_PAUSE", IDLE)
    monkeypatch.setattr(LocalExecutor, "_check_workers", lambda self: None)
    monkeypatch.setattr(LocalExecutor, "_process_workloads", _take_from_the_queue)
    one = PromptLocalExecutor(parallelism=8)
    one._processors = 2
    one.result_queue = SimpleQueue()
    one.workers = {}
    yield one
    one.result_queue.close()


def _take_from_the_queue(executor: PromptLocalExecutor, workloads: list[Workload]) -> None:
    for workload in workloads:
        executor.queued_tasks.pop(workload.key)  # type: ignore[call-overload]


@pytest.fixture
def told(executor: PromptLocalExecutor, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What the scheduler has been told: keys, each with its state."""
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(executor, "change_state", lambda key, state: told.append((key, state)))
    return told


def _queue(executor: PromptLocalExecutor, *keys: str) -> None:
    """Queue tasks, and let the executor hand them out, as the scheduler does in a turn."""
    for key in keys:
        executor.queued_tasks[key] = Workload(key)  # type: ignore[assignment,index]
    executor._process_workloads(list(executor.queued_tasks.values()))


def _end(executor: PromptLocalExecutor, *keys: str, after: float = 0.0) -> None:
    """Let the workers say that tasks have ended."""

    def put() -> None:
        for key in keys:
            executor.result_queue.put((key, "success", None))

    threading.Timer(after, put).start() if after else put()


def _seconds(call: Callable[[], Any]) -> float:
    begin = time.monotonic()
    call()
    return time.monotonic() - begin


def test_it_waits_long_when_nothing_happens(executor: PromptLocalExecutor) -> None:
    assert IDLE <= _seconds(executor.sync) < IDLE + 0.3


def test_it_waits_only_a_little_after_tasks_were_handed_out_or_have_ended(
    executor: PromptLocalExecutor, told: list[tuple[str, str]]
) -> None:
    _queue(executor, "a")
    assert BUSY <= _seconds(executor.sync) < IDLE

    _end(executor, "a")
    assert _seconds(executor.sync) < BUSY
    assert BUSY <= _seconds(executor.sync) < IDLE
    assert told == [("a", "success")]


@pytest.mark.parametrize("running", [("b",), ("a", "b")], ids=["alone", "one for each processor"])
def test_an_end_that_frees_a_processor_ends_the_wait_and_is_told(
    executor: PromptLocalExecutor, told: list[tuple[str, str]], running: tuple[str, ...]
) -> None:
    _queue(executor, *running)
    _end(executor, "b", after=0.1)

    assert 0.1 <= _seconds(executor.sync) < BUSY
    assert told == [("b", "success")]


def test_while_all_processors_are_busy_ends_are_told_in_rounds(
    executor: PromptLocalExecutor, told: list[tuple[str, str]]
) -> None:
    _queue(executor, "a", "b", "c", "d")
    _end(executor, "a", after=0.05)
    _end(executor, "d", after=0.1)

    assert BUSY <= _seconds(executor.sync) < IDLE
    assert told == [("a", "success"), ("d", "success")]

    _end(executor, "b")  # one is left for two processors
    assert _seconds(executor.sync) < BUSY


def test_a_task_that_goes_on_before_its_last_process_has_ended_stays_queued(
    executor: PromptLocalExecutor, told: list[tuple[str, str]]
) -> None:
    _queue(executor, "waits")
    _queue(executor, "waits", "other")
    assert list(executor.queued_tasks) == ["waits"]  # and so the scheduler does not take it for lost

    _end(executor, "waits")
    executor.sync()
    assert told == [("waits", "success")]
    _queue(executor)
    assert list(executor.queued_tasks) == []


def test_after_the_death_of_a_worker_nothing_is_waited_for(
    executor: PromptLocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    _queue(executor, "a", "b", "c", "d")
    executor.workers = {1: object(), 2: object()}  # type: ignore[dict-item]
    monkeypatch.setattr(LocalExecutor, "_check_workers", lambda self: self.workers.pop(1))

    executor.sync()

    _queue(executor, "a")
    assert list(executor.queued_tasks) == []
    assert len(executor._handed_out) == 1


def test_it_is_the_executor_of_every_stack() -> None:
    settings = read_env_file(REPOSITORY / "config" / "airflow.env")

    assert settings["AIRFLOW__CORE__EXECUTOR"] == f"{PromptLocalExecutor.__module__}.{PromptLocalExecutor.__name__}"
