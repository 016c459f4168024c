"""What the operating system knows about running processes and open ports.

Standard library only. Linux is read from ``/proc``; elsewhere ``ps`` and ``lsof`` are asked.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_LINUX = sys.platform == "linux"
_LISTEN = "0A"  # the state of a listening socket in /proc/net/tcp


class Birth(NamedTuple):
    """When a process began: with its pid it names one process for ever, because pids are used again, but not births.

    Attributes:
        boot: the boot of the machine (Linux) or empty.
        moment: clock ticks since that boot (Linux) or seconds since the epoch.
    """

    boot: str
    moment: float


@dataclass(frozen=True)
class Entry:
    """One living process; zombies are dead."""

    pid: int
    parent: int
    group: int
    session: int
    birth: Birth


def process_table() -> dict[int, Entry]:
    """Every living process of this machine by pid."""
    if not _LINUX:
        return {entry.pid: entry for entry in _ps("-ax")}
    boot = _boot_id()
    pids = (int(name) for name in os.listdir(_PROC) if name.isdecimal())
    return {pid: entry for pid in pids if (entry := _read_stat(pid, boot)) is not None}


def birth(pid: int, *, or_zombie: bool = False) -> Birth | None:
    """When the process ``pid`` began, or None if none with that number lives (or is at least a zombie)."""
    if _LINUX:
        entry = _read_stat(pid, _boot_id(), or_zombie=or_zombie)
    else:
        entry = next(iter(_ps("-p", str(pid), or_zombie=or_zombie)), None)
    return entry.birth if entry else None


def port_holder(port: int) -> str:
    """Which process listens on TCP ``port``, as ``pid 12 (command)``; empty if that cannot be found."""
    for pid in _listening_pids(port):
        return f"pid {pid} ({command_line(pid)})"
    return ""


def command_line(pid: int) -> str:
    """The command of the process ``pid``, shortened; empty if it cannot be read."""
    try:
        if _LINUX:
            text = (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        else:
            text = _run("ps", "-o", "command=", "-p", str(pid))
    except OSError:
        return ""
    text = text.strip()
    return text if len(text) <= 120 else text[:117] + "..."


def _boot_id() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def _read_stat(pid: int, boot: str, *, or_zombie: bool = False) -> Entry | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The command's name stands in parentheses and may itself hold spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    if fields[0] in ("Z", "X") and not or_zombie:
        return None
    parent, group, session = (int(field) for field in fields[1:4])
    return Entry(pid, parent, group, session, Birth(boot, float(fields[19])))


def _ps(*selection: str, or_zombie: bool = False) -> list[Entry]:
    entries = []
    for line in _run("ps", *selection, "-o", "pid=,ppid=,pgid=,stat=,lstart=").splitlines():
        pid, parent, group, state, *started = line.split()
        if or_zombie or not state.startswith("Z"):
            moment = time.mktime(time.strptime(" ".join(started), "%a %b %d %H:%M:%S %Y"))
            # ps names no sessions on macOS; a component's session and its group carry the same number.
            entries.append(Entry(int(pid), int(parent), int(group), int(group), Birth("", moment)))
    return entries


def _run(*command: str) -> str:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
        ).stdout
    except OSError:
        return ""


def _listening_pids(port: int) -> list[int]:
    if not _LINUX:
        return [int(pid) for pid in _run("lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-t").split()]
    links = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    return [pid for pid in process_table() if links and not links.isdisjoint(_open_files(pid))]


def _listening_inodes(port: int) -> list[str]:
    inodes = []
    for table in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.append(fields[9])
    return inodes


def _open_files(pid: int) -> list[str]:
    links = []
    # OSError: the process of another user, or one that just ended
    with contextlib.suppress(OSError), os.scandir(_PROC / str(pid) / "fd") as descriptors:
        for descriptor in descriptors:
            links.append(os.readlink(descriptor.path))
    return links
