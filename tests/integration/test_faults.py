"""Every component of the running stack killed while months are under way; each case is a line of docs/reliability.md.

The source is stopped while the months start, so that they are in the middle when the kill comes. What is not restarted
by the stack itself is started again by ``make up``'s code.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from local.airflow import reconcile
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from local.cloud.source.layouts import MIRROR
from local.cloud.source.months import Month as SourceMonth
from local.cloud.source.synthetic import write_month
from nyc_taxi.registry.datasets import FHV, GREEN, YELLOW
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.store import Content
from tests.faults.catalog import STACK
from tests.integration.conftest import REPOSITORY, Command
from tests.integration.support import (
    NOTHING_LEFT,
    await_,
    await_warehouse,
    end,
    leftovers,
    run_months,
    task_states,
    trigger_both,
    warehouse_runs,
)

pytestmark = pytest.mark.full

MONTH = Month(2022, 7)
FILES = {dataset.name: dataset.file(MONTH) for dataset in (GREEN, YELLOW, FHV)}
ROWS = (600, 700)
# Killed together, by the name of the round: what is down at the same time is promised no less.
ROUNDS = {
    "scheduler": ("scheduler",),
    "api-server": ("api-server",),
    "no tasks": ("triggerer", "dag-processor"),
    "google": ("gcs", "bigquery"),
    "postgres": ("postgres",),
}
KILLED = {"stack-kill-task": "green_web_to_gcs", "stack-kill-supervisor": "yellow_web_to_postgres"}
BESIDE = "stack-dags-test-beside-scheduler"
Contents = dict[str, dict[str, Content]]
Runs = dict[str, str]


def test_every_promise_has_its_test() -> None:
    components = {f"stack-kill-{name}" for names in ROUNDS.values() for name in names}
    assert {promise.id for promise in STACK} == {*components, *KILLED, BESIDE}


class Months:
    """A month of three datasets in two versions, whose contents in every store are known.

    Args:
        settings: of the running stack.
        api: its API.
        source: the folder of its source.
        up: ``make up``.
    """

    def __init__(self, settings: AirflowSettings, api: AirflowApi, source: Path, up: Callable[[], object]) -> None:
        self.settings, self.api, self.up = settings, api, up
        self._source = source
        self._rows = ROWS[0]
        self.known: dict[int, Contents] = {}
        for rows in reversed(ROWS):
            self.publish(rows)
            run_months(api, dict.fromkeys(FILES, str(MONTH)))
            self.known[rows] = self.contents()

    def publish(self, rows: int) -> None:
        """Put a version of all months into the source."""
        self._rows = rows
        for name in FILES:
            path = self._source / MIRROR.file(name, MONTH)
            write_month(name, SourceMonth.parse(str(MONTH)), path, rows=rows)

    def publish_other(self) -> None:
        """Put the version into the source that it does not have now."""
        self.publish(next(rows for rows in ROWS if rows != self._rows))

    def contents(self) -> Contents:
        """Return the contents of the months in every store."""
        return {name: reconcile.contents(self.settings, file) for name, file in FILES.items()}

    @contextmanager
    def under_way(self) -> Iterator[Runs]:
        """Publish the other version and start the months; after the block all must arrive, whole.

        Yields the runs by DAG, when their first tasks wait for an answer of the source, which is stopped until the end
        of the block.
        """
        if self.contents() != self.known[self._rows]:  # the test before has failed; judge this one by itself
            run_months(self.api, dict.fromkeys(FILES, str(MONTH)), force=True)
        self.publish_other()
        before, new = self.contents(), self.known[self._rows]
        assert all(before[name][store] != new[name][store] for name in FILES for store in new[name])
        seen = warehouse_runs(self.api, dict.fromkeys(FILES, str(MONTH)))
        with self.stopped_source():
            runs = {dag: run for name in FILES for dag, run in trigger_both(self.api, name, str(MONTH)).items()}
            for dag_id, run_id in runs.items():
                await_(lambda run=(dag_id, run_id): self.task(*run)["state"] == "running", f"{dag_id} asks the source")
            yield runs
        self.up()
        for dag_id, run_id in runs.items():
            assert self.end(dag_id, run_id) == "success", (dag_id, task_states(self.api, dag_id, run_id))
        await_warehouse(self.api, dict.fromkeys(FILES, str(MONTH)), seen)
        assert self.contents() == new
        await_(lambda: leftovers(self.settings) == NOTHING_LEFT, "nothing is left over", 30)

    @contextmanager
    def stopped_source(self) -> Iterator[None]:
        """Stop the source's process during the block: requests wait."""
        source = component(self.settings, "source")
        source.suspend()
        try:
            yield
        finally:
            with suppress(psutil.NoSuchProcess):  # the stack may have restarted a source that does not answer
                source.resume()

    def task(self, dag_id: str, run_id: str, task_id: str = "wait_for_publication") -> dict[str, Any]:
        """Return a task instance."""
        return next(task for task in self.api.tasks(dag_id, run_id) if task["task_id"] == task_id)

    def end(self, dag_id: str, run_id: str) -> str:
        """Wait for the end of a run."""
        return end(self.api, dag_id, run_id)


