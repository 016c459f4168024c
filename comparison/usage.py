"""The memory and the processor time of a side's processes, from the files that record what it started."""

from __future__ import annotations

import json
import resource
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

MEMORY_POLL_SECONDS = 0.25


@contextmanager
def peak_memory(run_dirs: Sequence[Path]) -> Iterator[list[float]]:
    """Watch the recorded processes and their descendants during the block; yields their peak memory in MB."""
    peak, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.is_set():
            peak[0] = max(peak[0], memory_mb(run_dirs))
            ended.wait(MEMORY_POLL_SECONDS)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def memory_mb(run_dirs: Sequence[Path]) -> float:
    """The memory of all of them; a page shared by several processes is divided among them, so that it counts once."""
    total = 0
    for process in _family(run_dirs):
        try:
            memory = process.memory_full_info()
            total += getattr(memory, "pss", memory.uss)
        except psutil.Error:
            continue
    return total / 1e6


def cpu_seconds(run_dirs: Sequence[Path]) -> float:
    """The processor time of the recorded processes, their descendants, and descendants that have ended.

    Linux adds the time of a process that has ended to its parent's, so that nothing has to be watched.
    """
    total = 0.0
    for process in _family(run_dirs):
        try:
            total += sum(process.cpu_times()[:4])  # its own, user and system, and that of its ended children
        except psutil.Error:
            continue
    return total


def cpu_seconds_of_commands() -> float:
    """The processor time of the commands that this program has run, such as those that start or deploy something."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _family(run_dirs: Sequence[Path]) -> Iterator[psutil.Process]:
    """The recorded processes that run, and their descendants."""
    for record in (record for folder in run_dirs for record in folder.glob("*.json")):
        try:
            leader = psutil.Process(json.loads(record.read_text())["pid"])
            yield from [leader, *leader.children(recursive=True)]
        except (psutil.Error, OSError, ValueError, KeyError):
            continue
