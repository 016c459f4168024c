"""Runs Airflow's side: the repository's own stack, with the examples in addition to the pipeline's DAGs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.lab import command, up_with
from benchmarks.measure import MeasureError
from comparison import edited
from comparison.checks import Result, await_, git, kill_tree, seconds_between
from comparison.ground import Ground
from comparison.measurements import AS_SHIPPED, FOR_CHECKS
from comparison.sides import (
    POLL_SECONDS,
    RANGE_PARALLEL,
    RUN_TIMEOUT,
    DatasetMonth,
    Side,
    SideError,
    own_python,
    run_checks,
)
from comparison.stock import AIRFLOW_WITHOUT_IMPORTS, airflow_as_shipped
from local.airflow import stack
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from local.cloud.settings import REPOSITORY
from nyc_taxi.dag_parts.channels import FAILURE_WEBHOOK

NAME = "airflow"
# A user who may read and not write, beside the stack's own admin.
READER = "reader"
# With these, a task repeats a call of the API server for about a minute; by default for some ten seconds.
PATIENCE = {"AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "20", "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "5"}
_LOCAL, _GIT = "airflow.dag_processing.bundles.local.LocalDagBundle", "airflow.providers.git.bundles.git.GitDagBundle"
_FROM_GIT = """\
from airflow.sdk import dag, task


@dag
def from_git():
    @task
    def tell():
        return "first"

    tell()


