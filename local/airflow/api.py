"""The few calls of Airflow's REST API that the demo, the comparison and the tests need."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx

from local.airflow.environment import AirflowSettings
from local.cloud.processes import ProcessError
from nyc_taxi.common.text import printable

# The trigger rule of teardowns, which only they have.
_TEARDOWN = "all_done_setup_success"
_UNFINISHED = (None, "scheduled", "queued", "running", "deferred", "up_for_retry", "up_for_reschedule", "restarting")
# Seconds for which the answer about asset events may fail; a run that they started is queued no longer, as a rule.
_QUEUED_SECONDS = 60.0
# How often a request that may be repeated is sent before its failure counts.
TRIES = 3


class _Repeated(httpx.HTTPTransport):
    """Sends a request again whose connection was reset, before its answer or within it, unless it is a POST.

    The server closes a connection after an error of its own, which the client may notice only with its next request.
    A PATCH or PUT of this client sets what it names, and sets the same when it is sent twice.
    """

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for _ in range(TRIES - 1):
            try:
                answer = super().handle_request(request)
                answer.read()
                return answer
            except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
                if request.method == "POST":
                    raise
        return super().handle_request(request)


class AirflowApi:
    """A client of one Airflow API server, logged in as ``admin``.

    Args:
        settings: where the server listens.
        timeout: seconds that an answer may take.

    Raises:
        ProcessError: the server does not answer.
    """

    def __init__(self, settings: AirflowSettings, *, timeout: float = 30.0) -> None:
        transport = _Repeated(limits=httpx.Limits(keepalive_expiry=1), trust_env=False)
        self._http = httpx.Client(base_url=settings.url, timeout=timeout, trust_env=False, transport=transport)
        try:
            answer = self._http.post("/auth/token", json={"username": "admin", "password": settings.password()})
        except httpx.TransportError as error:
            raise ProcessError(
                f"Airflow's API server at {settings.url} does not answer ({error}); see make status"
            ) from error
        answer.raise_for_status()
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def __enter__(self) -> AirflowApi:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, method: str, path: str, **body: Any) -> Any:
        """Send a request below ``/api/v2`` with a JSON body, and return the answer.

        Raises:
            httpx.HTTPStatusError: the server answers with an error; the message includes its text.
        """
        return self._json(self._http.request(method, f"/api/v2{path}", json=body or None))

    def get(self, path: str) -> Any:
        """Return the answer of a path that is not below ``/api/v2``, such as a plugin's; raises as :meth:`call`."""
        return self._json(self._http.get(path))

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        """Return the DAG, or None if Airflow does not know it yet."""
        answer = self._http.get(f"/api/v2/dags/{dag_id}")
        return None if answer.status_code == 404 else self._json(answer)

    def import_errors(self) -> list[dict[str, Any]]:
        """Return the DAG files that cannot be imported, each with the reason."""
        return self._json(self._http.get("/api/v2/importErrors"))["import_errors"]

    def set_paused(self, dag_id: str, paused: bool) -> None:
        """Pause or unpause a DAG."""
        self._json(self._http.patch(f"/api/v2/dags/{dag_id}", json={"is_paused": paused}))

    def assets_starting(self, dag_id: str) -> list[int]:
        """Return the ids of the assets whose updates start the DAG."""
        answer = self._json(self._http.get("/api/v2/assets", params={"dag_ids": dag_id, "limit": 1000}))
        return [
            asset["id"] for asset in answer["assets"] if dag_id in {dag["dag_id"] for dag in asset["scheduled_dags"]}
        ]

    def asset_events(self, asset_id: int, since: str) -> list[dict[str, Any]]:
        """Return the events of an asset since an ISO time, oldest first.

        Raises:
            httpx.HTTPStatusError: a run that one of the events started has been queued for a minute; Airflow 3.3
                answers 500 as long as it is.
        """
        params: dict[str, str | int] = {"asset_id": asset_id, "timestamp_gte": since, "limit": 1000}
        deadline = time.monotonic() + _QUEUED_SECONDS
        while (answer := self._http.get("/api/v2/assets/events", params=params)).status_code == 500:
            if time.monotonic() > deadline:
                break
            time.sleep(0.5)
        return self._json(answer)["asset_events"]

    def announce(self, asset_id: int, partition_key: str | None) -> None:
        """Create an event for an asset or one of its partitions; that starts the DAGs that wait for it."""
        body = {"asset_id": asset_id, "partition_key": partition_key}
        self._json(self._http.post("/api/v2/assets/events", json=body))

    def trigger(self, dag_id: str, conf: dict[str, Any], **fields: Any) -> str:
        """Trigger a run and return its id; ``fields`` are added to the request, for example a partition key."""
        body = {"logical_date": None, "conf": conf, **fields}
        return self._json(self._http.post(f"/api/v2/dags/{dag_id}/dagRuns", json=body))["dag_run_id"]

    def backfill(
        self, dag_id: str, from_date: str, to_date: str, *, conf: dict[str, Any], reprocess: str = "none", parallel: int
    ) -> int:
        """Start a run for each month between two ISO dates, both included; return the backfill's id."""
        body = {
            "dag_id": dag_id,
            "from_date": f"{from_date}T00:00:00Z",
            "to_date": f"{to_date}T00:00:00Z",
            "dag_run_conf": conf,
            "reprocess_behavior": reprocess,
            "max_active_runs": parallel,
        }
        return self._json(self._http.post("/api/v2/backfills", json=body))["id"]

    def has_running_backfill(self, dag_id: str) -> bool:
        """Whether a backfill of the DAG is running; Airflow says so for up to half a minute after its last run."""
        answer = self._http.get("/api/v2/backfills", params={"dag_id": dag_id})
        return any(backfill["completed_at"] is None for backfill in self._json(answer)["backfills"])

    def close_backfills(self, dag_id: str) -> None:
        """Cancel the DAG's backfills, so that a new one can start now; runs that have not started fail."""
        answer = self._http.get("/api/v2/backfills", params={"dag_id": dag_id})
        for backfill in self._json(answer)["backfills"]:
            if backfill["completed_at"] is None:
                answer = self._http.put(f"/api/v2/backfills/{backfill['id']}/cancel")
                if answer.status_code != 409:  # it has ended in the meantime
                    self._json(answer)

    def fail(self, dag_id: str, run_id: str) -> None:
        """Mark a run as failed; its teardowns still run, and it ends.

        Airflow fails the tasks that run, skips those that have not, and takes the run's state from the last tasks: a
        run that still has a teardown would end well. So its last tasks are failed first.
        """
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"
        states = {task["task_id"]: task["state"] for task in self.tasks(dag_id, run_id)}
        for task_id in self._last_tasks(dag_id):
            if states.get(task_id) in _UNFINISHED:
                answer = self._http.patch(f"{path}/taskInstances/{task_id}", json={"new_state": "failed"})
                if answer.status_code != 409:  # it has failed in the meantime
                    self._json(answer)
        self._json(self._http.patch(path, json={"state": "failed"}))

    def _last_tasks(self, dag_id: str) -> list[str]:
        """Return the tasks after which only teardowns come."""
        tasks = self._json(self._http.get(f"/api/v2/dags/{dag_id}/tasks"))["tasks"]
        teardowns = {task["task_id"] for task in tasks if task["trigger_rule"] == _TEARDOWN}
        return [
            task["task_id"]
            for task in tasks
            if task["task_id"] not in teardowns and teardowns.issuperset(task["downstream_task_ids"])
        ]

    def started_by(self, dag_id: str, run_id: str) -> set[str]:
        """Return the ids of the runs whose asset events started this one; none as long as Airflow cannot tell.

        Airflow 3.3 answers 500 while a run that the same events started is queued.
        """
        answer = self._http.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/upstreamAssetEvents")
        if answer.status_code == 500:
            return set()
        return {event["source_run_id"] for event in self._json(answer)["asset_events"]}

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return one run."""
        return self._json(self._http.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"))

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the DAG's newest runs, newest first."""
        answer = self._http.get(f"/api/v2/dags/{dag_id}/dagRuns", params={"order_by": "-id", "limit": 50})
        return self._json(answer)["dag_runs"]

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of one run."""
        return self._json(self._http.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"))["task_instances"]

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> list[str]:
        """Return the lines of a task's log, with its errors and without Airflow's grouping marks."""
        answer = self._http.get(
            f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}",
            headers={"Accept": "application/x-ndjson"},
        )
        return [line for record in answer.text.splitlines() for line in _messages(json.loads(record))]

    def await_parsed(self, dag_ids: list[str], *, since: str, timeout: float = 120.0) -> None:
        """Wait until Airflow has parsed the DAGs after ``since`` (ISO time).

        Raises:
            TimeoutError: they were not parsed in time; the message lists the import errors.
        """
        deadline = time.monotonic() + timeout
        while not all(
            (dag := self.dag(dag_id)) and not dag["is_stale"] and dag["last_parsed_time"] > since for dag_id in dag_ids
        ):
            if time.monotonic() > deadline:
                raise TimeoutError(f"Airflow did not parse {', '.join(dag_ids)}: {self.import_errors()}")
            time.sleep(0.1)

    def _json(self, answer: httpx.Response) -> Any:
        if answer.is_error:
            raise httpx.HTTPStatusError(
                f"{answer.request.method} {answer.request.url.path}: HTTP {answer.status_code} {answer.text}",
                request=answer.request,
                response=answer,
            )
        return answer.json() if answer.content else None


def _messages(record: dict[str, Any]) -> list[str]:
    event = record.get("event", "")
    # Records without a timestamp and "::" marks come from the log viewer; these loggers report the start of every task.
    is_noise = record.get("timestamp") is None or event.startswith("::")
    if is_noise or record.get("logger", "").startswith(("py.warnings", "airflow.dag_processing")):
        return []
    # Airflow logs the reason of a skip or of a retry decision in a separate field.
    reason = [f"reason: {record['reason']}"] if record.get("reason") else []
    # The first error of the chain is the one that was raised; the others are its causes.
    errors = [f"{error['exc_type']}: {error['exc_value']}" for error in (record.get("error_detail") or [])[:1]]
    # What a log quotes may come from a file or a server, and must not write to the terminal.
    return [printable(line, longest=10_000) for text in (event, *reason, *errors) for line in text.splitlines()]
