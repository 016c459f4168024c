"""Loading Parquet into the databases."""

from __future__ import annotations

from benchmarks.lab import Lab, cloud_environment
from benchmarks.measure import Run, in_turns, require_rows, run_program
from benchmarks.results import Benchmark, Measured, peak_at_most, times_at_least
from benchmarks.rows import conversion


def _parquet_to_postgres(lab: Lab) -> Measured:
    rows, to_sql_rows = lab.conditions.yellow_rows, lab.conditions.to_sql_rows
    ours, baseline = in_turns(
        lab.conditions.slow_repeats,
        lambda: _load(lab, "parquet_to_postgres", rows),
        lambda: _load_the_other_way(lab, "parquet_to_postgres", to_sql_rows),
    )
    return Measured.of_runs(ours, baseline, lambda run: run.figures["rows"] / run.seconds)


def _parquet_to_bigquery(lab: Lab) -> Measured:
    rows = lab.conditions.yellow_rows
    ours, baseline = in_turns(
        lab.conditions.slow_repeats,
        lambda: _load(lab, "parquet_to_bigquery", rows),
        lambda: _load_the_other_way(lab, "parquet_to_bigquery", rows),
    )
    return Measured.of_runs(ours, baseline, lambda run: run.seconds)


def _load(lab: Lab, name: str, rows: int) -> Run:
    return _run(lab, f"benchmarks.ours.{name}", conversion.OURS, rows)


def _load_the_other_way(lab: Lab, name: str, rows: int) -> Run:
    return _run(lab, f"benchmarks.baselines.{name}", conversion.BASELINE, rows)


def _run(lab: Lab, loader: str, converter: str, rows: int) -> Run:
    """Load the file that the converter wrote."""
    run = run_program(loader, lab.parquet(converter, rows), env=cloud_environment(lab.cloud()))
    require_rows([run], rows)
    return run


PARQUET_TO_POSTGRES = Benchmark(
    name="parquet_to_postgres",
    title="The month's Parquet into a Postgres staging table",
    against="pandas: to_sql in chunks of 100,000 rows",
    unit="rows/s",
    run=_parquet_to_postgres,
    better="higher",
    targets=[times_at_least(25), peak_at_most(200)],
)
PARQUET_TO_BIGQUERY = Benchmark(
    name="parquet_to_bigquery",
    title="The month's Parquet to GCS, loaded and published in BigQuery",
    against="pandas: read_parquet, to_gbq",
    unit="s",
    run=_parquet_to_bigquery,
)
