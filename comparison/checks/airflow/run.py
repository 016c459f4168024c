"""Checks of Airflow: how its runs go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import httpx
import psutil
from airflow.configuration import conf
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

from comparison.airflow_side import PATIENCE, running_pid
from comparison.checks import BuiltIn, Finding, WithCode, await_, kill_tree, seconds_between
from comparison.checks.airflow.side import DOCS, KUBERNETES, Airflow, check, scheduler_pid
from local.airflow import reconcile


@check("run_names")
def run_names(airflow: Airflow) -> Finding:
    """A run can be recognised by its name."""
    name = f"child-for-{airflow.ground.month}-{datetime.now(UTC):%H%M%S}"
    airflow.api.await_parsed(["child"], since="")
    airflow.api.call("POST", "/dags/child/dagRuns", logical_date=None, dag_run_id=name, conf={"month": "2021-01"})
    assert airflow.api.run("child", name)["dag_run_id"] == name
    runs = airflow.api.runs(f"{airflow.ground.dataset}_gcs_to_bigquery")
    assert ("asset_triggered", airflow.ground.month) in {(run["run_type"], run["partition_key"]) for run in runs}
    return BuiltIn(
        "the caller can name a run; what an asset or [a backfill](#backfill-of-past-months) starts shows its month as "
        "partition key"
    )


@check("retries")
def retries(airflow: Airflow) -> Finding:
    """A task that fails twice is retried with growing delays, and succeeds in the third try."""
    run = airflow.run("retries")
    assert run["state"] == "success"
    path = f"/dags/retries/dagRuns/{run['dag_run_id']}/taskInstances/fetch/tries"
    tries = sorted(airflow.api.call("GET", path)["task_instances"], key=lambda one: one["try_number"])
    assert [one["try_number"] for one in tries] == [1, 2, 3]
    assert tries[-1]["state"] == "success"
    first, second = (seconds_between(one["end_date"], two["start_date"]) for one, two in pairwise(tries))
    # Three seconds, then six; Airflow adds random jitter of up to the same length.
    assert first >= 3
    assert second >= 6
    final = airflow.tasks(airflow.run("not_retried"))["fetch"]
    assert (final["state"], final["try_number"]) == ("failed", 1)
    return BuiltIn("3 tries, with growing delays; a single try for an error that a retry policy calls final")


@check("caching")
def caching(airflow: Airflow) -> Finding:
    """A month that is unchanged at the source is not loaded again, and the run says so."""
    blob = reconcile.storage_client(airflow.settings).bucket(airflow.settings.cloud.lake_bucket)
    before = blob.get_blob(airflow.file.lake_object).generation
    run = airflow.run(airflow.to_gcs, month=airflow.ground.month)
    tasks = airflow.tasks(run)
    assert (tasks["announce_unchanged"]["state"], tasks["download"]["state"]) == ("success", "skipped")
    assert "is unchanged: it was made from" in airflow.log(run, "skip_unchanged")
    assert blob.get_blob(airflow.file.lake_object).generation == before
    return WithCode("a task of ours compares the source with the provenance that the lake object carries")


@check("time_outs")
def time_outs(airflow: Airflow) -> Finding:
    """A hanging task is stopped."""
    run = airflow.run("time_out_in_processes")
    hanging = airflow.api.tasks("time_out_in_processes", run["dag_run_id"])
    assert [task["state"] for task in hanging] == ["failed"] * 2
    assert max(task["duration"] for task in hanging) < 20
    assert len({task["pid"] for task in hanging}) == len(hanging)
    alone = airflow.run("time_out")
    assert (alone["state"], "AirflowTaskTimeout" in airflow.log(alone, "hang")) == ("failed", True)
    return BuiltIn(
        "one blocking call of 60 s is stopped, with a time-out of 1 s, and so are two at once; each task is the main "
        "thread of a process of its own"
    )


@check("logging")
def logging(airflow: Airflow) -> Finding:
    """A task's log can be read by run, task and try."""
    run = airflow.month_run(airflow.to_gcs)
    assert f"Converted {airflow.ground.rows:,} rows" in airflow.log(run, "to_parquet")
    assert "Converted" not in airflow.log(run, "download")
    return BuiltIn(
        "one log for each try of a task: in the UI, through the API, [on disk or in a bucket]"
        f"({DOCS}/administration-and-deployment/logging-monitoring/logging-tasks.html)"
    )


