"""Runs Prefect's side: a server, the flows' deployments and a worker, in Prefect's own environment."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from benchmarks.lab import cloud_environment
from comparison import edited
from comparison.checks import Result, await_, kill_tree, seconds_between
from comparison.ground import Ground
from comparison.measurements import AS_SHIPPED, FOR_CHECKS
from comparison.prefect_api import PrefectApi
from comparison.sides import (
    ERROR_CHARACTERS,
    POLL_SECONDS,
    RANGE_PARALLEL,
    RUN_TIMEOUT,
    DatasetMonth,
    Side,
    SideError,
    python_of,
    run_checks,
)
from comparison.stock import PREFECT_HERE, PREFECT_NEEDS
from local.airflow.environment import AirflowSettings
from local.cloud.processes import Process, ProcessError, start, stop
from local.cloud.settings import HOST, REPOSITORY

NAME = "prefect"
PLANS = ("prefect.yaml", "examples.yaml", "figures.yaml")
# The database of Prefect's metadata, on the same server as the trips.
METADATA = "prefect"
ENVIRONMENT = REPOSITORY / "comparison" / ".venv"
# What the checks of the clean-up need: by default runs are never removed, and events every hour.
_CLEAN_UP = {
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": "10",
}
# The queue for the months of a range; it has a limit, so that neither a parent nor arrivals count.
RANGE_QUEUE = "months"
# The automation by which a month's arrival starts the next flow; see prefect.yaml.
ARRIVALS = "a month arrived in the lake"
# The deployments that are added to see how long that takes.
NEW = "new"


def prefect_command(*arguments: str) -> list[str]:
    """The words that run the Prefect CLI, whose server then stands behind the guard."""
    return [str(ENVIRONMENT / "bin" / "python"), "-m", "comparison.guarded_prefect", *arguments]


def environment(settings: AirflowSettings, *, home: Path, url: str, as_shipped: bool = False) -> dict[str, str]:
    """The environment variables that Prefect and the flows need in addition to those of this process.

    Args:
        settings: the settings of the embedded cloud and the source.
        home: the folder for Prefect's state.
        url: the address of its API.
        as_shipped: with Prefect's own defaults.
    """
    return {
        **cloud_environment(settings),
        **PREFECT_NEEDS,
        **({} if as_shipped else PREFECT_HERE),
        "TAXI_SOURCE_URL": settings.source_base_url,
        "TAXI_SOURCE_LAYOUT": settings.layout.value,
        "NYC_TAXI_REPOSITORY": str(REPOSITORY),
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'plugins'}",
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": url,
    }


@dataclass
class PrefectSide(Side):
    """See :class:`comparison.sides.Side`."""

    ground: Ground
    settings: AirflowSettings
    port: int
    name: str = NAME
    settings_of: str = FOR_CHECKS

    def start(self, settings: str = FOR_CHECKS) -> float:
        self.settings_of = settings
        python = python_of(ENVIRONMENT, "make compare installs it")
        begin = time.monotonic()
        try:
            self._start("server", ["server", "start", "--host", HOST, "--port", str(self.port)])
            if not self._is_set_up.exists():
                self._run([str(python), "-m", "comparison.prefect_flows.set_up"])
                for plan in PLANS:
                    path = f"comparison/prefect_flows/{plan}"
                    self._run(prefect_command("--no-prompt", "deploy", "--all", "--prefect-file", path))
                self._is_set_up.touch()
            self._start("worker", ["worker", "start", "--pool", "local", "--name", "this-machine"])
        except ProcessError as error:
            self.stop()
            raise SideError(f"Prefect does not start: {error}") from error
        except BaseException:
            self.stop()
            raise
        return time.monotonic() - begin

    def stop(self) -> None:
        for names in (["worker"], None):
            stop(run_dir=self._run_dir, names=names)

    def run_dirs(self) -> list[Path]:
        return [self._run_dir]

    def load(self, months: Sequence[DatasetMonth], *, postgres: bool = True) -> float:
        begin = time.monotonic()
        with self._api() as api:
            since = time.time()
            lake = [
                api.start(f"web-to-gcs/{each.dataset}", parameters=_parameters(each, force=True)) for each in months
            ]
            others = [
                api.start(f"web-to-postgres/{each.dataset}", parameters=_parameters(each))
                for each in months
                if postgres
            ]
            for run_id in lake:
                self._await(api, run_id)
            self._await_arrivals(api, months, since)
            for run_id in others:
                self._await(api, run_id)
        return time.monotonic() - begin

    def load_by_call(self, month: DatasetMonth) -> float:
        with self._api() as api, _no_arrivals(api):
            return self._seconds_of("called/figures", **_parameters(month))[0]

    def load_range(self, months: Sequence[DatasetMonth]) -> float:
        with self._api() as api, _room_for_range(api):
            begin, since = time.monotonic(), time.time()
            runs = [
                api.start(
                    f"web-to-gcs/{each.dataset}",
                    parameters=_parameters(each, force=True),
                    work_queue_name=RANGE_QUEUE,
                )
                for each in months
            ]
            for run_id in runs:
                self._await(api, run_id)
            self._await_arrivals(api, months, since)
            return time.monotonic() - begin

    def load_range_in_one_run(self, months: Sequence[DatasetMonth], *, processes: bool) -> float:
        first, last = months[0], months[-1]
        deployment = "load-months-in-processes/figures" if processes else "load-months/range"
        with self._api() as api, _room_for_range(api):
            begin, since = time.monotonic(), time.time()
            parameters = {"dataset": first.dataset, "first": first.month, "last": last.month, "force": True}
            self._await(api, api.start(deployment, parameters=parameters))
            self._await_arrivals(api, months, since)
            return time.monotonic() - begin

    def chain(self, length: int) -> tuple[float, float]:
        seconds, run = self._seconds_of("chain/figures", length=length)
        return seconds, seconds_between(run["start_time"], run["end_time"])

    def mapped(self, count: int) -> float:
        return self._seconds_of("many/figures", count=count)[0]

    def latency(self) -> float:
        with self._api() as api:
            return self.ground.first_line_after(lambda: api.emit("compared.event", "compared-event"))

    def edit(self) -> float:
        python = python_of(ENVIRONMENT, "make compare installs it")
        begin = time.monotonic()
        edited.run(NAME, python, self.ground.folder, f"at {begin}", self.environment())
        return time.monotonic() - begin

    def register(self, count: int) -> float:
        folder = self.ground.folder / f"new_{time.time_ns()}"
        folder.mkdir()
        plan = {"name": "new", "deployments": [_new_flow(folder, number) for number in range(count)]}
        (folder / "prefect.yaml").write_text(yaml.safe_dump(plan))
        begin = time.monotonic()
        self._run(prefect_command("--no-prompt", "deploy", "--all", "--prefect-file", str(folder / "prefect.yaml")))
        seconds = time.monotonic() - begin
        with self._api() as api:
            for deployment in api.call("POST", "/deployments/filter", deployments={"name": {"any_": [NEW]}}):
                api.call("DELETE", f"/deployments/{deployment['id']}")
        return seconds

    def recover(self) -> float:
        with self._api() as api:
            run_id = api.start("killed/example")
            begin = kill_tree(await_(lambda: api.running_pid(run_id), "the flow runs"))
            api.end(run_id, timeout=RUN_TIMEOUT, states={"COMPLETED"}, poll=POLL_SECONDS)
            return time.monotonic() - begin

    def check(self, concepts: Sequence[str]) -> Iterator[Result]:
        python = python_of(ENVIRONMENT, "make compare installs it")
        return run_checks(python, "comparison.checks.prefect", concepts, self.environment())

    def course_rerun(self, each: DatasetMonth) -> list[int]:
        """Run the course's flows twice for a month; returns the rows of its table after each run."""
        folder = self.ground.folder / "course"
        folder.mkdir(exist_ok=True)
        python = python_of(ENVIRONMENT, "make compare installs it")
        year, month = each.month.split("-")
        arguments = [self.settings.source_base_url, str(folder), each.dataset, year, month]
        printed = self._run([str(python), "-m", "comparison.course_flows.rerun", *arguments])
        rows: list[int] = json.loads(printed.splitlines()[-1])["rows"]
        return rows

    def environment(self) -> dict[str, str]:
        """The environment variables of all of Prefect's processes in addition to those of this process."""
        database = self.settings.cloud.postgres_url(METADATA).replace("postgresql://", "postgresql+asyncpg://")
        return {
            **environment(
                self.settings,
                home=self._home,
                url=self.ground.prefect_url,
                as_shipped=self.settings_of == AS_SHIPPED,
            ),
            **(_CLEAN_UP if self.settings_of == FOR_CHECKS else {}),
            **self.ground.environment(),
            "TAXI_ALERTS_URL": self.ground.receiver_url,
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": database,
        }

    @property
    def _home(self) -> Path:
        return self.ground.folder / "prefect"

    @property
    def _run_dir(self) -> Path:
        return self._home / "run"

    @property
    def _is_set_up(self) -> Path:
        return self._home / "is-set-up"

    def _start(self, name: str, arguments: list[str]) -> None:
        is_server, begin = name == "server", datetime.now(UTC)
        with self._api() as api:
            process = Process(
                name=name,
                command=prefect_command(*arguments),
                log=self._home / f"{name}.log",
                env=self.environment(),
                cwd=REPOSITORY,
                healthy=api.is_healthy if is_server else lambda: api.has_online_worker("local", since=begin),
                port=self.port if is_server else None,
                port_setting="PREFECT_PORT",
                startup_timeout=180,
                stop_timeout=20,
            )
            start([process], run_dir=self._run_dir)

    def _run(self, words: list[str]) -> str:
        """Run a command in Prefect's environment; returns its output."""
        done = subprocess.run(
            words, cwd=REPOSITORY, env={**os.environ, **self.environment()}, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise SideError(f"{' '.join(words[1:4])} failed: {(done.stdout + done.stderr)[-ERROR_CHARACTERS:]}")
        return done.stdout

    def _seconds_of(self, deployment: str, **parameters: object) -> tuple[float, dict[str, Any]]:
        """The seconds of a run, from the call that creates it to its end, and the run."""
        with self._api() as api:
            begin = time.monotonic()
            run_id = api.start(deployment, parameters=parameters)
            self._await(api, run_id)
            return time.monotonic() - begin, api.run(run_id)

    def _await_arrivals(self, api: PrefectApi, months: Sequence[DatasetMonth], since: float) -> None:
        """Wait for the runs that the months' arrivals in the lake have started since ``since``."""
        deployment = api.deployment("gcs-to-bigquery/arrivals")["id"]
        for each in months:
            follows = await_(
                lambda each=each: _arrival(api, deployment, each, since),  # type: ignore[misc]
                f"the arrival of {each.dataset} {each.month} starts its flow",
                timeout=120,
                poll=POLL_SECONDS,
            )
            self._await(api, follows)

    def _api(self) -> PrefectApi:
        return PrefectApi(self.ground.prefect_url, timeout=RUN_TIMEOUT)

    def _await(self, api: PrefectApi, run_id: str) -> None:
        run = api.end(run_id, timeout=RUN_TIMEOUT, poll=POLL_SECONDS)
        if run["state_type"] != "COMPLETED":
            raise SideError(f"{run['name']} is {run['state_name']}: {run['state']['message']}")


@contextmanager
def _room_for_range(api: PrefectApi) -> Iterator[None]:
    """A queue that limits the months, in a pool that during the block limits nothing, as by default."""
    pool = api.call("GET", "/work_pools/local")
    queues = api.call("POST", "/work_pools/local/queues/filter")
    if RANGE_QUEUE not in {queue["name"] for queue in queues}:
        api.call("POST", "/work_pools/local/queues", name=RANGE_QUEUE, concurrency_limit=RANGE_PARALLEL)
    api.call("PATCH", "/work_pools/local", concurrency_limit=None)
    try:
        yield
    finally:
        api.call("PATCH", "/work_pools/local", concurrency_limit=pool["concurrency_limit"])


@contextmanager
def _no_arrivals(api: PrefectApi) -> Iterator[None]:
    """During the block, an arrival in the lake starts nothing."""
    [automation] = api.call("POST", "/automations/filter", automations={"name": {"any_": [ARRIVALS]}})
    api.call("PATCH", f"/automations/{automation['id']}", enabled=False)
    try:
        yield
    finally:
        api.call("PATCH", f"/automations/{automation['id']}", enabled=True)


def _new_flow(folder: Path, number: int) -> dict[str, object]:
    """Write a flow into a file of its own; returns its deployment."""
    name = f"{folder.name}_{number}"
    (folder / f"{name}.py").write_text(f"from prefect import flow\n\n\n@flow\ndef {name}():\n    pass\n")
    return {"name": NEW, "entrypoint": f"{folder / name}.py:{name}", "work_pool": {"name": "local"}}


def _parameters(each: DatasetMonth, **more: object) -> dict[str, object]:
    return {"dataset": each.dataset, "month": each.month, **more}


def _arrival(api: PrefectApi, deployment: str, each: DatasetMonth, since: float) -> str | None:
    """The run that a month's arrival has started since ``since``; None if there is none yet."""
    for run in api.runs(deployments={"id": {"any_": [deployment]}}):
        if run["parameters"] == _parameters(each) and datetime.fromisoformat(run["created"]).timestamp() >= since:
            return str(run["id"])
    return None
