"""Holds tasks of the running stack at their start, so that a test can harm the stack while they are under way.

A task's process names its task instance in its title as soon as it starts, before it reads its DAG file. The gate looks
for new processes all the time, and stops those that it knows with SIGSTOP; their supervisors go on.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

import psutil

TITLE = "airflow worker -- "
# The title of the executor's workers, which the processes of tasks have at first.
OF_WORKER = f"{TITLE}LocalExecutor"
POLL_SECONDS = 0.003
# Seconds after which a new process is no longer looked at, unless it has the title of a worker.
YOUNG_SECONDS = 10.0


class Held(NamedTuple):
    """A task that can be held."""

    dag_id: str
    run_id: str
    task_id: str


class Gate(threading.Thread):
    """Holds the processes of the task instances that it is told; each once, so that a retry passes."""

    def __init__(self) -> None:
        super().__init__(name="gate", daemon=True)
        self._wanted: dict[str, Held] = {}
        self._held: dict[Held, psutil.Process] = {}
        self._old: set[int] = set()
        self._young: dict[int, float] = dict.fromkeys(psutil.pids(), 0.0)
        self._ends = threading.Event()

    def __enter__(self) -> Gate:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wanted.clear()
        self._ends.set()
        self.join()
        self.release(self.held)

    def expect(self, instances: Mapping[str, Held]) -> None:
        """Hold these tasks when they start, by the ids of their task instances."""
        self._wanted |= instances

    @property
    def held(self) -> dict[Held, psutil.Process]:
        """The tasks that are held now, with their processes."""
        return dict(self._held)

    def release(self, tasks: Iterable[Held]) -> None:
        """Let tasks go on that are held, if they still live."""
        for task in tasks:
            with suppress(psutil.NoSuchProcess):
                self._held.pop(task).resume()

    def run(self) -> None:
        """Look for new processes until the gate ends."""
        while not self._ends.wait(POLL_SECONDS):
            pids = set(psutil.pids())
            self._old &= pids
            now = time.monotonic()
            self._young = {pid: self._young.get(pid, now) for pid in pids - self._old}
            for pid, since in self._young.items():
                if self._hold(pid, is_young=now - since < YOUNG_SECONDS):
                    self._old.add(pid)

    def _hold(self, pid: int, *, is_young: bool) -> bool:
        """Stop the process if it is one that is wanted; returns whether it need not be looked at again."""
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            # A title that a process gives itself may be followed by spaces.
            title = " ".join(process.cmdline()).strip()
            if (task := self._wanted.pop(title.removeprefix(TITLE), None)) is not None:
                os.kill(pid, signal.SIGSTOP)
                self._held[task] = process
                return True
            # On a busy machine, a new process of a task may have its worker's title for long.
            return not (is_young or title.startswith(OF_WORKER))
        return True
