"""Downloads a file from an HTTP connection to the work dir."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from nyc_taxi.common.lineage import file_dataset, reads_and_writes
from nyc_taxi.common.work_files import output_file
from nyc_taxi.source.download import download
from nyc_taxi.source.session import source_session, source_url

if TYPE_CHECKING:
    from airflow.sdk import Context


class HttpToLocalFilesystemOperator(BaseOperator):
    """Download one file from an HTTP source to a local file, or to an object by way of a temporary file.

    The file appears whole. A rerun downloads it again and replaces it. A transfer that breaks off is resumed within the
    try; docs/sources.md has the limits. A retry starts over, on whatever machine.

    Args:
        endpoint: path of the file below the connection's base URL (templated).
        dst: path of the local file, or ``gs://`` URI of the object (templated).
        announced: what the source stated about the file, as PublicationSensor pushes it; a file of another length is
            refused as cut short. Empty if unknown (templated).
        http_conn_id: the HTTP connection of the source (templated).

    Returns:
        The path or URI of the file. The XCom ``version`` is the file's version; empty if the source does not state it.
        The XCom ``downloaded_at`` is when the source began to send it: of two downloads, the later one is newer. The
        XCom ``run_started_at`` is when the run started, by the scheduler's clock; empty if unknown.

    Raises:
        NotPublishedError: the source does not have the file. A retry would fail the same way.
        PermanentSourceError: the source refuses the file for good, or redirects to where it must not. A retry would
            fail the same way.
        SourceError: the source is down, answers with an error, is too slow, or dropped the connection.
        DiskFullError: the disk is full.
        WorkDirError: the bucket does not exist, or refuses the object. A retry would fail the same way.
    """

    template_fields: Sequence[str] = ("endpoint", "dst", "announced", "http_conn_id")
    ui_color = "#dbe9f4"

    def __init__(
        self, *, endpoint: str, dst: str, announced: str = "", http_conn_id: str = "taxi_source", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.dst = dst
        self.announced = announced
        self.http_conn_id = http_conn_id

    def execute(self, context: Context) -> str:
        with (
            output_file(self.dst) as target,
            source_session(self.http_conn_id, self.endpoint) as (session, url),
        ):
            downloaded = download(session, url, target, announced=self.announced)
        self.log.info("Downloaded %s: %s bytes, %s", url, f"{downloaded.size:,}", downloaded.version)
        # Noted here and not asked for later: if only later tasks are cleared, the run starts again without a download.
        started_at = context["dag_run"].start_date
        context["ti"].xcom_push(key="run_started_at", value=started_at.isoformat() if started_at else "")
        context["ti"].xcom_push(key="version", value=downloaded.version)
        context["ti"].xcom_push(key="downloaded_at", value=downloaded.answered_at.isoformat(timespec="microseconds"))
        return self.dst

    def get_openlineage_facets_on_start(self) -> Any:
        """Return what OpenLineage is told: the source's file, and the file in the work dir."""
        source = source_url(self.http_conn_id, self.endpoint)
        return reads_and_writes(inputs=[file_dataset(source)], outputs=[file_dataset(self.dst)])
