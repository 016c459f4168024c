"""Puts the parts together and serves them: ``python -m local.cloud.bigquery``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import uvicorn
from bqemulator.api.app import create_app
from bqemulator.api.dependencies import AppContext
from bqemulator.api.routes import upload as upload_routes
from bqemulator.catalog.models import JobMeta
from bqemulator.config import PersistenceMode, Settings
from bqemulator.domain.clock import SystemClock
from bqemulator.domain.events import EventBus
from bqemulator.jobs.upload_session_manager import UploadSessionManager
from bqemulator.observability.metrics import MetricsRegistry
from bqemulator.row_access.policy import RowAccessPolicyManager
from bqemulator.udf.runtime import UDFRegistry
from bqemulator.versioning.materialized_views import hydrate_subscriptions

from local.cloud.bigquery import parsing, scripts
from local.cloud.bigquery.dispatch import Dispatcher
from local.cloud.bigquery.jobs import Jobs
from local.cloud.bigquery.routes import build_router
from local.cloud.bigquery.store import Catalog, Engine, NoTimeTravel, Store

HOST = "127.0.0.1"
_STOP_SECONDS = 2.5
_KEPT_JOBS = 5_000

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT.

    Returns:
        The exit code: 0 after a clean stop, 1 when the server could not start.
    """
    parser = argparse.ArgumentParser(prog="python -m local.cloud.bigquery", description="The embedded BigQuery.")
    parser.add_argument("--host", default=HOST, help=f"the address to listen on; {HOST} if not given")
    parser.add_argument("--port", type=int, required=True, help=f"TCP port on {HOST}; 0 takes a free one")
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of the database")
    parser.add_argument("--gcs-root", type=Path, required=True, help="root folder of the GCS emulator")
    parser.add_argument("--project", required=True, help="the project id that is served")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(
            serve(
                host=given.host,
                port=given.port,
                data_dir=given.data_dir,
                gcs_root=given.gcs_root,
                project=given.project,
            )
        )
    except (duckdb.IOException, OSError) as error:
        print(f"BigQuery could not start: {error}", file=sys.stderr)
        return 1
    return 0


async def serve(*, host: str = HOST, port: int, data_dir: Path, gcs_root: Path, project: str) -> None:
    """Open the database and serve it until SIGTERM or SIGINT.

    Args:
        host: the address to listen on.
        port: TCP port there.
        data_dir: folder of the database; everything in it survives a restart.
        gcs_root: root folder of the GCS emulator, from which ``gs://`` objects are read.
        project: the one project id that is served.

    Raises:
        duckdb.IOException: another server has the database open.
    """
    store = await open_store(data_dir=data_dir, gcs_root=gcs_root, project=project)
    jobs = Jobs(store)
    dispatcher = Dispatcher(store, build_app(store, jobs))
    # The event loop of the standard library: the server's loop only passes requests on.
    config = uvicorn.Config(
        dispatcher,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        lifespan="off",
        loop="asyncio",
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, server, jobs)
    try:
        await server.serve()
    finally:
        dispatcher.close()
        await asyncio.to_thread(jobs.close)
        await store.engine.stop()


async def open_store(*, data_dir: Path, gcs_root: Path, project: str) -> Store:
    """Open or create the database and build what bqemulator's application needs, without its gRPC server."""
    shutil.rmtree(data_dir / "uploads", ignore_errors=True)  # what a killed server left
    settings = Settings(
        rest_host=HOST,
        persistence_mode=PersistenceMode.PERSISTENT,
        data_dir=data_dir,
        upload_staging_dir=data_dir / "uploads",
        gcs_local_root=gcs_root,
        default_project_id=project,
        enable_format_extensions=False,  # Avro's DuckDB extension would have to be downloaded
        metrics_enabled=False,
    )
    engine = Engine(settings)
    await engine.start()
    catalog = Catalog(engine)
    catalog.ensure_ready()
    clock, events = SystemClock(), EventBus()
    context = AppContext(
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
    context.udf_registry.hydrate(catalog, engine)
    hydrate_subscriptions(context)
    store = Store(context=context, engine=engine, catalog=catalog, project=project, gcs_root=gcs_root.resolve())
    _forget_old_jobs(store)
    parsing.install()
    scripts.install(store)
    return store


def build_app(store: Store, jobs: Jobs) -> Any:
    """bqemulator's application with the routes of this package before its own."""
    app = create_app(store.context)
    bundled = list(app.router.routes)
    app.router.routes.clear()
    app.include_router(build_router(store, jobs))
    app.router.routes.extend(bundled)

    async def execute_load_job(project_id: str, job_id: str, config: dict[str, Any], _context: AppContext) -> JobMeta:
        """Load a file that came with the request; bqemulator has put it where the only source URI says."""
        load = dict(config["load"])
        upload = Path(load.pop("sourceUris")[0].removeprefix("file://"))
        body = {"configuration": {**config, "load": load}, "jobReference": {"jobId": job_id}}
        job = jobs.submit(project_id, body, upload=upload)
        await asyncio.to_thread(job.done.wait)
        assert job.meta is not None
        return job.meta

    upload_routes.execute_load_job = execute_load_job
    upload_routes._is_permitted_media_type = lambda _: True  # the Python client says */*
    return app


def _forget_old_jobs(store: Store) -> None:
    jobs = sorted(store.catalog.list_jobs(store.project, max_results=1_000_000), key=lambda job: job.creation_time)
    for job in jobs[:-_KEPT_JOBS]:
        store.catalog.delete_job(job.project_id, job.job_id, not_found_ok=True)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, which would end the process with the signal and not with code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _stop(server: uvicorn.Server, jobs: Jobs) -> None:
    """Stop soon: interrupt jobs, and end even if one does not react; DuckDB's log keeps what is committed."""
    server.should_exit = True
    for job in jobs.running():
        jobs.cancel(job.project, job.job_id)
    watchdog = threading.Timer(_STOP_SECONDS, os._exit, (0,))
    watchdog.daemon = True
    watchdog.start()
