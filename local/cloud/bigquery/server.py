"""The server: assembles the parts and runs them, as ``python -m local.cloud.bigquery``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import uvicorn
from bqemulator.api.dependencies import AppContext
from bqemulator.config import PersistenceMode, Settings
from bqemulator.domain.clock import SystemClock
from bqemulator.domain.events import EventBus
from bqemulator.jobs.upload_session_manager import UploadSessionManager
from bqemulator.observability.metrics import MetricsRegistry
from bqemulator.row_access.policy import RowAccessPolicyManager
from bqemulator.udf.runtime import UDFRegistry
from bqemulator.versioning.materialized_views import hydrate_subscriptions

from local.cloud.bigquery import patches
from local.cloud.bigquery.dispatch import Dispatcher
from local.cloud.bigquery.jobs import Jobs
from local.cloud.bigquery.nesting import allow_nesting
from local.cloud.bigquery.patches.application import build_app
from local.cloud.bigquery.patches.catalog import Catalog
from local.cloud.bigquery.patches.engine import Engine
from local.cloud.bigquery.patches.time_travel import NoTimeTravel
from local.cloud.bigquery.store import Store
from local.cloud.bigquery.translation import create_functions, create_macros
from local.cloud.guard import Guard, add_allow_host

HOST = "127.0.0.1"
_STOP_SECONDS = 2.5
_KEPT_JOBS = 5_000
_UPLOADS = "uploads"

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT.

    Returns:
        The exit code: 0 after a clean stop, 1 if the server could not start.
    """
    parser = argparse.ArgumentParser(prog="python -m local.cloud.bigquery", description="The embedded BigQuery.")
    parser.add_argument("--host", default=HOST, help=f"the address to listen on; default {HOST}")
    parser.add_argument("--port", type=int, required=True, help="TCP port to listen on; 0 selects a free one")
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of the database")
    parser.add_argument("--gcs-root", type=Path, required=True, help="root folder of the GCS emulator")
    parser.add_argument("--project", required=True, help="the project id to serve")
    add_allow_host(parser)
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    allow_nesting()
    try:
        asyncio.run(
            serve(
                host=given.host,
                port=given.port,
                data_dir=given.data_dir,
                gcs_root=given.gcs_root,
                project=given.project,
                allow_hosts=given.allow_host,
            )
        )
    except (duckdb.IOException, OSError) as error:
        print(f"BigQuery could not start on {given.data_dir}, port {given.port}: {error}", file=sys.stderr)
        return 1
    return 0


async def serve(
    *, host: str = HOST, port: int, data_dir: Path, gcs_root: Path, project: str, allow_hosts: Sequence[str] = ()
) -> None:
    """Open the database and serve it until SIGTERM or SIGINT.

    Args:
        host: the address to listen on.
        port: TCP port to listen on.
        data_dir: folder of the database; its content survives a restart.
        gcs_root: root folder of the GCS emulator, from which ``gs://`` objects are read.
        project: the one project id to serve.
        allow_hosts: host names under which clients may address it, beside those of this machine.

    Raises:
        duckdb.IOException: another server has the database open.
    """
    store = build_store(data_dir=data_dir, gcs_root=gcs_root, project=project)
    jobs = Jobs(store)
    patches.install(store, jobs)
    await open_store(store, data_dir)
    dispatcher = Dispatcher(store, build_app(store, jobs))
    server = _Server(_config(Guard(dispatcher, allow_hosts=allow_hosts), host=host, port=port))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, server, jobs)
    try:
        await server.serve()
    finally:
        dispatcher.close()
        await asyncio.to_thread(jobs.close)
        await store.engine.stop()


def _config(app: Guard, *, host: str, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        ws="none",
        lifespan="off",
        loop="asyncio",  # it suffices: the server's loop only passes requests on
        http="httptools",
        timeout_graceful_shutdown=1,
    )


def build_store(*, data_dir: Path, gcs_root: Path, project: str) -> Store:
    """Build what bqemulator's application needs, without its gRPC server; opens nothing."""
    settings = Settings(
        rest_host=HOST,
        persistence_mode=PersistenceMode.PERSISTENT,
        data_dir=data_dir,
        upload_staging_dir=data_dir / _UPLOADS,
        gcs_local_root=gcs_root,
        default_project_id=project,
        enable_format_extensions=False,  # DuckDB's Avro extension would have to be downloaded
        metrics_enabled=False,
    )
    # In its data folder it keeps uploads until they are loaded; objects are in the GCS emulator's.
    engine = Engine(settings, folders=[data_dir, gcs_root])
    catalog = Catalog(engine)
    context = _context(settings, engine, catalog)
    return Store(context=context, engine=engine, catalog=catalog, project=project, gcs_root=gcs_root.resolve())


async def open_store(store: Store, data_dir: Path) -> None:
    """Open or create the database in ``data_dir``, and read the catalog from it.

    Raises:
        duckdb.IOException: another server has the database open.
    """
    await store.engine.start()
    # Uploads left by a killed server. Before the database is open, they could be those of a running one.
    for path in (data_dir / _UPLOADS).iterdir():
        path.unlink()
    store.catalog.ensure_ready()
    create_functions(store.engine.connection)
    create_macros(store.execute)
    store.context.udf_registry.hydrate(store.catalog, store.engine)
    hydrate_subscriptions(store.context)
    _delete_old_jobs(store)


def _context(settings: Settings, engine: Engine, catalog: Catalog) -> AppContext:
    clock, events = SystemClock(), EventBus()
    return AppContext(
        settings=settings,
        clock=clock,
        engine=engine,
        catalog=catalog,
        metrics=MetricsRegistry(),
        events=events,
        udf_registry=UDFRegistry(settings),
        snapshots=NoTimeTravel(engine, catalog, clock, events, retention_days=0),
        row_access=RowAccessPolicyManager(catalog=catalog, clock=clock),
        upload_sessions=UploadSessionManager(
            staging_dir=settings.upload_staging_dir,
            max_bytes=settings.upload_max_bytes,
            ttl_seconds=settings.upload_session_ttl_seconds,
            clock=clock,
        ),
    )


def _delete_old_jobs(store: Store) -> None:
    jobs = sorted(store.catalog.list_jobs(store.project, max_results=1_000_000), key=lambda job: job.creation_time)
    for job in jobs[:-_KEPT_JOBS]:
        store.catalog.delete_job(job.project_id, job.job_id, not_found_ok=True)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, which would end the process by the signal instead of with code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _stop(server: uvicorn.Server, jobs: Jobs) -> None:
    """Interrupt all jobs and stop; after ``_STOP_SECONDS`` exit anyway, which DuckDB's write-ahead log makes safe."""
    server.should_exit = True
    for job in jobs.running():
        jobs.cancel(job.project, job.job_id)
    watchdog = threading.Timer(_STOP_SECONDS, os._exit, (0,))
    watchdog.daemon = True
    watchdog.start()
