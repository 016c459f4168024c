"""What every Airflow process does at start-up beside the emulators: all that config/ does, and nothing goes to Google.

Airflow imports the first ``airflow_local_settings`` on ``PYTHONPATH``. The local stack puts this folder there instead
of ``config/``, and docker-compose.yaml does the same while it uses the emulators.

``STORAGE_EMULATOR_HOST`` and ``BIGQUERY_EMULATOR_HOST`` redirect most clients of the Google provider, but not all. So:

- Clients that are built from a discovery document, as ``BigQueryHook.get_conn`` and the check operators do, are built
  for the emulators.
- BigQuery's client reads large results through REST. Without this, it would use the Storage API, which no setting
  redirects. This can go when the emulator has a Storage API and the client can be pointed at it.
- Whatever else would open a connection to Google fails at once, with a sentence that says what to do. An audit hook
  sees the addresses of all libraries that use Python's sockets; gRPC has its own, and is asked when it makes a channel.
"""

import functools
import json
import os
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import google.cloud.bigquery
import googleapiclient.discovery
import grpc.aio

_CONFIG = Path(__file__).resolve().parents[3] / "config" / "airflow_local_settings.py"
_GOOGLE = re.compile(
    r"(.+\.)?(googleapis\.com|google\.internal|cloud\.google\.com|accounts\.google\.com)\.?|169\.254\.169\.254", re.I
)
_SERVED = {"bigquery": ("BIGQUERY_EMULATOR_HOST", "bigquery/v2/"), "storage": ("STORAGE_EMULATOR_HOST", "storage/v1/")}


class LeavesThisMachineError(RuntimeError):
    """Something would connect to Google. No library takes this for a failure of the network and tries again."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"{host} is Google's, and this Airflow works with emulators: nothing goes to Google. docs/local-cloud.md "
            "says what they serve; to use Google Cloud itself, set AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT in .env"
        )


def _refuse(host: object) -> None:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if isinstance(name, str) and _GOOGLE.fullmatch(name):
        raise LeavesThisMachineError(name)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        _refuse(arguments[0])
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        _refuse(arguments[1][0])


def _guard_channels(module: Any) -> None:
    """Let gRPC make no channel to Google; its sockets are not Python's."""
    for name in ("secure_channel", "insecure_channel"):
        setattr(module, name, functools.partial(_make_channel, getattr(module, name)))


def _make_channel(make: Any, target: str, *args: Any, **kwargs: Any) -> Any:
    _refuse(re.sub(r"^\w+:///?|:\d+$", "", target))
    return make(target, *args, **kwargs)


def _serve_discovered() -> None:
    """Build the clients of the emulators' services for the emulators."""
    build = googleapiclient.discovery.build_from_document

    def build_here(service: Any, *args: Any, client_options: Any = None, **kwargs: Any) -> Any:
        document = json.loads(service) if isinstance(service, (str, bytes)) else service
        variable, path = _SERVED.get(document.get("name", ""), ("", ""))
        if emulator := os.environ.get(variable):
            client_options = {"api_endpoint": f"{emulator.rstrip('/')}/{path}"}
        return build(service, *args, client_options=client_options, **kwargs)

    googleapiclient.discovery.build_from_document = build_here


def _without_proxies() -> None:
    """Connect to Google without a proxy, which would otherwise hide the name from the guard."""
    names = "googleapis.com,google.internal,cloud.google.com,accounts.google.com,169.254.169.254"
    for variable in ("NO_PROXY", "no_proxy"):
        given = os.environ.get(variable, "")
        if given != "*" and names not in given:
            os.environ[variable] = f"{given},{names}".lstrip(",")


if not getattr(sys, "_nothing_goes_to_google", False):
    sys._nothing_goes_to_google = True  # type: ignore[attr-defined]  # a hook cannot be removed, so it is added once
    sys.addaudithook(_audit)
    _guard_channels(grpc)
    _guard_channels(grpc.aio)
    _serve_discovered()
_without_proxies()
# gcsfs, and with it ObjectStoragePath, would first ask for zonal buckets by gRPC, and wait a minute for an answer.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
google.cloud.bigquery.Client._ensure_bqstorage_client = lambda self, *args, **kwargs: None  # type: ignore[method-assign]

_shared = runpy.run_path(str(_CONFIG))
# Airflow takes over the names in __all__: the same ones as from config/.
__all__ = list(_shared["__all__"])
globals().update({name: _shared[name] for name in __all__})
