"""Tells people that a run failed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

if TYPE_CHECKING:
    from airflow.sdk import Context

FAILURE_WEBHOOK = "failure_webhook"
# In seconds; the dag-processor, which sends the message, has other work.
TIMEOUT = 10.0

log = logging.getLogger(__name__)


def notify_failure(context: Context) -> None:
    """Post the failure of a run to a webhook; where its connection is not defined, nobody is told.

    It is meant as a DAG's ``on_failure_callback``: one message for each run that fails, by a task or by its time-out,
    sent by the dag-processor (in ``dags test``, by the test itself). A run that is skipped has not failed. It is a
    function and no ``BaseNotifier``, which renders templates first, and in ``dags test`` fails at that.

    The message is JSON, ``{"text": "green_web_to_gcs failed for 2021-01: ..."}``, as Slack and Mattermost take it, and
    goes to the HTTP connection ``failure_webhook``. Its host is the webhook's URL; what of it is secret stands in the
    password, which is masked in logs, and is appended to the host's path.

    Args:
        context: of a DAG's callback.

    Raises:
        Exception: what the HTTP client raises if the webhook does not take the message. Airflow logs it; the run stays
            failed.
    """
    # Here, so that parsing a DAG file imports no provider that its own tasks do not need.
    from airflow.providers.http.hooks.http import HttpHook

    text = failure_text(context)
    try:
        secret_path = BaseHook.get_connection(FAILURE_WEBHOOK).password
    except AirflowNotFoundException:
        log.info("Nobody is told, because there is no connection %s: %s", FAILURE_WEBHOOK, text)
        return
    hook = HttpHook(method="POST", http_conn_id=FAILURE_WEBHOOK)
    hook.run(endpoint=secret_path, json={"text": text}, extra_options={"timeout": TIMEOUT})
    log.info("Told connection %s: %s", FAILURE_WEBHOOK, text)


def failure_text(context: Context) -> str:
    """What failed, for which month or year, why, and where its log is.

    Args:
        context: of a DAG's callback. It may have no more than the DAG and the run's id.
    """
    text = f"{context['dag'].dag_id} failed"
    params = context.get("params") or {}
    run = context.get("dag_run")
    if key := (run and run.partition_key) or params.get("month") or params.get("year"):
        text += f" for {key}"
    text += f": {context.get('reason') or 'task_failure'} in run {context['run_id']}"
    if ti := context.get("ti"):
        text += f", task {ti.task_id}, log {ti.log_url}"
    return text
