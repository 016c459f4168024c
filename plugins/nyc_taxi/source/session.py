"""Opens an HTTP session for an Airflow connection, and asks through it whether a file is published."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import requests
from airflow.providers.http.hooks.http import HttpHook

from nyc_taxi.source.addresses import AddressGuard
from nyc_taxi.source.connections import SourceAdapter
from nyc_taxi.source.download import Announcement, announcement

# What the pipeline itself reads of the connection's extra; the hook takes it for headers of the request.
_SETTINGS = ("layout", "last_month", "private")


@contextmanager
def source_session(http_conn_id: str, endpoint: str) -> Iterator[tuple[requests.Session, str]]:
    """Yield a session with the connection's settings, and the URL of ``endpoint``."""
    hook = HttpHook(method="GET", http_conn_id=http_conn_id)
    with hook.get_conn() as session:
        settings = {name: session.headers.pop(name, None) for name in _SETTINGS}
        SourceAdapter.of(session).guard = AddressGuard(private=str(settings["private"]).lower() == "true")
        yield session, hook.url_from_endpoint(endpoint)


def source_url(http_conn_id: str, endpoint: str) -> str:
    """Return the URL of ``endpoint``, without a request."""
    hook = HttpHook(method="GET", http_conn_id=http_conn_id)
    with hook.get_conn():
        return hook.url_from_endpoint(endpoint)


def published_version(http_conn_id: str, endpoint: str) -> Announcement:
    """Return what the source states about the file at ``endpoint``; raises what :func:`announcement` raises."""
    with source_session(http_conn_id, endpoint) as (session, url):
        return announcement(session, url)
