"""An executor for one machine that lets the scheduler look for work when there is some, and rest when there is none."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from airflow.executors.local_executor import LocalExecutor

# After work the next look comes sooner: an asset that has arrived makes runs. Each look costs processor time that tasks
# need.
BUSY_PAUSE = 0.3
# An idle scheduler looks twice a second; a run that is started then waits for as long.
IDLE_PAUSE = 0.5
# How long after the last task was started or has ended the scheduler counts as busy.
BUSY_SECONDS = 2.0
_STEP = 0.01


class PromptLocalExecutor(LocalExecutor):
    """LocalExecutor, but the scheduler need not sleep to save processor time: this executor waits in its place.

    The scheduler sleeps between two looks for work (``scheduler_idle_sleep_time``), also when a task ends meanwhile. So
    a short sleep keeps an idle machine busy, and a long one delays each task of a chain. This executor, which the
    scheduler asks in each turn, returns when a task has ended and a processor is free for what follows; else after a
    pause that is short if there was work just now and long if not. While all processors are busy, what has ended is
    told in rounds, one pause apart: the processors are better spent on the tasks. How tasks run is LocalExecutor's.

    A task that waited (a deferral, an approval) may go on before the process has ended that it waited in. It is handed
    out when that end has been told: the scheduler would take the end for the second process's, and the task for lost.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._processors = os.cpu_count() or 1
        # LocalExecutor does not fill ``running``, by which others know what they have handed out.
        self._handed_out: set[Any] = set()
        self._ended: list[tuple[Any, Any]] = []
        self._last_work = 0.0

    def sync(self) -> None:
        """Wait for the end of a task, and tell the scheduler which have ended."""
        self._wait()
        super().sync()

    def _process_workloads(self, workload_list: Sequence[Any]) -> None:
        """Hand tasks to the workers; one whose last process has not ended yet stays queued for the next turn."""
        ready = [workload for workload in workload_list if workload.key not in self._handed_out]
        if ready:
            self._last_work = time.monotonic()
            self._handed_out.update(workload.key for workload in ready)
            super()._process_workloads(ready)

    def _read_results(self) -> None:
        """Tell what has ended."""
        self._collect()
        for key, state in self._ended:
            self._handed_out.discard(key)
            self.change_state(key, state)
        self._ended.clear()

    def _check_workers(self) -> None:
        """Replace dead workers. What task one of them had is not known, and its end will not be told."""
        before = set(self.workers)
        super()._check_workers()
        if not before <= set(self.workers):
            self._handed_out.clear()

    def _collect(self) -> None:
        while not self.result_queue.empty():
            key, state, _ = self.result_queue.get()
            self._ended.append((key, state))
            self._last_work = time.monotonic()

    def _wait(self) -> None:
        self._collect()
        now = time.monotonic()
        end = now + (BUSY_PAUSE if now - self._last_work < BUSY_SECONDS else IDLE_PAUSE)
        while not self._is_one_wanted() and time.monotonic() < end:
            time.sleep(_STEP)
            self._collect()

    def _is_one_wanted(self) -> bool:
        """Whether a task has ended, and fewer run than there are processors."""
        return bool(self._ended) and len(self._handed_out) - len(self._ended) < self._processors
