"""Checks each concept on a running Prefect server and worker.

``python -m comparison.checks.prefect CONCEPT ...``, in Prefect's environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import psutil
import psycopg
import yaml

from comparison import temporary_server
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
from comparison.prefect_api import PrefectApi
from comparison.prefect_flows import blocks, examples
from comparison.prefect_flows.parameters import published_file
from comparison.receiver import serving
from local.cloud.settings import REPOSITORY

CHECKS = Checks()
check = CHECKS.check
PASSWORD = "hunter2-compared"  # noqa: S105 # nobody's


class Prefect:
    """The running Prefect: its API, and the facts that both sides share."""

    def __init__(self, ground: Ground, api: PrefectApi) -> None:
        self.ground = ground
        self.api = api

    def month_run(self, flow_name: str) -> dict[str, Any]:
        """The oldest completed run of a flow for the common month; later ones may have skipped it."""
        runs = self.api.runs(flows={"name": {"any_": [flow_name]}})
        wanted = {"dataset": self.ground.dataset, "month": self.ground.month}
        for run in reversed(runs):
            if run["state_type"] == "COMPLETED" and wanted.items() <= run["parameters"].items():
                return run
        raise AssertionError(f"there is no run of {flow_name} for {self.ground.month}")

    def called(self, name: str) -> dict[str, Any]:
        """The newest run of the flow ``name``."""
        return self.api.runs(flows={"name": {"any_": [name]}}, limit=1)[0]

    def alerts(self, run: str, state: str) -> list[dict[str, Any]]:
        """The alerts that were posted about a run."""
        return [
            post for post in posts(self.ground.receiver_url) if post.get("run") == run and post.get("state") == state
        ]

    def paths(self) -> list[str]:
        """All paths of the server's API."""
        schema = httpx.get(f"{self.ground.prefect_url}/openapi.json", trust_env=False, timeout=SECONDS)
        return list(schema.raise_for_status().json()["paths"])

    def prefect(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run the Prefect CLI."""
        command = [str(Path(sys.executable).with_name("prefect")), "--no-prompt", *arguments]
        return subprocess.run(command, cwd=cwd or REPOSITORY, capture_output=True, text=True, timeout=120, check=False)


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@check("flow")
def flow(prefect: Prefect) -> str:
    """A function is a flow; the server lists flows that have run or have a deployment."""
    expected = {"web-to-gcs", "gcs-to-bigquery", "web-to-postgres", "load-months"}
    found = {each["name"] for each in prefect.api.call("POST", "/flows/filter", limit=200)}
    assert expected <= found
    run = prefect.month_run("web-to-gcs")
    assert run["state_type"] == "COMPLETED"
    return f"{len(expected)} flows for all datasets; a run is a call of the function"


@check("task")
def task(prefect: Prefect) -> str:
    """Each step has its own state, start, end and number of tries."""
    tasks = {each["name"].rpartition("-")[0]: each for each in prefect.api.tasks(prefect.month_run("web-to-gcs")["id"])}
    steps = ["find_version", "to_lake", "fetch", "convert", "upload"]
    assert [tasks[step]["state_type"] for step in steps] == ["COMPLETED"] * len(steps)
    assert all(tasks[step]["total_run_time"] > 0 and tasks[step]["run_count"] == 1 for step in steps)
    return f"{len(tasks)} task runs, each with its state, times and tries; a task can call tasks"


@check("dependencies")
def dependencies(prefect: Prefect) -> str:
    """A step starts when the previous one has ended, and receives its return value in memory."""
    run = prefect.month_run("web-to-gcs")
    tasks = {each["name"].rpartition("-")[0]: each for each in prefect.api.tasks(run["id"])}
    chain = ["fetch", "convert", "upload"]
    for before, after in pairwise(chain):
        assert tasks[before]["end_time"] <= tasks[after]["start_time"]
    assert {"input_type": "task_run", "id": tasks["fetch"]["id"]} in tasks["convert"]["task_inputs"]["version"]
    return "the Python code sets the order; values are passed in memory, and the server records where each came from"


@check("parameters")
def parameters(prefect: Prefect) -> str:
    """An invalid month is refused before a run exists."""
    answer = refused(lambda: prefect.api.start("web-to-gcs/green", parameters={"month": "2021-13"}), 409, 422)
    assert "2021-13" in answer.text
    runs = prefect.api.runs(flows={"name": {"any_": ["web-to-gcs"]}})
    assert "2021-13" not in {run["parameters"].get("month") for run in runs}
    return f"pydantic types in the signature: `2021-13` is refused with HTTP {answer.status_code}, no run is created"


@check("typed_parameters", alone=True)
def typed_parameters(prefect: Prefect) -> str:
    """A parameter that is declared as a date arrives as a date."""
    assert examples.typed(day="2021-02-28") == "February"  # type: ignore[arg-type]
    return "a string became the `date` that the signature declares; pydantic models work too"


@check("run_names")
def run_names(prefect: Prefect) -> str:
    """A run can be recognised by its name."""
    run = prefect.month_run("web-to-gcs")
    assert run["name"] == f"web-to-gcs-{prefect.ground.dataset}-{prefect.ground.month}"
    return f"a template with the parameters: `{run['name']}`; also for tasks. Names need not be unique"


@check("retries", alone=True)
def retries(prefect: Prefect) -> str:
    """A task that fails twice is retried with growing delays, and succeeds in the third try."""
    assert examples.retries() == 3
    [run] = prefect.api.tasks(prefect.called("retries")["id"])
    states = prefect.api.call("GET", f"/task_run_states/?task_run_id={run['id']}")
    waits = [
        _moment(after["timestamp"]) - _moment(before["timestamp"])
        for before, after in pairwise(states)
        if before["name"] == "AwaitingRetry"
    ]
    if len(waits) != 2:  # the server may keep only the newest states of a task run
        waits = _waits_by_log(prefect)
    assert len(waits) == 2
    # One second, then two.
    assert waits[0] >= 1
    assert waits[1] >= 2
    assert examples.not_retried(return_state=True).is_failed()
    final = prefect.called("not-retried")["id"]
    [only] = await_(lambda: prefect.api.tasks(final), "the server has the task run")
    assert only["run_count"] == 1
    first, second = waits
    return f"3 tries, {first:.1f} s and {second:.1f} s apart; a single try for an error that our condition calls final"


def _waits_by_log(prefect: Prefect) -> list[float]:
    """The delays between the tries, from the times of the task's log messages."""
    run = prefect.called("retries")
    body = {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "sort": "TIMESTAMP_ASC"}
    records = await_(
        lambda: found if len(found := _with_failure(prefect.api.call("POST", "/logs/filter", **body))) >= 2 else None,
        "the failed tries are in the log",
    )
    ends = [_moment(record["timestamp"]) for record in records]
    [done] = prefect.api.tasks(run["id"])
    return [ends[1] - ends[0], _moment(done["end_time"]) - ends[1]]


def _with_failure(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in records if "Retry" in record["message"]]


@check("caching", alone=True)
def caching(prefect: Prefect) -> str:
    """A month that is unchanged at the source is not loaded again, and the run says so."""
    from comparison.prefect_flows.web_to_gcs import web_to_gcs

    blob = blocks.lake().get_bucket()
    name = published_file(prefect.ground.dataset, prefect.ground.month).lake_object  # type: ignore[arg-type]
    before = blob.get_blob(name).generation
    web_to_gcs(prefect.ground.dataset, prefect.ground.month)  # type: ignore[arg-type]
    run = prefect.called("web-to-gcs")

    def states() -> dict[str, str]:
        return {each["name"].rpartition("-")[0]: each["state_name"] for each in prefect.api.tasks(run["id"])}

    assert await_(lambda: states().get("to_lake") == "Cached", "the server has the task as cached", timeout=10)
    assert "fetch" not in states()
    assert blob.get_blob(name).generation == before
    return (
        "built in: the cache key is the file's version and the contract; our flow checks that the object still exists"
    )


@check("time_outs", alone=True)
def time_outs(prefect: Prefect) -> str:
    """A hanging task is stopped."""
    begin = time.monotonic()
    state = examples.time_out(return_state=True)
    seconds = time.monotonic() - begin
    assert state.is_failed()
    assert seconds < 20
    [run] = await_(lambda: prefect.api.tasks(prefect.called("time-out")["id"]), "the server has the task run")
    assert run["state_name"] == "TimedOut"
    return f"stopped after {run['total_run_time']:.1f} s with a time-out of 1 s, by an exception in its thread"


@check("logging")
def logging(prefect: Prefect) -> str:
    """A task's log can be read by run and task."""
    run = prefect.month_run("web-to-gcs")
    [convert] = [task["id"] for task in prefect.api.tasks(run["id"]) if task["name"].startswith("convert")]
    records = prefect.api.call("POST", "/logs/filter", logs={"flow_run_id": {"any_": [run["id"]]}})
    wanted = f"Converted {prefect.ground.rows:,} rows"
    assert [record["task_run_id"] for record in records if wanted in record["message"]] == [convert]
    return "one log for each flow run, each line with its task; in the UI, through the API and the CLI"


@check("subflows", alone=True)
def subflows(prefect: Prefect) -> str:
    """A flow calls another flow and receives its return value."""
    assert examples.parent() == "2021-02"
    run, child = prefect.called("parent"), prefect.called("child")
    [task] = [each for each in prefect.api.tasks(run["id"]) if each["id"] == child["parent_task_run_id"]]
    assert child["parameters"] == {"month": "2021-02"}
    return f"an ordinary call that returns a value; in the UI it is a run of its own below `{task['name']}`"


@check("mapping", alone=True)
def mapping(prefect: Prefect) -> str:
    """There is one task run for each month that an earlier task returned."""
    assert examples.mapped() == examples.MONTHS
    run, count = prefect.called("mapped"), len(examples.MONTHS)

    def loads() -> list[str]:
        return [each["id"] for each in prefect.api.tasks(run["id"]) if each["name"].startswith("load-")]

    await_(lambda: len(loads()) == count, f"the server has {count} task runs")
    return f"`map` made {count} task runs from a list known only at run time, in threads; the pipeline maps its months"


@check("concurrency", alone=True)
def concurrency(prefect: Prefect) -> str:
    """With one slot, no two tasks run at the same time."""
    prefect.api.call("POST", "/v2/concurrency_limits/", name="one-at-a-time", limit=1)
    spans = sorted(examples.limited())
    assert len(spans) == 3
    assert all(one[1] <= two[0] for one, two in pairwise(spans)), spans
    return "a limit in the server, acquired in the code; also limits for tags, deployments, work pools and queues"


@check("connections", alone=True)
def connections(prefect: Prefect) -> str:
    """The address that a flow reads from changes without a change of the code."""
    _read(value="")
    block = blocks.LakeBucket.load("compared")
    found = []
    for bucket in ("two", "three"):
        block.bucket = bucket
        block.save("compared", overwrite=True)
        found.append(examples.connected()["bucket"])
    assert found == ["two", "three"]
    return "blocks: typed, with methods, nested (the bucket holds its credentials); from the UI or from code"


def _read(*, value: str) -> dict[str, str]:
    """Set blocks and a variable, and run a flow that reads them; returns what it read."""
    from prefect.blocks.system import Secret
    from prefect.variables import Variable

    credentials = blocks.EmulatorCredentials(project="compared")
    blocks.LakeBucket(bucket="one", gcp_credentials=credentials).save("compared", overwrite=True)
    Secret(value=PASSWORD).save("compared", overwrite=True)
    Variable.set("compared", value, overwrite=True)
    return examples.connected()


@check("providers")
def providers(prefect: Prefect) -> str:
    """Blocks and tasks for Google Cloud come in a separate package, and the flows use them."""
    found = {each["slug"] for each in prefect.api.call("POST", "/block_types/filter", limit=200)}
    assert {"gcp-credentials", "gcs-bucket", "bigquery-warehouse"} <= found
    run = prefect.month_run("gcs-to-bigquery")
    names = {each["name"].rpartition("-")[0] for each in prefect.api.tasks(run["id"])}
    assert {"bigquery_query", "bigquery_load_cloud_storage"} <= names, names
    gcp = version("prefect-gcp")
    return f"prefect-gcp {gcp}: blocks and a few tasks; checks, external tables and publishing are our own code"


@check("secrets", alone=True)
def secrets(prefect: Prefect) -> str:
    """Neither the API nor the log of a task that prints it shows a password."""
    _read(value="")
    shown = json.dumps(prefect.api.call("POST", "/block_documents/filter", include_secrets=False))
    with psycopg.connect(os.environ["PREFECT_SERVER_DATABASE_CONNECTION_URL"].replace("+asyncpg", "")) as database:
        kept = str(database.execute("SELECT data::text FROM block_document").fetchall())
    assert "compared" in shown
    assert len(kept) > len(PASSWORD)
    assert PASSWORD not in shown + kept
    run = prefect.called("connected")

    def printed() -> str | None:
        return next((line for line in prefect.api.log(run["id"]) if "the password is" in line), None)

    assert PASSWORD in await_(printed, "the printed line is in the log"), "logs are masked now: assert that"
    raise CannotError(
        "encrypted in the database and hidden by the API and the UI, but the log shows it where a task prints it"
    )


@check("variables", alone=True)
def variables(prefect: Prefect) -> str:
    """A value that flows read changes without a change of the code."""
    values = ["first", "second"]
    assert [_read(value=value)["variable"] for value in values] == values
    return "variables with JSON values, also in the templates of deployments"


@check("deployment")
def deployment(prefect: Prefect) -> str:
    """`prefect deploy` makes a flow startable by the server, and an edit a new version."""
    folder = prefect.ground.folder / "deployed"
    folder.mkdir(exist_ok=True)
    source = "from prefect import flow\n\n@flow(log_prints=True)\ndef dropped(value=''):\n    print({value!r}, value)\n"
    versions = []
    for value in ("one", "two"):
        (folder / "dropped.py").write_text(source.format(value=f"code of version {value}"))
        plan = {
            "deployments": [
                {
                    "name": "dropped",
                    "entrypoint": "dropped.py:dropped",
                    "version": value,
                    "parameters": {"value": value},
                    "work_pool": {"name": "local"},
                }
            ]
        }
        (folder / "prefect.yaml").write_text(yaml.safe_dump(plan))
        done = prefect.prefect("deploy", "--all", cwd=folder)
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]
        run = prefect.api.end(prefect.api.start("dropped/dropped"))
        assert run["state_type"] == "COMPLETED", run["state"]
        said = f"code of version {value} {value}"
        await_(lambda run=run, said=said: said in prefect.api.log(run["id"]), f"a run has logged: {said}", timeout=20)  # type: ignore[misc]
        versions.append(run["deployment_version"])
    assert versions == ["one", "two"]
    return "`prefect deploy` from `prefect.yaml`, after each change; the server keeps the newest version, not the code"


