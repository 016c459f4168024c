"""Starts runs through Airflow's API and waits for their end.

A duration ends at the end time that Airflow recorded, on this machine's clock, so that the polling interval does not
matter. Polls are rare, because the answers take CPU time from what is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime

from benchmarks.measure import MeasureError
from local.airflow.api import AirflowApi

TIMEOUT = 15 * 60.0
POLL_SECONDS = 2.0
_ENDED = frozenset({"success", "failed"})


class Runs:
    """The runs of one Airflow.

    Args:
        api: a client of its API.
    """

    def __init__(self, api: AirflowApi) -> None:
        self.api = api

    def unpause(self, *dag_ids: str) -> None:
        """Wait until Airflow has parsed the DAGs, and unpause them."""
        self.api.await_parsed(list(dag_ids), since="", timeout=300.0)
        for dag_id in dag_ids:
            self.api.set_paused(dag_id, False)

    def pause(self, dag_id: str) -> None:
        """Wait until Airflow has parsed the DAG, and pause it."""
        self.api.await_parsed([dag_id], since="", timeout=300.0)
        self.api.set_paused(dag_id, True)

    def seconds(self, dag_id: str) -> float:
        """Trigger a run; returns the seconds until its last task has ended."""
        begin = time.time()
        run_id = self.api.trigger(dag_id, {})
        return self._end(dag_id, [run_id]) - begin

    def seconds_through(self, dag_id: str, downstream: str, start: Callable[[], object], *, expected: int = 1) -> float:
        """Call ``start``; returns the seconds until the last task of the resulting runs has ended.

        Args:
            dag_id: the DAG whose runs ``start`` starts.
            downstream: the DAG that each of these runs starts through its asset.
            expected: the number of runs of each DAG.
        """
        dag_ids = (dag_id, downstream)
        before = {(one, run["dag_run_id"]) for one in dag_ids for run in self.api.runs(one)}
        begin = time.time()
        start()
        ends = []
        for one in dag_ids:
            ends.append(self._end(one, self._new_runs(one, before, expected, upstream=dag_id)))
        return max(ends) - begin

    def await_no_backfill(self, dag_id: str) -> None:
        """Wait until no backfill of the DAG is open: Airflow closes one late, and refuses a second one until then."""
        deadline = time.monotonic() + TIMEOUT
        while self.api.has_running_backfill(dag_id):
            if time.monotonic() > deadline:
                raise MeasureError(f"the backfill of {dag_id} does not end")
            time.sleep(POLL_SECONDS)

    def _new_runs(self, dag_id: str, before: set[tuple[str, str]], expected: int, *, upstream: str) -> list[str]:
        """Wait for the expected number of new runs; returns their ids."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            new = [name for run in self.api.runs(dag_id) if (dag_id, name := run["dag_run_id"]) not in before]
            if len(new) >= expected:
                return new
            self._check_upstream(upstream, before)
            if time.monotonic() > deadline:
                raise MeasureError(f"{len(new)} of {expected} runs of {dag_id} were started")
            time.sleep(POLL_SECONDS)

    def _check_upstream(self, dag_id: str, before: set[tuple[str, str]]) -> None:
        for run in self.api.runs(dag_id):
            if (dag_id, run["dag_run_id"]) not in before and run["state"] == "failed":
                raise MeasureError(f"{dag_id} failed: {self._failure(dag_id, run['dag_run_id'])}")

    def _end(self, dag_id: str, run_ids: Iterable[str]) -> float:
        """Wait for the runs; returns the time at which the last of their tasks ended."""
        deadline = time.monotonic() + TIMEOUT
        moments = []
        for run_id in run_ids:
            while (state := self.api.run(dag_id, run_id)["state"]) not in _ENDED and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
            if state != "success":
                if state not in _ENDED:
                    self.api.fail(dag_id, run_id)
                raise MeasureError(f"{dag_id} is {state}: {self._failure(dag_id, run_id)}")
            ends = [task["end_date"] for task in self.api.tasks(dag_id, run_id) if task["end_date"]]
            moments.append(max(datetime.fromisoformat(end).timestamp() for end in ends))
        return max(moments)

    def _failure(self, dag_id: str, run_id: str) -> str:
        """The failed tasks of a run, each with the end of its log."""
        return "; ".join(
            f"{task['task_id']}: {' | '.join(self.api.log(dag_id, run_id, task['task_id'], task['try_number'])[-5:])}"
            for task in self.api.tasks(dag_id, run_id)
            if task["state"] == "failed"
        )
