"""What Airflow itself takes, with this repository's settings and as it comes."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.lab import Lab
from benchmarks.measure import in_turns
from benchmarks.results import Benchmark, Measured, at_most, times_at_least
from benchmarks.runs import Runs

# What ours is without one of its settings: that one as Airflow has it by default, all others as they are.
STOCK_SETTINGS = {
    "the imports before the fork": {"PYTHONPATH": ""},
    "the executor that wakes the scheduler, which then sleeps for its stock second": {
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
    },
    "the short heartbeat of the workers": {"AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "5"},
}


def _task_overhead(lab: Lab) -> Measured:
    tasks = lab.conditions.chained_tasks
    dag_id = f"no_ops_{tasks}"

    def seconds(runs: Runs) -> float:
        return runs.seconds(dag_id) / tasks

    with lab.runs() as runs, lab.stock_runs() as stock_runs:
        for each in (runs, stock_runs):
            each.unpause(dag_id)
        seconds(runs)  # not measured: it is the first time that the workers do anything; those of stock keep nothing
        ours, baseline = in_turns(lab.conditions.slow_repeats, lambda: seconds(runs), lambda: seconds(stock_runs))
    without_bytecode = _without_bytecode(lab, dag_id, tasks)
    without = {name: _with(lab, variables, dag_id, tasks) for name, variables in STOCK_SETTINGS.items()}
    return Measured(
        ours=ours,
        baseline=baseline,
        note=f"{tasks} tasks in a chain; {without_bytecode:.3g} s in a stock Airflow that has no compiled bytecode",
        more={"stock_without_bytecode_seconds": without_bytecode, "without": without},
    )


def _with(lab: Lab, variables: dict[str, str], dag_id: str, tasks: int) -> float:
    """The same of ours with other settings."""
    with lab.runs_with(variables) as runs:
        runs.unpause(dag_id)
        runs.seconds(dag_id)  # not measured, as above
        return runs.seconds(dag_id) / tasks


def _without_bytecode(lab: Lab, dag_id: str, tasks: int) -> float:
    """The same in a stock Airflow that finds no bytecode and may write none: every task compiles what it imports.

    So it is where ``PYTHONDONTWRITEBYTECODE`` is set, as many images do, and nothing was compiled at the installation.
    """
    lab.stock.stop()
    lab.stock.variables = {
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPYCACHEPREFIX": str(lab.folder / "no-bytecode"),
    }
    try:
        with lab.stock_runs() as runs:
            runs.unpause(dag_id)
            return runs.seconds(dag_id) / tasks
    finally:
        lab.stock.stop()
        lab.stock.variables = {}


def _idle_cpu(lab: Lab) -> Measured:
    """One after the other: beside a second Airflow, each would take more."""
    lab.stock.stop()
    with lab.runs():
        ours = _idle(lab, lab.run_dirs())
    lab.down()
    with lab.stock_runs():
        stock = _idle(lab, [lab.stock.run_dir])
    note = f"each run over {lab.conditions.idle_seconds:.0f} s; ours with the embedded cloud"
    return Measured(ours=ours, baseline=stock, note=note)


def _idle(lab: Lab, run_dirs: Sequence[Path]) -> list[float]:
    """What a stack takes in percent of a core, several times."""
    time.sleep(lab.conditions.settle_seconds)
    return [_percent_of_a_core(run_dirs, lab.conditions.idle_seconds) for _ in range(lab.conditions.slow_repeats)]


def _percent_of_a_core(run_dirs: Sequence[Path], seconds: float) -> float:
    """What it takes in the next seconds."""
    begin, before = time.monotonic(), cpu_seconds(run_dirs)
    time.sleep(seconds)
    return 100 * (cpu_seconds(run_dirs) - before) / (time.monotonic() - begin)


def _start_up(lab: Lab) -> Measured:
    """Ours comes last and stays up, because the next rows need it."""
    lab.migrate()
    baseline, ours = in_turns(lab.conditions.slow_repeats, lambda: _start_stock(lab), lambda: _start_ours(lab))
    return Measured(ours=ours, baseline=baseline, note="ours with the embedded cloud, and all components healthy")


def _start_ours(lab: Lab) -> float:
    lab.down()
    begin = time.perf_counter()
    lab.up()
    return time.perf_counter() - begin


def _start_stock(lab: Lab) -> float:
    lab.down()
    return lab.stock.start()


def cpu_seconds(run_dirs: Sequence[Path]) -> float:
    """The processor time so far of all components that are recorded there, with whatever they started.

    They are found by descent: some write their title over their environment, and some have a session of their own.
    """
    leaders = [json.loads(record.read_text())["pid"] for folder in run_dirs for record in folder.glob("*.json")]
    return sum(_cpu_seconds(process) for leader in leaders for process in _family(leader))


def _family(pid: int) -> list[psutil.Process]:
    leader = psutil.Process(pid)
    return [leader, *leader.children(recursive=True)]


def _cpu_seconds(process: psutil.Process) -> float:
    """Its own, and that of the children that it waited for; 0 if it has just ended, as its parent then has it."""
    try:
        return float(sum(process.cpu_times()[:4]))
    except psutil.NoSuchProcess:
        return 0.0


TASK_OVERHEAD = Benchmark(
    name="task_overhead",
    title="A no-op task in a DAG file that imports Google's operators",
    against="stock Airflow",
    unit="s",
    run=_task_overhead,
    targets=[at_most(0.35, "s"), times_at_least(10)],
)
IDLE_CPU = Benchmark(
    name="idle_cpu",
    title="The running stack when there is nothing to do, in percent of a core",
    against="stock Airflow",
    unit="%",
    run=_idle_cpu,
    targets=[at_most(12, "%")],
)
START_UP = Benchmark(
    name="start_up",
    title="From nothing to a healthy scheduler, the database being migrated",
    against="stock Airflow",
    unit="s",
    run=_start_up,
)
