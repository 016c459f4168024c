"""Every component of the running stack killed while months are under way; each case is a line of docs/reliability.md.

The source is stopped while the months start, so that they are in the middle when the kill comes. What is not restarted
by the stack itself is started again by ``make up``'s code.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from local.airflow import reconcile
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from local.cloud.source.layouts import MIRROR
from local.cloud.source.months import Month as SourceMonth
from local.cloud.source.synthetic import write_month
from nyc_taxi.registry.datasets import FHV, GREEN, YELLOW
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.store import Content
from tests.faults.cases import STACK
from tests.integration.conftest import Command
from tests.integration.support import (
    NOTHING_LEFT,
    AirflowCli,
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
Contents = dict[str, dict[str, Content]]


class Months:
    """A month of three datasets in two versions, whose contents in every store are known."""

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

    def contents(self) -> Contents:
        """Return the contents of the months in every store."""
        return {name: reconcile.contents(self.settings, file) for name, file in FILES.items()}

    @contextmanager
    def under_way(self) -> Iterator[dict[str, str]]:
        """Publish the other version and start the months; at the end of the block all must have arrived.

        Yields the runs by DAG. They read the source, which is stopped until the end of the block.
        """
        self.publish(next(rows for rows in ROWS if rows != self._rows))
        before = self.contents()
        seen = warehouse_runs(self.api, dict.fromkeys(FILES, str(MONTH)))
        source = _record(self.settings, "source")
        os.kill(source, signal.SIGSTOP)
        try:
            runs = {dag: run for name in FILES for dag, run in trigger_both(self.api, name, str(MONTH)).items()}
            for dag_id, run_id in runs.items():
                await_(
                    lambda dag=dag_id, run=run_id: task_states(self.api, dag, run)["wait_for_publication"] == "running",
                    f"{dag_id} asks the source",
                )
            yield runs
        finally:
            os.kill(source, signal.SIGCONT)
        self._must_arrive(runs, seen, before)

    def _must_arrive(self, runs: dict[str, str], seen: dict[str, set[str]], before: Contents) -> None:
        new = self.known[self._rows]
        for dag_id, run_id in runs.items():
            assert end(self.api, dag_id, run_id) == "success", (dag_id, task_states(self.api, dag_id, run_id))
        await_warehouse(self.api, dict.fromkeys(FILES, str(MONTH)), seen)
        assert before != new
        assert self.contents() == new
        await_(lambda: leftovers(self.settings) == NOTHING_LEFT, "nothing is left over", 30)


def _record(settings: AirflowSettings, name: str) -> int:
    """Return the process id of a component."""
    for folder in (settings.cloud.run_dir, settings.home / "run"):
        path = folder / f"{name}.json"
        if path.exists():
            return int(json.loads(path.read_text())["pid"])
    raise AssertionError(f"{name} does not run")


@pytest.fixture(scope="module")
def months(
    stack: AirflowSettings, api: AirflowApi, source_dir: Path, local_airflow: Command
) -> Iterator[Months]:
    """The months, and both of their versions loaded once."""

    def up() -> None:
        done = local_airflow("up")
        assert done.returncode == 0, done.stdout + done.stderr

    yield Months(stack, api, source_dir, up)
    up()


def _task_processes(dag_id: str, run_id: str) -> list[psutil.Process]:
    """Return the processes of a DAG's running tasks: the supervisor, and the task runner that is its child."""
    return [
        process
        for process in psutil.process_iter()
        if dag_id in " ".join(_command(process)) and run_id in " ".join(_command(process))
    ]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _kill_components(months: Months, names: list[str]) -> None:
    with months.under_way():
        for name in names:
            os.kill(_record(months.settings, name), signal.SIGKILL)
        months.up()


@pytest.mark.parametrize("case", [case for case in STACK if case.id.startswith("stack-kill-") and case.id.split("-kill-")[1] not in ("task", "supervisor")], ids=lambda case: case.id)
def test_killed_component(months: Months, case: object) -> None:
    _kill_components(months, [case.id.removeprefix("stack-kill-")])  # type: ignore[attr-defined]
