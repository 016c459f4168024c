"""Checks each concept on a running Airflow.

``python -m comparison.checks.airflow CONCEPT ...``
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import httpx
import psutil
import psycopg

from comparison.airflow_side import running_pid
from comparison.checks import (
    SECONDS,
    CannotError,
    Checks,
    await_,
    git,
    kill_tree,
    page_and_script,
    posts,
    refused,
    tell,
)
from comparison.ground import Ground
from comparison.sides import DatasetMonth
from local.airflow import reconcile
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from local.cloud.settings import REPOSITORY
from nyc_taxi.registry.datasets import DATASETS, TRIP_DATASETS
from nyc_taxi.registry.model import PublishedFile

CHECKS = Checks()
check = CHECKS.check
ENDED = ("success", "failed")
# Which folders a managed platform syncs, and where they lie there. docs/deploy.md describes each platform.
_DAGS_AND_PLUGINS = {"dags": "dags", "plugins": "plugins"}
SYNCED_FOLDERS = {
    "composer-and-mwaa": {**_DAGS_AND_PLUGINS, "include/sql": "plugins/include/sql"},
    "astro-project": {**_DAGS_AND_PLUGINS, "include": "include"},
}


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
            if month == self.ground.month and run["state"] == "success" and "skipped" not in _states(tasks):
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

    def airflow(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run the Airflow CLI."""
        command = [str(Path(sys.executable).with_name("airflow")), *arguments]
        env = {**os.environ, **self.settings.environment()}
        return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def _states(tasks: Mapping[str, Mapping[str, Any]]) -> set[str]:
    # A failed warning check ends as skipped, and so does the announcement of an unchanged month in all other runs.
    ignored = ("check_warnings", "announce_unchanged")
    return {task["state"] for task_id, task in tasks.items() if task_id not in ignored}


