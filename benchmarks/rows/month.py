"""Whole months: without an orchestrator, through Airflow, and as a backfill."""

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
from comparison import temporary_server

# Paused: it starts whenever a month arrives in the warehouse, and the course has nothing like it.
ROLLUP = "trips_yearly_rollup"


def _month_end_to_end(lab: Lab) -> Measured:
    ours, baseline = in_turns(
        lab.conditions.slow_repeats,
        lambda: through(lab, "benchmarks.ours.month_end_to_end"),
        lambda: through(lab, "benchmarks.baselines.month_end_to_end"),
    )
    return Measured.of_runs(ours, baseline, lambda run: run.seconds)


def _month_through_airflow(lab: Lab) -> Measured:
    if not PREFECT_PYTHON.exists():
        raise MeasureError("the baseline's environment comparison/.venv is not installed; make bench installs it")
    lab.stock.stop()
    with lab.runs() as runs:
        prepare(runs, "yellow")
        ours, baseline = in_turns(
            lab.conditions.slow_repeats,
            lambda: seconds_of_month(runs, "yellow", YELLOW_MONTH),
            lambda: _under_prefect(lab),
        )
    return Measured(
        ours=ours,
        baseline=[run.seconds for run in baseline],
        note="the flows' second run in the same process",
        more={"cold_prefect_seconds": [run.figures["cold_seconds"] for run in baseline]},
    )


def _backfill_parallelism(lab: Lab) -> Measured:
    conditions, months = lab.conditions, backfill_months(lab)
    lab.stock.stop()
    with lab.runs() as runs:
        prepare(runs, "green")
        seconds_of_month(runs, "green", months[0])  # not measured: it creates the table
        ours, baseline = in_turns(
            conditions.slow_repeats,
            lambda: seconds_of_backfill(runs, "green", months, conditions.backfill_parallel),
            lambda: sum(seconds_of_month(runs, "green", month) for month in months),
        )
    return Measured(
        ours=ours,
        baseline=baseline,
        note=f"{len(months)} months of {conditions.backfill_rows:,} rows, {conditions.backfill_parallel} at a time",
    )


def backfill_months(lab: Lab) -> list[str]:
    """The months of green that are backfilled; the stack's source server has them from now on."""
    months = [f"{BACKFILL_YEAR}-{number:02d}" for number in range(1, lab.conditions.backfill_months + 1)]
    for month in months:
        lab.source_month("green", month, lab.conditions.backfill_rows)
    return months


def prepare(runs: Runs, dataset: str) -> None:
    """Unpause the dataset's two DAGs, and pause the rollup that would run beside them."""
    runs.pause(ROLLUP)
    runs.unpause(*_dag_ids(dataset))


def seconds_of_month(runs: Runs, dataset: str, month: str) -> float:
    """The seconds that a month takes through both DAGs; it is loaded even if it is unchanged."""
    to_gcs, to_bigquery = _dag_ids(dataset)
    conf = {"month": month, "force": True}
    return runs.seconds_through(to_gcs, to_bigquery, lambda: runs.api.trigger(to_gcs, conf))


def seconds_of_backfill(runs: Runs, dataset: str, months: Sequence[str], parallel: int) -> float:
    """The seconds that a backfill of consecutive months takes through both DAGs."""
    to_gcs, to_bigquery = _dag_ids(dataset)
    start = functools.partial(
        runs.api.backfill,
        to_gcs,
        f"{months[0]}-01",
        f"{months[-1]}-01",
        conf={"force": True},
        reprocess="completed",
        parallel=parallel,
    )
    runs.await_no_backfill(to_gcs)
    return runs.seconds_through(to_gcs, to_bigquery, start, expected=len(months))


def _dag_ids(dataset: str) -> tuple[str, str]:
    return f"{dataset}_web_to_gcs", f"{dataset}_gcs_to_bigquery"


def through(lab: Lab, module: str, python: Path | str = sys.executable, **env: str) -> Run:
    """Run the program ``module``, which takes the yellow month from the source server to BigQuery."""
    settings = lab.cloud()
    folder = lab.folder / "through"
    folder.mkdir(exist_ok=True)
    run = run_program(
        module, settings.source_base_url, folder, python=python, env={**cloud_environment(settings), **env}
    )
    require_rows([run], lab.conditions.yellow_rows)
    return run


def _under_prefect(lab: Lab) -> Run:
    return through(
        lab,
        "comparison.course_flows.flows",
        PREFECT_PYTHON,
        PREFECT_HOME=str(lab.folder / "prefect"),
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
        DO_NOT_TRACK="1",
        **temporary_server.settings(),
    )


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
