"""What the watcher restarts, when, and when it gives up; no process is started."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path

import pytest

from local.airflow.watcher import AIRFLOW_NEEDING_POSTGRES, BUDGET, WINDOW, Restarts, Watcher


class Stack:
    """A stack whose components die when the test says so, and its clock."""

    def __init__(self, *, starts: bool = True) -> None:
        self.now = 1000.0
        self.starts = starts
        self.restarts = Restarts()
        self.restarted: list[tuple[float, list[str]]] = []
        self.given_up: list[str] = []
        self.log: list[str] = []
        self.watcher = Watcher(
            self.restarts,
            restart=self._restart,
            give_up=self.given_up.append,
            log=self.log.append,
            clock=lambda: self.now,
        )

    def _restart(self, names: Collection[str]) -> bool:
        self.restarted.append((self.now, list(names)))
        return self.starts

    def step(self, *dead: str, alive: Collection[str] = ()) -> bool:
        return self.watcher.step(list(dead), alive=alive)

    def die(self, *names: str) -> None:
        """Let ``names`` die once; half a minute later they have been restarted or given up."""
        self.step(*names)
        self.now += 30
        if self.watcher.has_pending:
            self.step(*names)

    def run(self, seconds: int, *dead: str) -> None:
        """Let ``dead`` be found dead in each of so many seconds; it dies again right after each restart."""
        for _ in range(seconds):
            self.step(*dead)
            self.now += 1


def test_what_has_died_is_restarted_at_once() -> None:
    stack = Stack()
    assert not stack.step(alive=["scheduler"])
    assert stack.step("scheduler", alive=["triggerer"])
    assert stack.restarted == [(1000.0, ["scheduler"])]
    assert stack.restarts.times == stack.restarts.own_deaths == {"scheduler": [1000.0]}
    assert not stack.watcher.has_pending
    assert not stack.step(alive=["scheduler", "triggerer"])
    assert stack.log == ["scheduler has died", "restarting scheduler", "restarted"]


def test_what_needs_postgres_is_restarted_with_it() -> None:
    stack = Stack()
    stack.step("postgres", "gcs")
    assert stack.restarted == [(1000.0, ["postgres", "gcs", *AIRFLOW_NEEDING_POSTGRES])]
    assert set(stack.restarts.times) == {"postgres", "gcs", *AIRFLOW_NEEDING_POSTGRES}


def test_what_needs_postgres_waits_for_it() -> None:
    stack = Stack()
    stack.restarts.own_deaths["postgres"] = [999.0]
    stack.step("postgres", "scheduler", "source")  # postgres waits for two seconds
    assert stack.restarted == [(1000.0, ["source"])]
    stack.now += 2
    stack.step("postgres", "scheduler")
    assert stack.restarted[1:] == [(1002.0, ["postgres", "scheduler", "dag-processor", "triggerer"])]


@pytest.mark.parametrize("starts", [True, False])
def test_restarts_are_delayed_and_end(starts: bool) -> None:
    stack = Stack(starts=starts)
    stack.run(60, "scheduler")
    times = [at - 1000.0 for at, _ in stack.restarted]
    assert len(times) == BUDGET
    pauses = [after - before for before, after in pairwise(times)]
    # One second more where the death is seen in the second after the restart.
    assert pauses == ([3.0, 5.0, 9.0, 17.0] if starts else [2.0, 4.0, 8.0, 16.0])
    assert list(stack.restarts.given_up) == ["scheduler"]
    assert stack.given_up == ["scheduler"]
    assert "scheduler was restarted 5 times within 10 minutes, and is given up; run make up" in stack.log
    stack.now += 2 * WINDOW
    stack.run(3, "scheduler")
    assert len(stack.restarted) == BUDGET, "what is given up stays so until make up"


def test_a_restart_that_cannot_begin_is_delayed_like_one_that_fails() -> None:
    stack = Stack()
    tries = []

    def restart(names: Collection[str]) -> bool:
        tries.append(stack.now)
        raise OSError("no space left on device")

    watcher = Watcher(
        stack.restarts, restart=restart, give_up=stack.given_up.append, log=stack.log.append, clock=lambda: stack.now
    )
    for _ in range(60):
        with contextlib.suppress(OSError):
            watcher.step(["scheduler"], alive=())
        stack.now += 1
    assert [after - before for before, after in pairwise(tries)] == [2.0, 4.0, 8.0, 16.0]
    assert stack.given_up == ["scheduler"]


def test_what_runs_again_with_postgres_is_given_up_no_longer() -> None:
    stack = Stack()
    stack.restarts.given_up["scheduler"] = 900.0
    stack.step("postgres")
    assert stack.restarts.given_up == {}


def test_a_clock_that_was_set_back_uses_up_no_budget() -> None:
    stack = Stack()
    stack.restarts.own_deaths["scheduler"] = [stack.now + 5000 + number for number in range(BUDGET)]
    stack.step("scheduler")
    assert stack.restarted == [(1000.0, ["scheduler"])]


def test_one_that_is_given_up_does_not_stop_the_others() -> None:
    stack = Stack()
    stack.restarts.given_up["triggerer"] = 900.0
    stack.step("triggerer", "scheduler")
    assert stack.restarted == [(1000.0, ["scheduler"])]


def test_without_postgres_airflow_is_not_restarted() -> None:
    stack = Stack()
    stack.restarts.given_up["postgres"] = 900.0
    stack.run(30, "scheduler")
    assert stack.restarted == []


def test_rare_deaths_use_up_no_budget() -> None:
    stack = Stack()
    for _ in range(3 * BUDGET):
        stack.step("scheduler")
        stack.now += WINDOW
    assert len(stack.restarted) == 3 * BUDGET
    assert stack.restarts.given_up == {}


def test_what_somebody_else_has_restarted_is_left_alone() -> None:
    stack = Stack(starts=False)
    stack.step("scheduler")
    assert stack.watcher.has_pending
    stack.now += 60
    stack.step(alive=["scheduler"])
    assert not stack.watcher.has_pending
    assert len(stack.restarted) == 1


def test_a_failed_start_is_tried_again_although_its_record_is_gone() -> None:
    stack = Stack(starts=False)
    stack.step("scheduler")
    stack.starts = True
    stack.run(3)
    assert [names for _, names in stack.restarted] == [["scheduler"], ["scheduler"]]
    assert not stack.watcher.has_pending


# Deaths that another component causes


def test_a_death_that_postgres_causes_is_not_one_of_its_own() -> None:
    stack = Stack()
    stack.step("postgres", "scheduler")
    assert stack.restarts.own_deaths == {"postgres": [1000.0]}
    assert set(stack.restarts.times) == {"postgres", *AIRFLOW_NEEDING_POSTGRES}, "make status counts every restart"


@pytest.mark.parametrize("also_dead", [(), ("scheduler",), AIRFLOW_NEEDING_POSTGRES])
def test_deaths_of_postgres_use_up_no_budget_but_its_own(also_dead: tuple[str, ...]) -> None:
    stack = Stack()
    for _ in range(BUDGET - 1):
        stack.die("postgres", *also_dead)
    for _ in range(BUDGET):
        stack.die("scheduler")
    assert stack.given_up == []
    assert [names for _, names in stack.restarted[BUDGET - 1 :]] == [["scheduler"]] * BUDGET
    stack.die("scheduler")
    assert stack.given_up == ["scheduler"], "it has no more than the budget for its own deaths"


def test_a_restart_after_postgres_has_no_delay_for_earlier_ones_with_postgres() -> None:
    stack = Stack()
    stack.step("postgres", "scheduler")
    stack.now += 20
    stack.step("scheduler")
    assert stack.restarted[1:] == [(1020.0, ["scheduler"])]


def test_what_has_used_up_its_budget_is_still_restarted_with_postgres() -> None:
    stack = Stack()
    stack.restarts.own_deaths["scheduler"] = [990.0 + number for number in range(BUDGET)]
    stack.step("postgres", "scheduler")
    assert stack.given_up == []
    assert stack.restarted == [(1000.0, ["postgres", "scheduler", "dag-processor", "triggerer"])]


def test_a_failed_restart_of_postgres_is_not_the_fault_of_what_needs_it() -> None:
    stack = Stack(starts=False)
    stack.run(40, "postgres")
    assert stack.given_up == ["postgres"]
    assert set(stack.restarts.own_deaths) == {"postgres"}
    assert {len(times) for times in stack.restarts.times.values()} == {BUDGET}


def test_what_fails_once_postgres_runs_again_counts() -> None:
    stack = Stack(starts=False)
    stack.step("postgres")
    for _ in range(60):
        stack.now += 1
        stack.step(alive=["postgres", "dag-processor", "triggerer"])
    assert list(stack.restarts.given_up) == ["scheduler"]
    assert stack.restarts.own_deaths["postgres"] == [1000.0]
    assert len(stack.restarts.own_deaths["scheduler"]) == BUDGET


def test_nothing_is_restarted_without_the_postgres_that_is_given_up_just_now() -> None:
    stack = Stack()
    stack.restarts.own_deaths["postgres"] = [990.0 + number for number in range(BUDGET)]
    stack.step("postgres", "scheduler", "gcs")
    assert stack.given_up == ["postgres"]
    assert stack.restarted == [(1000.0, ["gcs"])]


def test_restarts_are_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "restarts.json"
    assert Restarts.read(path) == Restarts()
    restarts = Restarts({"scheduler": [1.0, 2.0]}, {"scheduler": [2.0]}, {"gcs": 3.0}, 12)
    restarts.write(path)
    assert Restarts.read(path) == restarts
    path.write_text("{")
    assert Restarts.read(path) == Restarts()
    path.write_text('{"times": {"gcs": [1.0]}, "given_up": {}, "watching": 12}')  # of an earlier version
    assert Restarts.read(path) == Restarts({"gcs": [1.0]}, watching=12)


def test_restarts_are_told_in_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "localtime", time.gmtime)
    restarts = Restarts(times={"scheduler": [0.0, 75_780.0], "gcs": [75_840.0], "source": []})
    assert restarts.sentences() == ["gcs restarted 1 time, last 21:04", "scheduler restarted 2 times, last 21:03"]
