"""Runs one month through all DAGs of the containers' Airflow, and prints its reconciliation line.

It runs in the services' network, with their ports and secrets: ``python -m tests.image.month DATASET MONTH``.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Any

from local.airflow import reconcile
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from nyc_taxi.stores import STORES

TIMEOUT = 20 * 60


def main() -> int:
    dataset, month = sys.argv[1:]
    settings = AirflowSettings.from_env()
    file = reconcile.month_file(settings, dataset, month)
    dag_ids = {store.name: store.dag_id(file.dataset) for store in STORES}
    with AirflowApi(settings) as api:
        api.await_parsed([*dag_ids.values(), "trips_yearly_rollup"], since="", timeout=300)
        if errors := api.import_errors():
            print(errors)
            return 1
        for dag_id in dag_ids.values():
            api.set_paused(dag_id, False)
        for store in STORES:
            if not store.loaded_from:
                api.trigger(dag_ids[store.name], {"month": month})
        runs = [_await_end(api, dag_id) for dag_id in dag_ids.values()]
        for run in runs:
            for task in api.tasks(run["dag_id"], run["dag_run_id"]):
                print(run["dag_id"], task["task_id"], task["state"], task["hostname"], flush=True)
        if any(run["state"] != "success" for run in runs):
            _print_logs(api, runs)
            return 1
    counts = reconcile.count(settings, file)
    print(counts.line(dataset, month), flush=True)
    return 0 if counts.agree else 1


def _await_end(api: AirflowApi, dag_id: str) -> dict[str, Any]:
    """Return the DAG's first manual or asset-triggered run when it has ended; a scheduled one waits for its source."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        runs = [run for run in api.runs(dag_id) if run["run_type"] != "scheduled"]
        if runs and runs[0]["state"] in ("success", "failed"):
            return runs[0]
        if time.monotonic() > deadline:
            raise TimeoutError(f"{dag_id} has no run that has ended, at {datetime.now(UTC)}: {runs}")
        time.sleep(1)


def _print_logs(api: AirflowApi, runs: list[dict[str, Any]]) -> None:
    for run in runs:
        for task in api.tasks(run["dag_id"], run["dag_run_id"]):
            if task["state"] in ("failed", "up_for_retry"):
                lines = api.log(run["dag_id"], run["dag_run_id"], task["task_id"], task["try_number"])
                print("\n".join(lines[-40:]), flush=True)


if __name__ == "__main__":
    sys.exit(main())