@check("concurrency")
def concurrency(airflow: Airflow) -> Finding:
    """With one slot, no two tasks run at the same time."""
    pool = {"name": "one_at_a_time", "slots": 1, "description": "for the comparison", "include_deferred": False}
    airflow.api.call("POST", "/pools", **pool)
    run = airflow.run("limited")
    spans = sorted((task["start_date"], task["end_date"]) for task in airflow.api.tasks("limited", run["dag_run_id"]))
    assert len(spans) == 3
    assert all(one[1] <= two[0] for one, two in pairwise(spans)), spans
    return BuiltIn(
        "a pool with one slot; also limits for "
        f"[the runs and tasks of a DAG, the executor]({DOCS}/configurations-ref.html) and "
        f"[the runs of a backfill]({DOCS}/core-concepts/backfill.html)"
    )


@check("infrastructure_per_run")
def infrastructure_per_run(airflow: Airflow) -> Finding:
    """The caller gives a single run its own environment, and its tasks their place."""
    pool = {"name": "for_this_run", "slots": 1, "description": "for the comparison", "include_deferred": False}
    airflow.api.call("POST", "/pools", **pool)
    wanted = {"pool": "for_this_run", "queue": "large", "priority_weight": 7, "executor_config": {"memory": "8Gi"}}
    run = airflow.run("in_its_environment", value="for this run", infrastructure=wanted)
    placed = airflow.tasks(run)["read"]
    assert airflow.result(run, "read") == "for this run"
    assert [placed[name] for name in ("pool", "queue", "priority_weight")] == ["for_this_run", "large", 7]
    assert "8Gi" in placed["executor_config"]
    plain = airflow.tasks(airflow.run("in_its_environment"))["read"]
    assert (plain["pool"], plain["queue"], "8Gi" in plain["executor_config"]) == ("default_pool", "default", False)
    assert {"image", "container_resources", "env_vars"} <= set(KubernetesPodOperator.template_fields)
    return WithCode(
        "a `task_instance_mutation_hook` of ours takes pool, queue, priority and `executor_config` from `conf` (for "
        f"Kubernetes [the pod, with image and memory]({KUBERNETES}/kubernetes_executor.html)). Without it, only what "
        "an operator has as templates: here the variables of a `BashOperator`; image, resources and variables of [a "
        f"`KubernetesPodOperator`]({KUBERNETES}/operators.html)"
    )


@check("crash_recovery", last=True)
def crash_recovery(airflow: Airflow) -> Finding:
    """A task whose process is killed completes without manual action, also if the whole host is lost.

    With the LocalExecutor, the host of the tasks is that of the scheduler: its children are the workers.
    """
    _kill_and_await(airflow, "killed", lambda task: task)
    scheduler = scheduler_pid(airflow)
    _kill_and_await(airflow, "killed_with_its_host", lambda _: scheduler)
    assert scheduler_pid(airflow) != scheduler
    return BuiltIn(
        "retries cover crashes: a task killed with SIGKILL succeeded in its next try [within seconds](#figures); one "
        "without retries, killed with the scheduler and all its workers, did so after the next scheduler, which our "
        "watcher had started, missed the heartbeats of that one"
    )


def _kill_and_await(airflow: Airflow, dag_id: str, victim: Callable[[int], int]) -> None:
    """Start a task, kill a process with all its children, and wait until the task succeeds in its next try.

    Args:
        airflow: the running Airflow.
        dag_id: the DAG of the task.
        victim: the process to kill, by that of the task.
    """
    run = airflow.start(dag_id)
    task = await_(lambda: running_pid(airflow.api, dag_id, run), "the task runs")
    kill_tree(victim(task))
    await_(lambda: not _lives(task), "the task's process has ended")
    assert airflow.end(dag_id, run, timeout=300) == "success"
    assert airflow.api.tasks(dag_id, run)[0]["try_number"] == 2


