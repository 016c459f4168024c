"""Confines a child process to folders, by the Linux kernel's Landlock, which needs no rights.

Source: https://docs.kernel.org/userspace-api/landlock.html. The C library has no functions for its three system calls.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on all architectures
_VERSION = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38
_EXECUTE, _READ = 1 << 0, 1 << 2 | 1 << 3
_READ_FILE = 1 << 2
# All kinds of access of version 2, its first fifteen bits but the last: with version 1, no file can be moved to another
# folder. Version 3 adds truncation.
_ALL, _TRUNCATE = (1 << 14) - 1, 1 << 14
_SYSTEM = ("/etc", "/proc", "/sys", "/dev", "/usr", "/lib", "/lib64")


class _Rule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def confined(*, program: Path, writable: Sequence[Path], readable: Sequence[Path]) -> Callable[[], None] | None:
    """Return what confines a child process, between fork and exec; None where the kernel cannot.

    Args:
        program: what the child will run.
        writable: the folders in which it may do everything but run programs.
        readable: the folders and files that it may read, beside those of the system.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, 0, _VERSION)
    if version < 2:
        return None
    handled = _ALL | (_TRUNCATE if version >= 3 else 0)
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(ctypes.c_uint64(handled)), 8, 0)
    if ruleset < 0:
        return None
    rules = [
        *((path, handled & ~_EXECUTE) for path in writable),
        *((path, _READ) for path in (*readable, *map(Path, _SYSTEM))),
        (program, _READ | _EXECUTE),
        (Path("/dev/null"), _READ_FILE | 1 << 1),
    ]
    for path, allowed in rules:
        _allow(libc, ruleset, path, allowed)

    def in_child() -> None:
        failed = libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.syscall(_RESTRICT_SELF, ruleset, 0)
        if failed:
            os._exit(1)

    return in_child


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, allowed: int) -> None:
    if not path.exists():
        return
    folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        # A rule for a file may name only what can be done to files.
        of_kind = allowed if path.is_dir() else allowed & (_EXECUTE | 1 << 1 | _READ_FILE | _TRUNCATE)
        rule = _Rule(of_kind, folder)
        if libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0):
            raise OSError(ctypes.get_errno(), f"Landlock refuses a rule for {path}")
    finally:
        os.close(folder)
