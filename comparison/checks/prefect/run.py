"""Checks of Prefect: how its runs go."""

from __future__ import annotations

import asyncio
import inspect
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import psutil

from comparison.checks import BuiltIn, Finding, WithCode, await_, kill_tree
from comparison.checks.prefect.side import DOCS, OUTAGE, Prefect, check, flow_pid, take_away, timestamp
from comparison.prefect_flows import blocks, examples, starts_and_limits
from comparison.prefect_flows.parameters import published_file
from local.cloud.settings import REPOSITORY


@check("run_names")
def run_names(prefect: Prefect) -> Finding:
    """A run can be recognised by its name."""
    run = prefect.month_run("web-to-gcs")
    assert run["name"] == f"web-to-gcs-{prefect.ground.dataset}-{prefect.ground.month}"
    scheduled = prefect.api.end(prefect.api.start(f"web-to-gcs/{prefect.ground.dataset}"))
    assert re.fullmatch(rf"web-to-gcs-{prefect.ground.dataset}-\d{{4}}-\d\d", scheduled["name"]), scheduled["name"]
    by_template = prefect.month_run("gcs-to-bigquery")["name"]
    assert by_template == f"gcs-to-bigquery-{prefect.ground.dataset}-{prefect.ground.month}"
    return BuiltIn(
        f"[a template with the parameters, also for tasks]({DOCS}/how-to-guides/workflows/custom-metadata): "
        f"`{by_template}`; or a function, here of ours, which takes the month from the schedule. [Names need not be "
        f"unique]({DOCS}/how-to-guides/workflows/retry-flow-runs)"
    )


@check("retries", alone=True)
def retries(prefect: Prefect) -> Finding:
    """A task that fails twice is retried with growing delays, and succeeds in the third try."""
    assert examples.retries() == 3
    [run] = prefect.api.tasks(prefect.called("retries")["id"])
    states = prefect.api.call("GET", f"/task_run_states/?task_run_id={run['id']}")
    waits = [
        timestamp(after["timestamp"]) - timestamp(before["timestamp"])
        for before, after in pairwise(states)
        if before["name"] == "AwaitingRetry"
    ]
    if len(waits) != 2:  # the server may keep only the newest states of a task run
        waits = _waits_by_log(prefect)
    assert len(waits) == 2
    # One second, then two; the times of the log are a little off.
    assert (waits[0] > 0.9, waits[1] > 1.9) == (True, True), waits
    assert examples.not_retried(return_state=True).is_failed()
    final = prefect.called("not-retried")["id"]
    [only] = await_(lambda: prefect.api.tasks(final), "the server has the task run")
    assert only["run_count"] == 1
    return WithCode(
        "3 tries, with growing delays, are arguments; which error is final, a "
        f"[`retry_condition_fn`]({DOCS}/how-to-guides/workflows/retries) of ours decides"
    )


def _waits_by_log(prefect: Prefect) -> list[float]:
    """The delays between the tries, from the times of the task's log messages."""
    run = prefect.called("retries")
    body = {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "sort": "TIMESTAMP_ASC"}
    records = await_(
        lambda: found if len(found := _with_failure(prefect.api.call("POST", "/logs/filter", **body))) >= 2 else None,
        "the failed tries are in the log",
    )
    ends = [timestamp(record["timestamp"]) for record in records]
    [done] = prefect.api.tasks(run["id"])
    return [ends[1] - ends[0], timestamp(done["end_time"]) - ends[1]]


def _with_failure(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in records if "Retry" in record["message"]]


@check("caching", alone=True)
def caching(prefect: Prefect) -> Finding:
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
    runs, converted_by = [], []
    for version in ("first", "first", "second"):
        converted_by.append(examples.cached(f"{version} {before}"))
        runs.append(prefect.called("cached")["id"])
    assert converted_by == [runs[0], runs[0], runs[2]]
    return BuiltIn(
        f"[the policy `INPUTS`]({DOCS}/concepts/caching): a task that gets a file's version did not run again for the "
        "same one, and did for another. A cache knows what was made, not whether it is still there: our flow also "
        "looks for the object, and its key is a function of ours. The entries are on this machine, unless "
        f"[a block]({DOCS}/advanced/results) says where else"
    )


