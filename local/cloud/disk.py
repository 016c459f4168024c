"""What the servers of the embedded cloud say when the disk of their files is full."""

from __future__ import annotations

import errno
import re
import shutil
from pathlib import Path

ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Numbers of the errors of a write to a full disk, or beyond the user's quota on it."""
_FULL = re.compile(r'"?(?P<path>/[^"\n]*?)"?: (?:no space left on device|disk quota exceeded)', re.IGNORECASE)


def full_folder(message: str) -> Path | None:
    """Return the folder of the file that could not be written, if a message of another program names a full disk."""
    found = _FULL.search(message)
    return Path(found["path"]).parent if found else None


def advice(server: str, folder: Path) -> str:
    """Return the sentence for the user: which server cannot write where, how much room there is, and what to do.

    Args:
        server: its name, such as ``BigQuery``.
        folder: the folder of the file that cannot be written.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    room = shutil.disk_usage(there)
    return (
        f"the embedded {server} cannot write to {folder}: its disk is full, or the quota on it is used up; "
        f"{room.free / 2**20:,.0f} MiB of {room.total / 2**20:,.0f} MiB are free. Free some space there, then clear "
        "the task"
    )
