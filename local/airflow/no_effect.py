"""Tells which of the user's settings have no effect, because a connection or variable in ``.env`` takes their place."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from local.airflow.environment import AirflowSettings
from local.cloud.settings import HOST
from nyc_taxi.registry.columns import Layout

SOURCE, POSTGRES = "AIRFLOW_CONN_TAXI_SOURCE", "AIRFLOW_CONN_NY_TAXI"
LINEAGE, LINEAGE_PROVIDER = "AIRFLOW__OPENLINEAGE__TRANSPORT", "airflow.providers.openlineage"
TELEMETRY = ("AIRFLOW__METRICS__OTEL_ON", "AIRFLOW__TRACES__OTEL_ON")
COLLECTOR = "OTEL_EXPORTER_OTLP_ENDPOINT"
GOOGLE, BUCKET = "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", "AIRFLOW_VAR_LAKE_BUCKET"
Address = tuple[str, int | None]
_PORTS = {"http": 80, "https": 443, "postgres": 5432, "postgresql": 5432}


def without_effect(settings: AirflowSettings) -> list[str]:
    """Return a sentence for each of the user's connections and variables that other settings of theirs lose to."""
    source, _ = parse_connection(settings.source_base_url)
    _, extra = parse_connection(os.environ.get(SOURCE) or "")
    own, bucket = bool(os.environ.get(SOURCE)), settings.cloud.lake_bucket
    layout, last_month = extra.get("layout", Layout.MIRROR.value), extra.get("last_month", "")
    google = f"{GOOGLE} leads to Google Cloud" if os.environ.get(GOOGLE) else ""
    kept = {name: f"the secrets backend has {name.split('_', 2)[2].lower()}" for name in settings.in_secrets_backend}
    other_layout = own and _differs(f"the layout of {SOURCE}", layout, settings.layout.value)
    other_month = own and _differs(f"the last_month of {SOURCE}", last_month, settings.last_month)
    telemetry = tuple(name for name in TELEMETRY if os.environ.get(name) == "True")
    found = {
        ("SOURCE", "SOURCE_PORT", "SYNTHETIC_ROWS"): kept.get(SOURCE) or _leads_elsewhere(SOURCE, source),
        ("SOURCE_LAYOUT",): kept.get(SOURCE) or other_layout,
        ("SOURCE_LAST_MONTH",): kept.get(SOURCE) or other_month,
        ("POSTGRES_PORT",): kept.get(POSTGRES) or _leads_elsewhere(POSTGRES, (HOST, settings.cloud.postgres_port)),
        ("GCS_PORT", "BIGQUERY_PORT"): google,
        (LINEAGE,): _is_missing(LINEAGE_PROVIDER) and "OpenLineage is not installed; run make .venv/.team",
        telemetry: telemetry and _answers_nothing(COLLECTOR, settings),
        ("LAKE_BUCKET",): kept.get(BUCKET) or _differs(BUCKET, os.environ.get(BUCKET) or bucket, bucket),
    }
    sentences = [
        f"{' and '.join(given)} {'has' if len(given) == 1 else 'have'} no effect on the DAGs: {reason}"
        for names, reason in found.items()
        if (given := _given(*names)) and reason
    ]
    # By name alone: a connection has a password.
    return sentences + [
        f"{name} has no effect on the DAGs: {kept[name]}" for name in sorted(kept) if os.environ.get(name)
    ]


def parse_connection(connection: str) -> tuple[Address, dict[str, Any]]:
    """Return the host, the port and the extra of a connection, which is JSON or a URI, as Airflow reads it.

    What is neither has the host ``?``: the tasks say what is wrong with it.
    """
    try:
        if connection.lstrip().startswith("{"):
            given = json.loads(connection)
            extra = given.get("extra") or {}
            extra = json.loads(extra) if isinstance(extra, str) else extra
            scheme, host, port = given.get("schema") or given.get("conn_type", ""), given.get("host"), given.get("port")
        else:
            parts = urlsplit(connection)
            extra = dict(parse_qsl(parts.query))
            extra |= json.loads(extra.get("__extra__", "{}"))
            scheme, host, port = parts.scheme, unquote(parts.hostname or ""), parts.port
        # The host of an HTTP connection may be a whole URL.
        if "://" in str(host):
            parts = urlsplit(str(host))
            scheme, host, port = parts.scheme, parts.hostname, parts.port or port
        host = HOST if host == "localhost" else str(host or "").lower()
        return (host, int(port) if port else _PORTS.get(scheme)), extra
    except (ValueError, AttributeError, TypeError):
        return ("?", None), {}


def _given(*names: str) -> list[str]:
    return [f"{name}={os.environ[name]}" for name in names if os.environ.get(name)]


def _answers_nothing(name: str, settings: AirflowSettings) -> str:
    """Return that nothing listens at the address that a setting of the stack has; empty if something does."""
    url = settings.environment()[name]
    (host, port), _ = parse_connection(url)
    try:
        socket.create_connection((host, port or 0), timeout=2).close()
    except OSError as error:
        return f"nothing answers at {name}={url}: {error}"
    return ""


def _is_missing(module: str) -> bool:
    return importlib.util.find_spec(module) is None


def _differs(what: str, value: str, expected: str) -> str:
    return f"{what} is {value or 'not set'}" if value != expected else ""


def _leads_elsewhere(name: str, own: Address) -> str:
    if not (text := os.environ.get(name)):
        return ""
    (host, port), _ = parse_connection(text)
    return f"{name} leads to {host}{f':{port}' if port else ''}" if (host, port) != own else ""