@check("workers")
def workers(prefect: Prefect) -> str:
    """Flows run outside the server; the work pool decides where."""
    [worker] = [
        each for each in prefect.api.call("POST", "/work_pools/local/workers/filter") if each["status"] == "ONLINE"
    ]
    run_id = prefect.api.start("no-ops/example")
    run = prefect.api.end(run_id)
    assert run["state_type"] == "COMPLETED", run["state"]
    assert run["work_pool_name"] == "local"
    assert run["infrastructure_pid"] != prefect.month_run("web-to-gcs")["infrastructure_pid"]
    name = worker["name"].split()[0]
    return f"a process for each flow run by the worker {name}; Docker, Kubernetes or Cloud Run by another pool"


@check("infrastructure_per_run")
def infrastructure_per_run(prefect: Prefect) -> str:
    """The caller gives a single run its own environment."""
    name = "in-its-environment/example"
    env = prefect.api.deployment(name)["job_variables"].get("env", {}) | {"TAXI_COMPARED": "for this run"}
    run_id = prefect.api.start(name, job_variables={"env": env})
    assert prefect.api.end(run_id)["state_type"] == "COMPLETED"
    said = "TAXI_COMPARED is for this run"
    await_(lambda: said in prefect.api.log(run_id), "the run has logged its environment", timeout=15)
    return "`job_variables` of a run: environment, image, memory, as far as the pool's template allows"


