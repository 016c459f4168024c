"""Jobs: unique ids, execution in threads, waiting, cancelling, and records of finished jobs."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
from bqemulator.catalog.etag import generate_etag
from bqemulator.catalog.models import JobMeta
from bqemulator.domain.errors import AlreadyExistsError, DomainError

from local.cloud.bigquery import copies, ddl, loads, queries
from local.cloud.bigquery.failures import as_domain_error
from local.cloud.bigquery.limits import invalid, limit, no_room, refuse_other_options
from local.cloud.bigquery.partitions import TableRef
from local.cloud.bigquery.request_types import check_job
from local.cloud.bigquery.store import Store

_log = logging.getLogger(__name__)
_KINDS = ("query", "load", "copy", "extract")
_JOB_OPTIONS = {*_KINDS, "jobType", "dryRun", "labels", "jobTimeoutMs"}
_CONCURRENT_JOBS = 8
_INTERRUPT_SECONDS = 0.1
_ALL = 1_000_000
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


@dataclass(kw_only=True)
class Job:
    """A job since it was accepted; ``meta`` is its record once it is done."""

    project: str
    job_id: str
    kind: str
    config: dict[str, Any]
    created: datetime
    started: datetime | None = None
    done: threading.Event = field(default_factory=threading.Event)
    cancelled: bool = False
    cursor: duckdb.DuckDBPyConnection | None = None
    meta: JobMeta | None = None
    error: DomainError | None = None


def _interrupt(job: Job) -> None:
    """Interrupt a job until it ends: the statement that one interrupt meets may be an estimate, which may fail."""
    while (cursor := job.cursor) is not None:
        with suppress(duckdb.Error):  # the session has just closed it
            cursor.interrupt()
        job.done.wait(_INTERRUPT_SECONDS)


class Jobs:
    """All jobs of this server: running ones in memory, finished ones in bqemulator's catalog."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._running: dict[tuple[str, str], Job] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_CONCURRENT_JOBS, thread_name_prefix="job")

    def submit(self, project: str, body: dict[str, Any], *, upload: Path | None = None) -> Job:
        """Accept a job and start it.

        Args:
            project: the project of the request.
            body: a ``Job`` resource with ``configuration`` and, optionally, ``jobReference``.
            upload: the file that was uploaded with a load job.

        Raises:
            AlreadyExistsError: the job id is in use or was used before.
            DomainError: the configuration is invalid, or needs a feature that is not implemented.
        """
        check_job(body)
        config = body.get("configuration") or {}
        job_id = (body.get("jobReference") or {}).get("jobId") or f"job_{uuid4().hex}"
        if not set(job_id) <= _ID_CHARACTERS or len(job_id) > 1024:
            raise invalid(f"Invalid job ID {job_id!r}: letters, digits, underscores and dashes, at most 1,024")
        refuse_other_options("configuration", config, _JOB_OPTIONS)
        kinds = [kind for kind in _KINDS if config.get(kind) is not None]
        if len(kinds) != 1:
            raise invalid("Job configuration must contain exactly one of: query, load, copy, extract")
        now = self._store.context.clock.now()
        job = Job(project=project, job_id=job_id, kind=kinds[0], config=config, created=now)
        run = self._prepare(job, upload)
        with self._lock:
            if (project, job_id) in self._running or self._store.catalog.get_job(project, job_id):
                raise AlreadyExistsError(f"Already Exists: Job {project}:US.{job_id}")
            self._running[project, job_id] = job
        self._pool.submit(contextvars.Context().run, self._run, job, run)
        return job

    def find(self, project: str, job_id: str) -> Job | JobMeta | None:
        """Return a running or finished job; None if the id is unknown."""
        with self._lock:
            return self._running.get((project, job_id)) or self._store.catalog.get_job(project, job_id)

    def known(self, project: str) -> list[Job | JobMeta]:
        """Return all known jobs, newest first."""
        done = self._store.catalog.list_jobs(project, max_results=_ALL)
        newest = sorted(done, key=lambda meta: meta.creation_time, reverse=True)
        return [*reversed(self.running()), *newest]

    def running(self) -> list[Job]:
        """Return the jobs that are not done."""
        with self._lock:
            return list(self._running.values())

    def wait(self, project: str, job_id: str, seconds: float) -> Job | JobMeta | None:
        """Wait at most ``seconds`` for a job to finish, and return it."""
        job = self.find(project, job_id)
        if isinstance(job, Job):
            job.done.wait(seconds)
        return job.meta or job if isinstance(job, Job) else job

    def cancel(self, project: str, job_id: str) -> Job | JobMeta | None:
        """Interrupt a running job, whose writes are rolled back; does nothing to a finished one."""
        job = self.find(project, job_id)
        if isinstance(job, Job):
            job.cancelled = True
            threading.Thread(target=_interrupt, args=[job], daemon=True).start()
        return job

    def close(self) -> None:
        """Interrupt the running jobs and accept no more."""
        for job in self.running():
            self.cancel(job.project, job.job_id)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _prepare(self, job: Job, upload: Path | None) -> Callable[[], dict[str, Any]]:
        """Check the configuration and return the function that runs the job."""
        store, config, dry = self._store, job.config, bool(job.config.get("dryRun"))
        if dry and job.kind != "query":
            raise limit(f"dry-run {job.kind} jobs")
        self._check_projects(job)
        if job.kind == "query":
            query = queries.check_query(job.project, job.job_id, config["query"])
            run = queries.dry_run if dry else queries.run_query
            return lambda: asyncio.run(run(store, query))
        if job.kind == "load":
            loads.check_load(job.project, config["load"])
            return lambda: loads.run_load(store, job.project, config["load"], upload=upload)
        if job.kind == "copy":
            copies.check_copy(job.project, config["copy"])
            return lambda: copies.run_copy(store, job.project, config["copy"])
        raise limit("run extract jobs; read the table with a query")

    def _check_projects(self, job: Job) -> None:
        for name in ("destinationTable", "sourceTable", "defaultDataset"):
            project = (job.config[job.kind].get(name) or {}).get("projectId") or self._store.project
            if project != self._store.project:
                raise limit(f"serve the project {project!r}; only {self._store.project!r}")

    def _run(self, job: Job, run: Callable[[], dict[str, Any]]) -> None:
        statistics: dict[str, Any] = {}
        job.started = self._store.context.clock.now()
        timeout = int(job.config.get("jobTimeoutMs") or 0) / 1000
        timer = threading.Timer(timeout, self.cancel, (job.project, job.job_id)) if timeout else None
        if timer:
            timer.daemon = True
            timer.start()
        try:
            with self._store.engine.session() as cursor:
                job.cursor = cursor
                try:
                    ddl.expire(self._store)
                    if not job.cancelled:
                        statistics = run()
                finally:
                    job.cursor = None
        except BaseException as error:  # any error must end the job, or clients wait forever
            job.error = no_room(error) or as_domain_error(error)
        finally:
            if timer:
                timer.cancel()
        self._finish(job, statistics)

    def _finish(self, job: Job, statistics: dict[str, Any]) -> None:
        error = job.error
        result = {"reason": error.bq_reason, "message": error.message} if error else None
        if error and error.location:
            result = {**result, "location": error.location}  # type: ignore[dict-item]
        if job.cancelled and (error or not statistics):
            result = {
                "reason": "stopped",
                "message": "Job execution was cancelled: User requested cancellation, or the job timed out",
            }
        if error and job.kind == "query" and not statistics:
            statistics = {"query": {"totalBytesProcessed": "0"}}
        meta = JobMeta(
            project_id=job.project,
            job_id=job.job_id,
            job_type=job.kind.upper(),  # type: ignore[arg-type]
            state="DONE",
            configuration={"jobType": job.kind.upper(), **job.config},
            statistics=statistics,
            error_result=result,
            creation_time=job.created,
            start_time=job.started,
            end_time=self._store.context.clock.now(),
            etag=generate_etag(job.project, job.job_id, str(job.created)),
        )
        try:
            with self._store.engine.session():
                self._store.catalog.upsert_job(meta)
                queries.forget_old_results()
        except Exception as cause:  # any error must end the job
            _log.error("job %s cannot be recorded, and is known only until the server ends: %s", job.job_id, cause)
        finally:
            job.meta = meta
            with self._lock:
                self._running.pop((job.project, job.job_id), None)
            job.done.set()


def destination_of(meta: JobMeta) -> TableRef | None:
    """Return the table that a query job wrote to; None for other jobs, and for queries without a destination."""
    reference = (meta.configuration.get("query") or {}).get("destinationTable")
    if not reference or str(reference.get("datasetId", "")).startswith("_bqemu"):
        return None
    return TableRef.from_rest(reference, meta.project_id)
