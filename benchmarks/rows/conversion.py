"""The conversion of csv.gz to Parquet: its speed and its memory."""

from __future__ import annotations

from benchmarks.conditions import YELLOW_MONTH
from benchmarks.lab import Lab
from benchmarks.measure import Run, in_turns, require_rows, run_program
from benchmarks.results import Benchmark, Measured, of_baseline_at_most, peak_at_most, times_at_least

OURS, BASELINE = "benchmarks.ours.csv_to_parquet", "benchmarks.baselines.csv_to_parquet"


def _convert(lab: Lab, module: str, rows: int) -> Run:
    source = lab.month("yellow", YELLOW_MONTH, rows)
    target = lab.folder / "converted.parquet"
    target.unlink(missing_ok=True)
    run = run_program(module, source, target)
    require_rows([run], rows)
    return run


def _csv_to_parquet(lab: Lab) -> Measured:
    rows = lab.conditions.yellow_rows
    ours, baseline = in_turns(
        lab.conditions.repeats, lambda: _convert(lab, OURS, rows), lambda: _convert(lab, BASELINE, rows)
    )
    return Measured.of_runs(ours, baseline, lambda run: run.seconds)


def _memory_by_rows(lab: Lab) -> Measured:
    """Convert months of several sizes; returns the peak memory of the longest against the reference."""
    sizes = lab.conditions.memory_rows
    peaks = {rows: [_convert(lab, OURS, rows).peak_mb for _ in range(lab.conditions.slow_repeats)] for rows in sizes}
    most, reference = sizes[-1], lab.conditions.memory_reference
    return Measured(
        ours=peaks[most],
        baseline=peaks[reference],
        peak_mb=max(peaks[most]),
        baseline_peak_mb=max(peaks[reference]),
        note=f"ours at {most:,} rows; the baseline is ours too, at {reference:,} rows",
        more={"peak_mb_by_rows": {str(rows): max(found) for rows, found in peaks.items()}},
    )


CSV_TO_PARQUET = Benchmark(
    name="csv_to_parquet",
    title="A yellow month from csv.gz to Parquet",
    against="pandas: read_csv, to_parquet(gzip)",
    unit="s",
    run=_csv_to_parquet,
    targets=[times_at_least(8), peak_at_most(256)],
)
MEMORY_BY_ROWS = Benchmark(
    name="memory_by_rows",
    title="Peak memory of that for the longest month",
    against="a shorter month",
    unit="MB",
    run=_memory_by_rows,
    targets=[of_baseline_at_most(1.3)],
)
