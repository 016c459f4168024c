"""``EXECUTOR=celery``: Redis and two workers that share no disk; parts of it are killed, added, drained and doubled.

Each test loads months that the lake has lost, and every content must become what it was after the first backfill, in
which nothing was killed.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
import psycopg
import pytest

from local.airflow import reconcile, watcher, workers
from local.airflow import stack as local_stack
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from local.cloud.processes import locked, running
from local.cloud.source.layouts import MIRROR
from local.cloud.source.months import Month as SourceMonth
from local.cloud.source.synthetic import write_month
from nyc_taxi.registry.datasets import FHV
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.store import Content
from tests.integration.conftest import commands, running_stack, stack_environment
from tests.integration.gate import Gate, Held
from tests.integration.remains import Place, assert_nothing_left, components_of, contents
from tests.integration.support import assert_loaded, await_, end, lake_objects, runs_of, trigger

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

DAG = "fhv_web_to_gcs"
OTHER_DAGS = ("fhv_gcs_to_bigquery", "fhv_web_to_postgres")
MONTHS = [Month(2021, number) for number in range(1, 13)]
# The shipped settings notice a dead worker after one minute, and a task that was lost on its way after five.
SETTINGS = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
}
HELD = "to_parquet"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of every command of the stack, whose source has a year of fhv."""
    source = tmp_path_factory.mktemp("source")
    for month in MONTHS:
        path = source / MIRROR.file(FHV.name, str(month))
        write_month(FHV.name, SourceMonth.parse(str(month)), path, rows=rows_of(month))
    local = tmp_path_factory.mktemp("local")
    return stack_environment(local, source, **SETTINGS) | {"EXECUTOR": "celery", "WORKERS": "2"}


@pytest.fixture(scope="module")
def stack(environment: dict[str, str]) -> Iterator[AirflowSettings]:
    with running_stack(environment) as settings:
        yield settings


@pytest.fixture(scope="module")
def api(stack: AirflowSettings) -> Iterator[AirflowApi]:
    with AirflowApi(stack) as client:
        yield client


@dataclass
class Year:
    """The months in the lake, what they must be, and the runs that the tests have started.

    Attributes:
        known: the content of each month in each store after the backfill.
        killed: the process ids of the components that were killed.
    """

    settings: AirflowSettings
    api: AirflowApi
    known: dict[Place, Content] = field(default_factory=dict)
    killed: set[int] = field(default_factory=set)

    def lose(self, *months: Month) -> None:
        """Delete months from the lake, so that a run has to load them."""
        bucket = reconcile.storage_client(self.settings).bucket(self.settings.cloud.lake_bucket)
        for month in months:
            bucket.blob(FHV.file(month).lake_object).delete()

    def load(self, *months: Month) -> list[str]:
        """Start a run of each month, which the lake loses."""
        self.lose(*months)
        return [trigger(self.api, DAG, {"month": str(month)}) for month in months]

    def load_held(self, gate: Gate, *months: Month) -> dict[str, Held]:
        """Start runs whose conversion is held; waits until all are."""
        self.lose(*months)
        self.api.set_paused(DAG, True)  # until the gate knows its tasks
        held = {}
        for month in months:
            run_id = self.api.trigger(DAG, {"month": str(month)})
            ids = {task["task_id"]: task["id"] for task in self.api.tasks(DAG, run_id)}
            held[run_id] = Held(DAG, run_id, HELD)
            gate.expect({ids[HELD]: held[run_id]})
        self.api.set_paused(DAG, False)
        await_(lambda: set(held.values()) <= set(gate.held), "the tasks are held", 120)
        return held

    def load_held_on(self, gate: Gate, worker: str, *months: Month) -> dict[str, Held]:
        """Start runs whose conversion is held, until one of them is held on this worker."""
        for _ in range(5):
            held = self.load_held(gate, *months)
            if worker in {self.worker_of(gate.held[task]) for task in held.values()}:
                return held
            gate.release(held.values())
            self.assert_loaded(list(held))
        raise AssertionError(f"{worker} takes no task")

    def hosts(self, run_id: str) -> dict[str, str]:
        return {task["task_id"]: task["hostname"] for task in self.api.tasks(DAG, run_id) if task["hostname"]}

    def assert_loaded(self, runs: Sequence[str], *, tries: int = 1) -> None:
        """Assert that runs end well and have loaded their months, with so many tries of a task at most."""
        for run_id in runs:
            assert end(self.api, DAG, run_id) == "success", self.api.tasks(DAG, run_id)
            assert_loaded(self.api, DAG, run_id)
            assert max(task["try_number"] for task in self.api.tasks(DAG, run_id)) == tries

    def assert_whole(self) -> None:
        """Assert that the stores have what they had, and that nothing else is left of anything."""
        assert contents(self.settings) == self.known
        assert lake_objects(self.settings, "fhv/") == [FHV.file(month).lake_object for month in MONTHS]
        assert lake_objects(self.settings, "work/") == []
        assert_nothing_left(self.settings, self.killed)

    def kill(self, *names: str) -> None:
        """Kill components with all their children; returns once the watcher has restarted them and all are healthy."""
        self.kill_and_restart(*names)
        await_(self._is_healthy, "all are healthy")  # workers have to connect to a new Redis again

    def kill_and_restart(self, *names: str) -> None:
        """Kill components with all their children; returns once the watcher has restarted them."""
        components = components_of(self.settings)
        before = {name: components[name].pid for name in names}
        victims = [one for name in names for one in (components[name], *components[name].children(recursive=True))]
        self.killed |= set(before.values())
        for victim in victims:
            with suppress(psutil.NoSuchProcess):
                victim.kill()
        await_(lambda: all(self._is_new(name, pid) for name, pid in before.items()), f"{names} are restarted")
        with locked(self.settings.home):  # the watcher holds it until all that it restarts is healthy
            pass

    def _is_healthy(self) -> bool:
        return {one.state for one in local_stack.airflow_status(self.settings)} == {"running"}

    def _is_new(self, name: str, pid: int) -> bool:
        process = components_of(self.settings).get(name)
        return process is not None and process.pid != pid and not watcher.find_lost(self.settings.cloud.state_dir)

    def worker_of(self, process: psutil.Process) -> str:
        """Return the worker that a task's process belongs to."""
        pids = {one.pid: name for name, one in components_of(self.settings).items()}
        [name] = [pids[parent.pid] for parent in process.parents() if parent.pid in pids]
        return name