@check("time_outs", alone=True)
def time_outs(prefect: Prefect) -> Finding:
    """A hanging task is stopped, also one of several that run at once."""
    assert _seconds(examples.time_out) < 30
    called = prefect.called("time-out")["id"]

    def states() -> list[str]:
        return [each["state_name"] for each in prefect.api.tasks(called)]

    await_(lambda: states() == ["TimedOut"], "the server has the task as stopped")
    in_processes = _seconds_of_tasks(prefect, examples.time_out_in_processes)
    assert len(in_processes) == 2
    assert max(in_processes) < 20
    of_async = _seconds_of_tasks(prefect, examples.time_out_of_async_tasks)
    assert len(of_async) == 2
    assert max(of_async) < 20
    [in_thread] = _seconds_of_tasks(prefect, examples.time_out_in_thread)
    assert in_thread >= 6, f"a task in a thread is stopped now, after {in_thread} s: change the note"
    assert _seconds(examples.time_out_of_the_call) < 30
    return BuiltIn(
        "one blocking call of 60 s is stopped, with a time-out of 1 s, and so are two at once in the processes of a "
        "`ProcessPoolTaskRunner`, and two async tasks that wait with `await`; in "
        f"[the threads]({DOCS}/how-to-guides/workflows/write-and-run) that `submit` and `map` take by default, a "
        "blocking call goes on to its end, unless it has a limit of its own"
    )


def _seconds_of_tasks(prefect: Prefect, flow: Any) -> list[float]:
    """How long the task runs of a flow took, which fails because they took longer than they may."""
    state = flow(return_state=True)
    assert (asyncio.run(state) if inspect.iscoroutine(state) else state).is_failed()
    run = prefect.called(flow.name)["id"]

    def ended() -> list[dict[str, Any]] | None:
        tasks = prefect.api.tasks(run)
        return tasks if tasks and all(task["state_name"] == "TimedOut" for task in tasks) else None

    return [task["total_run_time"] for task in await_(ended, "the server has the tasks as stopped")]


def _seconds(flow: Any) -> float:
    """How long a flow takes that fails."""
    begin = time.monotonic()
    assert flow(return_state=True).is_failed()
    return time.monotonic() - begin


@check("logging")
def logging(prefect: Prefect) -> Finding:
    """A task's log can be read by run and task."""
    run = prefect.month_run("web-to-gcs")
    [convert] = [task["id"] for task in prefect.api.tasks(run["id"]) if task["name"].startswith("convert")]
    records = prefect.api.call("POST", "/logs/filter", logs={"flow_run_id": {"any_": [run["id"]]}})
    wanted = f"Converted {prefect.ground.rows:,} rows"
    assert [record["task_run_id"] for record in records if wanted in record["message"]] == [convert]
    assert f"{prefect.ground.rows:,} rows" in prefect.prefect("flow-run", "logs", run["id"]).stdout
    return BuiltIn(
        f"one log for each flow run, each line with its task: [in the UI]({DOCS}/how-to-guides/workflows/add-logging), "
        "through the API and the CLI"
    )


@check("concurrency", alone=True)
def concurrency(prefect: Prefect) -> Finding:
    """With one slot, no two tasks run at the same time."""
    prefect.api.call("POST", "/v2/concurrency_limits/", name="one-at-a-time", limit=1)
    spans = sorted(examples.limited())
    assert len(spans) == 3
    assert all(one[1] <= two[0] for one, two in pairwise(spans)), spans
    return BuiltIn(
        "a limit in the server, acquired in the code; also limits for "
        f"[tags, deployments, work pools and queues]({DOCS}/concepts/global-concurrency-limits)"
    )


@check("infrastructure_per_run")
def infrastructure_per_run(prefect: Prefect) -> Finding:
    """The caller gives a single run its own environment."""
    name = "in-its-environment/example"
    env = prefect.api.deployment(name)["job_variables"].get("env", {}) | {"TAXI_COMPARED": "for this run"}
    run_id = prefect.api.start(name, job_variables={"env": env})
    assert prefect.api.end(run_id)["state_type"] == "COMPLETED"
    said = "TAXI_COMPARED is for this run"
    await_(lambda: said in prefect.api.log(run_id), "the run has logged its environment", timeout=15)
    return BuiltIn(
        f"`job_variables` of a run: environment, [image, memory]({DOCS}/how-to-guides/deployments/"
        "customize-job-variables), as far as the pool's template allows"
    )


