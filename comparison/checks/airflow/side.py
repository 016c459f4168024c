"""The running Airflow that its checks use, and what several of them need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx

from comparison.checks import SECONDS, Checks, await_, posts
from comparison.ground import Ground
from comparison.sides import DatasetMonth
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from nyc_taxi.registry.model import PublishedFile

CHECKS = Checks()


check = CHECKS.check


# The documentation of the installed version, to which notes link.
DOCS = f"https://airflow.apache.org/docs/apache-airflow/{version('apache-airflow')}"
KUBERNETES = "https://airflow.apache.org/docs/apache-airflow-providers-cncf-kubernetes/stable"
ENDED = ("success", "failed")


class Airflow:
    """The running Airflow: its API, and the facts that both sides share."""

    def __init__(self, ground: Ground, settings: AirflowSettings, api: AirflowApi) -> None:
        self.ground = ground
        self.settings = settings
        self.api = api

    @property
    def file(self) -> PublishedFile:
        """The published file whose month is in all stores."""
        return DatasetMonth(self.ground.dataset, self.ground.month).file

    @property
    def to_gcs(self) -> str:
        """The id of the DAG that took the month to the lake."""
        return f"{self.ground.dataset}_web_to_gcs"

    def start(self, dag_id: str, **conf: Any) -> str:
        """Unpause a DAG and start a run; returns the run id."""
        self.api.await_parsed([dag_id], since="")
        self.api.set_paused(dag_id, False)
        return self.api.trigger(dag_id, conf)

    def end(self, dag_id: str, run_id: str, timeout: float = 120.0) -> str:
        """Wait for the end of a run; returns its state."""
        return await_(
            lambda: state if (state := self.api.run(dag_id, run_id)["state"]) in ENDED else None,
            f"{dag_id} {run_id} ends",
            timeout,
        )

    def run(self, dag_id: str, **conf: Any) -> dict[str, Any]:
        """Run a DAG to its end; returns the run."""
        run_id = self.start(dag_id, **conf)
        self.end(dag_id, run_id)
        return self.api.run(dag_id, run_id)

    def tasks(self, run: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The task instances of a run by task id; of a mapped task, only the last."""
        return {task["task_id"]: task for task in self.api.tasks(run["dag_id"], run["dag_run_id"])}

    def result(self, run: Mapping[str, Any], task_id: str, key: str = "return_value") -> Any:
        """A task's return value, or its XCom under another key."""
        path = f"/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances/{task_id}/xcomEntries/{key}"
        value = self.api.call("GET", path)["value"]
        try:
            return json.loads(value)
        except (TypeError, ValueError):
            return value

    def log(self, run: Mapping[str, Any], task_id: str, try_number: int = 1) -> str:
        """The log of a task."""
        return "\n".join(self.api.log(run["dag_id"], run["dag_run_id"], task_id, try_number))

    def month_run(self, dag_id: str) -> dict[str, Any]:
        """The newest run of a DAG that loaded the common month, and did not skip it."""
        for run in self.api.runs(dag_id):
            month = run["partition_key"] or run["conf"].get("month")
            tasks = self.tasks(run)
            if month == self.ground.month and run["state"] == "success" and "skipped" not in states_of(tasks):
                return run
        raise AssertionError(f"there is no run of {dag_id} for {self.ground.month}")

    def alerts(self, run: str) -> list[dict[str, Any]]:
        """The alerts that were posted about a run."""
        found = posts(self.ground.receiver_url)
        return [post for post in found if post.get("run") == run or post.get("text", "").startswith(f"{run} failed")]

    def schema(self) -> dict[str, Any]:
        """The OpenAPI schema of the server."""
        found: dict[str, Any] = httpx.get(f"{self.settings.url}/openapi.json", trust_env=False, timeout=SECONDS).json()
        return found

    def airflow(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the Airflow CLI with further environment variables."""
        command = [str(Path(sys.executable).with_name("airflow")), *arguments]
        env = {**os.environ, **self.settings.environment(), **variables}
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)


def states_of(tasks: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The states of a run's tasks."""
    # A failed warning check ends as skipped, and so does the announcement of an unchanged month in all other runs.
    ignored = ("check_warnings", "announce_unchanged")
    return {task["state"] for task_id, task in tasks.items() if task_id not in ignored}


def scheduler_pid(airflow: Airflow) -> int:
    """The process of the scheduler, whose children are the workers of the LocalExecutor."""
    return int(json.loads((airflow.settings.home / "run" / "scheduler.json").read_text())["pid"])


def set_connection(airflow: Airflow, name: str, *, host: str, value: str) -> None:
    """Set a connection with this host, a password and an extra bucket, and a variable, both of this name."""
    more = {"login": "reader", "password": "hunter2-compared", "extra": json.dumps({"bucket": f"lake-{host}"})}
    connection = {"connection_id": name, "conn_type": "http", "host": host, **more}
    for path, body in (("/connections", connection), ("/variables", {"key": name, "value": value})):
        try:
            airflow.api.call("POST", path, **body)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != 409:
                raise
            airflow.api.call("PATCH", f"{path}/{name}", **body)  # it exists: change it


def await_source(airflow: Airflow, dag_id: str, text: str) -> None:
    """Wait until Airflow's copy of a DAG's code contains the text."""

    def has_it() -> bool:
        try:
            return text in airflow.api.call("GET", f"/dagSources/{dag_id}")["content"]
        except httpx.HTTPStatusError:  # Airflow has not parsed the DAG yet
            return False

    await_(has_it, f"Airflow has parsed {dag_id} with {text}", timeout=120)