def _seconds(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


@check("flow")
def flow(airflow: Airflow) -> str:
    """Airflow has exactly one DAG for each dataset and step, each with its version."""
    expected = {f"{name}_{step}" for name in DATASETS for step in ("web_to_gcs", "gcs_to_bigquery", "web_to_postgres")}
    found = {dag["dag_id"]: dag for dag in airflow.api.call("GET", "/dags?tags=nyc-taxi&limit=100")["dags"]}
    assert set(found) - {"trips_yearly_rollup"} == expected
    run = airflow.month_run(airflow.to_gcs)
    assert run["dag_versions"][-1]["dag_id"] == airflow.to_gcs
    version = run["dag_versions"][-1]["version_number"]
    return f"{len(found)} DAGs from 4 files; the run records version {version} of its DAG"


@check("task")
def task(airflow: Airflow) -> str:
    """Each step has its own state, start, end and number of tries."""
    tasks = airflow.tasks(airflow.month_run(airflow.to_gcs))
    steps = ["wait_for_publication", "download", "to_parquet", "local_to_gcs", "remove_files"]
    assert [tasks[step]["state"] for step in steps] == ["success"] * len(steps)
    assert all(tasks[step]["duration"] > 0 and tasks[step]["try_number"] >= 1 for step in steps)
    return f"{len(tasks)} task instances, each with its state, times and tries"


@check("dependencies")
def dependencies(airflow: Airflow) -> str:
    """A step starts when the previous one has ended, and receives its return value: a path, not the rows."""
    run = airflow.month_run(airflow.to_gcs)
    tasks = airflow.tasks(run)
    chain = ["download", "to_parquet", "local_to_gcs"]
    for before, after in pairwise(chain):
        assert tasks[before]["end_date"] <= tasks[after]["start_date"]
    rendered = tasks["to_parquet"]["rendered_fields"]
    assert rendered["src"] == airflow.result(run, "download")
    assert airflow.result(run, "to_parquet") == airflow.ground.rows
    return "the graph is declared; `to_parquet` received the path that `download` returned, through XCom"


@check("parameters")
def parameters(airflow: Airflow) -> str:
    """An invalid month is refused before a run exists."""
    answer = refused(lambda: airflow.api.trigger(airflow.to_gcs, {"month": "2021-13"}), 400)
    assert "2021-13" in answer.text
    assert "2021-13" not in {run["conf"].get("month") for run in airflow.api.runs(airflow.to_gcs)}
    return "JSON schema in `Param`: `2021-13` is refused with HTTP 400, no run is created"


@check("typed_parameters")
def typed_parameters(airflow: Airflow) -> str:
    """A parameter that is declared as a date arrives as a date."""
    kind = airflow.result(airflow.run("typed", day="2021-02-28"), "load")
    assert kind == "str", f"the task gets a {kind} now: write the check"
    raise CannotError("`Param` validates with JSON schema, but the task receives JSON: a date is a string to parse")


@check("run_names")
def run_names(airflow: Airflow) -> str:
    """A run can be recognised by its name."""
    name = f"child-for-{airflow.ground.month}-{datetime.now(UTC):%H%M%S}"
    airflow.api.await_parsed(["child"], since="")
    airflow.api.call("POST", "/dags/child/dagRuns", logical_date=None, dag_run_id=name, conf={"month": "2021-01"})
    assert airflow.api.run("child", name)["dag_run_id"] == name
    keys = {run["partition_key"] for run in airflow.api.runs(f"{airflow.ground.dataset}_gcs_to_bigquery")}
    assert airflow.ground.month in keys
    return "the caller can name a run; scheduled, asset-triggered and backfill runs show their month as partition key"


@check("retries")
def retries(airflow: Airflow) -> str:
    """A task that fails twice is retried with growing delays, and succeeds in the third try."""
    run = airflow.run("retries")
    assert run["state"] == "success"
    path = f"/dags/retries/dagRuns/{run['dag_run_id']}/taskInstances/fetch/tries"
    tries = sorted(airflow.api.call("GET", path)["task_instances"], key=lambda one: one["try_number"])
    assert [one["try_number"] for one in tries] == [1, 2, 3]
    assert tries[-1]["state"] == "success"
    first, second = (_seconds(one["end_date"], two["start_date"]) for one, two in pairwise(tries))
    # One second, then two; Airflow adds random jitter of up to the same length.
    assert first >= 1
    assert second >= 2
    final = airflow.tasks(airflow.run("not_retried"))["fetch"]
    assert (final["state"], final["try_number"]) == ("failed", 1)
    return f"3 tries, {first:.1f} s and {second:.1f} s apart; a single try for an error that a retry policy calls final"


@check("caching")
def caching(airflow: Airflow) -> str:
    """A month that is unchanged at the source is not loaded again, and the run says so."""
    blob = reconcile.storage_client(airflow.settings).bucket(airflow.settings.cloud.lake_bucket)
    before = blob.get_blob(airflow.file.lake_object).generation
    run = airflow.run(airflow.to_gcs, month=airflow.ground.month)
    tasks = airflow.tasks(run)
    assert (tasks["announce_unchanged"]["state"], tasks["download"]["state"]) == ("success", "skipped")
    assert "is unchanged: it was made from" in airflow.log(run, "skip_unchanged")
    assert blob.get_blob(airflow.file.lake_object).generation == before
    return "not built in: a task of ours compares the source with the provenance that the lake object carries"


@check("time_outs")
def time_outs(airflow: Airflow) -> str:
    """A hanging task is stopped."""
    run = airflow.run("time_out")
    hang = airflow.tasks(run)["hang"]
    assert (run["state"], hang["state"]) == ("failed", "failed")
    assert "AirflowTaskTimeout" in airflow.log(run, "hang")
    return f"stopped after {hang['duration']:.1f} s with a time-out of 1 s; runs can have a time-out too"


@check("logging")
def logging(airflow: Airflow) -> str:
    """A task's log can be read by run, task and try."""
    run = airflow.month_run(airflow.to_gcs)
    assert f"Converted {airflow.ground.rows:,} rows" in airflow.log(run, "to_parquet")
    assert "Converted" not in airflow.log(run, "download")
    return "one log for each try of a task: in the UI, through the API, on disk or in a bucket"


@check("subflows")
def subflows(airflow: Airflow) -> str:
    """Tasks can be grouped, and a task can run another DAG and wait for it."""
    run = airflow.run("parent")
    tasks = airflow.tasks(run)
    assert (run["state"], tasks["prepare.create_table"]["state"]) == ("success", "success")
    child = airflow.api.run("child", airflow.result(run, "start_child", key="trigger_run_id"))
    assert (child["state"], child["triggered_by"], child["conf"]) == ("success", "operator", {"month": "2021-02"})
    assert child["end_date"] <= tasks["start_child"]["end_date"]
    return "a task group inside the DAG; a task that runs another DAG and waits. Results are looked up, not returned"


@check("mapping")
def mapping(airflow: Airflow) -> str:
    """There is one task instance for each month that an earlier task returned."""
    run = airflow.run("mapped")
    loads = [task for task in airflow.api.tasks("mapped", run["dag_run_id"]) if task["task_id"] == "load"]
    months = airflow.result(run, "list_months")
    assert [task["state"] for task in loads] == ["success"] * len(months)
    assert sorted(task["map_index"] for task in loads) == list(range(len(months)))
    return f"`expand` made {len(loads)} from a list known only at run time. In the pipeline each month is a run instead"


@check("concurrency")
def concurrency(airflow: Airflow) -> str:
    """With one slot, no two tasks run at the same time."""
    pool = {"name": "one_at_a_time", "slots": 1, "description": "for the comparison", "include_deferred": False}
    airflow.api.call("POST", "/pools", **pool)
    run = airflow.run("limited")
    spans = sorted((task["start_date"], task["end_date"]) for task in airflow.api.tasks("limited", run["dag_run_id"]))
    assert len(spans) == 3
    assert all(one[1] <= two[0] for one, two in pairwise(spans)), spans
    return "a pool with one slot; also limits for the runs and tasks of a DAG, the runs of a backfill, and the executor"


@check("connections")
def connections(airflow: Airflow) -> str:
    """The address that a task reads from changes without a change of the code."""
    hosts = ["one.invalid", "two.invalid"]
    assert [_read(airflow, "connections", host=host)["host"] for host in hosts] == hosts
    return "connections: from the UI, API, CLI, environment or a secrets manager; a fixed set of fields"


def _read(airflow: Airflow, name: str, *, host: str = "one.invalid", value: str = "") -> dict[str, str]:
    """Set a connection and a variable, and run a task that reads both; returns what it read."""
    _set(airflow, name, host=host, value=value)
    found: dict[str, str] = airflow.result(airflow.run("connected", name=name), "read")
    return found


def _set(airflow: Airflow, name: str, *, host: str, value: str) -> None:
    password = {"login": "reader", "password": "hunter2-compared"}
    connection = {"connection_id": name, "conn_type": "http", "host": host, **password}
    for path, body in (("/connections", connection), ("/variables", {"key": name, "value": value})):
        try:
            airflow.api.call("POST", path, **body)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != 409:
                raise
            airflow.api.call("PATCH", f"{path}/{name}", **body)  # it exists: change it


@check("providers")
def providers(airflow: Airflow) -> str:
    """Operators for Google Cloud come in a separate package, and the pipeline runs them."""
    found = {each["package_name"]: each for each in airflow.api.call("GET", "/providers?limit=100")["providers"]}
    google = found["apache-airflow-providers-google"]
    tasks = airflow.tasks(airflow.month_run(f"{airflow.ground.dataset}_gcs_to_bigquery"))
    names = ("create_table", "create_external_table", "drop_staging")
    assert {name: tasks[name]["operator_name"] for name in names} == {
        "create_table": "BigQueryInsertJobOperator",
        "create_external_table": "BigQueryCreateTableOperator",
        "drop_staging": "BigQueryInsertJobOperator",
    }
    return f"google {google['version']}: operators, hooks, sensors; most steps of the pipeline use or extend them"


@check("secrets")
def secrets(airflow: Airflow) -> str:
    """Neither the API nor the log of a task that prints it shows a password."""
    _set(airflow, "secrets", host="one.invalid", value="")
    run = airflow.run("connected", name="secrets")
    log = airflow.log(run, "read")
    assert "the password is ***" in log
    assert "hunter2-compared" not in log
    assert "hunter2-compared" not in json.dumps(airflow.api.call("GET", "/connections/secrets"))
    with psycopg.connect(airflow.settings.cloud.postgres_url("airflow")) as database:
        [[kept]] = database.execute("SELECT password FROM connection WHERE conn_id = 'secrets'").fetchall()
    assert kept
    assert "hunter2-compared" not in kept
    return "encrypted in the database, left out by the API, masked in logs even where a task prints it"


@check("variables")
def variables(airflow: Airflow) -> str:
    """A value that tasks read changes without a change of the code."""
    values = ["first", "second"]
    assert [_read(airflow, "variables", value=value)["variable"] for value in values] == values
    return "variables, also in templates; the pipeline has four"


@check("deployment")
def deployment(airflow: Airflow) -> str:
    """A new file in the DAGs folder becomes a DAG, and an edit a new version; both run."""
    path = airflow.ground.folder / "dropped_dags" / "dropped.py"
    path.parent.mkdir(exist_ok=True)
    source = (
        "from airflow.sdk import dag, task\n\n@dag\ndef dropped():\n    @task\n    def {value}():\n"
        "        return {value!r}\n    {value}()\n\ndropped()\n"
    )
    versions = []
    for value in ("one", "two"):
        path.write_text(source.format(value=value))
        _await_source(airflow, "dropped", f"def {value}")
        run = airflow.run("dropped")
        versions.append(run["dag_versions"][-1]["version_number"])
        assert airflow.result(run, value) == value
    assert versions[0] < versions[1]
    kept = " and ".join(map(str, versions))
    return f"no command needed: the DAG processor found the file and kept versions {kept} of it"


def _await_source(airflow: Airflow, dag_id: str, text: str) -> None:
    """Wait until Airflow's copy of a DAG's code contains the text."""

    def has_it() -> bool:
        try:
            return text in airflow.api.call("GET", f"/dagSources/{dag_id}")["content"]
        except httpx.HTTPStatusError:  # Airflow has not parsed the DAG yet
            return False

    await_(has_it, f"Airflow has parsed {dag_id} with {text}", timeout=120)


@check("workers")
def workers(airflow: Airflow) -> str:
    """Tasks run outside the scheduler's process; the executor decides where."""
    tasks = airflow.tasks(airflow.month_run(airflow.to_gcs))
    ran = [task for task in tasks.values() if task["state"] == "success"]
    pids = {task["pid"] for task in ran}
    scheduler = json.loads((airflow.settings.home / "run" / "scheduler.json").read_text())["pid"]
    assert scheduler not in pids
    assert len(pids) == len(ran)
    queues = {task["queue"] for task in ran}
    return f"a process for each task by the LocalExecutor, queue {queues.pop()}; Celery or Kubernetes by a setting"


@check("infrastructure_per_run")
def infrastructure_per_run(airflow: Airflow) -> str:
    """The caller gives a single run its own environment."""
    accepted = set(airflow.schema()["components"]["schemas"]["TriggerDAGRunPostBody"]["properties"])
    assert not accepted & {"env", "executor", "executor_config", "queue", "pool"}, f"write the check: {accepted}"
    raise CannotError(
        "queue, pool and executor belong to the task; image and variables only if its operator reads them from `conf`"
    )


@check("schedule")
def schedule(airflow: Airflow) -> str:
    """Runs at six in the morning in New York, also after the clocks change."""
    airflow.api.await_parsed(["in_new_york"], since="")
    dag = airflow.api.call("GET", "/dags/in_new_york/details")
    following = datetime.fromisoformat(dag["next_dagrun_run_after"]).astimezone(ZoneInfo("America/New_York"))
    assert (following.hour, following.minute) == (6, 0)
    from airflow.serialization.decoders import decode_timetable
    from airflow.serialization.encoders import encode_timetable
    from airflow.timetables.base import TimeRestriction
    from pendulum import datetime as moment

    from comparison.airflow_dags import examples

    timetable = decode_timetable(encode_timetable(examples.in_new_york().timetable))
    hours = set()
    for month in (3, 11):  # the clocks change
        restriction = TimeRestriction(moment(2027, month, 5), moment(2027, month, 20), True)
        last = None
        while (
            info := timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
        ) is not None:
            last = info.data_interval
            hours.add(info.run_after.astimezone(ZoneInfo("America/New_York")).hour)
    assert hours == {6}
    return f"next: {following:%Y-%m-%d %H:%M %Z}; one schedule for each DAG, which also determines the run's month"


@check("several_schedules")
def several_schedules(airflow: Airflow) -> str:
    """One DAG has several schedules, each with its own parameters."""
    from airflow.sdk import MultipleCronTriggerTimetable

    names = set(MultipleCronTriggerTimetable.__init__.__code__.co_varnames)
    assert not names & {"params", "parameters", "conf"}, f"schedules have parameters now: write the check: {names}"
    raise CannotError(
        "a DAG has one timetable, which may combine several crons; otherwise a loop creates one DAG for each"
    )


@check("backfill")
def backfill(airflow: Airflow) -> str:
    """One command runs a range of past months, several at a time, and none twice."""
    dag_id = f"{airflow.ground.dataset}_web_to_postgres"
    airflow.api.set_paused(dag_id, False)
    months = ["2020-05", "2020-06"]

    def of_months() -> list[dict[str, Any]]:
        return [run for run in airflow.api.runs(dag_id) if run["partition_key"] in months]

    for _ in range(2):
        airflow.api.backfill(dag_id, "2020-05-01", "2020-06-01", conf={}, parallel=2)
        await_(
            lambda: len(of_months()) == len(months) and all(run["state"] in ENDED for run in of_months()),
            "the months have ended",
            timeout=180,
        )
        airflow.api.close_backfills(dag_id)
    runs = of_months()
    assert sorted(run["partition_key"] for run in runs) == months
    assert {run["state"] for run in runs} == {"success"}
    assert max(run["start_date"] for run in runs) < min(run["end_date"] for run in runs)
    return f"a backfill, here through the API: {' and '.join(months)} at the same time; a second backfill left them out"


@check("catch_up")
def catch_up(airflow: Airflow) -> str:
    """Each scheduled time that was missed gets its own run afterwards."""
    airflow.api.await_parsed(["caught_up"], since="")
    airflow.api.set_paused("caught_up", False)

    def years() -> list[str]:
        runs = [run for run in airflow.api.runs("caught_up") if run["state"] == "success"]
        return sorted(run["logical_date"][:4] for run in runs)

    expected = ["2022", "2023", "2024", "2025"]
    await_(lambda: len(years()) >= len(expected), "the missed runs have ended", timeout=120)
    assert years() == expected
    return f"`catchup=True`: {len(expected)} scheduled times from before the DAG existed; off by default"


@check("events")
def events(airflow: Airflow) -> str:
    """A month's arrival in the lake starts its load into the warehouse."""
    dag_id = f"{airflow.ground.dataset}_gcs_to_bigquery"
    source = airflow.month_run(airflow.to_gcs)["dag_run_id"]
    runs = [run for run in airflow.api.runs(dag_id) if source in airflow.api.started_by(dag_id, run["dag_run_id"])]
    assert [run["partition_key"] for run in runs] == [airflow.ground.month]
    assert runs[0]["run_type"] == "asset_triggered"
    return "assets with partitions: declared in the code, one downstream run for each month, lineage in the UI"


@check("notifications")
def notifications(airflow: Airflow) -> str:
    """A failed run sends an alert."""
    run = airflow.run("failing")
    assert run["state"] == "failed"
    alerts = await_(lambda: airflow.alerts("failing"), "the receiver gets the alert of the failure")
    assert len(alerts) == 1
    return "one `on_failure_callback` for all DAGs posts to a webhook; it is code, and reviewed as code"


@check("lateness")
def lateness(airflow: Airflow) -> str:
    """A late run sends an alert while it still runs."""
    run_id = airflow.start("late")
    await_(lambda: airflow.alerts("late"), "the receiver gets the alert of the delay", timeout=60)
    assert airflow.api.run("late", run_id)["state"] in ("queued", "running")
    airflow.api.fail("late", run_id)
    return "`DeadlineAlert`: a time after the run was queued, after its date, or relative to its average duration"


@check("metadata")
def metadata(airflow: Airflow) -> str:
    """A task's description of its result stays with the asset."""
    run = airflow.run("described")
    query = urlencode({"source_dag_id": "described", "source_run_id": run["dag_run_id"]})
    listed = airflow.api.call("GET", f"/assets/events?{query}")
    [event] = listed["asset_events"]
    assert event["extra"]["made by"] == run["dag_run_id"]
    return "the asset event carries it, for people and for the DAGs that it starts; tables and charts are not shown"


@check("results")
def results(airflow: Airflow) -> str:
    """A task's return value can be read after its run."""
    rows = airflow.result(airflow.month_run(airflow.to_gcs), "to_parquet")
    assert rows == airflow.ground.rows
    return "XCom, in the metadata database: for URIs and counts. An XCom backend can keep it in a bucket"


@check("transactions")
def transactions(airflow: Airflow) -> str:
    """Temporary objects are removed although the work fails."""
    run = airflow.run("tidied")
    states = {name: task["state"] for name, task in airflow.tasks(run).items()}
    assert run["state"] == "failed"
    assert states == {"create_staging": "success", "load": "failed", "drop_staging": "success"}
    refused(lambda: airflow.api.call("GET", "/variables/staging"), 404)  # created by the setup, removed by the teardown
    return "setup and teardown tasks: the teardown ran and the run still failed; clearing a task also reruns its setup"


@check("crash_recovery")
def crash_recovery(airflow: Airflow) -> str:
    """A task whose process is killed completes without manual action."""
    run_id = airflow.start("killed")
    begin = kill_tree(await_(lambda: running_pid(airflow.api, "killed", run_id), "the task runs"))
    assert airflow.end("killed", run_id, timeout=240) == "success"
    [done] = airflow.api.tasks("killed", run_id)
    assert done["try_number"] == 2
    seconds = time.monotonic() - begin
    return f"killed with SIGKILL, succeeded in the next try {seconds:.0f} s later; retries also cover crashes"


@check("cancelling")
def cancelling(airflow: Airflow) -> str:
    """A run that is stopped by hand ends, and so does its process."""
    run_id = airflow.start("cancelled")
    pid = await_(lambda: running_pid(airflow.api, "cancelled", run_id), "the task runs")
    begin = datetime.now(UTC)
    airflow.api.fail("cancelled", run_id)
    await_(lambda: not _lives(pid), "the process ends", timeout=60)
    seconds = (datetime.now(UTC) - begin).total_seconds()
    assert airflow.api.run("cancelled", run_id)["state"] == "failed"
    return f"marked as failed; the process ended {seconds:.0f} s later; there is no separate state for it"


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@check("approval")
def approval(airflow: Airflow) -> str:
    """A run waits for a person's answer and continues with it."""
    run_id = airflow.start("approved")
    asked = f"/dags/approved/dagRuns/{run_id}/taskInstances/ask/-1/hitlDetails"

    def waits() -> bool:
        [ask] = [task for task in airflow.api.tasks("approved", run_id) if task["task_id"] == "ask"]
        return ask["state"] in ("awaiting_input", "deferred")

    await_(waits, "the run waits for an answer")
    assert not airflow.api.call("GET", asked)["response_received"]
    assert airflow.tasks(airflow.api.run("approved", run_id))["publish"]["state"] is None
    airflow.api.call("PATCH", asked, chosen_options=["Approve"], params_input={})
    assert airflow.end("approved", run_id) == "success"
    assert airflow.result(airflow.api.run("approved", run_id), "publish") == "published"
    return "`ApprovalOperator`: answered in the UI or through the API; occupies no worker slot while it waits"


@check("code_from_git")
def code_from_git(airflow: Airflow) -> str:
    """The code comes from a git repository, and a run records its commit."""
    folder = airflow.ground.folder / "git_dags"
    commit = git(folder, "rev-parse", "HEAD")
    run = airflow.run("from_git")
    assert run["state"] == "success"
    assert run["bundle_version"] == commit
    assert airflow.result(run, "tell") == "first"
    source = folder / "from_git.py"
    source.write_text(source.read_text().replace("first", "second"))
    git(folder, "commit", "--all", "--message", "Tell another")
    second = git(folder, "rev-parse", "HEAD")
    _await_source(airflow, "from_git", "second")
    run = airflow.run("from_git")
    assert (run["bundle_version"], airflow.result(run, "tell")) == (second, "second")
    return "`GitDagBundle`: each run records its commit; new commits are fetched automatically"


@check("docker")
def docker(airflow: Airflow) -> str:
    """All components run from one image: three by an existing Airflow command, the API server behind the guard."""
    import yaml
    from airflow.cli import cli_parser

    services = yaml.safe_load((REPOSITORY / "docker-compose.yaml").read_text())["services"]
    components = ["api-server", "dag-processor", "scheduler", "triggerer"]
    images = {services[name]["image"] for name in components}
    assert len(images) == 1
    assert services["api-server"]["entrypoint"] == ["python", "-m", "local.airflow.api_server"]
    parser = cli_parser.get_parser()
    commands = [parser.parse_args(services[name]["command"]).subcommand for name in components[1:]]
    assert commands == components[1:]
    lint = subprocess.run(
        [str(Path(sys.executable).with_name("hadolint")), "Dockerfile"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert lint.returncode == 0, lint.stdout
    return "one image, four services; KubernetesExecutor: a container for each task. Only the configuration was checked"


@check("start_up")
def start_up(airflow: Airflow) -> str:
    """One command starts everything, and the health report covers each component."""
    health = airflow.api.call("GET", "/monitor/health")
    assert {name: part["status"] for name, part in health.items() if part.get("status")} == {
        "metadatabase": "healthy",
        "scheduler": "healthy",
        "triggerer": "healthy",
        "dag_processor": "healthy",
    }
    return "`make up`, or `airflow standalone`: four processes and a database; `dags test` runs a DAG without them"


@check("ui")
def ui(airflow: Airflow) -> str:
    """The server serves its own web page."""
    page, script = page_and_script(airflow.settings.url)
    assert (page.status_code, script.status_code) == (200, 200)
    assert "text/html" in page.headers["content-type"]
    assert "javascript" in script.headers["content-type"]
    return "a page and its script are served: grid, graph, Gantt, assets, backfills, the code of each version"


@check("rest_api")
def rest_api(airflow: Airflow) -> str:
    """A program starts a run and waits for its end, as the UI does."""
    paths = airflow.schema()["paths"]
    with httpx.Client(base_url=airflow.settings.url, trust_env=False, timeout=SECONDS) as nobody:
        assert nobody.get("/api/v2/dags").status_code == 401
    assert airflow.run("child", month="2021-03")["state"] == "success"
    return f"{len(paths)} paths in its OpenAPI schema; every call needs a token"


@check("testing")
def testing(airflow: Airflow) -> str:
    """A DAG runs to its end without a scheduler."""
    airflow.api.await_parsed(["in_new_york"], since="")
    before = len(airflow.api.runs("in_new_york"))  # paused, so that the scheduler starts no run of it
    done = airflow.airflow("dags", "test", "in_new_york", "2021-01-01")
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]
    assert len(airflow.api.runs("in_new_york")) == before + 1
    return (
        "`dags test`, which needs a metadata database; the functions that tasks call are plain Python and need nothing"
    )


@check("control_flow")
def control_flow(airflow: Airflow) -> str:
    """A run decides at run time how often a step repeats."""
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG
    from airflow.sdk.exceptions import AirflowDagCycleException

    with DAG("loop", schedule=None) as loop:
        page = EmptyOperator(task_id="page")
        following = EmptyOperator(task_id="following")
        page >> following >> page
    refusal = None
    try:
        loop.check_cycle()
    except AirflowDagCycleException as error:
        refusal = str(error)
    assert refusal, "tasks can be repeated now: write the check"
    raise CannotError(
        "the graph is declared before the run and has no cycles: branches, mapping, but no `while` over tasks"
    )


@check("rerun")
def rerun(airflow: Airflow) -> str:
    """A finished run is repeated from a chosen task on; earlier tasks stay as they are."""
    run = airflow.run("parent")
    before = airflow.tasks(run)
    body = {"dag_run_id": run["dag_run_id"], "task_ids": ["start_child"], "only_failed": False, "dry_run": False}
    airflow.api.call("POST", "/dags/parent/clearTaskInstances", **body)
    await_(lambda: airflow.tasks(run)["start_child"]["try_number"] == 2, "the cleared task has started")
    assert airflow.end("parent", run["dag_run_id"]) == "success"
    after = airflow.tasks(run)
    assert after["start_child"]["try_number"] == 2
    assert after["prepare.create_table"]["start_date"] == before["prepare.create_table"]["start_date"]
    return "clear a task: it and the tasks after it run again, also in many runs at once; earlier tries are kept"


@check("cloud")
def cloud(airflow: Airflow) -> str:
    """The folders that managed platforms sync are enough: every DAG imports, and every SQL template is found."""
    expected = {"dags": len(TRIP_DATASETS) * 3 + 3 + 1, "import_errors": {}, "missing": {}}
    for platform, folders in SYNCED_FOLDERS.items():
        copied = airflow.ground.folder / "managed" / platform
        for source, target in folders.items():
            shutil.copytree(REPOSITORY / source, copied / target, ignore=shutil.ignore_patterns("__pycache__"))
        assert _parsed(copied) == expected, platform
    dags = expected["dags"]
    return f"Composer, MWAA, Astronomer: all {dags} DAGs import and find their SQL in the folders that each syncs"


def _parsed(folder: Path) -> dict[str, Any]:
    """What a fresh Airflow finds in a folder; see :mod:`comparison.checks.synced_folders`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "PYTHON"))}
    env |= {"AIRFLOW_HOME": str(folder), "PYTHONPATH": "plugins", "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", str(REPOSITORY / "comparison" / "checks" / "synced_folders.py")],
        cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-1000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> int:
    """Run the checks named on the command line."""
    ground, settings = Ground.from_env(), AirflowSettings.from_env()
    with AirflowApi(settings) as api:
        side = Airflow(ground, settings, api)
        # More threads than cores: checks mostly wait for the scheduler.
        CHECKS.run(side, sys.argv[1:] or list(CHECKS.by_concept), threads=6, tell=tell)
    return 0


if __name__ == "__main__":
    sys.exit(main())