def rows_of(month: Month) -> int:
    return 300 + month.month


@pytest.fixture(scope="module")
def year(stack: AirflowSettings, api: AirflowApi) -> Year:
    """The year, loaded into the lake by a backfill in which nothing is killed; one month of it in every store."""
    year = Year(stack, api)
    api.set_paused(DAG, False)
    api.backfill(DAG, f"{MONTHS[0]}-01", f"{MONTHS[-1]}-01", conf={}, parallel=12)
    runs = await_(lambda: found if len(found := api.runs(DAG)) == 12 else None, "the backfill has its runs")
    year.assert_loaded([run["dag_run_id"] for run in runs])
    for dag_id in OTHER_DAGS:
        assert end(api, dag_id, trigger(api, dag_id, {"month": str(MONTHS[0])})) == "success"
        api.set_paused(dag_id, True)  # once is enough
    year.known = contents(stack)
    return year


def test_a_backfill_is_spread_over_both_workers(year: Year, api: AirflowApi) -> None:
    lake = {month: content for (store, _, month), content in year.known.items() if store == "lake"}
    assert {month: content.rows for month, content in lake.items()} == {str(one): rows_of(one) for one in MONTHS}
    assert len({content.hash for content in lake.values()}) == 12
    hosts = [host for run in api.runs(DAG) for host in year.hosts(run["dag_run_id"]).values()]
    assert set(hosts) == {"worker-1", "worker-2"}
    assert min(hosts.count(host) for host in set(hosts)) >= 12
    year.assert_whole()


def test_a_month_goes_on_to_every_store(year: Year) -> None:
    assert {place[0] for place in year.known} == {"lake", "bigquery", "postgres"}
    assert reconcile.count(year.settings, FHV.file(MONTHS[0])).agree


def test_the_log_of_each_task_can_be_read_wherever_it_ran(year: Year, api: AirflowApi) -> None:
    by_host = {}
    for month in MONTHS:
        [run] = runs_of(api, DAG, str(month))[-1:]
        by_host[year.hosts(run["dag_run_id"])[HELD]] = (run["dag_run_id"], rows_of(month))
    assert set(by_host) == {"worker-1", "worker-2"}
    for run_id, rows in by_host.values():
        assert str(rows) in "\n".join(api.log(DAG, run_id, HELD, 1))


def test_a_killed_worker_loses_no_month(year: Year) -> None:
    with Gate() as gate:
        held = year.load_held(gate, *MONTHS[:4])
        on = {run_id: year.worker_of(gate.held[task]) for run_id, task in held.items()}
        victim = on[next(iter(held))]
        year.kill(victim)
        gate.release(held.values())
    for run_id, worker in on.items():
        year.assert_loaded([run_id], tries=2 if worker == victim else 1)
    year.assert_whole()


