"""Components of the running stack killed while tasks are held at every step of every DAG; see tests/faults/killers.py.

Each killed component is a line of docs/reliability.md. The watcher restarts what dies; only where it is killed itself,
``make up`` does.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
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
from tests.faults.killers import COMPONENTS, HELD, KILLED, LEVELS, SUPERVISOR, TASK, WATCHER, killed_in, rounds
from tests.faults.memory import NoGroupError, memory_group
from tests.integration.conftest import REPOSITORY, Command
from tests.integration.gate import Gate, Held
from tests.integration.remains import Place, assert_nothing_left, components_of, contents, rolled_up
from tests.integration.support import (
    assert_loaded,
    await_,
    await_warehouse,
    end,
    lake_objects,
    put_into_lake,
    put_into_warehouse,
    run_months,
    skip_reason,
    strike,
    task_states,
    trigger,
    warehouse_runs,
)

# The first test waits for all runs, whose tasks are killed and retried.
pytestmark = [pytest.mark.full, pytest.mark.every_step, pytest.mark.timeout(1800)]

# The month that is loaded under faults, and one that must stay as it is.
MONTH, OTHER_MONTH = Month(2022, 7), Month(2022, 8)
FILES = {dataset.name: dataset.file(MONTH) for dataset in (GREEN, YELLOW, FHV)}
ROWS = (600, 700)
# A year that no other test loads, complete for one dataset.
YEAR = 2023
ROLLUP = "trips_yearly_rollup"
TRIPS_OF_MONTH = {Month(YEAR, number): [1] * (10 + number) for number in range(1, 13)}
# The parameters of the runs that are held, by their DAG.
RUNS: dict[str, dict[str, Any]] = {
    dag_id: {} if dag_id.startswith(f"{ZONES.name}_") else {"month": str(MONTH)} for dag_id in HELD if dag_id != ROLLUP
}
RUNS[ROLLUP] = {"year": str(YEAR)}
RUNS["zones_web_to_postgres"] = {"force": True}
# The stack runs eight tasks at a time, and one more would start with these.
NOT_HELD = {"fhv_web_to_postgres": {"create_table"}}
# What they load anew, by dataset and store; of green, the warehouse's run follows by itself.
LOADED = {("lake", "green"), ("bigquery", "green"), ("lake", "yellow"), ("bigquery", "yellow"), ("postgres", "fhv")}
# The tasks of the runs of the zones that find them unchanged; all other runs load.
ANNOUNCE = "announce_unchanged"
OF_UNCHANGED = ("wait_for_publication", "create_table", "skip_unchanged", ANNOUNCE)
# Seconds in which the tasks of the next level start: a heartbeat time-out and a retry may come before.
HOLD_SECONDS = 400.0
BESIDE = "stack-dags-test-beside-scheduler"
TRIGGERER = "stack-kill-triggerer-with-a-wait"
CGROUP = "stack-memory-cgroup"
# Bytes of a memory cgroup: enough for a supervisor to report, too few for its task to convert a month.
CGROUP_BYTES = 16 << 20


def test_every_promise_has_its_test() -> None:
    assert {promise.id for promise in STACK} == {
        *(f"stack-kill-{name}" for name in COMPONENTS),
        *(BESIDE, TRIGGERER, CGROUP),
    }
    assert {name for names in KILLED for name in names} == set(COMPONENTS)


@dataclass(frozen=True)
class Stores:
    """What all stores have at one moment: every month of every dataset, the lake's objects, and the rollup's rows.

    The rollup's rows are those of all years but the one that the module changes.
    """

    settings: AirflowSettings
    contents: dict[Place, Content]
    objects: list[str]
    rolled_up: list[tuple[object, ...]]

    @classmethod
    def of(cls, settings: AirflowSettings) -> Stores:
        return cls(settings, contents(settings), lake_objects(settings, ""), rolled_up(settings, but=YEAR))

    def assert_changed(self, changed: Mapping[Place, Content]) -> None:
        """Assert that the stores have changed since in these months, and in nothing else."""
        now = Stores.of(self.settings)
        assert now.contents == {**self.contents, **changed}
        assert now.objects == self.objects
        assert now.rolled_up == self.rolled_up


class Months:
    """A month of three datasets in two versions, whose contents in every store are known, and another month of each.

    Args:
        settings: of the running stack.
        api: its API.
        source: the folder of its source.
    """

    def __init__(self, settings: AirflowSettings, api: AirflowApi, source: Path) -> None:
        self.settings, self.api = settings, api
        self._source = source
        self.rows = ROWS[0]
        self.known: dict[int, dict[Place, Content]] = {}
        self._objects: dict[int, tuple[bytes, dict[str, str]]] = {}
        for name in FILES:
            self._write(name, OTHER_MONTH, ROWS[0])
        for rows, loaded in ((ROWS[1], (MONTH, OTHER_MONTH)), (ROWS[0], (MONTH,))):
            self.publish(rows)
            with ThreadPoolExecutor() as pool:  # all at once
                list(pool.map(lambda month: run_months(api, dict.fromkeys(FILES, str(month))), loaded))
            self.known[rows] = self.of_month()
            blob = self._blob()
            self._objects[rows] = (blob.download_as_bytes(), blob.metadata)

    def publish(self, rows: int) -> None:
        """Put a version of all months into the source."""
        self.rows = rows
        for name in FILES:
            self._write(name, MONTH, rows)

    def publish_one(self, name: str, month: str) -> None:
        """Put a month of one dataset into the source."""
        self._write(name, Month.parse(month), self.rows)

    def _write(self, name: str, month: Month, rows: int) -> None:
        write_month(name, SourceMonth.parse(str(month)), self._source / MIRROR.file(name, month), rows=rows)

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

    def of_month(self) -> dict[Place, Content]:
        """Return the contents of the month."""
        return {
            (store, name, str(MONTH)): content
            for name, file in FILES.items()
            for store, content in reconcile.contents(self.settings, file).items()
        }

    def new(self, places: Collection[tuple[str, str]]) -> dict[Place, Content]:
        """Return what stores have of the month once the source's version is loaded, by store and dataset."""
        return {place: content for place, content in self.known[self.rows].items() if place[:2] in places}


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass
class Killed:
    """The runs that were held at each of their steps, and what happened to them.

    Attributes:
        plan: what is killed at each level.
        runs: the runs by DAG.
        tasks: the names of their tasks that are held, by DAG.
        before: what the stores had before.
        held: the tasks that were held, by level.
        restarts: how often the watcher has restarted each component meanwhile, by level.
    """

    plan: tuple[tuple[str, ...], ...]
    runs: dict[str, str]
    tasks: dict[str, set[str]]
    before: Stores
    held: list[set[Held]] = field(default_factory=list)
    restarts: list[dict[str, int]] = field(default_factory=list)


