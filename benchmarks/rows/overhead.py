"""The overhead of Airflow itself: with this repository's settings, and stock."""

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

# Ours is measured once more without each of these settings: that one at Airflow's default, all others as they are.
STOCK_SETTINGS = {
    "the imports before the fork": {"PYTHONPATH": ""},
    "the scheduler's short pause": {"AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1"},
    "the workers' short heartbeat interval": {"AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "5"},
}


def _task_overhead(lab: Lab) -> Measured:
    tasks = lab.conditions.chained_tasks
    with lab.runs() as runs, lab.stock_runs() as stock_runs:
        for each in (runs, stock_runs):
            each.unpause(chain_of(tasks))
        seconds_per_task(runs, tasks)  # not measured: the workers' first tasks; stock has no such state
        ours, baseline = in_turns(
            lab.conditions.slow_repeats,
            lambda: seconds_per_task(runs, tasks),
            lambda: seconds_per_task(stock_runs, tasks),
        )
    without_bytecode = _without_bytecode(lab, tasks)
    without = {name: _with(lab, variables, tasks) for name, variables in STOCK_SETTINGS.items()}
    return Measured(
        ours=ours,
        baseline=baseline,
        note=f"{tasks} tasks in a chain; {without_bytecode:.3g} s in a stock Airflow that has no compiled bytecode",
        more={"stock_without_bytecode_seconds": without_bytecode, "without": without},
    )


def chain_of(tasks: int) -> str:
    """The id of the DAG that chains so many no-op tasks; see ``benchmarks/dags``."""
    return f"no_ops_{tasks}"


def seconds_per_task(runs: Runs, tasks: int) -> float:
    """Run the chain of no-op tasks; returns the seconds per task."""
    return runs.seconds(chain_of(tasks)) / tasks


def _with(lab: Lab, variables: dict[str, str], tasks: int) -> float:
    """The seconds per task of ours with other settings."""
    with lab.runs_with(variables) as runs:
        runs.unpause(chain_of(tasks))
        seconds_per_task(runs, tasks)  # not measured, as above
        return seconds_per_task(runs, tasks)


def _without_bytecode(lab: Lab, tasks: int) -> float:
    """The seconds per task of a stock Airflow that finds no bytecode and may write none.

    Every task then compiles what it imports. Images that set ``PYTHONDONTWRITEBYTECODE`` and were installed without
    compiling are in this state.
    """
    lab.stock.stop()
    lab.stock.variables = {
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPYCACHEPREFIX": str(lab.folder / "no-bytecode"),
    }
    try:
        with lab.stock_runs() as runs:
            runs.unpause(chain_of(tasks))
            return seconds_per_task(runs, tasks)
    finally:
        lab.stock.stop()
        lab.stock.variables = {}


def _idle_cpu(lab: Lab) -> Measured:
    """Measure one after the other: beside a second Airflow, each would use more."""
    lab.stock.stop()
    with lab.runs():
        ours = _idle(lab, lab.run_dirs())
    lab.down()
    with lab.stock_runs():
        stock = _idle(lab, [lab.stock.run_dir])
    note = f"each run over {lab.conditions.idle_seconds:.0f} s; ours with the embedded cloud"
    return Measured(ours=ours, baseline=stock, note=note)


def _idle(lab: Lab, run_dirs: Sequence[Path]) -> list[float]:
    """Let a stack settle, then measure several times what percentage of a core it uses."""
    time.sleep(lab.conditions.settle_seconds)
    return [percent_of_a_core(run_dirs, lab.conditions.idle_seconds) for _ in range(lab.conditions.slow_repeats)]


def percent_of_a_core(run_dirs: Sequence[Path], seconds: float) -> float:
    """Watch the components recorded in ``run_dirs`` for so long; returns their CPU time in percent of a core."""
    begin, before = time.monotonic(), cpu_seconds(run_dirs)
    time.sleep(seconds)
    return 100 * (cpu_seconds(run_dirs) - before) / (time.monotonic() - begin)


def _start_up(lab: Lab) -> Measured:
    """Start stock Airflow and ours in turns. Ours comes last and stays up, because the next rows need it."""
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
    """CPU time used so far by the components recorded in ``run_dirs`` and by all their descendants.

    Descendants are found through their parents: some overwrite their environment with a process title, and some have
    a session of their own.
    """
    return sum(cpu_by_component(run_dirs).values())


def cpu_by_component(run_dirs: Sequence[Path]) -> dict[str, float]:
    """CPU time as in ``cpu_seconds``, by component."""
    return {
        name: sum(_cpu_seconds(process) for process in _family(leader)) for name, leader in leaders(run_dirs).items()
    }


def leaders(run_dirs: Sequence[Path]) -> dict[str, int]:
    """The process ids of the components recorded in ``run_dirs``, by name."""
    records = [record for folder in run_dirs for record in folder.glob("*.json")]
    return {record.stem: json.loads(record.read_text())["pid"] for record in records}


def _family(pid: int) -> list[psutil.Process]:
    leader = psutil.Process(pid)
    return [leader, *leader.children(recursive=True)]


def _cpu_seconds(process: psutil.Process) -> float:
    """A process's CPU time and that of the children it has waited for; 0 if it just ended: its parent then has it."""
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
    targets=[at_most(0.6, "s"), times_at_least(3)],
)
IDLE_CPU = Benchmark(
    name="idle_cpu",
    title="The running stack when there is nothing to do, in percent of a core",
    against="stock Airflow",
    unit="%",
    run=_idle_cpu,
    targets=[at_most(25, "%")],
)
START_UP = Benchmark(
    name="start_up",
    title="From nothing to a healthy scheduler, the database being migrated",
    against="stock Airflow",
    unit="s",
    run=_start_up,
)
