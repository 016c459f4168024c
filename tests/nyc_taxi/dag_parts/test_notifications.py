"""The notification of a failed run."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG

from nyc_taxi.dag_parts import notifications
from nyc_taxi.dag_parts.notifications import NotificationError, failure_text, notify_failure

CONTEXT: dict[str, Any] = {
    "dag": DAG(dag_id="green_web_to_gcs", schedule=None),
    "run_id": "scheduled__2021-03-01",
    "reason": "task_failure",
    "dag_run": SimpleNamespace(partition_key="2021-01"),
    "params": {"month": None, "force": False},
    "ti": SimpleNamespace(task_id="to_parquet", log_url="http://127.0.0.1:8080/dags/x"),
}
TEXT = (
    "green_web_to_gcs failed for 2021-01: task_failure in run scheduled__2021-03-01, task to_parquet, "
    "log http://127.0.0.1:8080/dags/x"
)


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


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    """Start a webhook server, and define the connection ``failure_webhook`` for it; no post waits for long."""
    monkeypatch.setattr(notifications, "PAUSE", 0.001)
    one = Webhook()
    thread = threading.Thread(target=one.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    connection = {"conn_type": "http", "host": one.url, "password": "T0/B0/secret"}
    monkeypatch.setenv("AIRFLOW_CONN_FAILURE_WEBHOOK", json.dumps(connection))
    yield one
    one.server.shutdown()
    one.server.server_close()


def test_a_failure_is_posted_to_the_webhook(webhook: Webhook) -> None:
    notify_failure(CONTEXT)

    assert webhook.posts == [("/services/T0/B0/secret", {"text": TEXT})]


def test_each_failure_sends_its_own_message(webhook: Webhook) -> None:
    notify_failure({**CONTEXT, "run_id": "one"})
    notify_failure({**CONTEXT, "run_id": "other"})

    assert [body["text"].split(",")[0].rpartition(" ")[2] for _, body in webhook.posts] == ["one", "other"]


def test_a_webhook_without_a_secret_is_its_host_alone(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_FAILURE_WEBHOOK", json.dumps({"conn_type": "http", "host": webhook.url}))

    notify_failure(CONTEXT)

    assert webhook.posts == [("/services", {"text": TEXT})]


@pytest.mark.parametrize("status", [302, 400, 403, 404])
def test_a_webhook_that_refuses_is_an_error_at_once(
    webhook: Webhook, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    webhook.status = status

    with pytest.raises(NotificationError, match=rf"^it answers HTTP {status} .* no_service$"):
        notify_failure(CONTEXT)

    assert len(webhook.posts) == 1
    (error,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert error.startswith("Nobody was notified: connection failure_webhook failed for good: it answers HTTP ")
    assert error.endswith(f". Check its host and password. The message was: {TEXT}")


@pytest.mark.parametrize("first", [[503], [429, 500, 408]])
def test_a_webhook_that_is_busy_gets_the_message_by_a_later_post(
    webhook: Webhook, first: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    webhook.first = [*first]

    notify_failure(CONTEXT)

    assert len(webhook.posts) == 1 + len(first)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [line.partition(":")[0] for line in warnings] == [
        f"Notification not sent to connection failure_webhook by post {post} of 4" for post in range(1, 1 + len(first))
    ]


def test_a_webhook_that_stays_busy_is_given_up(webhook: Webhook) -> None:
    webhook.status = 503

    with pytest.raises(NotificationError, match="HTTP 503"):
        notify_failure(CONTEXT)

    assert len(webhook.posts) == 4


def test_a_webhook_that_is_down_is_named_without_its_secret(webhook: Webhook, caplog: pytest.LogCaptureFixture) -> None:
    webhook.server.shutdown()
    webhook.server.server_close()

    with pytest.raises(NotificationError, match=r"^it does not answer \(ConnectionError\)$"):
        notify_failure(CONTEXT)

    ours = [record.getMessage() for record in caplog.records if record.name == notifications.__name__]
    assert len(ours) == 4
    assert "secret" not in "".join(ours)


def test_all_posts_end_before_the_dag_processor_would_kill_them() -> None:
    pauses = sum(notifications.PAUSE * 2**post for post in range(notifications.POSTS - 1))
    assert notifications.POSTS * sum(notifications.TIMEOUT) + pauses <= 30


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_connection_nothing_is_sent(
    value: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if value is None:
        monkeypatch.delenv("AIRFLOW_CONN_FAILURE_WEBHOOK", raising=False)
    else:  # in .env, an empty value means none
        monkeypatch.setenv("AIRFLOW_CONN_FAILURE_WEBHOOK", value)

    with caplog.at_level(logging.INFO):
        notify_failure(CONTEXT)

    assert f"No notification sent, because connection failure_webhook is not defined: {TEXT}" in caplog.text


def test_the_month_or_year_is_the_key_or_what_was_asked_for() -> None:
    by_hand = {**CONTEXT, "dag_run": SimpleNamespace(partition_key=None)}

    assert failure_text(CONTEXT) == TEXT
    assert failure_text({**by_hand, "params": {"month": "2020-05"}}).startswith("green_web_to_gcs failed for 2020-05: ")
    assert failure_text({**by_hand, "params": {"year": "2020"}}).startswith("green_web_to_gcs failed for 2020: ")
    assert failure_text(by_hand).startswith("green_web_to_gcs failed: task_failure in run ")


def test_a_context_with_the_run_alone_is_enough() -> None:
    least = {"dag": CONTEXT["dag"], "run_id": "x", "reason": "timed_out"}

    assert failure_text(least) == "green_web_to_gcs failed: timed_out in run x"
