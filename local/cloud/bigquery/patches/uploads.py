"""Patch of bqemulator 1.4.0: load the files that come with a load job by this package.

Replaces ``execute_load_job`` and ``_is_permitted_media_type`` of ``bqemulator.api.routes.upload``.

Why: bqemulator's own load binds Parquet columns by position and keeps the files before one that fails. It also refuses
the media type ``*/*``, which the official Python client sends.

Also answers the chunks of a resumable upload before bqemulator: it takes ``bytes */0``, which is how clients end the
upload of a file that has turned out to be empty, for a question about the bytes received so far.

Can be removed when bqemulator's load jobs bind by name and are atomic, and its upload route takes ``*/*`` and empty
files.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from bqemulator.api.dependencies import AppContext
from bqemulator.api.routes import upload
from bqemulator.catalog.models import JobMeta
from fastapi import APIRouter, Request

from local.cloud.bigquery.jobs import Jobs
from local.cloud.bigquery.store import Store

_RANGE = b"content-range"
_TOTAL = re.compile(rb"bytes \*/(\d+)")


def install(jobs: Jobs) -> None:
    """Make bqemulator's upload route submit its files to ``jobs``."""

    async def execute_load_job(project_id: str, job_id: str, config: dict[str, Any], _context: AppContext) -> JobMeta:
        # bqemulator has saved the file and set its path as the only source URI.
        load = dict(config["load"])
        path = Path(load.pop("sourceUris")[0].removeprefix("file://"))
        body = {"configuration": {**config, "load": load}, "jobReference": {"jobId": job_id}}
        job = jobs.submit(project_id, body, upload=path)
        await asyncio.to_thread(job.done.wait)
        assert job.meta is not None
        return job.meta

    upload.execute_load_job = execute_load_job
    upload._is_permitted_media_type = lambda _: True


def build_router(store: Store) -> APIRouter:
    """Return the route of the chunks of resumable uploads."""
    router = APIRouter()

    @router.put("/upload/bigquery/v2/projects/{project}/jobs")
    async def append(project: str, request: Request, upload_id: str = "") -> Any:
        headers = request.scope["headers"]
        total = next((_TOTAL.fullmatch(value.strip()) for name, value in headers if name == _RANGE), None)
        session = store.context.upload_sessions.status(upload_id) if total else None
        if session and total and int(total[1]) == session.received_bytes:
            # Without a range, this chunk, which has no bytes, is the last.
            session.declared_total_bytes = session.received_bytes
            scope = {**request.scope, "headers": [pair for pair in headers if pair[0] != _RANGE]}
            request = Request(scope, request.receive)
        return await upload.upload_chunk(project, request, store.context, upload_id)

    return router