@check("schedule")
def schedule(prefect: Prefect) -> str:
    """Runs at six in the morning in New York, also after the clocks change."""
    new_york = ZoneInfo("America/New_York")
    deployed = prefect.api.deployment("in-new-york/example")

    def planned() -> list[datetime]:
        runs = prefect.api.runs(deployments={"id": {"any_": [deployed["id"]]}})
        return sorted(datetime.fromisoformat(run["expected_start_time"]).astimezone(new_york) for run in runs)

    following = await_(planned, "the server has planned runs", timeout=90)[0]
    assert {(moment.hour, moment.minute) for moment in planned()} == {(6, 0)}
    import asyncio

    from prefect.server.schemas.schedules import CronSchedule

    [scheduled] = [each["schedule"] for each in deployed["schedules"]]
    cron = CronSchedule(cron=scheduled["cron"], timezone=scheduled["timezone"])
    hours = set()
    for month in (3, 11):  # the clocks change
        dates = asyncio.run(cron.get_dates(n=15, start=datetime(2027, month, 5, tzinfo=UTC)))
        hours |= {moment.astimezone(new_york).hour for moment in dates}
    assert hours == {6}
    when = f"{following:%Y-%m-%d %H:%M %Z}"
    return f"next: {when}; cron, interval or rrule. The flow derives its month from the scheduled start"