@check("control_plane_down", last=True)
def control_plane_down(airflow: Airflow) -> Finding:
    """The API server is away for half a minute; no task runs twice, and no result is lost."""
    lengths = (OUTAGE // 2, 5 * OUTAGE // 2)
    runs = [airflow.start("outage", seconds=seconds) for seconds in lengths]
    for run in runs:
        await_(lambda run=run: _working(airflow, run), "the task runs")  # type: ignore[misc]
    scheduler = scheduler_pid(airflow)
    assert all(_working(airflow, run) for run in runs)
    away, given_up = _take_away(airflow)
    assert (_working(airflow, runs[1]), scheduler_pid(airflow)) == (True, scheduler)
    for run, seconds in zip(runs, lengths, strict=True):
        assert airflow.end("outage", run, timeout=180) == "success"
        tasks = airflow.tasks(airflow.api.run("outage", run))
        assert [(name, each["try_number"]) for name, each in sorted(tasks.items())] == [("publish", 1), ("work", 1)]
        assert airflow.result(airflow.api.run("outage", run), "publish") == seconds
    waits = range(int(_shipped("retries")) - 1)
    shortest, longest = _shipped("retry_wait_min") * len(waits), float(sum(2**number for number in waits))
    assert shortest <= given_up < OUTAGE
    names = " and ".join(f"`{name}`" for name in PATIENCE)
    return BuiltIn(
        f"with the API server away for {away:.0f} s, with its start, a task that ended meanwhile and one that ended "
        f"later both succeeded in their first try, with {names}, by which a task repeats a call of that server for "
        f"longer. By default it repeats it {len(waits)} times, for {shortest:.0f} to {longest:.0f} s, as here a call "
        "without them, so shorter than that. The scheduler stayed, as the worker of Prefect did: with the "
        "LocalExecutor, tasks are its own processes"
    )


OUTAGE = 30


def _shipped(name: str) -> float:
    """The default of a setting of the calls that a task makes."""
    return float(conf.get_default_value("workers", f"execution_api_{name}"))


def _take_away(airflow: Airflow) -> tuple[float, float]:
    """Kill the API server, and let the watcher start it again.

    Returns:
        The seconds in between, and those after which a task's call gives up meanwhile, with Airflow's own patience.
    """
    server, watcher = (_component(airflow, name) for name in ("api-server", "watcher"))
    watcher.suspend()  # it would start the server at once
    begin = kill_tree(server.pid)
    given_up = _patience_as_shipped(airflow)
    time.sleep(max(0.0, begin + OUTAGE - time.monotonic()))
    watcher.resume()
    await_(lambda: _answers(airflow), "the API server is back", timeout=120)
    return time.monotonic() - begin, given_up


def _patience_as_shipped(airflow: Airflow) -> float:
    """The seconds after which a call as a task makes it gives up, while the server is away."""
    env = {**os.environ, **airflow.settings.environment()}
    url = f"{airflow.settings.url}/execution/"
    shipped = {name: value for name, value in env.items() if name not in PATIENCE}
    done = subprocess.run(
        [sys.executable, "-c", _CALL_OF_A_TASK, url],
        env=shipped,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-1000:]
    return float(done.stdout.splitlines()[-1])


_CALL_OF_A_TASK = """
import sys
import time

import httpx
from airflow.sdk.api.client import Client

begin = time.monotonic()
try:
    Client(base_url=sys.argv[1], token="").variables.get("any")
except httpx.ConnectError:
    print(time.monotonic() - begin)
"""


def _working(airflow: Airflow, run_id: str) -> bool:
    return airflow.tasks(airflow.api.run("outage", run_id))["work"]["state"] == "running"


def _component(airflow: Airflow, name: str) -> psutil.Process:
    """The process of a component of the stack."""
    return psutil.Process(json.loads((airflow.settings.home / "run" / f"{name}.json").read_text())["pid"])


def _answers(airflow: Airflow) -> bool:
    try:
        return bool(airflow.api.call("GET", "/monitor/health"))
    except httpx.HTTPError:
        return False


@check("cancelling")
def cancelling(airflow: Airflow) -> Finding:
    """A run that is stopped by hand ends, and so does its process."""
    run_id = airflow.start("cancelled")
    pid = await_(lambda: running_pid(airflow.api, "cancelled", run_id), "the task runs")
    airflow.api.fail("cancelled", run_id)
    await_(lambda: not _lives(pid), "the process ends", timeout=60)
    assert airflow.api.run("cancelled", run_id)["state"] == "failed"
    states = airflow.schema()["components"]["schemas"]["DagRunState"]["enum"]
    assert set(states) == {"queued", "running", "success", "failed"}, f"a run has more states now: {states}"
    return BuiltIn("marked as failed, and its process ended; there is no separate state for it")


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@check("approval")
def approval(airflow: Airflow) -> Finding:
    """A run waits for a person's answer and continues with it."""
    run_id = airflow.start("approved")
    asked = f"/dags/approved/dagRuns/{run_id}/taskInstances/ask/-1/hitlDetails"

    def waits() -> bool:
        [ask] = [task for task in airflow.api.tasks("approved", run_id) if task["task_id"] == "ask"]
        return ask["state"] in ("awaiting_input", "deferred")

    await_(waits, "the run waits for an answer")
    assert not airflow.api.call("GET", asked)["response_received"]
    assert airflow.tasks(airflow.api.run("approved", run_id))["publish"]["state"] is None
    # A person takes longer than the process of the question takes to end, whose end then would fail the task.
    time.sleep(3)
    airflow.api.call("PATCH", asked, chosen_options=["Approve"], params_input={})
    assert airflow.end("approved", run_id) == "success"
    assert airflow.result(airflow.api.run("approved", run_id), "publish") == "published"
    return BuiltIn(
        "`ApprovalOperator`: answered through the API or "
        "[in the UI](https://airflow.apache.org/docs/apache-airflow-providers-standard/stable/operators/hitl.html)"
    )


@check("rerun")
def rerun(airflow: Airflow) -> Finding:
    """A finished run is repeated from a chosen task on; earlier tasks stay as they are."""
    run = airflow.run("parent")
    before = airflow.tasks(run)
    body = {"dag_run_id": run["dag_run_id"], "task_ids": ["start_child"], "only_failed": False, "dry_run": False}
    airflow.api.call("POST", "/dags/parent/clearTaskInstances", **body, include_downstream=True)
    await_(lambda: airflow.tasks(run)["start_child"]["try_number"] == 2, "the cleared task has started")
    assert airflow.end("parent", run["dag_run_id"]) == "success"
    after = airflow.tasks(run)
    assert [after[name]["try_number"] for name in ("start_child", "take_result")] == [2, 2]
    assert after["prepare.create_table"]["start_date"] == before["prepare.create_table"]["start_date"]
    path = f"/dags/parent/dagRuns/{run['dag_run_id']}/taskInstances/start_child/tries"
    tries = airflow.api.call("GET", path)["task_instances"]
    assert sorted(one["try_number"] for one in tries) == [1, 2]
    return BuiltIn(
        "clear a task: it and the tasks after it run again, [also in many runs at "
        f"once]({DOCS}/core-concepts/dag-run.html); earlier tries are kept"
    )


@check("waiting")
def waiting(airflow: Airflow) -> Finding:
    """Twenty waits at the same time need neither a process nor a slot of a pool each."""
    airflow.api.await_parsed(["waiting"], since="")
    _set_pool(airflow, "waiting")
    until = datetime.now(UTC) + timedelta(seconds=60)
    before = _memory_of_triggerer(airflow)
    run_id = airflow.start("waiting", until=until.isoformat())

    def all_wait() -> bool:
        return {task["state"] for task in airflow.api.tasks("waiting", run_id)} == {"deferred"}

    await_(all_wait, "all wait", poll=1)
    assert datetime.now(UTC) < until
    pool = airflow.api.call("GET", "/pools/waiting")
    assert (pool["deferred_slots"], pool["occupied_slots"], pool["open_slots"]) == (20, 0, 1), pool
    more = max(0, _memory_of_triggerer(airflow) - before)
    assert airflow.end("waiting", run_id) == "success"
    tasks = airflow.api.tasks("waiting", run_id)
    assert len(tasks) == 20
    assert {task["pid"] for task in tasks} == {None}
    assert {task["state"] for task in tasks} == {"success"}
    return BuiltIn(
        f"deferrable sensors that start and end in the triggerer, which had {more:.0f} MB more: {len(tasks)} waits, 0 "
        "processes, 0 slots of their pool; each is a task that ends by itself"
    )


def _memory_of_triggerer(airflow: Airflow) -> float:
    """The memory in MB that the triggerer's processes have for themselves."""
    triggerer = _component(airflow, "triggerer")
    return sum(one.memory_full_info().uss for one in (triggerer, *triggerer.children(recursive=True))) / 1e6


@check("priority")
def priority(airflow: Airflow) -> Finding:
    """Of several tasks that wait for a slot, the most important one runs first."""
    _set_pool(airflow, "prioritised")
    run = airflow.run("prioritised")
    order = sorted(airflow.tasks(run).values(), key=lambda task: task["start_date"])
    assert [task["task_id"] for task in order] == ["high", "middle", "low"]
    return BuiltIn("`priority_weight` of a task: of three that waited for one slot, the one declared last ran first")


def _set_pool(airflow: Airflow, name: str) -> None:
    """Create a pool with one slot."""
    pool = {"name": name, "slots": 1, "description": "for the comparison", "include_deferred": False}
    airflow.api.call("POST", "/pools", **pool)


@check("rate_limits")
def rate_limits(airflow: Airflow) -> Finding:
    """Calls of another system are some seconds apart, also when they could happen at once."""
    _set_pool(airflow, "rated")
    fields = set(airflow.schema()["components"]["schemas"]["PoolBody"]["properties"])
    assert fields == {"name", "slots", "description", "include_deferred", "team_name"}, f"a pool has more now: {fields}"
    run = airflow.run("rated")
    path = f"/dags/rated/dagRuns/{run['dag_run_id']}/taskInstances/call/xcomEntries/return_value?map_index="
    calls = sorted(float(airflow.api.call("GET", f"{path}{index}")["value"]) for index in range(3))
    assert all(two - one >= 2 for one, two in pairwise(calls)), calls
    return WithCode(
        "a pool limits how many tasks run at once, not how many a minute: here a task keeps the only slot until its "
        "two seconds are over"
    )
