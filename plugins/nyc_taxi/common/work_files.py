"""The files that the tasks of a run hand on in the work dir: in a folder that they share, or as objects in a bucket.

Tasks compute on local files either way. An object is downloaded to a temporary folder of the task that reads it, and a
file that is to become an object is uploaded at the end of the task that writes it, so it appears whole.
"""

from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nyc_taxi.common import objects
from nyc_taxi.common.objects import MissingFileError, WorkDirError, is_object
from nyc_taxi.common.own_folder import own_folder, remove_abandoned

_WORK_DIR = re.compile(r"/.*|gs://[a-z0-9][a-z0-9._-]+[a-z0-9](/[^/\s]+)*")


def checked_work_dir(work_dir: str) -> str:
    """Return the work dir without slashes at its end.

    Raises:
        WorkDirError: it is neither an absolute path nor ``gs://bucket/prefix``.
    """
    stripped = work_dir.rstrip("/")
    if not _WORK_DIR.fullmatch(stripped or "/"):
        raise WorkDirError(
            f"the variable work_dir is {work_dir!r}; set it to the absolute path of a folder that all workers share, "
            "or to gs://bucket/prefix"
        )
    return stripped


@contextmanager
def input_file(path: str) -> Iterator[Path]:
    """Yield a local file with the content of a file in the work dir; its name is the same.

    Raises:
        MissingFileError: the file is missing.
        WorkDirError: the bucket does not exist, or refuses the request.
        DiskFullError: the disk is full.
        OSError: the bucket cannot be reached, or answers with any other error.
    """
    if is_object(path):
        with own_folder() as folder:
            target = folder / _name(path)
            objects.fetch(path, target)
            yield target
    elif Path(path).exists():
        yield Path(path)
    else:
        raise MissingFileError(
            f"there is no {path} on this worker ({platform.node()}), although an earlier task of this run has written "
            "it. Set the variable work_dir to a folder that all workers share, or to gs://bucket/prefix, then clear "
            "the run"
        )


@contextmanager
def output_file(path: str) -> Iterator[Path]:
    """Yield the local path to write a file of the work dir to; if the block raises, no file appears.

    Write a local file atomically, as :func:`nyc_taxi.common.files.whole_file` does: nothing is added to that here.

    Raises:
        WorkDirError: the bucket does not exist, or refuses the request.
        OSError: the bucket cannot be reached, or answers with any other error.
    """
    if not is_object(path):
        yield Path(path)
        return
    with own_folder() as folder:
        target = folder / _name(path)
        yield target
        objects.store(target, path)


def folders(path: str) -> list[str]:
    """Return the folders directly below a folder of the work dir; none if it is missing."""
    if is_object(path):
        return objects.folders(path)
    return [str(found) for found in sorted(Path(path).iterdir()) if found.is_dir()] if Path(path).exists() else []


def remove_folder(path: str) -> None:
    """Remove a folder of the work dir with all that is in it, if it is there.

    Raises:
        OSError: something is left of it; the error names the file.
    """
    if is_object(path):
        objects.remove_folder(path)
        remove_abandoned()
    elif Path(path).exists():
        shutil.rmtree(Path(path))


def changed_at(path: str) -> float:
    """Return when a folder of the work dir was changed, in seconds since 1970."""
    return objects.changed_at(path) if is_object(path) else Path(path).stat().st_mtime


def _name(path: str) -> str:
    return path.rpartition("/")[2]
