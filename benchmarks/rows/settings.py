"""The settings whose value is a trade-off: each value is measured, and the figures choose."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence

from benchmarks.lab import Lab
from benchmarks.measure import median
from benchmarks.results import Benchmark, Measured
from benchmarks.rows.month import backfill_months, prepare, seconds_of_backfill, seconds_of_month
from benchmarks.rows.overhead import chain_of, percent_of_a_core, seconds_per_task
from local.cloud.settings import REPOSITORY, read_env_file

IDLE_SLEEP = "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME"
IDLE_SLEEPS = ("0.1", "0.3", "0.5")
# Each round starts the stack once for each value, which takes minutes.
ROUNDS = 2

Figures = Mapping[str, float]


def _scheduler_idle_sleep(lab: Lab) -> Measured:
    """Measure the values in turns, every second round in reverse order, so that a trend of the machine cancels out."""
    months = backfill_months(lab)
    found: dict[str, list[Figures]] = {value: [] for value in IDLE_SLEEPS}
    for number in range(min(ROUNDS, lab.conditions.slow_repeats)):
        for value in IDLE_SLEEPS if number % 2 == 0 else reversed(IDLE_SLEEPS):
            figures = _with_idle_sleep(lab, value, months)
            print(f"  {IDLE_SLEEP}={value}: {figures}", file=sys.stderr, flush=True)  # kept if a later start fails
            found[value].append(figures)
    ours = found[chosen_idle_sleep()]
    return Measured(
        ours=[figures["month, s"] for figures in ours],
        note=f"a month of green through both DAGs, at {chosen_idle_sleep()} s; the backfill has {len(months)} months",
        more={"runs_by_setting": found, "by_setting": {f"{value} s": medians(runs) for value, runs in found.items()}},
    )


def chosen_idle_sleep() -> str:
    """The value that ``config/airflow.env`` ships."""
    return read_env_file(REPOSITORY / "config" / "airflow.env")[IDLE_SLEEP]


def medians(runs: Sequence[Figures]) -> dict[str, float]:
    """The median of each figure over all rounds."""
    return {name: median([figures[name] for figures in runs]) for name in runs[0]}


def _with_idle_sleep(lab: Lab, value: str, months: Sequence[str]) -> Figures:
    """Start the stack with this value and measure everything that the value influences."""
    conditions = lab.conditions
    tasks = conditions.chained_tasks
    with lab.runs_with({IDLE_SLEEP: value}) as runs:
        runs.unpause(chain_of(tasks))
        prepare(runs, "green")
        # Not measured: the workers' first tasks, and the run that creates the table.
        seconds_per_task(runs, tasks)
        seconds_of_month(runs, "green", months[0])
        figures = {
            "no-op task, s": seconds_per_task(runs, tasks),
            "month, s": seconds_of_month(runs, "green", months[0]),
            "backfill, s": seconds_of_backfill(runs, "green", months, conditions.backfill_parallel),
        }
        time.sleep(conditions.settle_seconds)
        return {**figures, "idle, % of a core": percent_of_a_core(lab.run_dirs(), conditions.idle_seconds)}


SCHEDULER_IDLE_SLEEP = Benchmark(
    name="scheduler_idle_sleep",
    title="The scheduler's pause between two looks for work",
    against="no baseline: it chooses a setting",
    unit="s",
    run=_scheduler_idle_sleep,
)
