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
# What the titles of all processes of Airflow begin with. A task's process has another of them at first.
OF_AIRFLOW = "airflow "
POLL_SECONDS = 0.003
# Seconds after which a new process is no longer looked at, unless it is one of Airflow's.
YOUNG_SECONDS = 10.0
# What the gate's thread is niced by, where it may be: on a busy machine it must not sleep while a short task runs.
NICE = -15


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
        # Without a title: the kernel's threads.
        self._old = {pid for pid in psutil.pids() if _title(pid) == ""}
        self._young: dict[int, float] = dict.fromkeys(set(psutil.pids()) - self._old, 0.0)
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
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                self._held.pop(task).resume()

    def run(self) -> None:
        """Look for new processes until the gate ends."""
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
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
        title = _title(pid)
        if (task := self._wanted.pop((title or "").removeprefix(TITLE), None)) is not None:
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                process = psutil.Process(pid)
                os.kill(pid, signal.SIGSTOP)
                self._held[task] = process
            return True
        # On a busy machine, a process may be without the title that it gives itself for long. While it writes that, the
        # title is empty.
        return title is None or (bool(title) and not (is_young or title.startswith(OF_AIRFLOW)))


def _title(pid: int) -> str | None:
    """Return the title of a process, or None for one that has ended; what it has written itself may end with spaces."""
    try:
        return " ".join(psutil.Process(pid).cmdline()).strip()
    except psutil.Error:
        return None
