"""Waits until an HTTP source has published a file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from nyc_taxi.common.skip import skip
from nyc_taxi.source.errors import NotPublishedError, PermanentSourceError, SourceError
from nyc_taxi.source.publication_trigger import PublicationTrigger
from nyc_taxi.source.session import published_version

if TYPE_CHECKING:
    from airflow.sdk import Context

# XCom of what the source states about the file, for the download to compare with.
ANNOUNCED = "announced"
# XCom of the time before the question. The source has chosen its answer later, so a download that began before this
# time is older than the answer.
ASKED_AT = "asked_at"
# The trigger polls about this many times during a wait, but at least hourly and at most once a second.
POLLS = 100


class PublicationSensor(BaseOperator):
    """Wait for a file at an HTTP source, without occupying a worker slot, and return its version.

    If the file is already published, the task makes one request and does not wait. If it is not published, or the
    source is down, the task defers to the triggerer; with ``wait_seconds`` 0 it fails instead.

    Args:
        endpoint: path of the file below the connection's base URL (templated).
        wait_seconds: seconds to wait, from the start of the run; 0 to fail at once (templated).
        http_conn_id: the HTTP connection of the source (templated).

    Returns:
        The file's version, such as ``etag="5f2a" length=1234``; empty if the source does not state it. The XCom
        ``announced`` has the length also then. The XCom ``asked_at`` is when the source was asked.

    Raises:
        NotPublishedError: the source does not have the file, and ``wait_seconds`` is 0. A retry would fail the same
            way.
        AirflowSkipException: the file was not published in time; the reason has the source's last answer.
        PermanentSourceError: the source refuses the file for good, such as without a login. It is not waited for, and
            a retry would fail the same way.
        SourceError: the source is down or refuses the request, and ``wait_seconds`` is 0.
    """

    template_fields: Sequence[str] = ("endpoint", "wait_seconds", "http_conn_id")
    ui_color = "#e6f1f2"

    def __init__(
        self, *, endpoint: str, wait_seconds: float | str = 0, http_conn_id: str = "taxi_source", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.wait_seconds = wait_seconds
        self.http_conn_id = http_conn_id

    def execute(self, context: Context) -> str:
        wait = float(self.wait_seconds)
        try:
            return self._version(context)
        except (NotPublishedError, SourceError) as absence:
            if wait <= 0:
                raise
            begin = context["dag_run"].start_date
            assert begin is not None  # a run that executes tasks has started
            deadline = begin + timedelta(seconds=wait)
            self.log.info("%s. Waiting until %s", absence, deadline.isoformat(timespec="seconds"))
            self.defer(
                trigger=PublicationTrigger(
                    endpoint=self.endpoint,
                    http_conn_id=self.http_conn_id,
                    deadline=deadline.isoformat(),
                    poll_seconds=min(max(wait / POLLS, 1.0), 3600.0),
                ),
                method_name=self.resume.__name__,
            )

    def resume(self, context: Context, event: dict[str, Any]) -> str:
        """Continue after the wait: return the version, skip the run, or fail if the source refuses it for good."""
        if refusal := event.get("refused"):
            raise PermanentSourceError(refusal)
        if not event["published"]:
            waited, answer = timedelta(seconds=float(self.wait_seconds)), event["reason"]
            skip(
                context["ti"],
                f"{self.endpoint} was not published within {waited} of the run's start; "
                f"the source's last answer: {answer}",
            )
        try:
            return self._version(context)
        except NotPublishedError as error:  # some of the source's servers lack the file; a retry may find it
            raise SourceError(f"the source had the file a moment ago: {error}") from error

    def _version(self, context: Context) -> str:
        asked_at = datetime.now(UTC)
        announced = published_version(self.http_conn_id, self.endpoint)
        self.log.info("%s is published; version: %s", self.endpoint, announced.version or "not stated by the source")
        context["ti"].xcom_push(key=ANNOUNCED, value=str(announced))
        context["ti"].xcom_push(key=ASKED_AT, value=asked_at.isoformat(timespec="microseconds"))
        return announced.version
