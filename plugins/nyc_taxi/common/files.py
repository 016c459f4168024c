"""Atomic file writes, and what to do when the disk is full."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nyc_taxi.common.own_folder import is_own

_FULL = {errno.ENOSPC: "its disk is full", errno.EDQUOT: "the disk quota is used up"}


class DiskFullError(OSError):
    """A file cannot be written because its disk, or the user's quota on it, is full."""


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``target``, and rename it to ``target`` when the block succeeds.

    If the block raises, the temporary file is removed and ``target`` is unchanged. Concurrent writers of one target
    cannot mix their bytes: each writes its own temporary file, and the last to finish wins.

    Raises:
        DiskFullError: the disk is full; the message names the file and the space left.
    """
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    with explained_disk_full(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def explained_disk_full(target: Path) -> Iterator[None]:
    """Turn an error about a full disk within the block into one that says what to do.

    Args:
        target: the file that the block writes.

    Raises:
        DiskFullError: the disk is full, or the quota on it is used up. Other errors pass as they are.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFullError(
            error.errno,
            f"cannot write {target}: {_FULL[error.errno]}; {_space(target)}. Free some space there, or set the "
            f"{_setting(target)} to a folder on a larger disk, then clear the task",
        ) from error


def _setting(target: Path) -> str:
    """Return the setting that decides on which disk a file is."""
    return "environment variable TMPDIR of the worker" if is_own(target) else "variable work_dir"


def _space(target: Path) -> str:
    folder = next(parent for parent in target.absolute().parents if parent.exists())
    disk = shutil.disk_usage(folder)
    return f"{disk.free / 2**20:,.0f} MiB of {disk.total / 2**20:,.0f} MiB are free in {folder}"
