"""The channels of notifications, each against a server or a folder of the test."""

from __future__ import annotations

import json
import logging
import socketserver
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nyc_taxi.dag_parts import channels
from nyc_taxi.dag_parts.channels import CHANNELS, NotificationError, deliver
from tests.nyc_taxi.dag_parts.mail import MailServer, served

TEXT = "green_web_to_gcs failed for 2021-01: a <b> & c in run x, http://127.0.0.1:8080/dags/green_web_to_gcs/runs/x"


class Webhook:
    """A server that records the path and the body of each POST."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, Any]] = []
        self.status = 200
        # The status of the first answers, before ``status``.
        self.first: list[int] = []
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                webhook.posts.append((self.path, json.loads(body)))
                self.send_response(webhook.first.pop(0) if webhook.first else webhook.status)
                self.send_header("Content-Length", "10")
                self.end_headers()
                self.wfile.write(b"no_service")

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/services"


@pytest.fixture(autouse=True)
def no_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Define no connection, and let no try wait for long."""
    monkeypatch.setattr(channels, "PAUSE", 0.001)
    for channel in CHANNELS:
        monkeypatch.delenv(f"AIRFLOW_CONN_{channel.connection_id.upper()}", raising=False)


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    """Start a webhook server, and define the connection ``failure_webhook`` for it."""
    one = Webhook()
    connection = {"conn_type": "http", "host": one.url, "password": "T0/B0/secret"}
    monkeypatch.setenv("AIRFLOW_CONN_FAILURE_WEBHOOK", json.dumps(connection))
    for _ in served(one.server):
        yield one


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    """Start a mail server, and define the connection ``failure_email`` for it."""
    one = MailServer()
    monkeypatch.setenv("AIRFLOW_CONN_FAILURE_EMAIL", json.dumps(one.connection))
    for _ in served(one.server):
        yield one


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Define the connection ``failure_folder``."""
    path = tmp_path / "messages"
    monkeypatch.setenv("AIRFLOW_CONN_FAILURE_FOLDER", json.dumps({"conn_type": "fs", "extra": {"path": str(path)}}))
    return path


def written(folder: Path) -> list[str]:
    return [path.read_text() for path in sorted(folder.glob("*.txt"))]


def logged(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == level and one.name == channels.__name__]


def test_a_message_goes_over_every_channel_that_is_connected(webhook: Webhook, mail: MailServer, folder: Path) -> None:
    deliver(TEXT)

    assert webhook.posts == [("/services/T0/B0/secret", {"text": TEXT})]
    assert written(folder) == [f"{TEXT}\n"]
    assert [message["Subject"] for message in mail.messages] == [TEXT]


def test_each_message_is_a_file_of_its_own_in_order(folder: Path) -> None:
    for number in range(3):
        deliver(f"message {number}")

    assert written(folder) == ["message 0\n", "message 1\n", "message 2\n"]


def test_an_email_has_sender_recipients_and_the_text_as_text(mail: MailServer) -> None:
    deliver(TEXT)

    (message,) = mail.messages
    assert message["From"] == "airflow@example.com"
    assert mail.recipients == ["<a@example.com>", "<b@example.com>"]
    assert mail.logins == [("me", "secret")]
    assert [text.strip() for text in mail.texts] == [f"<p>{TEXT.replace('&', '&amp;').replace('<b>', '&lt;b&gt;')}</p>"]


def test_a_long_text_has_its_beginning_as_the_subject(mail: MailServer) -> None:
    deliver("x" * 5000)

    assert mail.messages[0]["Subject"] == "x" * 150


def test_a_webhook_without_a_secret_is_its_host_alone(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_FAILURE_WEBHOOK", json.dumps({"conn_type": "http", "host": webhook.url}))

    deliver(TEXT)

    assert webhook.posts == [("/services", {"text": TEXT})]


@pytest.mark.parametrize("status", [302, 400, 403, 404])
def test_a_webhook_that_refuses_is_an_error_at_once(
    webhook: Webhook, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    webhook.status = status

    with pytest.raises(NotificationError, match=r"^Nobody was notified: failure_webhook failed; see the errors above$"):
        deliver(TEXT)

    assert len(webhook.posts) == 1
    (error,) = logged(caplog, logging.ERROR)
    assert error.startswith(
        f"Notification not sent: connection failure_webhook failed for good: it answers HTTP {status} "
    )
    assert error.endswith(f" no_service. Check the connection. The message was: {TEXT}")


@pytest.mark.parametrize("first", [[503], [429, 500]])
def test_a_webhook_that_is_busy_gets_the_message_by_a_later_try(
    webhook: Webhook, first: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    webhook.first = [*first]

    deliver(TEXT)

    assert len(webhook.posts) == 1 + len(first)
    assert [line.partition(":")[0] for line in logged(caplog, logging.WARNING)] == [
        f"Notification not sent to connection failure_webhook by try {number} of 3"
        for number in range(1, 1 + len(first))
    ]


def test_a_webhook_that_stays_busy_is_given_up(webhook: Webhook) -> None:
    webhook.status = 503

    with pytest.raises(NotificationError, match="failure_webhook"):
        deliver(TEXT)

    assert len(webhook.posts) == 3


def test_a_webhook_that_is_down_is_named_without_its_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as closed:
        port = closed.server_address[1]
    connection = {"conn_type": "http", "host": f"http://127.0.0.1:{port}", "password": "secret"}
    monkeypatch.setenv("AIRFLOW_CONN_FAILURE_WEBHOOK", json.dumps(connection))

    with pytest.raises(NotificationError):
        deliver(TEXT)

    assert "it does not answer (ConnectionError)" in logged(caplog, logging.ERROR)[0]
    assert "secret" not in caplog.text.replace("failure_webhook", "")


def test_a_mail_server_that_is_busy_gets_the_message_by_a_later_try(mail: MailServer) -> None:
    mail.first = ["451 later"]

    deliver(TEXT)

    assert len(mail.messages) == 1


def test_a_mail_server_that_refuses_is_an_error_at_once(mail: MailServer, caplog: pytest.LogCaptureFixture) -> None:
    mail.first = ["554 no spam here"]

    with pytest.raises(NotificationError, match="failure_email"):
        deliver(TEXT)

    assert mail.messages == []
    assert "connection failure_email failed for good: it answers 554 no spam here" in logged(caplog, logging.ERROR)[0]


@pytest.mark.parametrize("missing", ["to", "from_email"])
def test_an_email_connection_without_addresses_says_so(
    missing: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    extra = {name: "a@example.com" for name in ("to", "from_email") if name != missing}
    connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": 1, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_FAILURE_EMAIL", json.dumps(connection))

    with pytest.raises(NotificationError):
        deliver(TEXT)

    assert "its extra needs to and from_email" in logged(caplog, logging.ERROR)[0]


@pytest.mark.parametrize(
    ("broken", "connection"),
    [
        ("failure_folder", {"conn_type": "fs"}),
        ("failure_folder", {"conn_type": "fs", "extra": {"path": "/proc/messages"}}),
        ("failure_webhook", {"conn_type": "http", "host": "http://127.0.0.1:1"}),
        (
            "failure_email",
            {"conn_type": "smtp", "host": "127.0.0.1", "port": 1, "extra": {"to": "a@b", "from_email": "c@d"}},
        ),
    ],
)
def test_a_channel_that_fails_does_not_keep_the_message_from_the_others(
    broken: str,
    connection: dict[str, Any],
    webhook: Webhook,
    mail: MailServer,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{broken.upper()}", json.dumps(connection))

    with pytest.raises(NotificationError, match=rf"^Not everybody was notified: {broken} failed"):
        deliver(TEXT)

    got = {"failure_folder": written(folder), "failure_webhook": webhook.posts, "failure_email": mail.messages}
    assert {name for name, messages in got.items() if messages} == set(got) - {broken}
    assert f"connection {broken} failed for good" in logged(caplog, logging.ERROR)[0]


def test_an_error_that_nobody_foresaw_does_not_stop_the_others(
    folder: Path, mail: MailServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(connection: Any, text: str) -> None:
        raise ZeroDivisionError("http://secret")

    (first, *others) = CHANNELS
    monkeypatch.setattr(channels, "CHANNELS", (first._replace(send=fail), *others))

    with pytest.raises(NotificationError, match="failure_folder"):
        deliver(TEXT)

    assert len(mail.messages) == 1
    assert "failed for good: ZeroDivisionError. " in logged(caplog, logging.ERROR)[0]


def test_all_tries_end_before_the_dag_processor_would_kill_them() -> None:
    pauses = sum(2**number for number in range(channels.TRIES - 1))  # PAUSE is 1 outside of these tests
    one = channels.TRIES * sum(channels.TIMEOUT) + pauses
    assert 2 * one <= 45  # the folder takes no time


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_connection_nothing_is_sent(
    value: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if value is not None:  # in .env, an empty value means none
        monkeypatch.setenv("AIRFLOW_CONN_FAILURE_WEBHOOK", value)

    with caplog.at_level(logging.INFO):
        deliver(TEXT)

    names = "failure_folder, failure_webhook, failure_email"
    assert f"No notification sent, because none of the connections {names} is defined: {TEXT}" in caplog.text


def test_a_secrets_backend_that_fails_may_have_channels(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", "airflow.secrets.local_filesystem.LocalFilesystemBackend")
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND_KWARGS", json.dumps({"connections_file_path": "/no/such.json"}))
    with pytest.raises(NotificationError, match=r"^Nobody was notified: the secrets backend failed; see"):
        deliver(TEXT)
    assert "/no/such.json" in caplog.text
    assert TEXT in caplog.text

    connection = {"conn_type": "fs", "extra": {"path": str(tmp_path)}}
    monkeypatch.setenv("AIRFLOW_CONN_FAILURE_FOLDER", json.dumps(connection))
    with pytest.raises(NotificationError, match=r"^Not everybody was notified: the secrets backend failed; see"):
        deliver(TEXT)
    assert len(list(tmp_path.iterdir())) == 1
