"""The folders in the work dir: each run has its own, and a later run removes those of runs that have ended.

The work dir is a local folder or ``gs://bucket/prefix``; paths and URIs are joined in the same way.
"""

from __future__ import annotations

import hashlib
import logging
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from nyc_taxi.common.objects import is_object
from nyc_taxi.common.runs import has_ended
from nyc_taxi.common.work_files import changed_at, checked_work_dir, folders, remove_folder

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


def run_folder(work_dir: str, dag_id: str, run_id: str) -> str:
    """Return the path or URI of a run's own folder.

    Raises:
        WorkDirError: the work dir is neither an absolute path nor ``gs://bucket/prefix``.
    """
    return f"{checked_work_dir(work_dir)}/{dag_id}/{folder_name(dag_id, run_id)}"


def try_folder(folder: str, try_number: int) -> str:
    """Return the folder to which one try of a run's download writes.

    In a bucket, each try has its own: a try that was given up may live on, on another machine, and upload its file
    after the next try has. Tasks read the file whose URI the successful try has returned.
    """
    return f"{folder}/try-{try_number}" if is_object(folder) else folder


def remove_ended_runs(context: Context) -> None:
    """Remove the folders of other runs of the DAG that have ended; what cannot be removed is logged and stays.

    Use it as ``pre_execute`` of the task that creates the run's own folder: a full disk is cleared first, and a bucket
    that does not exist or refuses the account is an error before anything is downloaded.

    Args:
        context: of a task whose ``dst`` is a file in the run's own folder.

    Raises:
        WorkDirError: the bucket does not exist, or refuses the request.
    """
    own = folder_name(context["dag"].dag_id, context["run_id"])
    of_dag = context["task"].dst.rpartition(f"/{own}/")[0]  # type: ignore[union-attr]
    for folder in folders(of_dag):
        try:
            if folder != f"{of_dag}/{own}" and _is_left_over(folder, context):
                remove_folder(folder)
                log.info("Removed %s, which a run has left that did not end well", folder)
        except OSError as error:
            log.warning("Cannot remove %s, which a run has left that did not end well: %s", folder, error)


def _is_left_over(folder: str, context: Context) -> bool:
    """Return whether the run of a folder has ended; for a folder that does not name its run, its age decides."""
    run_id = _run_of(context["dag"].dag_id, folder.rpartition("/")[2])
    if run_id is not None:
        return has_ended(context, run_id)
    longest = context["dag"].dagrun_timeout
    return longest is not None and time.time() - changed_at(folder) > longest.total_seconds()


def _run_of(dag_id: str, name: str) -> str | None:
    """Return the id of the run whose folder has that name; None if the name does not have all of it."""
    run_id = unquote(name.rpartition("-")[0])
    return run_id if folder_name(dag_id, run_id) == name else None