@check("several_schedules")
def several_schedules(prefect: Prefect) -> str:
    """One deployment has several schedules, each with its own parameters."""
    identity = prefect.api.deployment("web-to-gcs/yellow")["id"]
    tomorrow = datetime.now(UTC) + timedelta(days=1)  # none of them may start during the check
    wanted = {f"{minute} {tomorrow.hour} {tomorrow.day} * *": {"force": minute == 7} for minute in (7, 8)}
    body = [
        {"schedule": {"cron": cron, "timezone": "UTC"}, "parameters": values, "active": True}
        for cron, values in wanted.items()
    ]
    answer = httpx.post(
        f"{prefect.ground.prefect_url}/deployments/{identity}/schedules", json=body, trust_env=False, timeout=60
    )
    assert answer.is_success, answer.text

    def planned() -> dict[int, set[bool]]:
        found: dict[int, set[bool]] = {}
        for run in prefect.api.runs(deployments={"id": {"any_": [identity]}}):
            if run["state_type"] == "SCHEDULED" and run["auto_scheduled"]:
                minute = datetime.fromisoformat(run["expected_start_time"]).minute
                found.setdefault(minute, set()).add(run["parameters"]["force"])
        return found

    try:
        await_(lambda: {7, 8} <= planned().keys(), "the server has planned runs of both", timeout=90)
        assert (planned()[7], planned()[8]) == ({True}, {False})
    finally:
        for made in answer.json():
            prefect.api.call("DELETE", f"/deployments/{identity}/schedules/{made['id']}")
    return f"{len(wanted)} more schedules without a new deployment; the planned runs have each schedule's parameters"


