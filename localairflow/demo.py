"""One month through all three DAGs by the real scheduler, and the proof that no row was lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx

from localairflow import reconcile, stack
from localairflow.api import AirflowApi
from localairflow.environment import AirflowSettings, running_source
from localcloud.processes import ProcessError
from localcloud.settings import REPOSITORY
from nyc_taxi.datasets import TRIP_DATASETS, ContractError, PublishedFile, TripDataset
from nyc_taxi.months import Month

RUN_TIMEOUT = 20 * 60.0
LOG_LINES = 25

# An unpaused DAG starts the newest month at once. The demo is for one month, so its own scheduler makes no runs from
# the clock; runs started by hand and by assets are not touched by this.
NO_CLOCK_RUNS = {"AIRFLOW__SCHEDULER__MAX_DAGRUNS_TO_CREATE_PER_LOOP": "0"}


class DemoError(RuntimeError):
    """A run of the demo failed; what is wrong has been printed."""


def demo(settings: AirflowSettings, *, dataset: str, month: str) -> bool:
    """Run one month from the web to the lake, BigQuery and Postgres, and print the reconciliation line.

    Starts the stack, and stops it at the end. A stack that is up is used as it is and stays up; the DAGs that the month
    needs are unpaused there, as the form in the UI does it.

    Returns:
        Whether all counts agree.

    Raises:
        ContractError, MonthError: there is no such dataset or month.
        ProcessError: something does not start, or the stack that runs reads another source.
        DemoError: the source does not answer, or a task failed.
    """
    file = _trip_dataset(dataset).file(Month.parse(month))
    begin = time.monotonic()
    with _running(settings):
        _run_all(settings, file)
        counts = reconcile.count(settings, file)
    print(f"done in {time.monotonic() - begin:.1f} s", flush=True)
    print(counts.line(dataset, month), flush=True)
    return counts.agree


def _trip_dataset(name: str) -> TripDataset:
    for dataset in TRIP_DATASETS:
        if dataset.name == name:
            return dataset
    raise ContractError(f"unknown dataset {name!r}; there are {', '.join(d.name for d in TRIP_DATASETS)}")


@contextmanager
def _running(settings: AirflowSettings) -> Iterator[None]:
    if stack.is_up(settings):
        source = running_source(settings.cloud)
        if source != settings.cloud.source:
            raise ProcessError(
                f"the stack that runs reads SOURCE={source}; stop it with make down, or leave SOURCE out"
            )
        yield
        return
    try:
        stack.up(settings, overrides=NO_CLOCK_RUNS)
        yield
    finally:
        stack.down(settings)


def _run_all(settings: AirflowSettings, file: PublishedFile) -> None:
    name = file.dataset.name
    to_gcs, to_bigquery, to_postgres = (
        f"{name}_web_to_gcs",
        f"{name}_gcs_to_bigquery",
        f"{name}_web_to_postgres",
    )
    _check_source(settings, file)
    with AirflowApi(settings) as api:
        api.await_parsed([to_gcs, to_bigquery, to_postgres], since=_last_change().isoformat())
        for dag_id in (to_gcs, to_bigquery, to_postgres):
            if (dag := api.dag(dag_id)) and dag["is_paused"]:
                # It stays unpaused: pausing it again would freeze whatever else it runs by then.
                print(f"unpausing {dag_id}", flush=True)
                api.set_paused(dag_id, False)
        conf = {"month": str(file.month)}
        started = {dag_id: api.trigger(dag_id, conf) for dag_id in (to_gcs, to_postgres)}
        follower = _Follower(api, started, upstream=to_gcs, downstream=to_bigquery)
        try:
            follower.follow()
        except BaseException:
            follower.end_runs()
            raise


def _check_source(settings: AirflowSettings, file: PublishedFile) -> None:
    """Say at once that the source does not answer; the tasks would try for minutes."""
    url = f"{settings.source_base_url}/{file.source_path}"
    try:
        httpx.head(url, follow_redirects=True, timeout=30)
    except httpx.HTTPError as error:
        raise DemoError(f"the source does not answer: {url}: {error}") from error


def _last_change() -> datetime:
    """When the DAGs, or what they import, were last changed: a parse before that does not count."""
    files = [path for folder in ("dags", "plugins") for path in (REPOSITORY / folder).rglob("*.py")]
    return datetime.fromtimestamp(max(path.stat().st_mtime for path in files), UTC)


class _Follower:
    """Prints each task as it ends, until all runs have ended."""

    _ENDED = frozenset({"success", "failed"})

    def __init__(self, api: AirflowApi, runs: dict[str, str], *, upstream: str, downstream: str) -> None:
        self._api = api
        self._runs = dict(runs)
        self._upstream = upstream
        self._downstream = downstream
        self._states: dict[str, str] = {}
        self._seen: set[tuple[str, str, int, str]] = set()

    def follow(self) -> None:
        deadline = time.monotonic() + RUN_TIMEOUT
        while True:
            self._find_downstream()
            states = {dag_id: self._api.run(dag_id, run_id)["state"] for dag_id, run_id in self._runs.items()}
            self._states = states
            for dag_id in self._runs:
                self._print_tasks(dag_id)
            failed = [dag_id for dag_id, state in states.items() if state == "failed"]
            # Every run is followed to its end, also beside a failed one: a run left behind would hold its place.
            handed_over = self._downstream in states or self._upstream in failed
            if handed_over and self._ENDED.issuperset(states.values()):
                if failed:
                    raise DemoError(f"{', '.join(failed)} failed")
                return
            if time.monotonic() > deadline:
                raise DemoError(f"the runs did not end within {RUN_TIMEOUT:.0f} s: {states}")
            time.sleep(0.2)

    def end_runs(self) -> None:
        """Leave no run behind that the next start of the scheduler would take up again."""
        for dag_id, run_id in self._runs.items():
            if self._states.get(dag_id) not in self._ENDED:
                self._api.fail(dag_id, run_id)

    def _find_downstream(self) -> None:
        """The run that the scheduler starts when the month has arrived in the lake."""
        if self._downstream in self._runs:
            return
        for run in self._api.runs(self._downstream)[:10]:
            if self._runs[self._upstream] in self._api.started_by(self._downstream, run["dag_run_id"]):
                self._runs[self._downstream] = run["dag_run_id"]
                return

    def _print_tasks(self, dag_id: str) -> None:
        tasks = self._api.tasks(dag_id, self._runs[dag_id])
        for task in sorted(tasks, key=lambda task: task["end_date"] or ""):
            mark = (dag_id, task["task_id"], task["try_number"], task["state"] or "")
            if task["state"] not in ("success", "failed", "up_for_retry", "skipped") or mark in self._seen:
                continue
            self._seen.add(mark)
            seconds = f"{task['duration']:6.1f} s" if task["duration"] is not None else ""
            print(f"  {dag_id + '.' + task['task_id']:<48} {task['state']:<12} {seconds}", flush=True)
            if task["state"] == "failed":
                self._print_log(dag_id, task)

    def _print_log(self, dag_id: str, task: dict[str, Any]) -> None:
        print(f"    the end of the log of {dag_id}.{task['task_id']}, try {task['try_number']}:", flush=True)
        for line in self._api.log(dag_id, self._runs[dag_id], task["task_id"], task["try_number"])[-LOG_LINES:]:
            print(f"    | {line}", flush=True)
