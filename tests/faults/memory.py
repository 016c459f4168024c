"""Memory cgroups, as containers have them: a process that needs more than its group may have is killed by the kernel.

A group is a folder of the cgroup file system, version 1 or 2. In version 1 it is made below the cgroup of this process;
in version 2 below the nearest parent that hands the memory controller on to its children, which a cgroup with
processes cannot.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CGROUPS, MOUNTS = Path("/proc/self/cgroup"), Path("/proc/self/mountinfo")
# Seconds in which the processes of a group have ended, on a busy machine.
PATIENCE = 60.0


class NoGroupError(Exception):
    """This machine lets nobody, or not this user, make a memory cgroup; the message says why."""


@dataclass(frozen=True)
class Place:
    """A folder below which memory cgroups can be made, and the version of their file system."""

    folder: Path
    version: int


class Group:
    """A memory cgroup.

    Args:
        place: where it is made.
        bytes: how much memory its processes may have together, without what they had before they were added.

    Raises:
        OSError: it cannot be made, or not be limited.
    """

    def __init__(self, place: Place, bytes: int) -> None:
        self._version = place.version
        self._home = next(one.folder for one in find_places() if one.version == place.version)
        self.folder = place.folder / f"test-{uuid.uuid4().hex}"
        self.folder.mkdir()
        try:
            self._limit(bytes)
        except OSError:
            self.folder.rmdir()
            raise

    @property
    def kills(self) -> int:
        """How many of its processes the kernel has killed because they needed more."""
        name = "memory.oom_control" if self._version == 1 else "memory.events"
        counts = dict(line.split() for line in (self.folder / name).read_text().splitlines())
        return int(counts["oom_kill"])

    def add(self, pid: int) -> None:
        """Add a process; what it gets from now on counts, and so do its later children."""
        add(self.folder, pid)

    def release(self) -> None:
        """Move its processes back to the cgroup of this process."""
        for pid in (self.folder / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                add(self._home, int(pid))

    def close(self) -> None:
        """Remove it when its processes have ended.

        Raises:
            OSError: they have not.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self.folder.rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def _limit(self, bytes: int) -> None:
        limit, with_swap, swap = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", str(bytes))
        if self._version == 2:
            limit, with_swap, swap = ("memory.max", "memory.swap.max", "0")
        (self.folder / limit).write_text(str(bytes))
        if (self.folder / with_swap).exists():  # otherwise the kernel does not count swap
            (self.folder / with_swap).write_text(swap)


@contextmanager
def memory_group(bytes: int) -> Iterator[Group]:
    """Make a cgroup for the block, in which all its processes must have ended.

    Raises:
        NoGroupError: this machine lets this process make none.
    """
    group = _make(bytes)
    try:
        yield group
    finally:
        group.close()


def reason_without() -> str:
    """Why this process can make no memory cgroup; empty if it can."""
    try:
        with memory_group(1 << 20):
            return ""
    except NoGroupError as error:
        return str(error)


def add(folder: Path, pid: int) -> None:
    """Add a process to a cgroup by its folder."""
    (folder / "cgroup.procs").write_text(str(pid))


def _make(bytes: int) -> Group:
    refusals = []
    for place in find_places():
        if place.version == 2 and not _hands_memory_on(place.folder):
            refusals.append(f"{place.folder} hands no memory controller on")
            continue
        try:
            return Group(place, bytes)
        except OSError as error:
            refusals.append(str(error))
    raise NoGroupError(f"no memory cgroup can be made: {'; '.join(refusals) or 'none is mounted'}")


def _hands_memory_on(folder: Path) -> bool:
    try:
        return "memory" in (folder / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False


def find_places() -> list[Place]:
    """Return where this process may find room for a group, the nearest first; version 1 before version 2."""
    return read_places(CGROUPS.read_text(), MOUNTS.read_text()) if CGROUPS.exists() else []


def read_places(cgroups: str, mounts: str) -> list[Place]:
    """Return what :func:`find_places` does, from the texts of ``/proc/self/cgroup`` and ``/proc/self/mountinfo``."""
    own = {}
    for line in cgroups.splitlines():
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            own[1] = PurePosixPath(path)
        elif number == "0":
            own[2] = PurePosixPath(path)
    return [
        Place(folder, version)
        for version in (1, 2)
        if version in own
        for root, mount in _mounted(mounts, version)
        for folder in _folders(own[version], root, mount)[: 1 if version == 1 else None]
    ]


def _mounted(mounts: str, version: int) -> Iterator[tuple[PurePosixPath, Path]]:
    """Yield the cgroup that each mount of the memory hierarchy shows as its root, and where it is mounted."""
    for line in mounts.splitlines():
        place, _, system = line.partition(" - ")
        kind, _, options = system.split(" ", 2)
        if (kind, version) == ("cgroup2", 2) or ((kind, version) == ("cgroup", 1) and "memory" in options.split(",")):
            root, mount = place.split()[3:5]
            yield PurePosixPath(root), Path(mount)


def _folders(own: PurePosixPath, root: PurePosixPath, mount: Path) -> list[Path]:
    """Return the folder of the own cgroup, and those of its parents, as far as the mount shows them."""
    if not own.is_relative_to(root):
        return []
    folder = mount / own.relative_to(root)
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(mount))]
