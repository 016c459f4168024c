"""The cost of parsing the DAGs, against the imports that no DAG file can avoid."""

from __future__ import annotations

from benchmarks.lab import Lab
from benchmarks.measure import MeasureError, Run, in_turns, run_program
from benchmarks.results import Benchmark, Measured, of_baseline_at_most


def _dag_parse(lab: Lab) -> Measured:
    ours, baseline = in_turns(lab.conditions.slow_repeats, lambda: _run(lab, "ours"), lambda: _run(lab, "baselines"))
    dags = ours[0].figures["dags"]
    if dags == 0:
        raise MeasureError("no DAG was parsed")
    measured = Measured.of_runs(ours, baseline, lambda run: run.cpu_seconds)
    return Measured(ours=measured.ours, baseline=measured.baseline, note="CPU time", more={"dags": dags})


def _run(lab: Lab, package: str) -> Run:
    home = lab.folder / "parse"
    home.mkdir(exist_ok=True)
    env = {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    return run_program(f"benchmarks.{package}.dag_parse", env=env)


DAG_PARSE = Benchmark(
    name="dag_parse",
    title="Parse all DAG files, imports included",
    against="the imports of the providers alone",
    unit="s",
    run=_dag_parse,
    targets=[of_baseline_at_most(1.15)],
)
