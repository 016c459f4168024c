"""Small disks that fill up: a tmpfs over a folder, which one process sees, or all do.

The first needs no rights where users may have namespaces of their own, as on most Linux machines. The second
needs root.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PAGE_BYTES = 4096
_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
_NO_SUID, _NO_DEVICES, _RECURSIVE, _PRIVATE = 0x2, 0x4, 0x4000, 0x40000


def mount_over(folder: Path, *, bytes: int, files: int) -> None:
    """Put the contents of a folder on a disk of its own, for this process and its children alone.

    The process must have one thread. The disk is gone when the last of them ends; the folder is as it was then.

    Args:
        folder: the folder, which must exist.
        bytes: how many bytes are free on the disk.
        files: how many more files and folders it takes.

    Raises:
        OSError: this machine lets the process mount nothing.
    """
    present = {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}
    pages = sum(-(-len(content) // PAGE_BYTES) for content in present.values() if content is not None)
    _leave_mounts_of_others()
    size, inodes = pages * PAGE_BYTES + bytes, 1 + len(present) + files
    _call("mount", b"tmpfs", os.fsencode(folder), b"tmpfs", _NO_SUID | _NO_DEVICES, _options(size, nr_inodes=inodes))
    for path, content in present.items():
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)


def can_mount() -> bool:
    """Whether :func:`mount_over` works on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.faults.disks", folder]
        return sys.platform == "linux" and subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def mounted(folder: Path, *, bytes: int, owner: int) -> Iterator[None]:
    """Mount an empty disk of so many bytes over a folder during the block, for all processes; needs root.

    Args:
        owner: the id of the user who may write to it.
    """
    options = _options(bytes, uid=owner).decode()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(folder: Path, *, but: int = 0) -> Path:
    """Fill the disk of a folder with one new file, but for so many bytes; returns the file."""
    path = folder / "filler"
    status = os.statvfs(folder)
    with path.open("wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - but)
    return path


def _leave_mounts_of_others() -> None:
    """Give this process mounts of its own; without root also a user of its own, in which it may mount."""
    user, group = os.getuid(), os.getgid()
    _call("unshare", _NEW_MOUNTS | (0 if user == 0 else _NEW_USER))
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _call("mount", None, b"/", None, _RECURSIVE | _PRIVATE, None)


def _options(size: int, **more: int) -> bytes:
    return ",".join(f"{name}={value}" for name, value in {"size": size, "mode": 700, **more}.items()).encode()


def _call(name: str, *arguments: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


if __name__ == "__main__":
    mount_over(Path(sys.argv[1]), bytes=PAGE_BYTES, files=1)
