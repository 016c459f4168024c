"""Finds components of the running stack that hang: they run, but do not answer or send no heartbeat.

``bin/airflow`` looks before each command, because a run that it starts might never be executed. It looks at all
components together: in milliseconds if all is well, and in ``ANSWER_SECONDS`` at most.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from local.airflow import stack, watcher, workers
from local.airflow.environment import AirflowSettings, Executor
from local.cloud.processes import Running, running
from local.cloud.settings import HOST

ANSWER_SECONDS = 10.0
HEARTBEAT_SECONDS = 60.0
"""Age of a heartbeat from which on its component hangs. Airflow itself calls one unhealthy after 30 seconds, which a
component on a busy machine may exceed."""

_OPENER = build_opener(ProxyHandler({}))
# Postgres's SSLRequest, which its main process answers with one byte before any login.
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


def hung(settings: AirflowSettings) -> list[str]:
    """Return which components hang, as sentences for the user; what is not running is left out."""
    alive = _alive(settings)
    servers = {name: ask for name, ask in _servers(settings).items() if name in alive}
    if not servers:
        return []
    with ThreadPoolExecutor(len(servers)) as pool:
        answers = dict(zip(servers, pool.map(_answer, servers.values()), strict=True))
    limit = settings.cloud.start_timeout
    problems = {
        name: f"does not answer as it should ({answer})"
        for name, answer in answers.items()
        # A server that has just been started does not listen yet.
        if isinstance(answer, OSError) and not (_is_refused(answer) and time.time() - alive[name].started_at < limit)
    }
    if isinstance(report := answers.get("api-server"), dict):
        problems |= _late(report, alive)
    return [
        f"{name} (pid {alive[name].pid}) {problem}; see {stack.log_of(settings, name)}. If it hangs, end it with "
        f"kill -9 {alive[name].pid}: the watcher then restarts it"
        for name, problem in sorted(problems.items())
    ]


def _alive(settings: AirflowSettings) -> dict[str, Running]:
    cloud_dir, airflow_dir = watcher.run_dirs(settings.cloud.state_dir)
    names = dict.fromkeys(("gcs", "bigquery", "postgres", "source"), cloud_dir)
    names |= dict.fromkeys(stack.names(settings), airflow_dir)
    found = {name: running(name, run_dir=folder) for name, folder in names.items()}
    return {name: one for name, one in found.items() if one is not None}


def _servers(settings: AirflowSettings) -> dict[str, Callable[[], Any]]:
    """Return how each server is asked."""
    cloud = settings.cloud
    of_celery: dict[str, Callable[[], Any]] = {}
    if settings.executor is Executor.CELERY:
        of_celery = {name: partial(_ask_worker, settings, name) for name in workers.names(settings)}
        of_celery[workers.REDIS] = lambda: workers.ask_redis(settings)
    return {
        **of_celery,
        "api-server": lambda: json.loads(_get(f"{settings.url}/api/v2/monitor/health")),
        "gcs": lambda: _get(f"{cloud.gcs_url}/storage/v1/b"),
        "bigquery": lambda: _get(f"{cloud.bigquery_url}/healthz"),
        "source": lambda: _get(f"{cloud.source_url}/healthz"),
        "postgres": lambda: _ask_postgres(cloud.postgres_port),
    }


def _answer(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except HTTPError as error:
        error.close()
        return OSError(f"HTTP {error.code}")
    except OSError as error:
        return error
    except (ValueError, HTTPException) as error:  # something else listens there
        return OSError(f"{error!r}")


def _is_refused(error: OSError) -> bool:
    return isinstance(getattr(error, "reason", error), ConnectionRefusedError)


def _get(url: str) -> bytes:
    with _OPENER.open(url, timeout=ANSWER_SECONDS) as response:
        return bytes(response.read())


def _ask_postgres(port: int) -> bytes:
    with socket.create_connection((HOST, port), timeout=ANSWER_SECONDS) as connection:
        connection.sendall(_SSL_REQUEST)
        return connection.recv(1)


def _ask_worker(settings: AirflowSettings, name: str) -> None:
    if not workers.is_answering(settings, name):
        raise TimeoutError("it has not answered a ping")


def _late(report: Mapping[str, Any], alive: Mapping[str, Running]) -> dict[str, str]:
    """Return the components whose last heartbeat, or whose start, is too long ago."""
    if report["metadatabase"]["status"] != "healthy":
        return {}  # no heartbeat can be read, and Postgres is looked at by itself
    late = {}
    for name in stack.COMPONENTS:
        key = name.replace("-", "_")
        if name in alive:
            heartbeat = report[key][f"latest_{key}_heartbeat"]
            last = datetime.fromisoformat(heartbeat).timestamp() if heartbeat else 0.0
            age = time.time() - max(last, alive[name].started_at)
            if age > HEARTBEAT_SECONDS:
                late[name] = f"has sent no heartbeat for {age:.0f} s"
    return late
