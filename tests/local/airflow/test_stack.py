"""What the stack says of itself, and how its components depend on one another; nothing is started but sleepers."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from local.airflow import stack, watcher
from local.airflow.environment import AirflowSettings
from local.airflow.watcher import Restarts
from local.cloud.processes import record_path, stop
from nyc_taxi.common.objects import WorkDirError
from tests.local.airflow.conftest import kill


def test_a_stack_that_is_down_has_no_trouble(settings: AirflowSettings) -> None:
    assert stack.troubles(settings) == []


def test_what_the_watcher_will_restart_is_no_trouble(settings: AirflowSettings, sleeper: Callable[[str], int]) -> None:
    sleeper(watcher.NAME)
    kill(settings, "scheduler", sleeper("scheduler"))
    assert watcher.find_lost(settings.cloud.state_dir) == ["scheduler"]
    assert stack.troubles(settings) == []


def test_what_the_watcher_will_restart_is_told(settings: AirflowSettings, sleeper: Callable[[str], int]) -> None:
    sleeper("bigquery")
    kill(settings, "scheduler", sleeper("scheduler"))
    assert stack.restarts_to_come(settings) == [], "without a watcher, nothing will"
    sleeper(watcher.NAME)
    assert stack.restarts_to_come(settings) == [
        f"scheduler has died, and the watcher restarts it; see {settings.home / 'process-logs' / 'scheduler.log'} "
        f"and {settings.home / 'process-logs' / 'watcher.log'}"
    ]
    Restarts(given_up={"scheduler": 1.0}).write(watcher.restarts_file(settings.cloud.state_dir))
    assert stack.restarts_to_come(settings) == []


def test_what_dies_without_a_watcher_is_told(settings: AirflowSettings, sleeper: Callable[[str], int]) -> None:
    kill(settings, "scheduler", sleeper("scheduler"))
    kill(settings, "postgres", sleeper("postgres"))
    assert stack.troubles(settings) == [
        f"postgres has died; see {settings.cloud.log_dir / 'postgres.log'}, then run make up",
        f"scheduler has died; see {settings.home / 'process-logs' / 'scheduler.log'}, then run make up",
        "the watcher, which restarts what dies, is not running; run make up",
    ]


def test_a_dead_watcher_is_told_while_all_else_runs(settings: AirflowSettings, sleeper: Callable[[str], int]) -> None:
    sleeper("scheduler")
    kill(settings, watcher.NAME, sleeper(watcher.NAME))
    assert stack.troubles(settings) == ["the watcher, which restarts what dies, is not running; run make up"]


def test_what_is_given_up_is_told(
    settings: AirflowSettings, sleeper: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "localtime", time.gmtime)
    sleeper(watcher.NAME)
    Restarts(given_up={"scheduler": 75_780.0}).write(watcher.restarts_file(settings.cloud.state_dir))
    assert stack.troubles(settings) == [
        "scheduler was restarted 5 times within 10 minutes and has died again at 21:03; see "
        f"{settings.home / 'process-logs' / 'scheduler.log'}, then run make up"
    ]


def test_what_sends_heartbeats_depends_on_postgres(settings: AirflowSettings) -> None:
    postgres = record_path(settings.cloud.run_dir, "postgres")
    needing = {one.name for one in stack._processes(settings, {}) if postgres in one.depends_on}
    assert needing == set(stack.COMPONENTS) == set(watcher.AIRFLOW_NEEDING_POSTGRES)


def test_only_a_heartbeat_of_its_own_shows_that_a_restarted_component_lives(
    settings: AirflowSettings, sleeper: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    monkeypatch.setattr(stack, "_beats", lambda url, component, since: asked.append(since) is None)
    sleeper("scheduler")
    healthy = stack._heartbeat(settings, "scheduler")
    assert healthy()
    assert asked == [0.0]
    stop(run_dir=settings.home / "run")
    assert not healthy()
    before = time.time()
    sleeper("scheduler")
    assert healthy()
    assert before <= asked[1] <= time.time()


@pytest.mark.parametrize("work_dir", ["work", "gs:/bucket/work", "~/work"])
def test_nothing_is_started_with_a_work_dir_that_no_task_can_use(
    settings: AirflowSettings, monkeypatch: pytest.MonkeyPatch, work_dir: str
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_WORK_DIR", work_dir)
    monkeypatch.setattr(stack, "cloud", lambda *_, **__: pytest.fail("something was started"))
    with pytest.raises(WorkDirError, match=f"the variable work_dir is '{work_dir}'; set it to the absolute path"):
        stack.up(settings)


def test_all_components_have_the_start_up_limit(make_settings) -> None:
    settings = make_settings(START_TIMEOUT="7")
    assert {one.startup_timeout for one in stack._processes(settings, {})} == {7}


def test_restarts_get_the_environment_of_the_start(make_settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_X", "1")
    settings = make_settings(SOURCE="/data/taxi", SOURCE_LAYOUT="tlc", GCS_PORT="1")
    given = stack._watcher_environment(settings, {"AIRFLOW__CORE__PARALLELISM": "2"})
    expected = {"SOURCE": "/data/taxi", "SOURCE_LAYOUT": "tlc", "GCS_PORT": "1", "AIRFLOW_VAR_X": "1"}
    assert {name: given[name] for name in expected} == expected
    assert given[stack.OVERRIDES] == '{"AIRFLOW__CORE__PARALLELISM": "2"}'
