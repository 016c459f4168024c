"""The work dir: a bucket, with which the tasks of a run may run on several machines, against a local folder."""

from __future__ import annotations

from benchmarks.lab import Lab, cloud_environment
from benchmarks.measure import Run, in_turns, require_rows, run_program
from benchmarks.results import Benchmark, Measured
from local.cloud.settings import REPOSITORY

PROGRAM = "benchmarks.ours.work_dir"


def _work_dir(lab: Lab) -> Measured:
    settings = lab.cloud()
    bucket, folder = f"gs://{settings.cloud.lake_bucket}/work", f"{lab.folder}/work"
    ours, baseline = in_turns(lab.conditions.slow_repeats, lambda: _run(lab, bucket), lambda: _run(lab, folder))
    return Measured.of_runs(ours, baseline, lambda run: run.seconds)


def _run(lab: Lab, work_dir: str) -> Run:
    """Take the yellow month to the lake, with the stack's connections."""
    settings = lab.cloud()
    path = {"PYTHONPATH": f"{REPOSITORY / 'plugins'}:{REPOSITORY / 'config'}"}
    run = run_program(
        PROGRAM, "worker", work_dir, env={**settings.environment(), **cloud_environment(settings), **path}
    )
    require_rows([run], lab.conditions.yellow_rows)
    return run


WORK_DIR = Benchmark(
    name="work_dir",
    title="The month from the web to the lake by way of a work dir in a bucket, teardown included",
    against="a work dir on the local disk",
    unit="s",
    run=_work_dir,
)