@check("backfill")
def backfill(prefect: Prefect) -> str:
    """One command runs a range of past months, several at a time, and none twice."""
    paths = prefect.paths()
    assert len(paths) > 50
    assert not [path for path in paths if "backfill" in path.lower()], "there are backfills now: write the check"
    raise CannotError(
        "no such command: a flow over months or a loop of runs does it; an idempotency key prevents duplicates"
    )


@check("catch_up")
def catch_up(prefect: Prefect) -> str:
    """Each scheduled time that was missed gets its own run afterwards."""
    deployed = prefect.api.deployment("caught-up/example")
    assert deployed["schedules"][0]["schedule"]["anchor_date"].startswith("2022-01-01")

    def planned() -> list[dict[str, Any]]:
        return prefect.api.runs(deployments={"id": {"any_": [deployed["id"]]}})

    await_(planned, "the server has planned runs", timeout=90)
    earliest = min(_moment(run["expected_start_time"]) for run in planned())
    created = _moment(deployed["created"])
    assert earliest >= created - 60, "missed times are run now: write the check"
    raise CannotError("runs are planned ahead, for 100 days or runs by default: those start late, others never")


@check("events")
def events(prefect: Prefect) -> str:
    """A month's arrival in the lake starts its load into the warehouse."""
    ground = prefect.ground
    key = f"gs://{os.environ['LAKE_BUCKET']}/{published_file(ground.dataset, ground.month).lake_object}"  # type: ignore[arg-type]
    arrivals = prefect.api.events("prefect.asset.materialization.succeeded")
    assert key in {event["resource"]["prefect.resource.id"] for event in arrivals}
    deployed = prefect.api.deployment("gcs-to-bigquery/arrivals")["id"]

    def started() -> dict[str, Any] | None:
        for run in prefect.api.runs(deployments={"id": {"any_": [deployed]}}):
            if run["parameters"] == {"dataset": ground.dataset, "month": ground.month}:
                return run
        return None

    run = prefect.api.end(await_(started, "the arrival starts the next flow")["id"])
    assert run["state_type"] == "COMPLETED", run["state"]
    assert run["created_by"]["type"] == "AUTOMATION"
    return "an automation in the server: the asset event carries the month, and starts the next deployment for it"


