"""The record of a start: what commands take from it while the stack runs, and that a failed start leaves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from local.airflow import stack, start_record
from local.airflow.environment import AirflowSettings, Executor
from local.airflow.start_record import StartRecord
from local.cloud.processes import ProcessError
from nyc_taxi.registry.columns import Layout


@pytest.fixture
def given(make_settings, monkeypatch: pytest.MonkeyPatch) -> AirflowSettings:
    """Settings of a start, whose variables are gone."""
    names = {"SOURCE": "/data/my taxi", "SOURCE_LAYOUT": "tlc", "EXECUTOR": "celery", "WORKERS": "3"}
    made: AirflowSettings = make_settings(**names)
    for name in names:
        monkeypatch.delenv(name)
    return made


def test_the_running_stack_keeps_what_it_was_started_with(
    given: AirflowSettings, settings: AirflowSettings, sleeper: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    start_record.write(given.cloud, StartRecord.of(given))
    assert stack.as_running(settings) == settings, "it does not run"
    sleeper("scheduler")
    assert stack.as_running(settings) == given
    monkeypatch.setenv("WORKERS", "1")
    monkeypatch.setenv("SOURCE", "dtc")
    asked = replace(settings, workers=1, cloud=replace(settings.cloud, source="dtc"))
    assert stack.as_running(asked) == replace(asked, executor=Executor.CELERY)
    start_record.write(given.cloud, None)
    assert StartRecord.read(given.cloud) is None
    assert stack.as_running(given).executor is Executor.LOCAL, "started before there was a record"


@pytest.mark.parametrize("was_up", [False, True])
def test_a_start_that_fails_leaves_the_record(
    settings: AirflowSettings, sleeper: Callable[[str], int], monkeypatch: pytest.MonkeyPatch, was_up: bool
) -> None:
    before = StartRecord("dtc", Layout.MIRROR, Executor.LOCAL, 2) if was_up else None
    start_record.write(settings.cloud, before)
    if was_up:
        sleeper("scheduler")
    seen = []

    def fail(*_: object, check: bool = True) -> None:
        seen.append(StartRecord.read(settings.cloud))
        if check:
            raise ProcessError("the embedded cloud's up failed")

    monkeypatch.setattr(stack, "cloud", fail)
    with pytest.raises(ProcessError, match="up failed"):
        stack.up(settings)
    assert seen[0] == StartRecord.of(settings), "a start that is killed has left its own"
    assert StartRecord.read(settings.cloud) == before
