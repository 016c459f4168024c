"""The operating system's process table and listening ports, read through psutil."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

_LINUX = sys.platform == "linux"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_COMMAND_LENGTH = 120


class StartTime(NamedTuple):
    """When a process started. A pid is reused, but a pid and a start time together identify one process.

    Attributes:
        boot: the id of the machine's boot (Linux), or empty.
        seconds: since that boot (Linux, so that setting the clock does not change it), or since the epoch.
    """

    boot: str
    seconds: float


@dataclass(frozen=True)
class Entry:
    """One row of the process table. Zombies have no row."""

    pid: int
    parent: int
    group: int
    session: int
    start_time: StartTime


def process_table() -> dict[int, Entry]:
    """Return the running processes of this machine by pid; those that may not be inspected are left out."""
    boot = _boot()
    entries = (_entry(process, boot) for process in psutil.process_iter())
    return {entry.pid: entry for entry in entries if entry is not None}


def start_time(pid: int, *, or_zombie: bool = False) -> StartTime | None:
    """Return when process ``pid`` started, or None if it does not run (with ``or_zombie``: is not even a zombie)."""
    try:
        process = psutil.Process(pid)
        if not or_zombie and process.status() == psutil.STATUS_ZOMBIE:
            return None
        return _start_time(process, _boot())
    except psutil.Error:
        return None


def port_holder(port: int) -> str:
    """Return the process that listens on TCP ``port``, as ``pid 12 (command)``; empty if it cannot be found."""
    for process in psutil.process_iter():
        try:
            connections = process.net_connections("tcp")
        except psutil.Error:
            continue  # the process has ended, or belongs to another user
        if any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections):
            return f"pid {process.pid} ({command_line(process.pid)})"
    return ""


def command_line(pid: int) -> str:
    """Return the command line of process ``pid``, shortened to 120 characters; empty if it cannot be read."""
    try:
        text = " ".join(psutil.Process(pid).cmdline()).strip()
    except psutil.Error:
        return ""
    return text if len(text) <= _COMMAND_LENGTH else text[: _COMMAND_LENGTH - 3] + "..."


def _entry(process: psutil.Process, boot: str) -> Entry | None:
    pid = process.pid
    try:
        with process.oneshot():
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            # ppid() also raises NoSuchProcess if process_iter kept this object from before the pid was reused.
            return Entry(pid, process.ppid(), os.getpgid(pid), os.getsid(pid), _start_time(process, boot))
    except (psutil.Error, ProcessLookupError, PermissionError):
        return None


def _start_time(process: psutil.Process, boot: str) -> StartTime:
    # On Linux psutil adds the boot time, which moves when the clock is set, to the kernel's own count.
    seconds = process.create_time() - psutil.boot_time() if _LINUX else process.create_time()
    return StartTime(boot, round(seconds, 2))


def _boot() -> str:
    return _BOOT_ID.read_text().strip() if _LINUX else ""
