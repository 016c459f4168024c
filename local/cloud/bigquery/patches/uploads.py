"""Patch of bqemulator 1.4.0: load the files that come with a load job by this package.

Replaces ``execute_load_job`` and ``_is_permitted_media_type`` of ``bqemulator.api.routes.upload``.

Why: bqemulator's own load binds Parquet columns by position and keeps the files before one that fails. It also refuses
the media type ``*/*``, which the official Python client sends.

Can be removed when bqemulator's load jobs bind by name and are atomic, and its upload route takes ``*/*``.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from bqemulator.api.dependencies import AppContext
from bqemulator.api.routes import upload
from bqemulator.catalog.models import JobMeta

from local.cloud.bigquery.jobs import Jobs


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