def test_a_worker_can_be_added_and_one_drained(year: Year, environment: dict[str, str]) -> None:
    up = commands({**environment, "WORKERS": "3"})("up")
    assert up.returncode == 0, up.stdout + up.stderr
    assert "running in" in next(line for line in up.stdout.splitlines() if line.startswith("worker-1"))
    with Gate() as gate, ThreadPoolExecutor() as pool:
        held = year.load_held_on(gate, "worker-3", *MONTHS[:4])
        on = {run_id: year.worker_of(gate.held[task]) for run_id, task in held.items()}
        [drained, *_] = [run_id for run_id, worker in on.items() if worker == "worker-3"]
        down = pool.submit(commands({**environment, "WORKERS": "2"}), "up")
        await_(lambda: is_draining(year.settings), "the third worker is asked to stop")
        gate.release([task for run_id, task in held.items() if on[run_id] != "worker-3"])
        meanwhile = year.load(MONTHS[4])
        year.assert_loaded([*meanwhile, *(run_id for run_id, worker in on.items() if worker != "worker-3")])
        assert set(year.hosts(meanwhile[0]).values()) <= {"worker-1", "worker-2"}
        assert not down.done()
        gate.release([task for run_id, task in held.items() if on[run_id] == "worker-3"])
        assert down.result().returncode == 0, down.result().stdout + down.result().stderr
    assert f"{'worker-3':<14} ends its tasks" in down.result().stdout
    assert f"{'worker-3':<14} stopped" in down.result().stdout
    assert workers.recorded(year.settings.home / "run") == ["worker-1", "worker-2"]
    year.assert_loaded(list(held))
    assert year.hosts(drained)[HELD] == "worker-3"
    year.assert_whole()


def is_draining(settings: AirflowSettings) -> bool:
    return "warm shutdown" in (settings.home / "process-logs" / "worker-3.log").read_text().lower()


def test_a_killed_redis_loses_no_task(year: Year) -> None:
    components = components_of(year.settings)
    both = [components[name] for name in ("worker-1", "worker-2")]
    with ExitStack() as stopped:
        for process in both:
            process.suspend()
            stopped.callback(process.resume)
        started = year.load(*MONTHS[:4])
        # Each worker had asked for a task before it was stopped: what Redis has sent it is no longer in Redis.
        await_(lambda: waiting(year.settings) >= 2, "tasks wait in Redis")
        before = waiting(year.settings)
        year.kill_and_restart("redis")
        assert waiting(year.settings) >= before
    year.assert_loaded(started)
    year.assert_whole()


def test_redis_is_killed_under_tasks_that_run(year: Year) -> None:
    with Gate() as gate:
        held = year.load_held(gate, *MONTHS[:2])
        year.kill_and_restart("redis")
        gate.release(held.values())
    year.assert_loaded(list(held))
    year.assert_loaded(year.load(MONTHS[2]))
    year.assert_whole()


def waiting(settings: AirflowSettings) -> int:
    """Return how many tasks are in Redis and wait for a worker."""
    logged_in, number = workers.ask_redis(settings, "LLEN default").splitlines()
    assert logged_in == b"+OK"
    return int(number.removeprefix(b":"))


def test_a_killed_scheduler_leaves_the_workers_their_tasks(year: Year) -> None:
    with Gate() as gate:
        held = year.load_held(gate, *MONTHS[:2])
        year.kill("scheduler")
        gate.release(held.values())
    year.assert_loaded(list(held))
    year.assert_whole()


@pytest.fixture
def second_scheduler(stack: AirflowSettings, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A second scheduler, which may not run yet."""
    command = [str(local_stack.AIRFLOW), "scheduler", "--skip-serve-logs"]
    with (tmp_path / "scheduler.log").open("w") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **stack.environment()}, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


def schedulers_since(settings: AirflowSettings, moment: datetime) -> list[int]:
    """Return the ids of the schedulers that sent a heartbeat after a moment, oldest first; a killed one did not."""
    query = f"SELECT id FROM job WHERE job_type = 'SchedulerJob' AND latest_heartbeat > '{moment.isoformat()}'"
    return sorted(ask_airflow(settings, query))


def hold(process: psutil.Process, until: Callable[[], bool], what: str) -> None:
    """Stop a scheduler until something is true; in between it goes on briefly, because it may hold a lock."""

    def is_true_while_it_is_stopped() -> bool:
        process.suspend()
        try:
            time.sleep(2)
        finally:
            process.resume()
        return until()

    await_(is_true_while_it_is_stopped, what)


def ask_airflow(settings: AirflowSettings, query: str) -> set[int]:
    """Return what a query of one column finds in Airflow's database."""
    with psycopg.connect(settings.cloud.postgres_url("airflow")) as connection:
        return {number for (number,) in connection.execute(query)}


def test_two_schedulers_start_each_task_once_and_one_goes_on_alone(
    year: Year, second_scheduler: subprocess.Popen[bytes]
) -> None:
    begin = datetime.now(UTC)
    await_(lambda: len(schedulers_since(year.settings, begin)) == 2, "both schedulers run")
    both = schedulers_since(year.settings, begin)
    started = year.load(*MONTHS[:10])
    query = f"SELECT queued_by_job_id FROM task_instance WHERE run_id IN ({', '.join(map(repr, started))})"
    first = running("scheduler", run_dir=year.settings.home / "run")
    assert first
    # Which of them takes a task is chance, so each has its turn without the other.
    for job, other in zip(both, (second_scheduler.pid, first.pid), strict=True):
        hold(psutil.Process(other), lambda job=job: job in ask_airflow(year.settings, query), "it starts tasks")
    assert "success" not in {year.api.run(DAG, run_id)["state"] for run_id in started[-2:]}  # there is work left
    second_scheduler.kill()
    year.assert_loaded(started)
    year.assert_whole()
