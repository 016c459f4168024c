"""``make dbt``, with the month as its argument: loads what the example reads, then builds, tests and documents it.

The embedded cloud is started if it is not up, and stopped again at the end. With a connection to real Google Cloud in
``.env``, nothing is started or loaded.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from examples.dbt import cli
from local.airflow import reconcile, stack
from local.airflow.environment import AirflowSettings
from local.cloud import shell
from local.cloud.processes import ProcessError, answers, raise_on_signals
from local.cloud.settings import REPOSITORY
from nyc_taxi.registry.datasets import GREEN, YELLOW, ZONES
from nyc_taxi.registry.model import ContractError, PublishedFile
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.bigquery.store import BigQueryStore

FLOWS = ("web_to_gcs", "gcs_to_bigquery")
# A run needs a date; that of the zones does not matter.
ANY_DATE = "2021-01-15"


def main() -> int:
    """Run the command and return its exit code; 1 if the month cannot be loaded, or if dbt fails."""
    raise_on_signals()
    try:
        if note := shell.adopt():
            print(note, file=sys.stderr)
        cli.check_installed()
        settings = stack.as_running(AirflowSettings.from_env())
        month = Month.parse(sys.argv[1])
        if not settings.uses_real_google_cloud:
            with _running_cloud(settings):
                _load_missing(settings, [GREEN.file(month), YELLOW.file(month), ZONES.file()])
                return _build(settings)
        return _build(settings)
    except (ProcessError, ContractError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


@contextmanager
def _running_cloud(settings: AirflowSettings) -> Iterator[None]:
    if answers(f"{settings.cloud.bigquery_url}/healthz"):
        yield
        return
    try:
        stack.cloud(settings, "up")
        yield
    finally:
        stack.cloud(settings, "down", check=False)


def _load_missing(settings: AirflowSettings, files: list[PublishedFile]) -> None:
    """Load the files that the warehouse lacks, by the pipeline's own DAGs, without a scheduler.

    Raises:
        ProcessError: a DAG fails.
    """
    warehouse = reconcile.connected(settings, BigQueryStore)
    for file in files:
        if warehouse.count(file):
            continue
        print(f"loading {file.dataset.name} {file.month or ''}".rstrip(), flush=True)
        date = f"{file.month}-15" if file.month else ANY_DATE
        for flow in FLOWS:
            dag = f"{file.dataset.name}_{flow}"
            command = [sys.executable, "-m", "local.airflow", "run", "dags", "test", dag, date]
            done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
            if done.returncode:
                raise ProcessError(f"{dag} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def _build(settings: AirflowSettings) -> int:
    """Build and test everything, then write the documentation."""
    variables = {**os.environ, **cli.environment(settings)}
    for words in (["build"], ["docs", "generate", "--static"]):
        code = subprocess.run([cli.DBT, *words], env=variables, check=False).returncode
        if code:
            return code
    print(f"documentation: {variables['DBT_TARGET_PATH']}/static_index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
