"""Components of the running stack killed while tasks are held at every step of every DAG; see tests/faults/killers.py.

Each killed component is a line of docs/reliability.md. The watcher restarts what dies; only where it is killed itself,
``make up`` does.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from local.airflow import reconcile, watcher
from local.airflow import stack as local_stack
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from local.airflow.watcher import Restarts
from local.cloud.processes import locked
from local.cloud.source.layouts import MIRROR
from local.cloud.source.months import Month as SourceMonth
from local.cloud.source.synthetic import write_month
from nyc_taxi.registry.datasets import FHV, GREEN, YELLOW, ZONES
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.store import Content
from tests import clients
from tests.faults.catalog import STACK
from tests.faults.killers import COMPONENTS, KILLED, LEVELS, SUPERVISOR, TASK, WATCHER
from tests.integration.conftest import REPOSITORY, Command
from tests.integration.gate import Gate, Held
from tests.integration.support import (
    NOTHING_LEFT,
    await_,
    await_warehouse,
    end,
    leftovers,
    put_into_lake,
    put_into_warehouse,
    run_months,
    task_states,
    trigger,
    warehouse_runs,
)

# The first test waits for all runs, whose tasks are killed and retried.
pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]

MONTH = Month(2022, 7)
FILES = {dataset.name: dataset.file(MONTH) for dataset in (GREEN, YELLOW, FHV)}
ROWS = (600, 700)
# A year that no other test loads, complete for one dataset.
YEAR = 2023
ROLLUP = "trips_yearly_rollup"
TRIPS_OF_MONTH = {Month(YEAR, number): [1] * (10 + number) for number in range(1, 13)}
# The runs that are held, by their DAG: the pipeline, and what starts them.
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "green_web_to_gcs": ("web_to_gcs", {"month": str(MONTH)}),
    "zones_web_to_gcs": ("web_to_gcs", {}),
    "zones_gcs_to_bigquery": ("gcs_to_bigquery", {}),
    "yellow_gcs_to_bigquery": ("gcs_to_bigquery", {"month": str(MONTH)}),
    "fhv_web_to_postgres": ("web_to_postgres", {"month": str(MONTH)}),
    ROLLUP: (ROLLUP, {"year": str(YEAR)}),
}
# What they load anew, by dataset and store; of green, the warehouse's run follows by itself.
LOADED = {("green", "lake"), ("green", "bigquery"), ("yellow", "lake"), ("yellow", "bigquery"), ("fhv", "postgres")}
# The tasks of the runs of the zones, which are unchanged; all other runs load a month.
ANNOUNCE = "announce_unchanged"
OF_UNCHANGED = ("wait_for_publication", "create_table", "skip_unchanged", ANNOUNCE)
# Seconds in which the tasks of the next level start: a heartbeat time-out and a retry may come before.
HOLD_SECONDS = 400.0
BESIDE = "stack-dags-test-beside-scheduler"
Contents = dict[tuple[str, str], Content]


def test_every_promise_has_its_test() -> None:
    assert {promise.id for promise in STACK} == {*(f"stack-kill-{name}" for name in COMPONENTS), BESIDE}
    assert {name for names in KILLED for name in names} == set(COMPONENTS)


class Months:
    """A month of three datasets in two versions, whose contents in every store are known.

    Args:
        settings: of the running stack.
        api: its API.
        source: the folder of its source.
    """

    def __init__(self, settings: AirflowSettings, api: AirflowApi, source: Path) -> None:
        self.settings, self.api = settings, api
        self._source = source
        self.rows = ROWS[0]
        self.known: dict[int, Contents] = {}
        self._objects: dict[int, tuple[bytes, dict[str, str]]] = {}
        for rows in reversed(ROWS):
            self.publish(rows)
            run_months(api, dict.fromkeys(FILES, str(MONTH)))
            self.known[rows] = self.contents()
            blob = self._blob()
            self._objects[rows] = (blob.download_as_bytes(), blob.metadata)

    def publish(self, rows: int) -> None:
        """Put a version of all months into the source."""
        self.rows = rows
        for name in FILES:
            path = self._source / MIRROR.file(name, MONTH)
            write_month(name, SourceMonth.parse(str(MONTH)), path, rows=rows)

    def publish_other(self) -> None:
        """Put the version into the source that it does not have now."""
        self.publish(next(rows for rows in ROWS if rows != self.rows))

    def put_into_lake(self) -> None:
        """Put the source's version of the yellow month into the lake, without a run that loads it."""
        content, metadata = self._objects[self.rows]
        blob = self._blob()
        blob.metadata = metadata
        blob.upload_from_string(content)

    def _blob(self) -> Any:
        bucket = reconcile.storage_client(self.settings).bucket(self.settings.cloud.lake_bucket)
        blob = bucket.blob(FILES["yellow"].lake_object)
        if blob.exists():
            blob.reload()
        return blob

    def contents(self) -> Contents:
        """Return the contents of the months, by dataset and store."""
        return {
            (name, store): content
            for name, file in FILES.items()
            for store, content in reconcile.contents(self.settings, file).items()
        }