def component(settings: AirflowSettings, name: str) -> psutil.Process:
    """Return the process of a component."""
    for folder in (settings.cloud.run_dir, settings.home / "run"):
        path = folder / f"{name}.json"
        if path.exists():
            return psutil.Process(json.loads(path.read_text())["pid"])
    raise AssertionError(f"{name} does not run")


@pytest.fixture(scope="module")
def months(stack: AirflowSettings, api: AirflowApi, source_dir: Path, local_airflow: Command) -> Iterator[Months]:
    """The months, with both of their versions loaded once; at the end everything runs again."""

    def up() -> None:
        done = local_airflow("up")
        assert done.returncode == 0, done.stdout + done.stderr

    yield Months(stack, api, source_dir, up)
    up()


@pytest.mark.parametrize("name", ROUNDS)
def test_months_survive_killed_components(months: Months, name: str) -> None:
    with months.under_way():
        killed = [component(months.settings, one) for one in ROUNDS[name]]
        for process in killed:
            process.kill()
        for process in killed:
            await_(lambda gone=process: not _runs(gone), f"{name} is dead", 10)


def _runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def task_process(instance: dict[str, Any]) -> psutil.Process:
    """Return the process of a running task; its parent is its supervisor."""
    for process in psutil.process_iter(["cmdline"]):
        # A title that a process gives itself may be followed by spaces.
        if " ".join(process.info["cmdline"] or ()).strip() == f"airflow worker -- {instance['id']}":
            return process
    raise AssertionError(f"no process runs {instance['task_id']} {instance['id']}")


@pytest.fixture(scope="module")
def killed(months: Months) -> Runs:
    """The ended runs in which a task was killed, and its supervisor, by DAG."""
    with months.under_way() as runs:
        for case, dag_id in KILLED.items():
            process = task_process(months.task(dag_id, runs[dag_id]))
            if case == "stack-kill-supervisor":
                supervisor = process.parent()
                assert supervisor is not None
                supervisor.kill()
            else:
                process.kill()
    return runs


@pytest.mark.parametrize("case", KILLED)
def test_a_killed_task_is_retried(months: Months, killed: Runs, case: str) -> None:
    dag_id = KILLED[case]
    instance = months.task(dag_id, killed[dag_id])
    assert (instance["state"], instance["try_number"]) == ("success", 2)


def test_dags_test_beside_the_scheduler(months: Months) -> None:
    """Both load the same month: one by the scheduler, one in the foreground."""
    months.publish_other()
    new = months.known[months._rows]
    month = {"month": str(MONTH), "force": True}
    run_id = months.api.trigger("green_web_to_postgres", month)
    command = [REPOSITORY / "bin" / "airflow", "dags", "test", "green_web_to_postgres", "-c", json.dumps(month)]
    test = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=120, check=False)

    assert test.returncode == 0, test.stdout[-3000:] + test.stderr[-3000:]
    assert months.end("green_web_to_postgres", run_id) == "success"
    assert months.contents()["green"]["postgres"] == new["green"]["postgres"]
    assert leftovers(months.settings) == NOTHING_LEFT
