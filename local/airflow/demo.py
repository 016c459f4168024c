"""One month through all DAGs by the real scheduler, and the proof that no row was lost."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx

from local.airflow import reconcile, stack
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from local.airflow.start_record import StartRecord
from local.cloud.processes import ProcessError
from local.cloud.settings import REPOSITORY
from local.cloud.status_line import StatusLine, waiting_for
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.stores import STORES
from nyc_taxi.stores.bigquery.store import BigQueryStore

# Runs after each month that arrives in the warehouse.
ROLLUP = "trips_yearly_rollup"
RUN_TIMEOUT = 20 * 60.0
LOG_LINES = 25

# A DAG that was paused for long starts the newest month that it has missed. The demo is for one month, so its scheduler
# creates no scheduled runs; manual and asset-triggered runs are unaffected.
NO_SCHEDULED_RUNS = {"AIRFLOW__SCHEDULER__MAX_DAGRUNS_TO_CREATE_PER_LOOP": "0"}


class DemoError(RuntimeError):
    """A run of the demo failed; the cause has already been printed."""


def demo(settings: AirflowSettings, *, dataset: str, month: str) -> bool:
    """Run one month from the web to the lake, BigQuery and Postgres, and print the reconciliation line.

    Starts the stack and stops it at the end. DAGs that the demo unpaused are paused again, so the next start triggers
    no unwanted runs. If the stack is already up, it stays up and the DAGs stay unpaused, as the UI's trigger form
    leaves them: pausing them could block other runs.

    Returns:
        Whether all counts agree.

    Raises:
        ContractError, MonthError: there is no such dataset or month.
        ProcessError: a component does not start, or the running stack reads another source.
        DemoError: the source does not answer, or a task failed.
    """
    file = reconcile.month_file(settings, dataset, month)
    begin = time.monotonic()
    with _running(settings) as is_own:
        _run_all(settings, file, pause_again=is_own)
        counts = reconcile.count(settings, file)
    print(f"done in {time.monotonic() - begin:.1f} s", flush=True)
    print(counts.line(dataset, month), flush=True)
    return counts.agree


@contextmanager
def _running(settings: AirflowSettings) -> Iterator[bool]:
    """Provide a running stack; yields whether the demo started it."""
    if stack.is_up(settings):
        if troubles := stack.troubles(settings):
            raise ProcessError("; ".join(troubles))
        found = StartRecord.read(settings.cloud)
        if found and (found.source, found.layout) != (settings.cloud.source, settings.layout):
            raise ProcessError(
                f"the running stack reads SOURCE={found.source} in the layout {found.layout.value}; stop it with make "
                f"down, or leave SOURCE out"
            )
        yield False
        return
    try:
        stack.up(settings, overrides=NO_SCHEDULED_RUNS)
        yield True
    finally:
        stack.down(settings)


def _run_all(settings: AirflowSettings, file: PublishedFile, *, pause_again: bool) -> None:
    dag_ids = {store.name: store.dag_id(file.dataset) for store in STORES}
    upstream = {dag_ids[store.name]: dag_ids[store.loaded_from] for store in STORES if store.loaded_from}
    _check_source(settings, file)
    with AirflowApi(settings) as api:
        api.await_parsed([*dag_ids.values(), ROLLUP], since=_last_change().isoformat())
        with _unpaused(api, dag_ids.values(), pause_again=pause_again):
            # Force the load, so that every task runs even if the month is already loaded.
            conf = {"month": str(file.month), "force": True}
            reading_source = [dag_id for dag_id in dag_ids.values() if dag_id not in upstream]
            if (dag := api.dag(ROLLUP)) and not dag["is_paused"]:
                upstream[ROLLUP] = dag_ids[BigQueryStore.name]
            started = {dag_id: api.trigger(dag_id, conf) for dag_id in reading_source}
            follower = _Follower(api, started, upstream, troubles=partial(stack.troubles, settings))
            try:
                follower.follow()
            except BaseException:
                with _cleaning_up("the demo's runs go on"):
                    follower.end_runs()
                raise


@contextmanager
def _unpaused(api: AirflowApi, dag_ids: Iterable[str], *, pause_again: bool) -> Iterator[None]:
    paused = [dag_id for dag_id in dag_ids if (dag := api.dag(dag_id)) and dag["is_paused"]]
    for dag_id in paused:
        print(f"unpausing {dag_id}", flush=True)
        api.set_paused(dag_id, False)
    try:
        yield
    finally:
        for dag_id in paused if pause_again else ():
            with _cleaning_up(f"{dag_id} stays unpaused"):
                print(f"pausing {dag_id} again", flush=True)
                api.set_paused(dag_id, True)


@contextmanager
def _cleaning_up(otherwise: str) -> Iterator[None]:
    """Tell an error instead of raising it, which would hide the one that ended the demo."""
    try:
        yield
    except httpx.HTTPError as error:
        print(f"{otherwise}: {error}", file=sys.stderr, flush=True)


def _check_source(settings: AirflowSettings, file: PublishedFile) -> None:
    """Fail early if the source is down; the tasks would retry for minutes."""
    url = f"{settings.source_base_url}/{file.source_path(settings.layout)}"
    try:
        httpx.head(url, follow_redirects=True, timeout=30)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DemoError(f"the source does not answer: {url}: {error}") from error


def _last_change() -> datetime:
    """When the DAGs or the code they import last changed; earlier parses are stale."""
    files = [path for folder in ("dags", "plugins") for path in (REPOSITORY / folder).rglob("*.py")]
    return datetime.fromtimestamp(max(path.stat().st_mtime for path in files), UTC)


class _Follower:
    """Prints each task as it ends, until all runs have ended."""

    _ENDED = frozenset({"success", "failed"})

    def __init__(
        self, api: AirflowApi, runs: dict[str, str], upstream: dict[str, str], *, troubles: Callable[[], list[str]]
    ) -> None:
        """Follow runs, and the runs that they start.

        Args:
            runs: run id by DAG id.
            upstream: upstream DAG id by DAG id, for the DAGs whose run the upstream DAG's run starts.
            troubles: returns what is wrong with the stack and the watcher does not repair; such runs may never end.
        """
        self._api = api
        self._runs = dict(runs)
        self._upstream = upstream
        self._troubles = troubles
        self._states: dict[str, str] = {}
        self._seen: set[tuple[str, str, int, str]] = set()
        # The tasks that run, by DAG.
        self._running: dict[str, list[str]] = {}
        self._line = StatusLine()

    def follow(self) -> None:
        with self._line:
            self._follow()

    def _follow(self) -> None:
        deadline = time.monotonic() + RUN_TIMEOUT
        while True:
            self._find_downstream()
            states = {dag_id: self._api.run(dag_id, run_id)["state"] for dag_id, run_id in self._runs.items()}
            self._states = states
            for dag_id in self._runs:
                self._print_tasks(dag_id)
            self._line.show(waiting_for(task for dag_id in self._runs for task in self._running[dag_id]))
            failed = [dag_id for dag_id, state in states.items() if state == "failed"]
            # Follow every run even if another failed; an unfinished run would keep its slot.
            if not any(map(self._is_coming, self._upstream)) and self._ENDED.issuperset(states.values()):
                if failed:
                    raise DemoError(f"{', '.join(failed)} failed")
                return
            if troubles := self._troubles():
                raise DemoError("; ".join(troubles))
            if time.monotonic() > deadline:
                raise DemoError(f"the runs did not end within {RUN_TIMEOUT:.0f} s: {states}")
            time.sleep(0.2)

    def end_runs(self) -> None:
        """Fail unfinished runs, so the next scheduler does not resume them."""
        for dag_id, run_id in self._runs.items():
            if self._states.get(dag_id) not in self._ENDED:
                self._api.fail(dag_id, run_id)

    def _is_coming(self, dag_id: str) -> bool:
        """Whether a run of the DAG has yet to be started by its upstream run."""
        upstream = self._upstream.get(dag_id)
        if dag_id in self._runs or upstream is None:
            return False
        return self._states[upstream] != "failed" if upstream in self._runs else self._is_coming(upstream)

    def _find_downstream(self) -> None:
        """Find the runs that the scheduler started because an upstream run updated an asset."""
        for dag_id, upstream in self._upstream.items():
            if dag_id in self._runs or upstream not in self._runs:
                continue
            for run in self._api.runs(dag_id)[:10]:
                if self._runs[upstream] in self._api.started_by(dag_id, run["dag_run_id"]):
                    self._runs[dag_id] = run["dag_run_id"]
                    break

    def _print_tasks(self, dag_id: str) -> None:
        tasks = self._api.tasks(dag_id, self._runs[dag_id])
        self._running[dag_id] = [f"{dag_id}.{task['task_id']}" for task in tasks if task["state"] == "running"]
        for task in sorted(tasks, key=lambda task: task["end_date"] or ""):
            mark = (dag_id, task["task_id"], task["try_number"], task["state"] or "")
            if task["state"] not in ("success", "failed", "up_for_retry", "skipped") or mark in self._seen:
                continue
            self._seen.add(mark)
            self._line.show("")
            seconds = f"{task['duration']:6.1f} s" if task["duration"] is not None else ""
            print(f"  {dag_id + '.' + task['task_id']:<48} {task['state']:<12} {seconds}", flush=True)
            if task["state"] == "failed":
                self._print_log(dag_id, task)

    def _print_log(self, dag_id: str, task: dict[str, Any]) -> None:
        print(f"    end of the log of {dag_id}.{task['task_id']}, try {task['try_number']}:", flush=True)
        for line in self._api.log(dag_id, self._runs[dag_id], task["task_id"], task["try_number"])[-LOG_LINES:]:
            print(f"    | {line}", flush=True)
