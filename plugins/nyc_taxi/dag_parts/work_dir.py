"""The folders in the work dir: each run has its own, and a later run removes those of runs that have ended."""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from nyc_taxi.common.runs import has_ended

if TYPE_CHECKING:
    from airflow.sdk import Context

# Characters of a run id in a folder's name. With the hash, the name is shorter than what file systems allow.
LONGEST = 200

log = logging.getLogger(__name__)


def run_hash(dag_id: str, run_id: str) -> str:
    """Return ten digits that tell the runs of all DAGs apart."""
    return hashlib.sha256(f"{dag_id}/{run_id}".encode()).hexdigest()[:10]


def folder_name(dag_id: str, run_id: str) -> str:
    """Return the name of a run's folder, within the folder of its DAG."""
    # The hash separates long run ids that begin alike, and makes a run id such as ".." a valid folder name.
    return f"{quote(run_id, safe='')[:LONGEST]}-{run_hash(dag_id, run_id)}"


def remove_ended_runs(context: Context) -> None:
    """Remove the folders of other runs of the DAG that have ended; what cannot be removed is logged and stays.

    Use it as ``pre_execute`` of the task that creates the run's own folder: a full disk is cleared first.

    Args:
        context: of a task whose ``dst`` is a file in the run's own folder.
    """
    own = Path(context["task"].dst).parent  # type: ignore[union-attr]
    folders = [] if not own.parent.exists() else sorted(own.parent.iterdir())
    for folder in folders:
        try:
            if folder != own and folder.is_dir() and _is_left_over(folder, context):
                shutil.rmtree(folder)
                log.info("Removed %s, which a run has left that did not end well", folder)
        except OSError as error:
            log.warning("Cannot remove %s, which a run has left that did not end well: %s", folder, error)


def _is_left_over(folder: Path, context: Context) -> bool:
    """Return whether the run of a folder has ended; for a folder that does not name its run, its age decides."""
    run_id = _run_of(context["dag"].dag_id, folder.name)
    if run_id is not None:
        return has_ended(context, run_id)
    longest = context["dag"].dagrun_timeout
    return longest is not None and time.time() - folder.stat().st_mtime > longest.total_seconds()


def _run_of(dag_id: str, name: str) -> str | None:
    """Return the id of the run whose folder has that name; None if the name does not have all of it."""
    run_id = unquote(name.rpartition("-")[0])
    return run_id if folder_name(dag_id, run_id) == name else None