@check("notifications")
def notifications(prefect: Prefect) -> str:
    """A failed run sends an alert."""
    run = prefect.api.end(prefect.api.start("failing/example"))
    assert run["state_type"] == "FAILED"
    posts = await_(lambda: prefect.alerts(run["name"], "Failed"), "the receiver gets the alert of the failure")
    assert len(posts) == 1
    return "an automation in the server, by tag; or a hook in the code; blocks for Slack, Teams and others"


@check("lateness")
def lateness(prefect: Prefect) -> str:
    """A late run sends an alert."""
    run = prefect.api.run(prefect.api.start("late/example"))
    await_(lambda: prefect.alerts(run["name"], "Late"), "the receiver gets the alert of the delay", timeout=90)
    assert prefect.api.run(run["id"])["state_name"] == "Late"
    return "runs that no worker takes in time become `Late`, and an automation reports them"


@check("metadata", alone=True)
def metadata(prefect: Prefect) -> str:
    """A task's description of its result stays with the asset."""
    examples.described()

    def payloads(key: str) -> list[dict[str, Any]]:
        found = prefect.api.events("prefect.asset.materialization.succeeded")
        return [event["payload"] for event in found if event["resource"]["prefect.resource.id"] == key]

    described = await_(lambda: payloads("file://compared"), "the asset's event is there")
    assert [payload["made by"] for payload in described] == [prefect.called("described")["id"]]
    name = published_file(prefect.ground.dataset, prefect.ground.month).lake_object  # type: ignore[arg-type]
    assert {payload["rows"] for payload in payloads(f"gs://{os.environ['LAKE_BUCKET']}/{name}")} == {
        prefect.ground.rows
    }
    slug = published_file(prefect.ground.dataset, prefect.ground.month).slug  # type: ignore[arg-type]
    found = prefect.api.call(
        "POST", "/artifacts/latest/filter", artifacts={"key": {"like_": f"checks-{slug}".replace("_", "-")}}
    )
    assert [artifact["type"] for artifact in found] == ["table"]
    return (
        "the asset event carries it; the checks are an artifact, shown as a table in the UI (assets: in the cloud only)"
    )


@check("results", alone=True)
def results(prefect: Prefect) -> str:
    """A task's return value can be read after its run."""
    from prefect.client.orchestration import get_client

    run = prefect.month_run("web-to-gcs")
    [to_lake] = [each for each in prefect.api.tasks(run["id"]) if each["name"].startswith("to_lake")]
    with get_client(sync_client=True) as client:
        state = client.read_task_run(to_lake["id"]).state
        assert state is not None
        value = state.result(raise_on_failure=False)
    name = published_file(prefect.ground.dataset, prefect.ground.month).lake_object  # type: ignore[arg-type]
    assert value == f"gs://{os.environ['LAKE_BUCKET']}/{name}"
    return "only on request (`persist_result`): a file in a folder or bucket, for any Python value"


@check("transactions", alone=True)
def transactions(prefect: Prefect) -> str:
    """Temporary objects are removed although the work fails."""
    from prefect.variables import Variable

    assert examples.tidied(return_state=True).is_failed()
    assert Variable.get("staging") is None
    run = prefect.called("tidied")

    def states() -> list[str]:
        return [each["state_name"] for each in prefect.api.tasks(run["id"])]

    await_(lambda: states() == ["RolledBack"], "the server has the task as rolled back", timeout=15)
    return "`with transaction()`: the rollback hook of the completed task ran. It does not run if the process is killed"


@check("crash_recovery")
def crash_recovery(prefect: Prefect) -> str:
    """A run whose process is killed completes without manual action."""
    run_id = prefect.api.start("killed/example")
    begin = kill_tree(_pid(prefect, run_id))
    run = prefect.api.end(run_id, timeout=120, states={"COMPLETED"})
    assert run["run_count"] == 2
    seconds = time.monotonic() - begin
    return f"killed with SIGKILL, completed {seconds:.0f} s later by our automation. Without it the run stays `Crashed`"


