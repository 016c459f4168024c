"""What the guards against web pages cost: the servers behind them against the same servers without them.

See ``docs/local-cloud.md`` for the guards, and :mod:`benchmarks.unguarded` for the servers without.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.conditions import YELLOW_MONTH
from benchmarks.lab import Lab, cloud_environment, command
from benchmarks.measure import in_turns
from benchmarks.results import Benchmark, Measured, of_baseline_at_most
from benchmarks.rows.month import prepare, seconds_of_month, through
from benchmarks.system import CLOUD_PYTHON, free_ports
from local.airflow.environment import AirflowSettings
from local.cloud.processes import Process, answers, start, stop
from local.cloud.settings import HOST, REPOSITORY

MOST = of_baseline_at_most(1.1)


def _guards_month_end_to_end(lab: Lab) -> Measured:
    settings = lab.cloud()
    with _unguarded(lab, settings) as endpoints:
        command(
            [sys.executable, "-m", "benchmarks.ours.create_tables"],
            {**settings.environment(), **cloud_environment(settings), **endpoints},
        )
        ours, baseline = in_turns(
            lab.conditions.repeats,
            lambda: through(lab, "benchmarks.ours.month_end_to_end"),
            lambda: through(lab, "benchmarks.ours.month_end_to_end", **endpoints),
        )
    return Measured.of_runs(ours, baseline, lambda run: run.seconds)


def _guards_month_through_airflow(lab: Lab) -> Measured:
    lab.stock.stop()
    lab.down()
    with _unguarded(lab, lab.cloud()) as endpoints:
        ours, baseline = in_turns(
            lab.conditions.slow_repeats,
            lambda: _month_after_start(lab, {}),
            lambda: _month_after_start(lab, endpoints, api_server=("benchmarks.unguarded", "api-server")),
        )
    return Measured(ours=ours, baseline=baseline, note="the second month after a start of the stack")


def _month_after_start(lab: Lab, variables: dict[str, str], *, api_server: Sequence[str] = ()) -> float:
    with lab.runs_with(variables, api_server=api_server) as runs:
        prepare(runs, "yellow")
        seconds_of_month(runs, "yellow", YELLOW_MONTH)  # not measured: the workers' first tasks
        return seconds_of_month(runs, "yellow", YELLOW_MONTH)


@contextmanager
def _unguarded(lab: Lab, settings: AirflowSettings) -> Iterator[dict[str, str]]:
    """Run unguarded GCS and BigQuery servers, empty at first; yields the variables that lead clients to them."""
    folder = lab.folder / "unguarded"
    gcs_root, bigquery = folder / "gcs", folder / "bigquery"
    (gcs_root / settings.cloud.lake_bucket).mkdir(parents=True, exist_ok=True)
    bigquery.mkdir(exist_ok=True)
    gcs_port, bigquery_port = free_ports(2)
    project = settings.cloud.project
    servers = [
        _server("gcs", gcs_port, "/storage/v1/b", lab, "--root", str(gcs_root)),
        _server(
            "bigquery",
            bigquery_port,
            f"/bigquery/v2/projects/{project}/datasets",
            lab,
            *("--data-dir", str(bigquery), "--gcs-root", str(gcs_root), "--project", project),
        ),
    ]
    try:
        start(servers, run_dir=folder / "run")
        yield {
            "STORAGE_EMULATOR_HOST": f"http://{HOST}:{gcs_port}",
            "BIGQUERY_EMULATOR_HOST": f"http://{HOST}:{bigquery_port}",
        }
    finally:
        stop(run_dir=folder / "run")


def _server(name: str, port: int, path: str, lab: Lab, *arguments: str) -> Process:
    return Process(
        name=name,
        command=[str(CLOUD_PYTHON), "-m", "benchmarks.unguarded", name, "--port", str(port), *arguments],
        log=lab.folder / "unguarded" / f"{name}.log",
        healthy=lambda: answers(f"http://{HOST}:{port}{path}"),
        cwd=REPOSITORY,
        port=port,
    )


GUARDS_MONTH_END_TO_END = Benchmark(
    name="guards_month_end_to_end",
    title="The month without an orchestrator, the servers behind their guards",
    against="the same servers without guards",
    unit="s",
    run=_guards_month_end_to_end,
    targets=[MOST],
)
GUARDS_MONTH_THROUGH_AIRFLOW = Benchmark(
    name="guards_month_through_airflow",
    title="The month through both DAGs, the servers behind their guards",
    against="the same servers without guards",
    unit="s",
    run=_guards_month_through_airflow,
    targets=[MOST],
)
