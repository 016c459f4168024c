"""Sends a message over every channel whose connection is defined: a folder, a webhook, and e-mail.

The providers for Slack are not used: an incoming webhook of Slack takes the same POST as those of other chats.
"""

from __future__ import annotations

import html
import logging
import smtplib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from nyc_taxi.common.files import whole_file
from nyc_taxi.common.text import printable
from nyc_taxi.dag_parts.secrets import backend_failure

FAILURE_FOLDER = "failure_folder"
FAILURE_WEBHOOK = "failure_webhook"
FAILURE_EMAIL = "failure_email"
# The dag-processor sends most messages, and kills a process that takes 50 seconds for a DAG file. So all tries of one
# channel together take at most 18: 5 each, and pauses of 1 and 2 between them. E-mail comes last, because its server
# could answer each of several requests late.
TRIES = 3
TIMEOUT = (2.0, 3.0)  # to connect, to answer
PAUSE = 1.0
# Beside 5xx, the answers that a later post may not get: timeout, too early, too many requests.
_TRANSIENT = (408, 425, 429)
_SUBJECT_LENGTH = 150

log = logging.getLogger(__name__)


class NotificationError(RuntimeError):
    """A channel did not accept the message.

    Attributes:
        transient: whether another try may succeed.
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class Channel(NamedTuple):
    """A way to send a message.

    Attributes:
        connection_id: the connection that turns the channel on.
        send: sends a text once, with the connection; raises NotificationError.
    """

    connection_id: str
    send: Callable[[Any, str], None]


def deliver(text: str) -> None:
    """Send a line over every channel whose connection is defined; a channel that fails does not stop the others.

    Each channel gets up to three tries. What happened is in the log of the process that calls this: a line for each
    channel, and an error that names each channel that failed for good.

    Raises:
        NotificationError: at least one channel failed for good, or the secrets backend, which may have more of them;
            all others have the message.
    """
    sent, failed, missing = [], [], ""
    for channel in CHANNELS:
        try:
            _send_repeatedly(channel, BaseHook.get_connection(channel.connection_id), text)
        except AirflowNotFoundException as error:
            missing = missing or backend_failure(error)
        except Exception as error:  # whatever it is, the other channels still get the message
            log.error(
                "Notification not sent: connection %s failed for good: %s. Check the connection. The message was: %s",
                channel.connection_id,
                # The text of an unforeseen error may have the address of a webhook, whose end is secret.
                error if isinstance(error, NotificationError) else type(error).__name__,
                text,
            )
            failed.append(channel.connection_id)
        else:
            log.info("Notification sent to connection %s: %s", channel.connection_id, text)
            sent.append(channel.connection_id)
    if missing:  # it may have connections of which nothing is known then
        log.error("Notification perhaps not sent to everybody: %s. The message was: %s", printable(missing), text)
        failed.append("the secrets backend")
    if not sent and not failed:
        names = ", ".join(channel.connection_id for channel in CHANNELS)
        log.info("No notification sent, because none of the connections %s is defined: %s", names, text)
    if failed:
        who = "Not everybody was notified" if sent else "Nobody was notified"
        raise NotificationError(f"{who}: {', '.join(failed)} failed; see the errors above", transient=False)


def _send_repeatedly(channel: Channel, connection: Any, text: str) -> None:
    # Imported here, so that parsing a DAG file does not import what its tasks do not use.
    import tenacity

    def warn(state: tenacity.RetryCallState) -> None:
        assert state.outcome is not None
        assert state.next_action is not None
        log.warning(
            "Notification not sent to connection %s by try %d of %d: %s. The next follows in %g s",
            channel.connection_id,
            state.attempt_number,
            TRIES,
            state.outcome.exception(),
            state.next_action.sleep,
        )

    tenacity.Retrying(
        stop=tenacity.stop_after_attempt(TRIES),
        wait=tenacity.wait_exponential(multiplier=PAUSE),
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, NotificationError) and error.transient),
        before_sleep=warn,
        reraise=True,
    )(channel.send, connection, text)


def _write(connection: Any, text: str) -> None:
    """Write the text to a file of its own in the folder that the extra ``path`` names."""
    folder = connection.extra_dejson.get("path")
    if not folder:
        raise NotificationError("its extra has no path", transient=False)
    now = datetime.now(UTC)
    # The microseconds keep the messages of several processes apart, and their order.
    target = Path(folder) / f"{now:%Y-%m-%dT%H-%M-%S.%f}.txt"
    try:
        with whole_file(target) as temporary:
            temporary.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise NotificationError(f"its folder cannot be written: {printable(error)}", transient=True) from None


def _post(connection: Any, text: str) -> None:
    """Post the text as JSON to the connection's host; its password, the secret end of the URL, is appended."""
    import requests
    from airflow.providers.http.hooks.http import HttpHook

    hook = HttpHook(method="POST", http_conn_id=connection.conn_id)
    options = {"timeout": TIMEOUT, "check_response": False}
    try:
        response = hook.run(endpoint=connection.password, json={"text": text}, extra_options=options)
    except requests.RequestException as error:
        # Its kind alone: the text has the webhook's address, whose end is secret.
        raise NotificationError(f"it does not answer ({type(error).__name__})", transient=True) from None
    if response.status_code >= 300:
        status = response.status_code
        said = f"HTTP {status} {printable(response.reason, longest=100)} {printable(response.text, longest=200)}"
        raise NotificationError(f"it answers {said.strip()}", transient=status >= 500 or status in _TRANSIENT)


def _mail(connection: Any, text: str) -> None:
    """Send the text as an e-mail, with its beginning as the subject, to the addresses in the extra ``to``."""
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    class OneTry(SmtpHook):
        """Leaves the tries to this module, and waits no longer than it allows."""

        @property
        def smtp_retry_limit(self) -> int:
            return 0

        @property
        def timeout(self) -> int:
            return round(sum(TIMEOUT))

    to = connection.extra_dejson.get("to")
    if not to or not connection.extra_dejson.get("from_email"):
        raise NotificationError("its extra needs to and from_email", transient=False)
    try:
        with OneTry(smtp_conn_id=connection.conn_id) as hook:
            hook.send_email_smtp(to=to, subject=text[:_SUBJECT_LENGTH], html_content=f"<p>{html.escape(text)}</p>")
    # SMTP's answers of 400 to 499 are transient, those from 500 on are not.
    except smtplib.SMTPResponseException as error:
        said = error.smtp_error if isinstance(error.smtp_error, str) else error.smtp_error.decode("utf-8", "replace")
        answer = f"it answers {error.smtp_code} {printable(said, longest=200)}"
        raise NotificationError(answer, transient=error.smtp_code < 500) from None
    except smtplib.SMTPRecipientsRefused as error:
        transient = any(code < 500 for code, _ in error.recipients.values())
        refused = printable(error.recipients, longest=200)
        raise NotificationError(f"it refuses recipients: {refused}", transient=transient) from None
    except Exception as error:  # the network's, TLS's or the hook's own
        kind = f"{type(error).__name__}: {printable(error, longest=200)}"
        raise NotificationError(f"it cannot be reached ({kind})", transient=True) from None


CHANNELS = (Channel(FAILURE_FOLDER, _write), Channel(FAILURE_WEBHOOK, _post), Channel(FAILURE_EMAIL, _mail))