@check("crash_recovery")
def crash_recovery(prefect: Prefect) -> Finding:
    """A run whose process is killed completes without manual action, also if its worker is killed with it."""
    _deploy_to_pool(prefect, "host")
    alone, with_worker = (prefect.api.start(f"killed/{name}") for name in ("example", "host"))
    with _worker("host") as worker:
        kill_tree(flow_pid(prefect, alone))
        await_(lambda: _has_beaten(prefect, with_worker), "the run has sent a heartbeat", timeout=240)
        kill_tree(worker.pid)
    with _worker("host"):
        for run_id in (alone, with_worker):
            assert prefect.api.end(run_id, timeout=300, states={"COMPLETED"})["run_count"] > 1
    states = prefect.api.call("GET", f"/flow_run_states/?flow_run_id={with_worker}")
    assert [state["type"] for state in states if "no heartbeat" in (state["message"] or "")] == ["CRASHED"], states
    return WithCode(
        "killed with SIGKILL, the worker says so, and an automation of ours starts it again, [within "
        "seconds](#figures); killed with its worker, the automation for runs without heartbeats that Prefect "
        f"[documents]({DOCS}/advanced/detect-zombie-flows) says so, and then ours starts it again, on a worker that "
        "the check had started"
    )


def _deploy_to_pool(prefect: Prefect, pool: str) -> None:
    """Create a work pool like that of this machine, and deploy the flow ``killed`` to it."""
    template = prefect.api.call("GET", "/work_pools/local")["base_job_template"]
    prefect.api.call("POST", "/work_pools/", name=pool, type="process", base_job_template=template)
    example = prefect.api.deployment("killed/example")
    same = {name: example[name] for name in ("flow_id", "entrypoint", "pull_steps", "tags")}
    prefect.api.call("POST", "/deployments/", name=pool, work_pool_name=pool, **same)


def _has_beaten(prefect: Prefect, run_id: str) -> bool:
    """Whether the server has a heartbeat of the run."""
    beats = prefect.api.events("prefect.flow-run.heartbeat")
    return f"prefect.flow-run.{run_id}" in {event["resource"]["prefect.resource.id"] for event in beats}


@contextmanager
def _worker(pool: str) -> Iterator[subprocess.Popen[bytes]]:
    """A further worker, of a pool that no other serves; it stands for a machine of its own."""
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker:
        try:
            yield worker
        finally:
            worker.terminate()


