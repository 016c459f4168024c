"""A backfill of fifteen years of every dataset, with tasks that only sleep for as long as the real ones work."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

from benchmarks.lab import Lab, command
from benchmarks.measure import MeasureError
from benchmarks.results import Benchmark, Measured, Results
from benchmarks.rows.overhead import cpu_by_component, leaders
from benchmarks.runs import Runs
from benchmarks.shapes import STEP
from local.airflow.gcp_forecast import MILLIONS, YEARS

FIRST_YEAR = 2010
# What docs/scale.md advises for more workers than a laptop has: more slots, and more runs at a time than slots.
SLOTS = 32
RUNS_AT_A_TIME = 16  # of each dataset
POLL_SECONDS = 5.0
TIMEOUT = 60 * 60.0
SCHEDULER, TASKS = "scheduler", "tasks"

Plan = Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Task:
    """One task of Airflow's database.

    Attributes:
        dag_id, run_id, task_id: which it is.
        state: how it ended.
        tries: how often it was started.
        start, end: when it was started and ended, in seconds since 1970.
    """

    dag_id: str
    run_id: str
    task_id: str
    state: str | None
    tries: int
    start: float
    end: float


def _simulated_backfill(lab: Lab) -> Measured:
    """Make all runs while the DAGs are paused, then let the scheduler take them."""
    lab.stock.stop()
    plan_file = lab.folder / "simulated_backfill.json"
    plan = _plan(lab, plan_file)
    months = YEARS * lab.conditions.backfill_months  # in a quick run, two of each year
    settings = {"SIMULATED_BACKFILL": str(plan_file), "AIRFLOW__CORE__PARALLELISM": str(SLOTS)}
    with lab.runs_with(settings) as runs:
        created = _create(runs, plan, months)
        before, busy_before, begin = _cpu(lab), _busy(), time.time()
        for dag_id in plan:
            runs.api.set_paused(dag_id, False)
        peak = _await_end(lab, plan, months)
        cpu = {name: seconds - before.get(name, 0.0) for name, seconds in _cpu(lab).items()}
        busy = _busy() - busy_before
        tasks = _tasks(lab, plan)
    require_once(tasks, plan, months)
    seconds = max(task.end for task in tasks) - begin
    slept = months * sum(task["seconds"] for tasks in plan.values() for task in tasks.values())
    return Measured(
        ours=[seconds],
        baseline=[slept / SLOTS],
        peak_mb=peak,
        note=f"{months} months of {len(plan)} datasets, {len(tasks):,} tasks, {SLOTS} slots; memory: the scheduler",
        more={
            "runs": months * len(plan),
            "tasks": len(tasks),
            "tasks_a_second": len(tasks) / seconds,
            "most_at_once": most_at_once(tasks),
            "slots": SLOTS,
            "slept_seconds": slept,
            "seconds_to_create_the_runs": created,
            "cpu_seconds": cpu,
            "cpu_seconds_of_other_work": max(0.0, busy - sum(cpu.values())),
        },
    )


def plan_of(shapes: Plan, costs: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Give the tasks of each dataset the CPU time, in seconds, that a month of the assumed rows was measured to take.

    Args:
        shapes: the tasks by dataset; see ``benchmarks.shapes``.
        costs: what ``cost_of_a_month`` has measured; a task that it has not sleeps for no time.
    """
    plan = {}
    for dataset, millions in MILLIONS.items():
        factor = millions * 1e6 / costs["rows"]
        seconds = costs["by_dataset"][dataset]["cpu_seconds_by_task"]
        plan[f"simulated_{dataset}_{STEP}"] = {
            name: {**task, "seconds": factor * seconds.get(name, 0.0)} for name, task in shapes[dataset].items()
        }
    return plan


def require_once(tasks: Sequence[Task], plan: Plan, months: int) -> None:
    """Check that every run has ended well and that each of its tasks was started once.

    Raises:
        MeasureError: the message names what did not.
    """
    wrong = [task for task in tasks if task.state != "success" or task.tries != 1]
    if wrong:
        raise MeasureError(f"{len(wrong)} tasks did not succeed at once, the first of them {wrong[0]}")
    for dag_id, planned in plan.items():
        found = sorted((task.run_id, task.task_id) for task in tasks if task.dag_id == dag_id)
        runs = {run_id for run_id, _ in found}
        if len(runs) != months or found != sorted((run_id, task_id) for run_id in runs for task_id in planned):
            raise MeasureError(f"{dag_id}: {len(found)} tasks in {len(runs)} runs, not {len(planned)} in {months}")


