"""Finds out whether a run has ended, for tasks that remove what it has left behind.

A run's own teardown removes what the run has made. It does not if the run has timed out, because that skips all tasks
that have not ended, or if the setup was killed in its last try. Then a later run of the same DAG does it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from airflow.sdk.exceptions import AirflowRuntimeError

if TYPE_CHECKING:
    from airflow.sdk import Context

LIVING = ["queued", "running"]

log = logging.getLogger(__name__)


def has_ended(context: Context, run_id: str) -> bool:
    """Return whether another run of the task's DAG has ended; one that was deleted has ended, too.

    Args:
        context: the context of the task that asks.
        run_id: the id of the other run.

    Returns:
        False also if Airflow cannot be asked, because what a living run needs must not be removed.
    """
    try:
        living = context["ti"].get_dr_count(dag_id=context["dag"].dag_id, run_ids=[run_id], states=LIVING)
    except AirflowRuntimeError as error:
        log.warning("Cannot find out whether the run %s has ended, so what it has left stays: %s", run_id, error)
        return False
    return living == 0


def staged_by(context: Context) -> str:
    """Return the line that names the run on its staging tables."""
    return f"staged by {context['dag'].dag_id} {quote(context['run_id'], safe='')}"


def was_left(context: Context, line: str) -> bool:
    """Return whether a line that ``staged_by`` wrote names another run of the DAG that has ended."""
    prefix = f"staged by {context['dag'].dag_id} "
    if not line.startswith(prefix) or line == staged_by(context):
        return False
    return has_ended(context, unquote(line.removeprefix(prefix)))
