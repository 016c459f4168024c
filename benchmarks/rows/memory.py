"""The memory of the tasks that process data, for the longest published months."""

from __future__ import annotations

from pathlib import Path

from benchmarks.conditions import MONTH
from benchmarks.lab import Lab, cloud_environment
from benchmarks.measure import Run, require_rows, run_program
from benchmarks.results import Benchmark, Measured, peak_at_most
from local.cloud.settings import REPOSITORY

PROGRAM = "benchmarks.ours.data_task"


def _task_memory_fhvhv(lab: Lab) -> Measured:
    """Run each task once: the peak hardly differs between runs."""
    rows = lab.conditions.fhvhv_rows
    of_csv, of_parquet = lab.folder / "fhvhv_of_csv.parquet", lab.folder / "fhvhv_of_parquet.parquet"
    csv, parquet = (lab.month("fhvhv", MONTH, rows, suffix=suffix) for suffix in (".csv.gz", ".parquet"))
    try:
        runs = {
            "to_parquet of csv.gz": run_task(lab, "to_parquet", "fhvhv", csv, of_csv),
            "to_parquet of the TLC's Parquet": run_task(lab, "to_parquet", "fhvhv", parquet, of_parquet),
            "load_staging in Postgres": run_task(lab, "load_staging", "fhvhv", of_parquet),
            "local_to_gcs": run_task(lab, "local_to_gcs", "fhvhv", of_parquet),
        }
    finally:
        for path in (csv, parquet, of_csv, of_parquet):  # large, and no other benchmark needs them
            path.unlink(missing_ok=True)
    require_rows(list(runs.values()), rows)
    peaks = {task: run.peak_mb for task, run in runs.items()}
    largest = max(peaks, key=lambda task: peaks[task])
    return Measured(
        ours=[peaks[largest]],
        peak_mb=peaks[largest],
        note=f"{rows:,} rows; the largest is {largest}",
        more={"peak_mb_by_task": peaks},
    )


def run_task(lab: Lab, task: str, dataset: str, *paths: Path) -> Run:
    """Run a task that processes a month of the dataset, in a process like a worker's, with the stack's connections."""
    settings = lab.cloud()
    path = {"PYTHONPATH": f"{REPOSITORY / 'plugins'}:{REPOSITORY / 'config'}"}
    env = {**settings.environment(), **cloud_environment(settings), **path}
    return run_program(PROGRAM, "worker", task, dataset, *paths, env=env)


TASK_MEMORY_FHVHV = Benchmark(
    name="task_memory_fhvhv",
    title="Peak memory of the largest task for a long fhvhv month",
    against="no baseline: it is a limit",
    unit="MB",
    run=_task_memory_fhvhv,
    targets=[peak_at_most(400)],
)