def component(settings: AirflowSettings, name: str) -> psutil.Process:
    """Return the process of a component."""
    for folder in watcher.run_dirs(settings.cloud.state_dir):
        path = folder / f"{name}.json"
        if path.exists():
            return psutil.Process(json.loads(path.read_text())["pid"])
    raise AssertionError(f"{name} does not run")


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass
class Killed:
    """The runs that were held at each of their steps, and what happened to them.

    Attributes:
        runs: the runs by DAG.
        held: the tasks that were held, by level.
        restarts: how often the watcher has restarted each component meanwhile, by level.
    """

    runs: dict[str, str]
    held: list[set[Held]] = field(default_factory=list)
    restarts: list[dict[str, int]] = field(default_factory=list)


class Killer:
    """Kills what the plan says while tasks are held, and waits until the stack has restarted it."""

    def __init__(self, settings: AirflowSettings, up: Callable[[], None]) -> None:
        self._settings, self._up = settings, up

    def kill(self, names: tuple[str, ...], tasks: Mapping[Held, psutil.Process]) -> dict[str, int]:
        """Kill components; returns how often the watcher has restarted each, once all are up again."""
        before = self._restarts()
        victims = [component(self._settings, name) for name in names if name not in (TASK, SUPERVISOR)]
        if TASK in names:
            victims += tasks.values()
        if SUPERVISOR in names:
            victims += [parent for process in tasks.values() if (parent := process.parent()) is not None]
        for victim in victims:
            victim.kill()
        for victim in victims:
            await_(lambda gone=victim: not is_alive(gone), f"{names} are dead", 10)
        if WATCHER in names:
            assert local_stack.troubles(self._settings), "nobody says that the watcher is dead"
            self._up()
        else:
            self._await_restarts(before, [name for name in names if name not in (TASK, SUPERVISOR)])
        assert watcher.find_lost(self._settings.cloud.state_dir) == []
        await_(
            lambda: {one.state for one in local_stack.airflow_status(self._settings)} == {"running"},
            "all are healthy",
            60,
        )
        assert local_stack.troubles(self._settings) == []
        return {name: number - before.get(name, 0) for name, number in self._restarts().items()}

    def _restarts(self) -> dict[str, int]:
        times = Restarts.read(watcher.restarts_file(self._settings.cloud.state_dir)).times
        return {name: len(of_name) for name, of_name in times.items()}

    def _await_restarts(self, before: dict[str, int], names: list[str]) -> None:
        for name in names:
            await_(lambda one=name: self._restarts().get(one, 0) > before.get(one, 0), f"the watcher restarts {name}")
        with locked(self._settings.home):  # the watcher holds it until all that it restarts is healthy
            pass


@pytest.fixture(scope="module")
def up(stack: AirflowSettings, local_airflow: Command) -> Callable[[], None]:
    """``make up``."""

    def run() -> None:
        done = local_airflow("up")
        assert done.returncode == 0, done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def unused_budget(stack: AirflowSettings, up: Callable[[], None]) -> Iterator[None]:
    """The watcher has restarted nothing yet; afterwards it forgets what it has restarted."""
    for after in (False, True):
        component(stack, WATCHER).kill()
        watcher.restarts_file(stack.cloud.state_dir).unlink(missing_ok=True)
        up()
        if not after:
            yield


@pytest.fixture(scope="module")
def months(stack: AirflowSettings, api: AirflowApi, source_dir: Path) -> Months:
    """The months, with both of their versions loaded once, and the zones."""
    assert end(api, "zones_web_to_gcs", trigger(api, "zones_web_to_gcs", {})) == "success"
    return Months(stack, api, source_dir)


@pytest.fixture(scope="module")
def killed(months: Months, unused_budget: None, up: Callable[[], None]) -> Killed:
    """All pipelines, held at each of their levels while the plan's components were killed."""
    put_into_warehouse(months.settings, [put_into_lake(months.settings, *each) for each in TRIPS_OF_MONTH.items()])
    months.publish_other()
    months.put_into_lake()
    killer = Killer(months.settings, up)
    seen = warehouse_runs(months.api, {"green": str(MONTH)})
    with Gate() as gate:
        killed = Killed({dag_id: start(months.api, gate, dag_id) for dag_id in RUNS})
        for number, names in enumerate(KILLED):
            expected = tasks_of_level(killed.runs, number)
            await_held(months.api, gate, expected)
            killed.held.append(expected)
            processes = gate.held
            killed.restarts.append(killer.kill(names, processes))
            # Not those of the next level, which may be held by now: a retry of a killed task passes at once.
            gate.release(expected)
        for dag_id, run_id in killed.runs.items():
            assert end(months.api, dag_id, run_id) == "success", (dag_id, task_states(months.api, dag_id, run_id))
        await_(lambda: not any(map(is_alive, processes.values())), "no task is left", 30)
    await_warehouse(months.api, {"green": str(MONTH)}, seen)
    return killed


