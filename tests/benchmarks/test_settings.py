"""The choice of a setting by its figures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.conditions import QUICK
from benchmarks.rows import settings


class _Runs:
    """An Airflow whose runs take as many seconds as its scheduler sleeps, times a weight."""

    def __init__(self, sleep: float) -> None:
        self.sleep = sleep

    def unpause(self, *dag_ids: str) -> None: ...

    def pause(self, dag_id: str) -> None: ...


def test_each_value_is_measured_in_turns_and_the_shipped_one_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    class Lab:
        conditions = SimpleNamespace(**{**vars(QUICK), "slow_repeats": 3})

        @contextmanager
        def runs_with(self, variables: dict[str, str]) -> Iterator[_Runs]:
            started.append(variables[settings.IDLE_SLEEP])
            yield _Runs(float(started[-1]))

        def run_dirs(self) -> list[Any]:
            return []

    monkeypatch.setattr(settings, "backfill_months", lambda lab: ["2020-01", "2020-02"])
    monkeypatch.setattr(settings, "seconds_per_task", lambda runs, tasks: runs.sleep)
    monkeypatch.setattr(settings, "seconds_of_month", lambda runs, dataset, month: 10 * runs.sleep)
    monkeypatch.setattr(settings, "seconds_of_backfill", lambda runs, dataset, months, parallel: 100 * runs.sleep)
    monkeypatch.setattr(settings, "percent_of_a_core", lambda run_dirs, seconds: 5.0)
    monkeypatch.setattr("time.sleep", lambda seconds: None)

    measured = settings.SCHEDULER_IDLE_SLEEP.run(Lab())  # type: ignore[arg-type]

    assert started == [*settings.IDLE_SLEEPS, *reversed(settings.IDLE_SLEEPS)]
    chosen = settings.chosen_idle_sleep()
    assert list(measured.ours) == [10 * float(chosen)] * settings.ROUNDS
    assert measured.more["by_setting"]["0.5 s"] == {
        "no-op task, s": 0.5, "month, s": 5.0, "backfill, s": 50.0, "idle, % of a core": 5.0,
    }  # fmt: skip


def test_the_shipped_value_is_one_of_those_measured() -> None:
    assert settings.chosen_idle_sleep() in settings.IDLE_SLEEPS


def test_the_median_is_taken_of_each_figure() -> None:
    assert settings.medians([{"a": 1.0, "b": 5.0}, {"a": 2.0, "b": 9.0}, {"a": 9.0, "b": 1.0}]) == {"a": 2.0, "b": 5.0}
