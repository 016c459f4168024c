"""The few calls of Airflow's REST API that the demo, the comparison and the tests need."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx

from local.airflow.environment import AirflowSettings
from local.cloud.processes import ProcessError
from nyc_taxi.common.text import printable

# How often a request that changes nothing is sent before its failure counts.
TRIES = 3


class _RepeatedReads(httpx.HTTPTransport):
    """Sends a GET again whose connection was reset, before its answer or within it.

    On a busy machine, the server may close an idle connection just when the client uses it.
    """

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for _ in range(TRIES - 1):
            try:
                answer = super().handle_request(request)
                answer.read()
                return answer
            except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
                if request.method != "GET":
                    raise
        return super().handle_request(request)


class AirflowApi:
    """A client of one Airflow API server, logged in as ``admin``.

    Args:
        settings: where the server listens.

    Raises:
        ProcessError: the server does not answer.
    """

    def __init__(self, settings: AirflowSettings) -> None:
        # The server closes a connection that was idle for five seconds. A client that keeps it as long can send a
        # request just then, which fails with a reset.
        transport = _RepeatedReads(limits=httpx.Limits(keepalive_expiry=1), trust_env=False)
        self._http = httpx.Client(base_url=settings.url, timeout=30, trust_env=False, transport=transport)
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
        """Return the events of an asset since an ISO time, oldest first."""
        params: dict[str, str | int] = {"asset_id": asset_id, "timestamp_gte": since, "limit": 1000}
        return self._json(self._http.get("/api/v2/assets/events", params=params))["asset_events"]

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
        """Mark a run and its tasks as failed, which ends it."""
        self._json(self._http.patch(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}", json={"state": "failed"}))

    def started_by(self, dag_id: str, run_id: str) -> set[str]:
        """Return the ids of the runs whose asset events started this one."""
        answer = self._http.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/upstreamAssetEvents")
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