@check("control_plane_down", last=True)
def control_plane_down(prefect: Prefect) -> Finding:
    """The server is away for half a minute; no task runs twice, and no result is lost."""
    lengths = (OUTAGE // 2, 5 * OUTAGE // 2)
    runs = [prefect.api.start("outage/example", parameters={"seconds": seconds}) for seconds in lengths]
    for run in runs:
        await_(lambda run=run: _working(prefect, run), "the task runs", timeout=120)  # type: ignore[misc]
    away = take_away(prefect)
    ended = [prefect.api.end(run) for run in runs]
    assert [(run["state_type"], run["run_count"]) for run in ended] == [("COMPLETED", 1)] * 2, ended
    tasks = [each for run in runs for each in prefect.api.tasks(run)]
    assert {(each["state_type"], each["run_count"]) for each in tasks} == {("COMPLETED", 1)}, tasks
    return BuiltIn(
        f"with the server away for {away:.0f} s, a task that ended meanwhile and one that ended later both completed "
        "in their first run: the flow goes on in its process, and reports again what the server has not answered"
    )


def _working(prefect: Prefect, run_id: str) -> bool:
    return [task["state_name"] for task in prefect.api.tasks(run_id)] == ["Running"]


@check("cancelling")
def cancelling(prefect: Prefect) -> Finding:
    """A run that is stopped by hand ends, and so does its process."""
    run_id = prefect.api.start("cancelled/example")
    pid = flow_pid(prefect, run_id)
    prefect.api.call("POST", f"/flow_runs/{run_id}/set_state", state={"type": "CANCELLING", "name": "Cancelling"})
    run = prefect.api.end(run_id)
    assert run["state_type"] == "CANCELLED", run["state"]
    await_(lambda: not psutil.pid_exists(pid), "the process ends", timeout=60)
    return BuiltIn("`Cancelled` is a separate state, and the process ended")


@check("approval", alone=True)
def approval(prefect: Prefect) -> Finding:
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
    return BuiltIn(
        f"`pause_flow_run` with a typed form, in the middle of the code; [`suspend`]({DOCS}/advanced/interactive) "
        "frees the infrastructure"
    )


@check("rerun", alone=True)
def rerun(prefect: Prefect) -> Finding:
    """A run is repeated from a chosen task on; earlier tasks keep the results of the run that executed them."""
    month = prefect.ground.month
    runs = []
    for again_from in ("fetch", "convert"):
        executed_by = examples.repeated(month, again_from=again_from)
        runs.append(prefect.called("repeated")["id"])
    assert executed_by == [runs[0], runs[1], runs[1]]

    def states() -> dict[str, str]:
        return {each["name"]: each["state_name"] for each in prefect.api.tasks(runs[1])}

    expected = {"fetch": "Cached", "convert": "Completed", "publish": "Completed"}
    await_(lambda: states() == expected, "the server has the states of the tasks", timeout=15)
    _assert_resumed(prefect)
    return WithCode(
        f"[a run that has ended can be retried]({DOCS}/how-to-guides/workflows/retry-flow-runs), by one command: what "
        f"[kept its result]({DOCS}/advanced/results) is not done again. From a task of one's choice on, a flow of ours "
        "starts again with its name, refreshes the cache from there on, and takes the results of earlier tasks from it"
    )


def _assert_resumed(prefect: Prefect) -> None:
    """A run that failed in its second step is retried by one command, and begins with that step; then once more."""
    run_id = prefect.api.start("resumed/example")
    assert prefect.api.end(run_id)["state_type"] == "FAILED"
    for tries in (2, 3):
        done = prefect.prefect("flow-run", "retry", run_id)
        assert done.returncode == 0, done.stdout + done.stderr
        assert prefect.api.end(run_id, states={"COMPLETED"})["run_count"] == tries
    said = "fetched by try 1, published by try 2"
    await_(lambda: said in prefect.api.log(run_id), "the run has logged which try did what", timeout=15)


@check("waiting")
def waiting(prefect: Prefect) -> Finding:
    """Twenty waits at the same time need one process and one slot of the work pool."""
    until = datetime.now(UTC) + timedelta(seconds=90)
    run_id = prefect.api.start("waiting/example", parameters={"until": until.isoformat()})

    def all_wait() -> bool:
        return [task["state_name"] for task in prefect.api.tasks(run_id)] == ["Running"] * starts_and_limits.WAITS

    await_(all_wait, "all wait", timeout=300, poll=1)
    assert datetime.now(UTC) < until
    process = psutil.Process(flow_pid(prefect, run_id))
    assert process.children(recursive=True) == []
    memory = process.memory_full_info().uss / 1e6
    pool = prefect.api.runs(
        work_pools={"name": {"any_": ["local"]}}, flow_runs={"state": {"type": {"any_": ["RUNNING"]}}}
    )
    assert run_id in {run["id"] for run in pool}
    assert not prefect.api.runs(flow_runs={"parent_flow_run_id": {"any_": [run_id]}})
    assert prefect.api.end(run_id)["state_type"] == "COMPLETED"
    waits = len(prefect.api.tasks(run_id))
    assert waits == 20
    return BuiltIn(
        f"async tasks of one flow: {waits} waits, 1 process of {memory:.0f} MB, 1 slot of its pool, which the flow "
        "keeps while it waits"
    )


@check("priority")
def priority(prefect: Prefect) -> Finding:
    """Of several runs that wait for a worker, the most important one runs first."""
    for place, queue in enumerate(("urgent", "patient"), start=1):
        prefect.api.call("PATCH", f"/work_pools/one-by-one/queues/{queue}", priority=place)
    started = {queue: prefect.api.start(f"prioritised/{queue}") for queue in ("patient", "urgent")}
    with _worker("one-by-one"):
        ended = {queue: prefect.api.end(run_id) for queue, run_id in started.items()}
    assert {run["state_type"] for run in ended.values()} == {"COMPLETED"}
    assert timestamp(ended["urgent"]["end_time"]) <= timestamp(ended["patient"]["start_time"])
    return BuiltIn(
        "queues of a work pool with priorities: of two runs that waited for one place, the one of the urgent queue ran "
        "first, though it was started last"
    )


@check("rate_limits", alone=True)
def rate_limits(prefect: Prefect) -> Finding:
    """Calls of another system are some seconds apart, also when they could happen at once."""
    limit = {"name": "compared-rate", "limit": 1, "slot_decay_per_second": 1 / starts_and_limits.RATE_SECONDS}
    prefect.api.call("POST", "/v2/concurrency_limits/", **limit)
    calls = sorted(starts_and_limits.rated())
    # The server computes with the time at which it gives a slot, and the flow sees it a little later.
    assert all(two - one >= starts_and_limits.RATE_SECONDS - 0.5 for one, two in pairwise(calls)), calls
    return BuiltIn("`rate_limit` in the code, with a limit in the server whose slots come back after a time")