def _pid(prefect: Prefect, run_id: str) -> int:
    """Wait until the flow runs; returns its process id."""
    return await_(lambda: prefect.api.running_pid(run_id), "the flow runs", timeout=120)


@check("cancelling")
def cancelling(prefect: Prefect) -> str:
    """A run that is stopped by hand ends, and so does its process."""
    run_id = prefect.api.start("cancelled/example")
    pid = _pid(prefect, run_id)
    begin = time.monotonic()
    prefect.api.call("POST", f"/flow_runs/{run_id}/set_state", state={"type": "CANCELLING", "name": "Cancelling"})
    run = prefect.api.end(run_id)
    assert run["state_type"] == "CANCELLED", run["state"]
    await_(lambda: not psutil.pid_exists(pid), "the process ends", timeout=60)
    return f"`Cancelled` is a separate state; the worker ended the process within {time.monotonic() - begin:.0f} s"


@check("approval", alone=True)
def approval(prefect: Prefect) -> str:
    """A run waits for a person's answer and continues with it."""
    answers = []

    def answer() -> None:
        def paused() -> dict[str, Any] | None:
            found = prefect.api.runs(flows={"name": {"any_": ["approved"]}}, limit=1)
            return found[0] if found and found[0]["state_type"] == "PAUSED" else None

        run = await_(paused, "the run asks")
        answers.append(prefect.api.call("POST", f"/flow_runs/{run['id']}/resume", run_input={"approved": True}))

    person = threading.Thread(target=answer)
    person.start()
    outcome = examples.approved()
    person.join()
    assert answers
    assert outcome == "published"
    return "`pause_flow_run` with a typed form, also in the middle of a task's code; `suspend` frees the infrastructure"


@check("code_from_git")
def code_from_git(prefect: Prefect) -> str:
    """The code comes from a git repository, and the deployment records its commit."""
    folder = prefect.ground.folder / "git_flows"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    source = (
        "from prefect import flow, get_run_logger\n\n@flow\ndef from_git():\n    get_run_logger().info({value!r})\n"
    )
    for value in ("told by the first", "told by the second"):
        (folder / "from_git.py").write_text(source.format(value=value))
        git(folder, "add", "from_git.py")
        git(folder, "commit", "--quiet", "--message", value)
        commit = git(folder, "rev-parse", "HEAD")
        if value.endswith("first"):
            _deploy_from_git(prefect, folder, commit)
    first = git(folder, "rev-parse", "HEAD~1")
    run = prefect.api.end(prefect.api.start("from-git/from-git"))
    assert run["state_type"] == "COMPLETED", run["state"]
    assert run["deployment_version"] == first
    await_(lambda: "told by the first" in prefect.api.log(run["id"]), "the run has logged its commit", timeout=20)
    return "a `git_clone` step: each run clones the deployed commit, or the newest of a branch"


def _deploy_from_git(prefect: Prefect, folder: Path, commit: str) -> None:
    """Deploy the repository's flow at the commit."""
    clone = {"repository": f"file://{folder}", "commit_sha": commit}
    deployed = {
        "name": "from-git",
        "version": commit,
        "entrypoint": "from_git.py:from_git",
        "work_pool": {"name": "local"},
        "pull": [{"prefect.deployments.steps.git_clone": clone}],
    }
    (folder / "prefect.yaml").write_text(yaml.safe_dump({"deployments": [deployed]}))
    done = prefect.prefect("deploy", "--all", cwd=folder)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]


@check("docker")
def docker(prefect: Prefect) -> str:
    """A work pool runs flows from an image, and the server accepts its settings."""
    from prefect_docker.worker import DockerWorker

    template = DockerWorker.get_default_base_job_template()
    made = {"name": "docker", "type": "docker", "base_job_template": template}
    answer = httpx.post(f"{prefect.ground.prefect_url}/work_pools/", json=made, trust_env=False, timeout=SECONDS)
    assert answer.is_success or answer.status_code == 409, answer.text
    job = template["job_configuration"]
    assert job["image"] == "{{ image }}"
    assert {"image", "env", "networks", "volumes", "mem_limit"} <= set(template["variables"]["properties"])
    return "a docker work pool: image, networks, volumes by deployment or run. Only the configuration was checked"


