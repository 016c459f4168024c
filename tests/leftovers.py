"""Finds the threads and processes that a test leaves behind.

A client that goes on retrying in a thread, or a server that nobody stopped, disturbs a later test, far away from the
cause. So the test that leaves it fails. What a fixture of a wider scope than one test starts is shared, and may stay.
"""

from __future__ import annotations

import concurrent.futures.thread
import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

# Seconds that a thread or process may take to end on a busy machine; costs nothing where nothing is left.
PATIENCE = 60.0
# Python starts it with the first use of multiprocessing, and ends it with the interpreter.
_OF_PYTHON = "multiprocessing.resource_tracker"

Living = threading.Thread | psutil.Process


class Leftovers:
    """Knows what lived before a test and what is shared, and so what a test has left behind."""

    def __init__(self) -> None:
        self._known = _living()

    @contextmanager
    def shared(self) -> Iterator[None]:
        """What the block starts may outlive the test."""
        before = _living()
        yield
        self._known |= _living() - before

    def of_this_test(self) -> list[str]:
        """Describe what this test left running; waits briefly for them to exit; each is reported once."""
        left = _settled(lambda: _living() - self._known)
        self._known |= left
        return sorted(map(_describe, left))


class LeftoversPlugin:
    """Fails each test that leaves a thread or a child process running."""

    def __init__(self) -> None:
        self._leftovers = Leftovers()

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        """Allow what fixtures of a wider scope start to outlive the test that asked for them first."""
        if fixturedef.scope == "function":
            return (yield)
        with self._leftovers.shared():
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Generator[None, Any, Any]:
        """Look once the test's own fixtures have cleaned up."""
        outcome = yield
        if left := self._leftovers.of_this_test():
            pytest.fail(f"the test leaves behind: {'; '.join(left)}", pytrace=False)
        return outcome


def _living() -> set[Living]:
    """The threads that keep the interpreter from ending and do something, and the child processes that run."""
    threads = (thread for thread in threading.enumerate() if thread is not threading.main_thread())
    busy = {thread for thread in threads if not thread.daemon and not _waits_for_work(thread)}
    return busy | set(_children())


def _waits_for_work(thread: threading.Thread) -> bool:
    """Whether the thread is an idle one of a pool: libraries keep such pools as long as the process lives."""
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code is concurrent.futures.thread._worker.__code__


def _children() -> list[psutil.Process]:
    if not _has_children():
        return []
    return [child for child in _of_the_kernel() if _runs(child) and _OF_PYTHON not in _describe(child)]


def _of_the_kernel() -> list[psutil.Process]:
    """The child processes, from the list that Linux keeps of them; psutil reads the whole process table."""
    try:
        lists = [(task / "children").read_text() for task in Path("/proc/self/task").iterdir()]
        return [psutil.Process(int(pid)) for children in lists for pid in children.split()]
    except (OSError, psutil.NoSuchProcess):  # another system, or a thread or a child has just ended
        return psutil.Process().children()


def _has_children() -> bool:
    """Whether there are any: the system knows at once, while psutil reads the whole process table."""
    if not hasattr(os, "waitid"):
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def processes_with(name: str, value: str) -> list[str]:
    """Describe the processes, of any parent, that run with a variable in their environment; waits for their end."""

    def living() -> set[psutil.Process]:
        return {process for process in psutil.process_iter() if _runs(process) and _variable(process, name) == value}

    return sorted(map(_describe, _settled(lambda: living() - {psutil.Process()})))


def _settled(find: Callable[[], set[Living]]) -> set[Living]:
    """What is found once nothing is left, or when patience ends."""
    deadline = time.monotonic() + PATIENCE
    while (found := find()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _variable(process: psutil.Process, name: str) -> str | None:
    try:
        return process.environ().get(name)
    except (psutil.Error, OSError):
        return None


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _describe(one: Living) -> str:
    if isinstance(one, threading.Thread):
        return f"thread {one.name}"
    try:
        return f"process {one.pid} {' '.join(one.cmdline())}"
    except psutil.Error:
        return f"process {one.pid}"
