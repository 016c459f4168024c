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
    return Measured(ours=ours, baseline=baseline, note=f"{tasks} tasks in a chain")


def _idle_cpu(lab: Lab) -> Measured:
    """Both at the same time: processor time is each one's own."""
    with lab.runs(), lab.stock_runs():
        time.sleep(lab.conditions.settle_seconds)
        percent = [_percent_of_a_core(lab) for _ in range(lab.conditions.slow_repeats)]
    ours, stock = zip(*percent, strict=True)
    note = f"each run over {lab.conditions.idle_seconds:.0f} s; ours with the embedded cloud"
    return Measured(ours=ours, baseline=stock, note=note)


def _percent_of_a_core(lab: Lab) -> tuple[float, float]:
    """What our stack and stock Airflow take in the next seconds."""
    stacks = (lab.run_dirs(), [lab.stock.run_dir])
    begin, before = time.monotonic(), [cpu_seconds(run_dirs) for run_dirs in stacks]
    time.sleep(lab.conditions.idle_seconds)
    seconds, after = time.monotonic() - begin, [cpu_seconds(run_dirs) for run_dirs in stacks]
    ours, stock = (100 * (end - start) / seconds for start, end in zip(before, after, strict=True))
    return ours, stock


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
