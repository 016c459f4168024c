"""The few calls of Prefect's REST API that the comparison needs; no Prefect is imported."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx

ENDED = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})


class PrefectApi:
    """A client of one Prefect server.

    Args:
        url: the API's address, ``http://127.0.0.1:4200/api``.
        timeout: seconds that an answer may take.
    """

    def __init__(self, url: str, *, timeout: float = 30.0) -> None:
        # The server closes a connection that was idle for five seconds, which is also what the client would wait for.
        limits = httpx.Limits(keepalive_expiry=2)
        self._http = httpx.Client(base_url=url, timeout=timeout, trust_env=False, limits=limits)

    def __enter__(self) -> PrefectApi:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, method: str, path: str, **body: Any) -> Any:
        """Any call; what it answers.

        Raises:
            httpx.HTTPStatusError: the server refuses it; the message holds what it says.
        """
        answer = self._http.request(method, path, json=body if method != "GET" else None)
        if answer.is_error:
            raise httpx.HTTPStatusError(
                f"{method} {path}: HTTP {answer.status_code} {answer.text}", request=answer.request, response=answer
            )
        return answer.json() if answer.content else None

    def deployment(self, name: str) -> dict[str, Any]:
        """The deployment ``flow/name``."""
        return self.call("GET", f"/deployments/name/{name}")

    def start(self, deployment: str, **more: Any) -> str:
        """Start a run of the deployment ``flow/name``; returns its id."""
        return self.call("POST", f"/deployments/{self.deployment(deployment)['id']}/create_flow_run", **more)["id"]

    def run(self, run_id: str) -> dict[str, Any]:
        """One flow run."""
        return self.call("GET", f"/flow_runs/{run_id}")

    def runs(self, **filters: Any) -> list[dict[str, Any]]:
        """The flow runs that match the filters, by expected start, latest first."""
        return self.call("POST", "/flow_runs/filter", sort="EXPECTED_START_TIME_DESC", **filters)

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        """The task runs of a flow run in the order of their start."""
        return self.call(
            "POST",
            "/task_runs/filter",
            task_runs={"flow_run_id": {"any_": [run_id]}},
            sort="EXPECTED_START_TIME_ASC",
        )

    def log(self, run_id: str) -> list[str]:
        """The log messages of a flow run and its tasks."""
        records = self.call("POST", "/logs/filter", logs={"flow_run_id": {"any_": [run_id]}}, sort="TIMESTAMP_ASC")
        return [record["message"] for record in records]

    def events(self, prefix: str) -> list[dict[str, Any]]:
        """The newest events whose names start with the prefix."""
        return self.call("POST", "/events/filter", filter={"event": {"prefix": [prefix]}}, limit=50)["events"]

    def end(
        self, run_id: str, timeout: float = 240.0, states: Collection[str] = ENDED, poll: float = 0.25
    ) -> dict[str, Any]:
        """Wait until a run is in one of the states, which is looked up every ``poll`` seconds; returns the run.

        Raises:
            TimeoutError: it does not get there in time; the message holds its state.
        """
        deadline = time.monotonic() + timeout
        while (run := self.run(run_id))["state_type"] not in states:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{run['name']} is {run['state_name']} after {timeout:.0f} s")
            time.sleep(poll)
        return run

    def running_pid(self, run_id: str) -> int | None:
        """The process of a flow run, once it runs."""
        run = self.run(run_id)
        return int(run["infrastructure_pid"].rpartition(":")[2]) if run["state_name"] == "Running" else None

    def emit(self, event: str, resource: str, labels: Mapping[str, str] = {}, **payload: Any) -> None:
        """Create an event about a resource, with labels and a payload, as the client does, but by HTTP.

        Raises:
            httpx.HTTPStatusError: the server refuses it.
        """
        what = {"prefect.resource.id": resource, **labels}
        body = {"occurred": datetime.now(UTC).isoformat(), "event": event, "resource": what, "payload": payload}
        self._http.post("/events", json=[{"id": str(uuid4()), **body}]).raise_for_status()

    def is_healthy(self) -> bool:
        """Whether the server answers."""
        try:
            return self._http.get("/health").is_success
        except httpx.HTTPError:
            return False

    def has_online_worker(self, pool: str, since: datetime | None = None) -> bool:
        """Whether a worker serves the work pool; with ``since``, whether it sent a heartbeat after that."""
        workers = self.call("POST", f"/work_pools/{pool}/workers/filter")
        return any(
            worker["status"] == "ONLINE"
            and (since is None or datetime.fromisoformat(worker["last_heartbeat_time"]) >= since)
            for worker in workers
        )