@check("start_up")
def start_up(prefect: Prefect) -> str:
    """The server and the worker are healthy, and a flow also runs without either."""
    assert prefect.api.is_healthy()
    assert prefect.api.has_online_worker("local")
    program = "from comparison.prefect_flows.examples import mapped; print(len(mapped()))"
    assert _run_without_server(program, home=prefect.ground.folder / "alone")[-1:] == ["3"]
    return "calling a flow runs it, with a temporary server of its own; scheduling needs a server and a worker"


def _run_without_server(program: str, *, home: Path) -> list[str]:
    """Run a program that knows no server, and so starts a temporary one; returns the lines that it printed."""
    env = temporary_server.environment(os.environ) | {"PREFECT_HOME": str(home)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=env, cwd=REPOSITORY, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-1000:]
    return done.stdout.strip().splitlines()


@check("ui")
def ui(prefect: Prefect) -> str:
    """The server serves its own web page."""
    page, script = page_and_script(prefect.ground.prefect_url.removesuffix("/api"))
    assert (page.status_code, script.status_code) == (200, 200)
    assert "text/html" in page.headers["content-type"]
    assert "javascript" in script.headers["content-type"]
    return "a page and its script are served: runs, deployments, blocks, variables, automations, artifacts"


@check("rest_api")
def rest_api(prefect: Prefect) -> str:
    """A program starts a run and waits for its end, as the UI does."""
    paths = prefect.paths()
    assert httpx.get(f"{prefect.ground.prefect_url}/health", trust_env=False, timeout=SECONDS).is_success
    run = prefect.api.end(prefect.api.start("no-ops/example"))
    assert run["state_type"] == "COMPLETED"
    return f"{len(paths)} paths; open to everyone who can reach it, unless a password is set"


@check("testing")
def testing(prefect: Prefect) -> str:
    """A flow runs to its end in a test, without the server."""
    program = (
        "from prefect.testing.utilities import prefect_test_harness\n"
        "from comparison.prefect_flows.examples import child, mapped\n"
        "assert child.fn('2021-03') == '2021-03'\n"
        "with prefect_test_harness(server_startup_timeout=120):\n    assert len(mapped()) == 3\nprint('passed')\n"
    )
    assert "passed" in _run_without_server(program, home=prefect.ground.folder / "tested")
    return "call the function (`.fn` without Prefect), or run it in a test harness with its own database"


@check("control_flow", alone=True)
def control_flow(prefect: Prefect) -> str:
    """A run decides at run time how often a step repeats."""
    assert [examples.until_empty(pages) for pages in (2, 4)] == [2, 4]
    run = prefect.called("until-empty")
    await_(lambda: len(prefect.api.tasks(run["id"])) == 5, "the server has five task runs")
    return "an ordinary `while`: 3 task runs for two pages, 5 for four"


@check("rerun")
def rerun(prefect: Prefect) -> str:
    """A finished run is repeated from a chosen task on; earlier tasks stay as they are."""
    paths = prefect.paths()
    assert [path for path in paths if "/task_runs/" in path]
    found = [path for path in paths if "task_run" in path and ("clear" in path or "retry" in path)]
    assert not found, f"tasks can be started again now: write the check: {found}"
    raise CannotError(
        "only a whole run can be retried; tasks with persisted results are skipped, but no task can be chosen"
    )


@check("cloud")
def cloud(prefect: Prefect) -> str:
    """Prefect sends its API key to another address, as it would to Prefect Cloud."""
    with _note_taker() as (url, seen):
        env = {**os.environ, "PREFECT_API_URL": f"{url}/api", "PREFECT_API_KEY": "pnu_compared"}
        subprocess.run(
            [str(Path(sys.executable).with_name("prefect")), "deployment", "ls"],
            env=env, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert "Bearer pnu_compared" in {headers.get("Authorization") for headers in seen}
    return "Prefect Cloud: the same flows, deployments and workers, by address and key, with more features. Not tried"


@contextmanager
def _note_taker() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that answers 404 and records the headers of each request."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(dict(self.headers))
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(404)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with serving(Handler) as url:
        yield url, seen


def main() -> int:
    """Run the checks named on the command line."""
    ground = Ground.from_env()
    with PrefectApi(ground.prefect_url) as api:
        CHECKS.run(Prefect(ground, api), sys.argv[1:] or list(CHECKS.by_concept), threads=4, tell=tell)
    return 0


if __name__ == "__main__":
    sys.exit(main())
