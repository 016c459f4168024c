"""The GCS emulator as a component of the embedded cloud."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request

from local.cloud.processes import Process, ProcessError, answers
from local.cloud.settings import REPOSITORY, Settings


def process(settings: Settings) -> Process:
    """Return the GCS server on ``settings.gcs_port``; its preparation creates the lake bucket."""
    settings.gcs_root.mkdir(parents=True, exist_ok=True)
    return Process(
        name="gcs",
        command=[
            *(sys.executable, "-m", "local.cloud.gcs"),
            *("--port", str(settings.gcs_port)),
            *("--root", str(settings.gcs_root)),
        ],
        log=settings.log_dir / "gcs.log",
        healthy=lambda: answers(f"{settings.gcs_url}/storage/v1/b"),
        prepare=lambda: create_bucket(settings),
        cwd=REPOSITORY,
        port=settings.gcs_port,
        port_setting="GCS_PORT",
        url=settings.gcs_url,
        startup_timeout=settings.start_timeout,
        group="cloud",
    )


def create_bucket(settings: Settings) -> None:
    """Create the lake bucket if it does not exist.

    Raises:
        ProcessError: the server refuses, for example because the bucket's name is invalid.
    """
    request = urllib.request.Request(
        f"{settings.gcs_url}/storage/v1/b?project={settings.project}",
        data=json.dumps({"name": settings.lake_bucket}).encode(),
        headers={"Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(request, timeout=30).close()
    except urllib.error.HTTPError as error:
        if error.code != 409:
            text = error.read().decode(errors="replace").strip()
            raise ProcessError(
                f"the bucket LAKE_BUCKET={settings.lake_bucket!r} cannot be created: {text}; set another name in .env"
            ) from error
