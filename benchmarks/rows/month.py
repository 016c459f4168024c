"""Whole months: without an orchestrator, through Airflow, and many of them."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.conditions import BACKFILL_YEAR, YELLOW_MONTH
from benchmarks.lab import Lab, cloud_environment
from benchmarks.measure import MeasureError, Run, in_turns, require_rows, run_program
from benchmarks.results import Benchmark, Measured, times_at_least
from benchmarks.runs import Runs
from benchmarks.system import PREFECT_PYTHON

# It counts the warehouse's months whenever one arrives, and the course has nothing like it.
ROLLUP = "trips_yearly_rollup"


def _month_end_to_end(lab: Lab) -> Measured:
    ours, baseline = in_turns(
        lab.conditions.slow_repeats,
        lambda: _through(lab, "benchmarks.ours.month_end_to_end"),
        lambda: _through(lab, "benchmarks.baselines.month_end_to_end"),
    )
    return Measured.of_runs(ours, baseline, lambda run: run.seconds)


def _month_through_airflow(lab: Lab) -> Measured:
    if not PREFECT_PYTHON.exists():
        raise MeasureError("the baseline's environment is not installed; make bench does it")
    lab.stock.stop()
    with lab.runs() as runs:
        to_gcs, to_bigquery = _prepare(runs, "yellow")
        conf = {"month": YELLOW_MONTH, "force": True}

        def ours() -> float:
            return runs.seconds_through(to_gcs, to_bigquery, lambda: runs.api.trigger(to_gcs, conf))

        measured, baseline = in_turns(lab.conditions.slow_repeats, ours, lambda: _under_prefect(lab))
    return Measured(
        ours=measured,
        baseline=[run.seconds for run in baseline],
        note="the flows' second run in the same process",
        more={"cold_prefect_seconds": [run.figures["cold_seconds"] for run in baseline]},
    )


def _backfill_parallelism(lab: Lab) -> Measured:
    conditions = lab.conditions
    months = [f"{BACKFILL_YEAR}-{number:02d}" for number in range(1, conditions.backfill_months + 1)]
    for month in months:
        lab.source_month("green", month, conditions.backfill_rows)
    lab.stock.stop()
    with lab.runs() as runs:
        to_gcs, to_bigquery = _prepare(runs, "green")

        def start_backfill() -> None:
            runs.api.backfill(
                to_gcs,
                f"{months[0]}-01",
                f"{months[-1]}-01",
                conf={"force": True},
                reprocess="completed",
                parallel=conditions.backfill_parallel,
            )

        def at_once() -> float:
            runs.await_no_backfill(to_gcs)
            return runs.seconds_through(to_gcs, to_bigquery, start_backfill, expected=len(months))

        def one_by_one(months: Sequence[str]) -> float:
            starts = [functools.partial(runs.api.trigger, to_gcs, {"month": month, "force": True}) for month in months]
            return sum(runs.seconds_through(to_gcs, to_bigquery, start) for start in starts)

        one_by_one(months[:1])  # not measured: it creates the table
        ours, baseline = in_turns(conditions.slow_repeats, at_once, lambda: one_by_one(months))
    return Measured(
        ours=ours,
        baseline=baseline,
        note=f"{len(months)} months by {conditions.backfill_rows:,} rows, {conditions.backfill_parallel} at once",
    )


def _through(lab: Lab, module: str, python: Path | str = sys.executable, **env: str) -> Run:
    """Take the yellow month from the source server to BigQuery by the program ``module``."""
    settings = lab.cloud()
    folder = lab.folder / "through"
    folder.mkdir(exist_ok=True)
    run = run_program(
        module, settings.source_base_url, folder, python=python, env={**cloud_environment(settings), **env}
    )
    require_rows([run], lab.conditions.yellow_rows)
    return run


def _under_prefect(lab: Lab) -> Run:
    return _through(
        lab,
        "comparison.course_flows.flows",
        PREFECT_PYTHON,
        PREFECT_HOME=str(lab.folder / "prefect"),
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
        DO_NOT_TRACK="1",
    )


def _prepare(runs: Runs, dataset: str) -> tuple[str, str]:
    """Let the dataset's DAGs run, and nothing beside them; returns their ids."""
    to_gcs, to_bigquery = f"{dataset}_web_to_gcs", f"{dataset}_gcs_to_bigquery"
    runs.pause(ROLLUP)
    runs.unpause(to_gcs, to_bigquery)
    return to_gcs, to_bigquery


MONTH_END_TO_END = Benchmark(
    name="month_end_to_end",
    title="The month from the web to GCS and BigQuery, without an orchestrator",
    against="the course's chain of steps: read, Parquet, GCS, back, to_gbq",
    unit="s",
    run=_month_end_to_end,
    targets=[times_at_least(4)],
)
MONTH_THROUGH_AIRFLOW = Benchmark(
    name="month_through_airflow",
    title="The same through both DAGs, from the trigger to the end of the last task",
    against="the course's flows under warm Prefect",
    unit="s",
    run=_month_through_airflow,
    targets=[times_at_least(1.5)],
)
BACKFILL_PARALLELISM = Benchmark(
    name="backfill_parallelism",
    title="Months of green through both DAGs in one backfill",
    against="one month after another",
    unit="s",
    run=_backfill_parallelism,
    targets=[times_at_least(1.7)],
)