def await_held(api: AirflowApi, gate: Gate, expected: set[Held]) -> None:
    """Wait until the gate holds these tasks; those of the level before may first have to be retried."""
    try:
        await_(lambda: expected <= set(gate.held), "the tasks are held", HOLD_SECONDS)
    except AssertionError as error:
        states = {task: task_states(api, task.dag_id, task.run_id) for task in expected - set(gate.held)}
        raise AssertionError(f"not held: {states}") from error


def start(api: AirflowApi, gate: Gate, dag_id: str) -> str:
    """Start a run whose tasks the gate holds; returns its id."""
    api.set_paused(dag_id, True)  # until the gate knows its tasks
    run_id = api.trigger(dag_id, RUNS[dag_id][1])
    gate.expect({task["id"]: Held(dag_id, run_id, task["task_id"]) for task in api.tasks(dag_id, run_id)})
    api.set_paused(dag_id, False)
    return run_id


def tasks_of_level(runs: Mapping[str, str], number: int) -> set[Held]:
    """Return the tasks of all runs that are held at a level."""
    found = set()
    for dag_id, (pipeline, _) in RUNS.items():
        for task_id in LEVELS[pipeline][number] if number < len(LEVELS[pipeline]) else ():
            is_unchanged = dag_id.startswith(f"{ZONES.name}_")
            if task_id in OF_UNCHANGED if is_unchanged else task_id != ANNOUNCE:
                found.add(Held(dag_id, runs[dag_id], task_id))
    return found


def test_every_task_was_held_while_components_were_killed(killed: Killed) -> None:
    held = {f"{RUNS[task.dag_id][0]}.{task.task_id}" for tasks in killed.held for task in tasks}
    assert held == {f"{pipeline}.{task}" for pipeline, levels in LEVELS.items() for tasks in levels for task in tasks}


def test_the_watcher_has_restarted_what_was_killed(killed: Killed) -> None:
    for names, restarts in zip(KILLED, killed.restarts, strict=True):
        by_watcher = set() if WATCHER in names else {*names} - {TASK, SUPERVISOR}
        if "postgres" in by_watcher:
            by_watcher |= {*watcher.AIRFLOW_NEEDING_POSTGRES}
        assert {name for name, number in restarts.items() if number} == by_watcher, names


def test_every_month_is_whole_after_the_kills(months: Months, killed: Killed) -> None:
    old = next(rows for rows in ROWS if rows != months.rows)
    expected = {place: months.known[months.rows if place in LOADED else old][place] for place in months.known[old]}
    assert months.contents() == expected
    await_(lambda: leftovers(months.settings) == NOTHING_LEFT, "nothing is left over", 30)


def test_the_rollup_is_whole_after_the_kills(months: Months, killed: Killed) -> None:
    query = f"SELECT dataset, month, zone, trips FROM trips.yearly_rollup WHERE EXTRACT(YEAR FROM month) = {YEAR}"
    rows = [tuple(row.values()) for row in clients.bigquery_client(months.settings).query(query).result()]
    assert sorted(rows) == [("fhv", month.first_day, 1, len(trips)) for month, trips in TRIPS_OF_MONTH.items()]


@pytest.mark.parametrize("name", [TASK, SUPERVISOR])
def test_a_killed_task_is_retried(months: Months, killed: Killed, name: str) -> None:
    [level] = [number for number, names in enumerate(KILLED) if name in names]
    for task in killed.held[level]:
        instance = next(one for one in months.api.tasks(task.dag_id, task.run_id) if one["task_id"] == task.task_id)
        assert (instance["state"], instance["try_number"]) == ("success", 2), task


def test_dags_test_beside_the_scheduler(months: Months) -> None:
    """Both load the same month: one by the scheduler, one in the foreground."""
    months.publish_other()
    new = months.known[months.rows]
    month = {"month": str(MONTH), "force": True}
    run_id = months.api.trigger("green_web_to_postgres", month)
    command = [REPOSITORY / "bin" / "airflow", "dags", "test", "green_web_to_postgres", "-c", json.dumps(month)]
    test = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=120, check=False)

    assert test.returncode == 0, test.stdout[-3000:] + test.stderr[-3000:]
    assert end(months.api, "green_web_to_postgres", run_id) == "success"
    assert months.contents()["green", "postgres"] == new["green", "postgres"]
    assert leftovers(months.settings) == NOTHING_LEFT