def most_at_once(tasks: Iterable[Task]) -> int:
    """How many tasks were in flight at the busiest moment."""
    changes = sorted(change for task in tasks for change in ((task.start, 1), (task.end, -1)))
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def _plan(lab: Lab, path: Path) -> Plan:
    """Write the plan for the DAG file to ``path``."""
    rows = {row.name: row for row in Results.read().rows}
    costs = rows["cost_of_a_month"].more
    settings = lab.cloud()
    command([sys.executable, "-m", "benchmarks.shapes", str(path)], settings.environment())
    plan = plan_of(json.loads(path.read_text(encoding="utf-8")), costs)
    path.write_text(json.dumps(plan), encoding="utf-8")
    return plan


def _create(runs: Runs, plan: Plan, months: int) -> float:
    """Create the runs of all datasets, of DAGs that are paused as all new ones are; returns the seconds."""
    runs.api.await_parsed(list(plan), since="", timeout=300.0)
    begin, last = time.monotonic(), months - 1
    for dag_id in plan:
        first, end = f"{FIRST_YEAR}-01-01", f"{FIRST_YEAR + last // 12}-{last % 12 + 1:02d}-01"
        runs.api.backfill(dag_id, first, end, conf={}, parallel=RUNS_AT_A_TIME)
    return time.monotonic() - begin


def _await_end(lab: Lab, plan: Plan, months: int) -> float:
    """Wait until all runs have succeeded; returns the scheduler's peak memory in MB.

    Raises:
        MeasureError: a run fails, or the time is over.
    """
    scheduler = psutil.Process(leaders(lab.run_dirs())[SCHEDULER])
    deadline, peak = time.monotonic() + TIMEOUT, 0.0
    while True:
        peak = max(peak, scheduler.memory_info().rss / 1e6)
        states = dict(_query(lab, "SELECT state, count(*) FROM dag_run WHERE dag_id = ANY(%s) GROUP BY state", plan))
        if states.get("success") == months * len(plan):
            return peak
        if states.get("failed") or time.monotonic() > deadline:
            raise MeasureError(f"the runs do not all succeed: {states}")
        time.sleep(POLL_SECONDS)


def _tasks(lab: Lab, plan: Plan) -> list[Task]:
    """All tasks of the runs, and their earlier tries, if there were any."""
    moments = ", ".join(f"coalesce(extract(epoch FROM {moment})::float8, 0)" for moment in ("start_date", "end_date"))
    return [
        Task(*row)
        for table in ("task_instance", "task_instance_history")
        for row in _query(
            lab,
            f"SELECT dag_id, run_id, task_id, state, try_number, {moments} FROM {table} WHERE dag_id = ANY(%s)",
            plan,
        )
    ]


def _query(lab: Lab, statement: str, plan: Plan) -> list[Any]:
    with psycopg.connect(lab.cloud().cloud.postgres_url("airflow")) as connection:
        return connection.execute(statement, [list(plan)]).fetchall()


def _cpu(lab: Lab) -> dict[str, float]:
    """CPU time by component; the scheduler's children, which run the tasks, apart from it."""
    found = cpu_by_component(lab.run_dirs())
    own = psutil.Process(leaders(lab.run_dirs())[SCHEDULER]).cpu_times()
    return {**found, SCHEDULER: own.user + own.system, TASKS: found[SCHEDULER] - own.user - own.system}


def _busy() -> float:
    """CPU time of all processes of the machine so far."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system if hasattr(times, "nice") else times.user + times.system


SIMULATED_BACKFILL = Benchmark(
    name="simulated_backfill",
    title="A backfill of fifteen years of all datasets, with tasks that only sleep for as long as measured",
    against="the sum of their sleep by the slots: an Airflow that takes no time",
    unit="s",
    run=_simulated_backfill,
)