class Killer:
    """Kills what the plan says while tasks are held, and waits until the stack has restarted it.

    Attributes:
        pids: of the components that were killed.
    """

    def __init__(self, settings: AirflowSettings, up: Callable[[], None]) -> None:
        self._settings, self._up = settings, up
        self.pids: set[int] = set()

    def forget_restarts(self) -> None:
        """Let the watcher forget what it has restarted, so that it has its whole budget."""
        components_of(self._settings)[WATCHER].kill()
        watcher.restarts_file(self._settings.cloud.state_dir).unlink(missing_ok=True)
        self._up()

    def kill(self, names: tuple[str, ...], tasks: Mapping[Held, psutil.Process]) -> dict[str, int]:
        """Kill components; returns how often the watcher has restarted each, once all are up again."""
        before = self._restarts()
        components = components_of(self._settings)
        victims = [components[name] for name in names if name not in (TASK, SUPERVISOR)]
        self.pids |= {victim.pid for victim in victims}
        if TASK in names:
            victims += tasks.values()
        if SUPERVISOR in names:
            victims += [parent for process in tasks.values() if (parent := process.parent()) is not None]
        for victim in victims:
            victim.kill()
        for victim in victims:
            await_(lambda gone=victim: not is_alive(gone), f"{names} are dead", 60)
        if WATCHER in names:
            assert local_stack.troubles(self._settings), "nobody says that the watcher is dead"
            self._up()
        else:
            self._await_restarts(before, [name for name in names if name not in (TASK, SUPERVISOR)])
        assert watcher.find_lost(self._settings.cloud.state_dir) == []
        await_(
            lambda: {one.state for one in local_stack.airflow_status(self._settings)} == {"running"},
            "all are healthy",
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
def months(stack: AirflowSettings, api: AirflowApi, source_dir: Path) -> Months:
    """The months, with both of their versions loaded once, and the zones."""
    for dag_id in ("zones_web_to_gcs", "zones_web_to_postgres"):
        assert end(api, dag_id, trigger(api, dag_id, {})) == "success"
    return Months(stack, api, source_dir)


@pytest.fixture(scope="module")
def killer(stack: AirflowSettings, up: Callable[[], None]) -> Iterator[Killer]:
    killer = Killer(stack, up)
    killer.forget_restarts()
    yield killer
    killer.forget_restarts()


@pytest.fixture(
    scope="module",
    params=[pytest.param(number, marks=[pytest.mark.every_pair] if number else []) for number in rounds()],
)
def killed(months: Months, killer: Killer, request: pytest.FixtureRequest) -> Killed:
    """All pipelines, held at each of their levels while the components of a round were killed."""
    killer.forget_restarts()
    put_into_warehouse(months.settings, [put_into_lake(months.settings, *each) for each in TRIPS_OF_MONTH.items()])
    months.publish_other()
    months.put_into_lake()
    before = Stores.of(months.settings)
    seen = warehouse_runs(months.api, {"green": str(MONTH)})
    with Gate() as gate:
        runs = {dag_id: start(months.api, gate, dag_id) for dag_id in RUNS}
        tasks = {
            dag_id: set(task_states(months.api, dag_id, run_id)) - NOT_HELD.get(dag_id, set())
            for dag_id, run_id in runs.items()
        }
        killed = Killed(killed_in(request.param), runs, tasks, before)
        for number, names in enumerate(killed.plan):
            expected = tasks_of_level(killed, number)
            await_held(months.api, gate, expected)
            killed.held.append(expected)
            processes = gate.held
            killed.restarts.append(killer.kill(names, processes))
            # Not those of the next level, which may be held by now: a retry of a killed task passes at once.
            gate.release(expected)
        for dag_id, run_id in killed.runs.items():
            assert end(months.api, dag_id, run_id) == "success", (dag_id, task_states(months.api, dag_id, run_id))
    await_warehouse(months.api, {"green": str(MONTH)}, seen)
    return killed


def await_held(api: AirflowApi, gate: Gate, expected: set[Held]) -> None:
    """Wait until the gate holds these tasks; those of the level before may first have to be retried."""
    try:
        await_(lambda: expected <= set(gate.held), "the tasks are held", HOLD_SECONDS)
    except AssertionError as error:
        states = {task: task_states(api, task.dag_id, task.run_id) for task in expected - set(gate.held)}
        raise AssertionError(f"not held: {states}") from error


def start(
    api: AirflowApi, gate: Gate, dag_id: str, conf: Mapping[str, Any] | None = None, *, only: Collection[str] = ()
) -> str:
    """Start a run whose tasks the gate holds, or only some of them; returns its id."""
    api.set_paused(dag_id, True)  # until the gate knows its tasks
    run_id = api.trigger(dag_id, dict(conf or RUNS[dag_id]))
    ids = {task["task_id"]: task["id"] for task in api.tasks(dag_id, run_id)}
    wanted = (set(only) or set(ids)) - NOT_HELD.get(dag_id, set())
    gate.expect({ids[task_id]: Held(dag_id, run_id, task_id) for task_id in wanted})
    api.set_paused(dag_id, False)
    return run_id


def tasks_of_level(killed: Killed, number: int) -> set[Held]:
    """Return the tasks of all runs that are held at a level."""
    found = set()
    for dag_id, pipeline in HELD.items():
        of_level = LEVELS[pipeline][number] if number < len(LEVELS[pipeline]) else ()
        for task_id in killed.tasks[dag_id].intersection(of_level):
            is_unchanged = not RUNS[dag_id]
            if task_id in OF_UNCHANGED if is_unchanged else task_id != ANNOUNCE:
                found.add(Held(dag_id, killed.runs[dag_id], task_id))
    return found


def test_every_task_was_held_while_components_were_killed(killed: Killed) -> None:
    held = {f"{HELD[task.dag_id]}.{task.task_id}" for tasks in killed.held for task in tasks}
    assert held == {f"{pipeline}.{task}" for pipeline, levels in LEVELS.items() for tasks in levels for task in tasks}


def test_the_watcher_has_restarted_what_was_killed(killed: Killed) -> None:
    for names, restarts in zip(killed.plan, killed.restarts, strict=True):
        by_watcher = set() if WATCHER in names else {*names} - {TASK, SUPERVISOR}
        if "postgres" in by_watcher:
            by_watcher |= {*watcher.AIRFLOW_NEEDING_POSTGRES}
        assert {name for name, number in restarts.items() if number} == by_watcher, names


def test_every_month_of_every_store_is_whole_after_the_kills(months: Months, killed: Killed, killer: Killer) -> None:
    assert_nothing_left(months.settings, killer.pids)
    killed.before.assert_changed(months.new(LOADED))
    assert {(store, name) for store, name, month in killed.before.contents if month == str(OTHER_MONTH)} == {
        (store, name) for store in ("lake", "bigquery", "postgres") for name in FILES
    }


def test_the_rollup_is_whole_after_the_kills(months: Months, killed: Killed) -> None:
    query = f"SELECT dataset, month, zone, trips FROM trips.yearly_rollup WHERE EXTRACT(YEAR FROM month) = {YEAR}"
    rows = [tuple(row.values()) for row in clients.bigquery_client(months.settings).query(query).result()]
    assert sorted(rows) == [("fhv", month.first_day, 1, len(trips)) for month, trips in TRIPS_OF_MONTH.items()]


@pytest.mark.parametrize("name", [TASK, SUPERVISOR])
def test_a_killed_task_is_retried(months: Months, killed: Killed, name: str) -> None:
    [level] = [number for number, names in enumerate(killed.plan) if name in names]
    for task in killed.held[level]:
        instance = next(one for one in months.api.tasks(task.dag_id, task.run_id) if one["task_id"] == task.task_id)
        assert (instance["state"], instance["try_number"]) == ("success", 2), task


def test_a_wait_goes_on_after_the_death_of_the_triggerer(months: Months, killer: Killer) -> None:
    """The clock's run waits in the triggerer for a month that appears only after its restart."""
    api, before = months.api, Stores.of(months.settings)
    dag_id, task_id = "yellow_web_to_postgres", "wait_for_publication"
    run = await_(lambda: waiting_run(months.settings, api, dag_id), "the clock's run waits")
    run_id, month = run["dag_run_id"], run["partition_key"]
    await_(lambda: triggerer_of(months.settings, run_id), "the triggerer has the wait")

    assert killer.kill(("triggerer",), {})["triggerer"] == 1
    assert task_states(api, dag_id, run_id)[task_id] == "deferred"
    months.publish_one("yellow", month)

    assert end(api, dag_id, run_id) == "success"
    assert_loaded(api, dag_id, run_id)
    tries = {task["task_id"]: task["try_number"] for task in api.tasks(dag_id, run_id)}
    assert tries[task_id] == 1
    assert_nothing_left(months.settings, killer.pids)
    place = ("postgres", "yellow", month)
    loaded = Stores.of(months.settings).contents[place]
    assert loaded.rows == months.rows
    before.assert_changed({place: loaded})


def waiting_run(settings: AirflowSettings, api: AirflowApi, dag_id: str) -> dict[str, Any] | None:
    """Let the clock strike for a DAG; returns its run once that waits without a worker slot."""
    strike(settings, dag_id)
    for run in api.runs(dag_id):
        states = task_states(api, dag_id, run["dag_run_id"]) if run["run_type"] == "scheduled" else {}
        if states.get("wait_for_publication") == "deferred":
            return run
    return None


def triggerer_of(settings: AirflowSettings, run_id: str) -> int | None:
    """Return the id of the triggerer that has a wait of a run."""
    with psycopg.connect(settings.cloud.postgres_url("airflow")) as connection:
        row = connection.execute(
            "SELECT triggerer_id FROM trigger JOIN task_instance ON trigger.id = trigger_id WHERE run_id = %s", [run_id]
        ).fetchone()
    return row[0] if row else None


def test_a_task_that_is_too_large_for_its_memory_cgroup(months: Months) -> None:
    """Its supervisor is in the same cgroup, as in a container; the task is the larger of the two."""
    api, settings, dag_id = months.api, months.settings, "fhv_web_to_postgres"
    months.publish_other()
    before = Stores.of(settings)
    try:
        with memory_group(CGROUP_BYTES) as group, Gate() as gate:
            run_id = start(api, gate, dag_id, only=["to_parquet"])
            task = Held(dag_id, run_id, "to_parquet")
            await_held(api, gate, {task})
            process = gate.held[task]
            supervisor = process.parent()
            assert supervisor is not None
            Path(f"/proc/{process.pid}/oom_score_adj").write_text("1000")
            for one in (supervisor, process):
                group.add(one.pid)
            gate.release({task})
            await_(lambda: group.kills, "the kernel kills the task")
            await_(lambda: not is_alive(process), "the task is dead", 60)
            assert (group.kills, is_alive(supervisor)) == (1, True)
            group.release()
    except NoGroupError as error:
        pytest.skip(str(error))

    assert end(api, dag_id, run_id) == "success"
    assert_loaded(api, dag_id, run_id)
    [tries] = [one["try_number"] for one in api.tasks(dag_id, run_id) if one["task_id"] == "to_parquet"]
    assert tries == 2
    said = " ".join(api.log(dag_id, run_id, "to_parquet", 1))
    assert "Process terminated by signal. Likely out of memory error (OOM)" in said
    assert_nothing_left(settings)
    before.assert_changed(months.new({("postgres", "fhv")}))


def test_dags_test_beside_the_scheduler(months: Months) -> None:
    """The scheduler's run of the month publishes after the test's, which loads the same version in the meantime.

    Runs of another month of the same DAG and of the same month of another DAG go on beside them.
    """
    api, settings, dag_id = months.api, months.settings, "green_web_to_postgres"
    months.publish_other()
    before = Stores.of(settings)
    month = {"month": str(MONTH), "force": True}
    earlier = {run["dag_run_id"] for run in api.runs(dag_id)}
    with Gate() as gate:
        held = start(api, gate, dag_id, month, only=["publish"])
        await_held(api, gate, {Held(dag_id, held, "publish")})
        beside = {
            dag_id: api.trigger(dag_id, {"month": str(OTHER_MONTH), "force": True}),
            "yellow_web_to_postgres": trigger(api, "yellow_web_to_postgres", month),
        }
        command = [REPOSITORY / "bin" / "airflow", "dags", "test", dag_id, "-c", json.dumps(month)]
        test = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=400, check=False)
        assert test.returncode == 0, test.stdout[-3000:] + test.stderr[-3000:]
        published = Stores.of(settings).contents
        assert published["postgres", "green", str(MONTH)] == months.known[months.rows]["postgres", "green", str(MONTH)]
        assert api.run(dag_id, held)["state"] == "running"

    [tested] = {run["dag_run_id"] for run in api.runs(dag_id)} - earlier - {held, beside[dag_id]}
    assert_loaded(api, dag_id, tested)
    assert end(api, dag_id, held) == "success"
    states = task_states(api, dag_id, held)
    assert (states["load_staging"], states["publish"]) == ("success", "skipped"), states
    assert "overtaken by a newer download" in skip_reason(api, dag_id, held, "publish")
    for run in beside.items():
        assert end(api, *run) == "success"
        assert_loaded(api, *run)
    for run_id in (tested, held):
        assert {task["try_number"] for task in api.tasks(dag_id, run_id) if task["state"] == "success"} == {1}
    dag = api.dag(dag_id)
    assert dag is not None
    assert not dag["is_paused"]
    assert_nothing_left(settings)
    before.assert_changed(months.new({("postgres", "green"), ("postgres", "yellow")}))
