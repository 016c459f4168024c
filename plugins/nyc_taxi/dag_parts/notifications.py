"""Sends a notification when a run fails."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

if TYPE_CHECKING:
    from airflow.sdk import Context

FAILURE_WEBHOOK = "failure_webhook"
# Seconds; the dag-processor sends the message, and a slow webhook must not hold it up.
TIMEOUT = 10.0

log = logging.getLogger(__name__)


def notify_failure(context: Context) -> None:
    """Post a failed run to a webhook; do nothing if the connection ``failure_webhook`` is not defined.

    Use it as a DAG's ``on_failure_callback``. It sends one message for each run that fails, through a failed task or a
    timeout. The dag-processor sends it; in ``dags test``, the test process does. Skipped runs send nothing. This is a
    function because a ``BaseNotifier`` renders templates first, which fails in ``dags test``.

    The message is JSON in the format of Slack and Mattermost, ``{"text": "green_web_to_gcs failed for 2021-01: ..."}``.
    It goes to the HTTP connection ``failure_webhook``, whose host is the webhook's URL. Put the secret part of the URL
    into the password: it is masked in logs, and appended to the path.

    Args:
        context: the context of the DAG callback.

    Raises:
        Exception: the HTTP client's error if the webhook rejects the message. Airflow logs it; the run stays failed.
    """
    # Imported here, so that parsing a DAG file does not import a provider that its tasks do not use.
    from airflow.providers.http.hooks.http import HttpHook

    text = failure_text(context)
    try:
        secret_path = BaseHook.get_connection(FAILURE_WEBHOOK).password
    except AirflowNotFoundException:
        log.info("No notification sent, because connection %s is not defined: %s", FAILURE_WEBHOOK, text)
        return
    hook = HttpHook(method="POST", http_conn_id=FAILURE_WEBHOOK)
    hook.run(endpoint=secret_path, json={"text": text}, extra_options={"timeout": TIMEOUT})
    log.info("Notification sent to connection %s: %s", FAILURE_WEBHOOK, text)


def failure_text(context: Context) -> str:
    """Return one line that says what failed, for which month or year, why, and where the log is.

    Args:
        context: the context of the DAG callback; only the DAG and the run id are required.
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