from_git()
"""


@dataclass
class AirflowSide(Side):
    """See :class:`comparison.sides.Side`."""

    ground: Ground
    settings: AirflowSettings
    name: str = NAME
    settings_of: str = FOR_CHECKS

    def start(self, settings: str = FOR_CHECKS) -> float:
        self.settings_of = settings
        begin = time.monotonic()
        self._write_git_dags()
        self._dropped.mkdir(exist_ok=True)
        try:
            command(up_with(self._environment() if settings == FOR_CHECKS else self._environment_of_figures()))
        except MeasureError as error:
            # The stack takes the embedded cloud down with it, whose source Prefect reads too.
            stack.cloud(self.settings, "up")
            raise SideError(f"Airflow does not start: {error}") from error
        self._prepare(["from_git"] if settings == FOR_CHECKS else [])
        return time.monotonic() - begin

    def stop(self) -> None:
        stack.stop_airflow(self.settings)

    def run_dirs(self) -> list[Path]:
        return [self.settings.home / "run"]

    def load(self, months: Sequence[DatasetMonth], *, postgres: bool = True) -> float:
        begin = time.monotonic()
        with self._api() as api:
            started = {each: api.trigger(f"{each.dataset}_web_to_gcs", _conf(each)) for each in months}
            others = {each: api.trigger(f"{each.dataset}_web_to_postgres", _conf(each)) for each in months if postgres}
            for each, run_id in started.items():
                self._await(api, f"{each.dataset}_web_to_gcs", run_id)
            for each, run_id in started.items():
                dag_id = f"{each.dataset}_gcs_to_bigquery"
                follows = await_(
                    lambda dag_id=dag_id, run_id=run_id: _started_by(api, dag_id, run_id),  # type: ignore[misc]
                    f"the arrival of {each.dataset} {each.month} starts {dag_id}",
                    timeout=120,
                    poll=POLL_SECONDS,
                )
                self._await(api, dag_id, follows)
            for each, run_id in others.items():
                self._await(api, f"{each.dataset}_web_to_postgres", run_id)
        return time.monotonic() - begin

    def load_by_call(self, month: DatasetMonth) -> float:
        first, second = (f"{month.dataset}_{step}_called" for step in _STEPS[:2])
        with self._api() as api:
            begin = time.monotonic()
            run_id = api.trigger(first, _conf(month))
            for dag_id in (first, second):  # the call gives the second run the name of the first
                self._await(api, dag_id, run_id)
            return time.monotonic() - begin

    def load_range(self, months: Sequence[DatasetMonth]) -> float:
        first, last = months[0], months[-1]
        to_gcs, to_bigquery = f"{first.dataset}_web_to_gcs", f"{first.dataset}_gcs_to_bigquery"
        with self._api() as api:
            before = {run["dag_run_id"] for dag_id in (to_gcs, to_bigquery) for run in api.runs(dag_id)}
            begin = time.monotonic()
            dates = (f"{first.month}-01", f"{last.month}-01")
            # Without this, a month that has a run already would be left out.
            again = "completed"
            api.backfill(to_gcs, *dates, conf={"force": True}, reprocess=again, parallel=RANGE_PARALLEL)
            for dag_id in (to_gcs, to_bigquery):
                await_(
                    lambda dag_id=dag_id: _ended(api, dag_id, before, len(months)),  # type: ignore[misc]
                    f"{len(months)} runs of {dag_id} have ended",
                    timeout=RUN_TIMEOUT,
                    poll=POLL_SECONDS,
                )
            return time.monotonic() - begin

    def load_range_in_one_run(self, months: Sequence[DatasetMonth], *, processes: bool) -> float:
        raise SideError(f"a backfill makes a run for each of the {len(months)} months")

    def chain(self, length: int) -> tuple[float, float]:
        seconds, run = self._seconds_of(f"chain_{length}", {})
        return seconds, seconds_between(run["start_date"], run["end_date"])

    def mapped(self, count: int) -> float:
        return self._seconds_of("many", {"count": count})[0]

    def latency(self) -> float:
        with self._api() as api:
            [asset] = api.assets_starting("on_event")
            return self.ground.first_line_after(lambda: api.announce(asset, None))

    def edit(self) -> float:
        env = {**self.settings.environment(), **self._environment_of_figures()}
        begin = time.monotonic()
        edited.run(NAME, own_python(), self._dropped, f"at {begin}", env)
        return time.monotonic() - begin

    def register(self, count: int) -> float:
        name = f"new_{time.time_ns()}"
        dag_ids = [f"{name}_{number}" for number in range(count)]
        with self._api() as api:
            begin = time.monotonic()
            for dag_id in dag_ids:
                (self._dropped / f"{dag_id}.py").write_text(_FROM_GIT.replace("from_git", dag_id))
            try:
                known = f"/dags?limit=1&dag_id_pattern={name}"
                await_(
                    lambda: api.call("GET", known)["total_entries"] == count,
                    f"Airflow knows {count} new DAGs",
                    timeout=RUN_TIMEOUT,
                    poll=POLL_SECONDS,
                )
                return time.monotonic() - begin
            finally:
                for dag_id in dag_ids:
                    (self._dropped / f"{dag_id}.py").unlink()

    def recover(self) -> float:
        with self._api() as api:
            run_id = api.trigger("killed", {})
            begin = kill_tree(await_(lambda: running_pid(api, "killed", run_id), "the task runs"))
            self._await(api, "killed", run_id)
            return time.monotonic() - begin

    def check(self, concepts: Sequence[str]) -> Iterator[Result]:
        env = {**self.settings.environment(), **self._environment()}
        env["PYTHONPATH"] = f"{env['PYTHONPATH']}:{REPOSITORY / 'plugins'}"
        return run_checks(own_python(), "comparison.checks.airflow", concepts, env)

    def _seconds_of(self, dag_id: str, conf: dict[str, object]) -> tuple[float, dict[str, Any]]:
        """The seconds of a run, from the call that triggers it to its end, and the run."""
        with self._api() as api:
            begin = time.monotonic()
            run_id = api.trigger(dag_id, conf)
            self._await(api, dag_id, run_id)
            return time.monotonic() - begin, api.run(dag_id, run_id)

    def _api(self) -> AirflowApi:
        return AirflowApi(self.settings, timeout=RUN_TIMEOUT)

    def _await(self, api: AirflowApi, dag_id: str, run_id: str) -> None:
        deadline = time.monotonic() + RUN_TIMEOUT
        while (state := api.run(dag_id, run_id)["state"]) not in ("success", "failed"):
            if time.monotonic() > deadline:
                raise SideError(f"{dag_id} {run_id} is {state} after {RUN_TIMEOUT:.0f} s")
            time.sleep(POLL_SECONDS)
        if state == "failed":
            failed = [task for task in api.tasks(dag_id, run_id) if task["state"] == "failed"]
            logs = [api.log(dag_id, run_id, task["task_id"], task["try_number"])[-3:] for task in failed]
            raise SideError(f"{dag_id} {run_id} failed: {logs}")

    def _prepare(self, more: list[str]) -> None:
        """Unpause the compared DAGs, and create the connections for alerts."""
        with self._api() as api:
            dag_ids = [f"{name}_{step}" for name in ("yellow", "green") for step in _STEPS]
            api.await_parsed([*dag_ids, *_EXAMPLES, *more], since="", timeout=300)
            for dag_id in [*dag_ids, *_EXAMPLES]:
                api.set_paused(dag_id, False)
            for connection_id in ("taxi_alerts", FAILURE_WEBHOOK):
                connection = {"connection_id": connection_id, "conn_type": "http", "host": self.ground.receiver_url}
                try:
                    api.call("POST", "/connections", **connection)
                except httpx.HTTPStatusError as error:
                    if error.response.status_code != 409:  # it exists from an earlier start
                        raise

    def _environment(self) -> dict[str, str]:
        bundles = [
            {"name": "dags-folder", "classpath": _LOCAL, "kwargs": {}},
            {"name": "examples", "classpath": _LOCAL, "kwargs": {"path": str(REPOSITORY / "comparison/airflow_dags")}},
            {"name": "dropped", "classpath": _LOCAL, "kwargs": {"path": str(self._dropped), "refresh_interval": 2}},
            {
                "name": "from-git",
                "classpath": _GIT,
                "kwargs": {"repo_url": str(self._git_folder), "tracking_ref": "main", "refresh_interval": 2},
            },
        ]
        return {
            **self._environment_of_figures(),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
            "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"admin:admin,{READER}:viewer",
            **PATIENCE,
        }

    def _environment_of_figures(self) -> dict[str, str]:
        """No bundle is looked at more often than the settings say, which are Airflow's own if it is as shipped."""
        folders = {"examples": REPOSITORY / "comparison" / "airflow_dags", "dropped": self._dropped}
        bundles: list[dict[str, object]] = [{"name": "dags-folder", "classpath": _LOCAL, "kwargs": {}}]
        bundles += [
            {"name": name, "classpath": _LOCAL, "kwargs": {"path": str(path)}} for name, path in folders.items()
        ]
        return {
            **self.ground.environment(),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
            "PYTHONPATH": str(REPOSITORY / "comparison" / "airflow_settings"),
            **({**airflow_as_shipped(), **AIRFLOW_WITHOUT_IMPORTS} if self.settings_of == AS_SHIPPED else {}),
        }

    @property
    def _dropped(self) -> Path:
        return self.ground.folder / "dropped_dags"

    @property
    def _git_folder(self) -> Path:
        return self.ground.folder / "git_dags"

    def _write_git_dags(self) -> None:
        """Create a git repository with one DAG for the git bundle."""
        if self._git_folder.exists():
            return
        self._git_folder.mkdir()
        (self._git_folder / "from_git.py").write_text(_FROM_GIT)
        for words in (
            ["init", "--quiet", "--initial-branch", "main"],
            ["add", "."],
            ["commit", "--quiet", "-m", "One"],
        ):
            git(self._git_folder, *words)


