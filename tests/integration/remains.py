"""What all stores of the running stack have, and what runs and killed components may have left behind in it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress

import psutil
from google.api_core.exceptions import NotFound

from local.airflow import reconcile, watcher
from local.airflow.environment import AirflowSettings
from nyc_taxi.registry.datasets import DATASETS
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.stores.store import Content
from tests import clients
from tests.integration.support import NOTHING_LEFT, await_, leftovers, query_bigquery, query_postgres

# A month of a dataset in a store; the taxi zones have the month "None".
Place = tuple[str, str, str]
# Of the process of a task instance: its id.
TASK_TITLE = re.compile(r"airflow worker -- [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Seconds after which a transaction or a wait for a lock is left over, and not one of a component at work.
LONG_SECONDS = 30
# The warehouse's sessions are those of runs alone. Airflow's own are of living components, which work in short steps.
SESSIONS = f"""
    SELECT client_port, concat_ws(' ', datname, state, wait_event_type, query) AS shown,
      datname = 'ny_taxi'
      OR state LIKE 'idle in transaction%' AND state_change < now() - interval '{LONG_SECONDS} s'
      OR wait_event_type = 'Lock' AND state_change < now() - interval '{LONG_SECONDS} s' AS is_left
    FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
    UNION ALL SELECT NULL, 'prepared transaction ' || gid, true FROM pg_prepared_xacts
"""


def contents(settings: AirflowSettings) -> dict[Place, Content]:
    """Return the content of every month that any store has, by the store's own client."""
    return {
        (store.name, dataset.name, str(month)): store.content(PublishedFile(dataset=dataset, month=month))
        for store in reconcile.connected_stores(settings)
        for dataset in DATASETS.values()
        for month in store.available(dataset)
    }


def rolled_up(settings: AirflowSettings, *, but: int) -> list[tuple[object, ...]]:
    """Return the rollup's rows of all years but one; none if no rollup has run yet."""
    try:
        rows = query_bigquery(settings, f"SELECT * FROM trips.yearly_rollup WHERE EXTRACT(YEAR FROM month) <> {but}")
    except NotFound:
        return []
    return sorted(rows, key=str)


def assert_nothing_left(settings: AirflowSettings, killed: Iterable[int] = ()) -> None:
    """Assert that runs and killed components have left nothing; waits until what is ending has ended.

    Args:
        settings: of the running stack, whose runs have all ended.
        killed: the process ids of the components that were killed.
    """
    pids = set(killed)
    found: list[str] = []

    def is_tidy() -> bool:
        found[:] = [*_sessions(settings), *_jobs(settings), *_processes(settings, pids)]
        if (left := leftovers(settings)) != NOTHING_LEFT:
            found.append(str(left))
        return not found

    try:
        await_(is_tidy, "nothing is left over", 120)
    except AssertionError as error:
        raise AssertionError(f"{error}: {found}") from error


def _sessions(settings: AirflowSettings) -> list[str]:
    """Sessions in Postgres that no run may leave, with their locks, and sessions of processes that have ended."""
    port = settings.cloud.postgres_port
    living = {
        one.laddr.port
        for one in psutil.net_connections("tcp")
        if one.raddr and one.raddr.port == port and one.pid is not None
    }
    return [
        f"session {shown}"
        for client_port, shown, is_left in query_postgres(settings, SESSIONS)
        if is_left or client_port not in living
    ]


def _jobs(settings: AirflowSettings) -> list[str]:
    running = clients.bigquery_client(settings).list_jobs(state_filter="running")
    return [f"BigQuery job {job.job_id}" for job in running]


def _processes(settings: AirflowSettings, killed: set[int]) -> list[str]:
    """Processes of killed components, each of which had a session of its own, and tasks that still run."""
    components = {process.pid for process in components_of(settings).values()}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            session, title = os.getsid(process.pid), " ".join(process.cmdline()).strip()
            is_task = session in components and TASK_TITLE.fullmatch(title)
            if (session in killed or is_task) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"process {process.pid} {title}")
    return found


def components_of(settings: AirflowSettings) -> dict[str, psutil.Process]:
    """Return the recorded processes of the stack's components, by name.

    A component that has died or is just being restarted is not among them.
    """
    found = {}
    for path in (path for folder in watcher.run_dirs(settings.cloud.state_dir) for path in folder.glob("*.json")):
        with suppress(FileNotFoundError, psutil.NoSuchProcess):
            found[path.stem] = psutil.Process(json.loads(path.read_text())["pid"])
    return found
