"""Downloads a file from an HTTP connection to the local filesystem."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import BaseOperator

from nyc_taxi.source.download import download

if TYPE_CHECKING:
    from airflow.sdk import Context


class HttpToLocalFilesystemOperator(BaseOperator):
    """Download one file from an HTTP source to a local file.

    The file is written atomically. A rerun downloads it again and replaces it.

    Args:
        endpoint: path of the file below the connection's base URL (templated).
        dst: path of the local file (templated).
        http_conn_id: the HTTP connection of the source (templated).

    Returns:
        The path of the local file. The XCom ``version`` is the file's version; empty if the source does not state it.

    Raises:
        NotPublishedError: the source does not have the file. A retry would fail the same way.
        SourceError: the source is down, refuses the request, or dropped the connection.
    """

    template_fields: Sequence[str] = ("endpoint", "dst", "http_conn_id")
    ui_color = "#dbe9f4"

    def __init__(self, *, endpoint: str, dst: str, http_conn_id: str = "taxi_source", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.dst = dst
        self.http_conn_id = http_conn_id

    def execute(self, context: Context) -> str:
        hook = HttpHook(method="GET", http_conn_id=self.http_conn_id)
        with hook.get_conn() as session:
            url = hook.url_from_endpoint(self.endpoint)
            downloaded = download(session, url, Path(self.dst))
        self.log.info("Downloaded %s: %s bytes, %s", url, f"{downloaded.size:,}", downloaded.version)
        context["ti"].xcom_push(key="version", value=downloaded.version)
        return self.dst