# Also the child, because another DAG starts it and waits.
_EXAMPLES = (
    "killed",
    "child",
    "chain_10",
    "chain_110",
    "many",
    "on_event",
    "yellow_web_to_gcs_called",
    "yellow_gcs_to_bigquery_called",
)
_STEPS = ("web_to_gcs", "gcs_to_bigquery", "web_to_postgres")


def running_pid(api: AirflowApi, dag_id: str, run_id: str) -> int | None:
    """The process of a run's only task, once it runs."""
    tasks = api.tasks(dag_id, run_id)
    return tasks[0]["pid"] if tasks and tasks[0]["state"] == "running" else None


def _conf(each: DatasetMonth) -> dict[str, object]:
    return {"month": each.month, "force": True}


def _started_by(api: AirflowApi, dag_id: str, source: str) -> str | None:
    """The run of a DAG that the asset event of the run ``source`` has started; None if there is none yet."""
    for run in api.runs(dag_id):
        if source in api.started_by(dag_id, run["dag_run_id"]):
            return str(run["dag_run_id"])
    return None


def _ended(api: AirflowApi, dag_id: str, before: set[str], count: int) -> bool:
    """Whether ``count`` new runs have succeeded.

    Raises:
        SideError: a run has failed.
    """
    new = [run for run in api.runs(dag_id) if run["dag_run_id"] not in before and run["run_type"] != "scheduled"]
    if failed := [run["dag_run_id"] for run in new if run["state"] == "failed"]:
        raise SideError(f"{dag_id} {failed[0]} failed")
    return sum(run["state"] == "success" for run in new) >= count
