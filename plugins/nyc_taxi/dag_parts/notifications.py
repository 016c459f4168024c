"""Tells people of failed and late runs and of broken warning checks, over the channels that are connected."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nyc_taxi.common.skip import SKIP_REASON
from nyc_taxi.common.text import printable
from nyc_taxi.dag_parts.channels import deliver
from nyc_taxi.dag_parts.params import ParameterError, check_keys
from nyc_taxi.dag_parts.secrets import why_missing

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


def notify_failure(context: Context) -> None:
    """Tell of a failed run; use it as a DAG's ``on_failure_callback``.

    It sends one message for each run that fails, through a failed task or a timeout. The dag-processor sends it; in
    ``dags test``, the test process does. Skipped runs send nothing. This is a function because a ``BaseNotifier``
    renders templates first, which fails in ``dags test``.

    Args:
        context: the context of the DAG callback.

    Raises:
        NotificationError: a channel rejects the message, or stays down. The log has the message that was not sent; the
            run stays failed.
    """
    deliver(failure_text(context))


def notify_warning(context: Context) -> None:
    """Tell of warning checks that do not hold; use it as the ``on_skipped_callback`` of a task with such checks.

    The task's process sends the message after the task has been skipped, so a channel that fails cannot change the run;
    its errors are in the task's log.

    Args:
        context: the context of the task.

    Raises:
        NotificationError: as :func:`notify_failure`.
    """
    ti = context["ti"]
    reason = ti.xcom_pull(task_ids=ti.task_id, key=SKIP_REASON)
    deliver(printable(f"{context['dag'].dag_id} warns{_for(context)}: {reason}{_where(context)}"))


async def notify_late(context: Mapping[str, Any]) -> None:
    """Tell of a run that has not ended by its deadline; use it as the callback of a ``DeadlineAlert``.

    The triggerer sends the message. Of a run that failed before its deadline, people know already.

    Args:
        context: what Airflow hands to such a callback: the run as its API shows it, and the deadline.

    Raises:
        NotificationError: as :func:`notify_failure`.
    """
    run = context["dag_run"]
    if run["state"] in ("success", "failed"):
        log.info("The run %s of %s has ended: nobody is told that it was late", run["dag_run_id"], run["dag_id"])
        return
    # In a thread, because the channels block.
    await asyncio.to_thread(deliver, late_text(context))


def end_log_with_cause(context: Context) -> None:
    """Write why a task failed as the last line of its log; use it as ``on_failure_callback`` and ``on_retry_callback``.

    Airflow writes the traceback, and below it a collapsed group of lines about what it does after the task. If the task
    failed while its templates were rendered, that group is inside another one, which hides the traceback too.

    Args:
        context: the context of the task.
    """
    if (error := context.get("exception")) is None:
        return
    kind = f"{type(error).__name__}: " if isinstance(error, BaseException) else ""
    # Ends both groups; an end without a group, such as Airflow's own that follows, ends nothing.
    for _ in range(2):
        log.info("::endgroup::")
    log.error("%s%s", kind, printable(error, longest=4000))
    if reason := why_missing(error):
        log.error("%s", printable(reason, longest=4000))


def failure_text(context: Context) -> str:
    """Return one line that says what failed, for which month or year, why, and where the log and the run are.

    Args:
        context: the context of the DAG callback; only the DAG and the run id are required.
    """
    reason = _refusal(context) or context.get("reason") or "task_failure"
    return printable(f"{context['dag'].dag_id} failed{_for(context)}: {reason}{_where(context)}")


def late_text(context: Mapping[str, Any]) -> str:
    """Return one line that says which run is late, for which month, and where it is.

    Args:
        context: as :func:`notify_late` gets it.
    """
    run, deadline = context["dag_run"], str(context["deadline"]["deadline_time"])[: len("2021-01-01 00:00")]
    month = run["partition_key"] or (run["conf"] or {}).get("month")
    late = f"{run['dag_id']} is late{f' for {month}' if month else ''}: not ended by {deadline} UTC, but {run['state']}"
    return printable(f"{late}, in run {run['dag_run_id']}, {run_url(run['dag_id'], run['dag_run_id'])}")


def run_url(dag_id: str, run_id: str) -> str:
    """Return the address of a run in the UI."""
    from airflow.sdk.configuration import conf

    base = conf.get("api", "base_url", fallback="http://localhost:8080/").rstrip("/")
    return f"{base}/dags/{quote(dag_id)}/runs/{quote(run_id)}"


def _refusal(context: Context) -> str | None:
    """Return why the run's first task refuses its parameters; None if it does not."""
    run, dag = context.get("dag_run"), context["dag"]
    try:
        check_keys(dag.dag_id, list(dag.params), getattr(run, "conf", None) or {})
    except ParameterError as error:
        return str(error)
    return None


def _for(context: Context) -> str:
    """Return the run's month or year, for a sentence; nothing if it has neither."""
    params = context.get("params") or {}
    run = context.get("dag_run")
    key = (run and run.partition_key) or params.get("month") or params.get("year")
    return f" for {key}" if key else ""


def _where(context: Context) -> str:
    """Return the run, the task if there is one, and their addresses, as the end of a sentence."""
    run_id = context["run_id"]
    text = f" in run {run_id}"
    if ti := context.get("ti"):
        text += f", task {ti.task_id}, log {ti.log_url}"
    return f"{text}, {run_url(context['dag'].dag_id, run_id)}"
