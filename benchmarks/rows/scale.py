"""What a month of each dataset costs: docs/scale.md computes with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.conditions import MONTH
from benchmarks.lab import Lab
from benchmarks.measure import Run, require_rows
from benchmarks.results import Benchmark, Measured
from benchmarks.rows.memory import run_task
from nyc_taxi.registry.datasets import TRIP_DATASETS

# Of the month of each dataset; the work of the tasks grows with them.
ROWS = 500_000


def _cost_of_a_month(lab: Lab) -> Measured:
    """Run the tasks that process data once for each dataset: CPU time hardly differs between runs."""
    cost = {dataset.name: _cost(lab, dataset.name) for dataset in TRIP_DATASETS}
    rows = _rows(lab)
    return Measured(
        ours=[sum(each["cpu_seconds"] for each in cost.values()) / len(cost)],
        peak_mb=max(each["peak_mb"] for each in cost.values()),
        note=f"{rows:,} rows of each dataset; the figure is their mean",
        more={"rows": rows, "by_dataset": cost},
    )


def _cost(lab: Lab, dataset: str) -> dict[str, Any]:
    rows = _rows(lab)
    source, target = lab.month(dataset, MONTH, rows), lab.folder / f"{dataset}.parquet"
    runs = {
        "to_parquet": run_task(lab, "to_parquet", dataset, source, target),
        "local_to_gcs": run_task(lab, "local_to_gcs", dataset, target),
        "load_staging": run_task(lab, "load_staging", dataset, target),
    }
    require_rows(list(runs.values()), rows)
    return {**_sums(runs), "source_mb": _mb(source), "lake_mb": _mb(target)}


def _rows(lab: Lab) -> int:
    return min(ROWS, lab.conditions.fhvhv_rows)  # fewer in a quick run


def _sums(runs: Mapping[str, Run]) -> dict[str, Any]:
    return {
        "cpu_seconds": sum(run.figures["cpu_seconds"] for run in runs.values()),
        "seconds": sum(run.seconds for run in runs.values()),
        "cpu_seconds_by_task": {task: run.figures["cpu_seconds"] for task, run in runs.items()},
        "peak_mb": max(run.peak_mb for run in runs.values()),
    }


def _mb(path: Path) -> float:
    return path.stat().st_size / 1e6


COST_OF_A_MONTH = Benchmark(
    name="cost_of_a_month",
    title="CPU time of the tasks that process a month, the mean of the datasets",
    against="no baseline: docs/scale.md computes with it",
    unit="s",
    run=_cost_of_a_month,
)
