"""The temporary folder of one task, for the local copies of its objects. It is removed also if the task is killed."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX, SUFFIX = "nyc-taxi-task.", ".tmp"

log = logging.getLogger(__name__)


@contextmanager
def own_folder() -> Iterator[Path]:
    """Yield an empty folder in the machine's folder for temporary files (``TMPDIR``), and remove it after the block.

    The process holds a lock on it. If the process is killed, the kernel releases the lock, and the next task on the
    machine that uses this function removes the folder.
    """
    remove_abandoned()
    folder, lock = _new_folder()
    try:
        yield folder
    finally:
        # What cannot be removed must not fail a task that has done its work; a later task tries again.
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_abandoned() -> None:
    """Remove the folders of this user's tasks whose process has ended without removing them."""
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*{SUFFIX}")):
        lock = _lock(folder)
        if lock is None:
            continue
        try:
            shutil.rmtree(folder, ignore_errors=True)
            log.info("Removed %s, which a killed task has left", folder)
        finally:
            os.close(lock)


def is_own(path: Path) -> bool:
    """Return whether a path lies in a folder that :func:`own_folder` yields."""
    return any(name.startswith(PREFIX) and name.endswith(SUFFIX) for name in path.parts)


def _new_folder() -> tuple[Path, int]:
    """Return a new folder and the lock on it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, suffix=SUFFIX))
        lock = _lock(folder)
        # Another task may take it for an abandoned one before it is locked.
        if lock is not None and folder.exists():
            return folder, lock
        if lock is not None:
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """Return the lock on a folder; None if a living process has it, or if the folder is another user's or is gone."""
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if os.fstat(opened).st_uid == os.geteuid():
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return opened
    except OSError:
        pass
    os.close(opened)
    return None
