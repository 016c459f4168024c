"""Sends a notification when a run fails."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from nyc_taxi.common.text import printable

if TYPE_CHECKING:
    from airflow.sdk import Context

FAILURE_WEBHOOK = "failure_webhook"
# The dag-processor sends the message, and kills a process that takes 50 seconds for a DAG file. So all posts
# together take at most 27: 5 each, and pauses of 1, 2 and 4 between them.
POSTS = 4
TIMEOUT = (2.0, 3.0)  # to connect, to answer
PAUSE = 1.0
# Beside 5xx, the answers that a later post may not get: timeout, too early, too many requests.
_TRANSIENT = (408, 425, 429)

log = logging.getLogger(__name__)


class NotificationError(RuntimeError):
    """The webhook did not accept the message.

    Attributes:
        transient: whether another post may succeed.
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


def notify_failure(context: Context) -> None:
    """Post a failed run to a webhook; do nothing if the connection ``failure_webhook`` is not defined.

    A webhook that is down or busy gets the message again, up to four times in all, after growing pauses.

    Use it as a DAG's ``on_failure_callback``. It sends one message for each run that fails, through a failed task or a
    timeout. The dag-processor sends it; in ``dags test``, the test process does. Skipped runs send nothing. This is a
    function because a ``BaseNotifier`` renders templates first, which fails in ``dags test``.

    The message is JSON in the format of Slack and Mattermost, ``{"text": "green_web_to_gcs failed for 2021-01: ..."}``.
    It goes to the HTTP connection ``failure_webhook``, whose host is the webhook's URL. Put the secret part of the URL
    into the password: it is masked in logs, and appended to the path.

    Args:
        context: the context of the DAG callback.

    Raises:
        NotificationError: the webhook rejects the message, or stays down. The log has the message that was not sent;
            the run stays failed.
    """
    text = failure_text(context)
    try:
        secret_path = BaseHook.get_connection(FAILURE_WEBHOOK).password
    except AirflowNotFoundException:
        log.info("No notification sent, because connection %s is not defined: %s", FAILURE_WEBHOOK, text)
        return
    try:
        _post_repeatedly(secret_path, text)
    except NotificationError as error:
        log.error(
            "Nobody was notified: connection %s failed for good: %s. Check its host and password. The message was: %s",
            FAILURE_WEBHOOK,
            error,
            text,
        )
        raise
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
    return printable(text)


def _post_repeatedly(secret_path: str | None, text: str) -> None:
    # Imported here, so that parsing a DAG file does not import what its tasks do not use.
    import tenacity

    def warn(state: tenacity.RetryCallState) -> None:
        assert state.outcome is not None
        assert state.next_action is not None
        log.warning(
            "Notification not sent to connection %s by post %d of %d: %s. The next follows in %g s",
            FAILURE_WEBHOOK,
            state.attempt_number,
            POSTS,
            state.outcome.exception(),
            state.next_action.sleep,
        )

    tenacity.Retrying(
        stop=tenacity.stop_after_attempt(POSTS),
        wait=tenacity.wait_exponential(multiplier=PAUSE),
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, NotificationError) and error.transient),
        before_sleep=warn,
        reraise=True,
    )(_post, secret_path, text)


def _post(secret_path: str | None, text: str) -> None:
    import requests
    from airflow.providers.http.hooks.http import HttpHook

    hook = HttpHook(method="POST", http_conn_id=FAILURE_WEBHOOK)
    options = {"timeout": TIMEOUT, "check_response": False}
    try:
        response = hook.run(endpoint=secret_path, json={"text": text}, extra_options=options)
    except requests.RequestException as error:
        # Its kind alone: the text has the webhook's address, whose end is secret.
        raise NotificationError(f"it does not answer ({type(error).__name__})", transient=True) from None
    if response.status_code >= 300:
        status = response.status_code
        said = f"HTTP {status} {printable(response.reason, longest=100)} {printable(response.text, longest=200)}"
        raise NotificationError(f"it answers {said.strip()}", transient=status >= 500 or status in _TRANSIENT)
