"""``make up`` with code from a git repository, by the one setting: the commit of a run that is held, new or cleared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.airflow.api import AirflowApi
from local.airflow.environment import BUNDLES, AirflowSettings
from local.airflow.stack import log_of
from tests.code_repository import WARNING, CodeRepository
from tests.integration.conftest import publish, running_stack, stack_environment
from tests.integration.gate import Gate, Held
from tests.integration.support import assert_loaded, await_, end, trigger

pytestmark = pytest.mark.full

DAG = "green_web_to_postgres"
# The DAG processor looks for a commit, and parses unchanged files again, sooner than by default.
SOONER = {
    "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "2",
}


@pytest.fixture
def repository(tmp_path: Path) -> CodeRepository:
    return CodeRepository(tmp_path)


@pytest.fixture
def old(repository: CodeRepository) -> str:
    """The commit that the stack starts with."""
    return repository.commit("OLD")


@pytest.fixture
def stack(repository: CodeRepository, old: str, tmp_path: Path) -> Iterator[AirflowSettings]:
    source = tmp_path / "source"
    for month in ("2020-05", "2020-06"):
        publish(source, "green", month)
    local = tmp_path / "local"
    local.mkdir()
    environment = stack_environment(local, source, **SOONER, **{BUNDLES: repository.setting(refresh_interval=1)})
    with running_stack(environment) as settings:
        yield settings


@pytest.fixture
def api(stack: AirflowSettings) -> Iterator[AirflowApi]:
    with AirflowApi(stack) as client:
        yield client


def test_a_run_keeps_its_commit_and_is_cleared_with_it_or_with_the_newest(
    stack: AirflowSettings, api: AirflowApi, repository: CodeRepository, old: str
) -> None:
    warned = log_of(stack, "dag-processor")
    await_commit(api, old)
    with Gate() as gate:
        run, held = start_held(api, gate)
        assert WARNING not in warned.read_text()
        new = repository.commit("NEWER", timetables="CHANGED = True\n")
        await_commit(api, new)
        later = trigger(api, DAG, {"month": "2020-06"})
        gate.release([held])
    assert_ran(api, run, old, "OLD", 1)
    assert_ran(api, later, new, "NEWER", 1)
    clear(api, run, newest=False)
    assert_ran(api, run, old, "OLD", 2)
    clear(api, run, newest=True)
    assert_ran(api, run, new, "NEWER", 3)
    assert warned.read_text().count(WARNING) == 1


def await_commit(api: AirflowApi, commit: str) -> None:
    """Wait until the DAG processor has parsed the DAG of this commit, with which new runs start.

    It writes the commit to the DAG, and then the version of the DAG: tasks of a run in between have the old version.
    """

    def is_there() -> bool:
        if (dag := api.dag(DAG)) is None or dag["bundle_version"] != commit:
            return False
        found = api.call("GET", f"/dags/{DAG}/dagVersions?order_by=-version_number&limit=1")
        return [each["bundle_version"] for each in found["dag_versions"]] == [commit]

    await_(is_there, f"{DAG} is of {commit}", 120)


def start_held(api: AirflowApi, gate: Gate) -> tuple[str, Held]:
    """Start a run, and wait until a task in its middle is held: others have ended, others have not started."""
    run = api.trigger(DAG, {"month": "2020-05"})
    held = Held(DAG, run, "load_staging")
    [instance] = [task["id"] for task in api.tasks(DAG, run) if task["task_id"] == held.task_id]
    gate.expect({instance: held})
    api.set_paused(DAG, False)
    await_(lambda: held in gate.held, "the task is held", 120)
    return run, held


def clear(api: AirflowApi, run: str, *, newest: bool) -> None:
    """Clear a whole run, as the UI does, with or without the tick at the newest code."""
    body = {"dry_run": False, "only_failed": False, "run_on_latest_version": newest}
    api.call("POST", f"/dags/{DAG}/dagRuns/{run}/clear", **body)


def assert_ran(api: AirflowApi, run: str, commit: str, state: str, try_number: int) -> None:
    """Assert that a run ends well, has recorded this commit, and that its last statement was of this commit alone."""
    assert end(api, DAG, run) == "success", api.tasks(DAG, run)
    assert_loaded(api, DAG, run)
    assert api.run(DAG, run)["bundle_version"] == commit
    assert {task["dag_version"]["bundle_version"] for task in api.tasks(DAG, run)} == {commit}
    log = api.log(DAG, run, "drop_staging", try_number)
    seen = [line[line.index("-- sql ") :] for line in log if "-- sql " in line]
    assert seen == [f"-- sql {state}, package {state}, DAG {state}"]
