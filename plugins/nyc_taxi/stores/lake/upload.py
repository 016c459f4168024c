"""Uploads a month's Parquet file to the lake, unless the lake's object was made from a newer download."""

from __future__ import annotations

import base64
import hashlib
import io
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.google.cloud.hooks.gcs import GCSHook
from airflow.providers.google.cloud.transfers.local_to_gcs import LocalFilesystemToGCSOperator
from google.cloud.exceptions import PreconditionFailed

from nyc_taxi.common.lineage import file_dataset, reads_and_writes
from nyc_taxi.common.progress import Progress
from nyc_taxi.common.skip import skip
from nyc_taxi.common.work_files import input_file
from nyc_taxi.parquet.schema import column_types
from nyc_taxi.registry.datasets import get_dataset
from nyc_taxi.stores.lake.mark import DOWNLOADED_AT, is_ahead, newer_mark, parse_time

if TYPE_CHECKING:
    from airflow.sdk import Context
    from google.cloud import storage

OVERTAKEN = "overtaken by a newer download of the source"
CLOCK_AHEAD = "the worker's clock was ahead, so this run's download may be the older one"
# How often an object is looked at again that another run replaced meanwhile.
UPLOADS = 5


class UploadOperator(LocalFilesystemToGCSOperator):
    """Upload one local file as an object, which it replaces whole, unless the object is of a newer download.

    The upload succeeds only if the object and its mark are still what was looked at, so of two runs at once, the newer
    download wins. An object whose download is not known is replaced. An object that is this very upload is left as it
    is: a try was killed after it, or its answer was lost.

    If this run's download is later than now, by the bucket's clock, the worker's clock was ahead. Then the run's start
    counts in its place, which the scheduler's clock gives, and which was earlier. If that is later than now, too, the
    object stays.

    Args:
        downloaded_at: when the source sent what the file was made from, in ISO 8601; empty if unknown (templated).
        run_started_at: when the run that downloaded it started, in ISO 8601; empty if unknown (templated).
        rows: the file's number of rows, for the log; without one it is unknown (templated).
        dataset: name of the dataset in the registry (templated).
        kwargs: the arguments of LocalFilesystemToGCSOperator, for one file without ``gzip``. ``src`` may also be the
            ``gs://`` URI of an object in the work dir, which is downloaded first: so the upload is the same.

    Returns:
        The object's URI, in a list.

    Raises:
        AirflowSkipException: the object was made from a newer download, or maybe was, and the worker's clock was ahead.
        RuntimeError: other runs replaced the object before each upload.
        MissingFileError: the file is missing that the conversion has written.
        WorkDirError: the bucket of the work dir does not exist, or refuses the request.
    """

    template_fields: Sequence[str] = (
        *LocalFilesystemToGCSOperator.template_fields,
        "downloaded_at",
        "run_started_at",
        "rows",
        "dataset",
    )

    def __init__(
        self,
        *,
        downloaded_at: str = "{{ downloaded_at() }}",
        run_started_at: str = "{{ run_started_at() }}",
        rows: str = "",
        dataset: str = "{{ dataset.name }}",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.downloaded_at = downloaded_at
        self.run_started_at = run_started_at
        self.rows = rows
        self.dataset = dataset

    def execute(self, context: Context) -> list[str]:
        assert isinstance(self.src, str)  # one file
        with input_file(self.src) as self._file:
            return self._replace_object(context)

    def get_openlineage_facets_on_start(self) -> Any:
        """Return what OpenLineage is told: the file in the work dir, and the lake's object, with their columns."""
        columns = column_types(get_dataset(self.dataset))
        return reads_and_writes(
            inputs=[file_dataset(str(self.src), columns)],
            outputs=[file_dataset(f"gs://{self.bucket}/{self.dst}", columns)],
        )

    def _replace_object(self, context: Context) -> list[str]:
        hook = GCSHook(gcp_conn_id=self.gcp_conn_id, impersonation_chain=self.impersonation_chain)
        bucket = hook.get_conn().bucket(self.bucket)
        uri = f"gs://{self.bucket}/{self.dst}"
        for _ in range(UPLOADS):
            existing = bucket.get_blob(self.dst)
            if existing and self._is_own(existing):
                self.log.info("%s was uploaded by this run before, as generation %s", uri, existing.generation)
                return [uri]
            if existing and self.downloaded_at:
                self._skip_overtaken(context, existing, uri)
            try:
                self._upload(bucket, existing)
            except PreconditionFailed:
                self.log.info("%s is not what was looked at, so it is looked at again", uri)
            else:
                return [uri]
        raise RuntimeError(f"{uri} was replaced by other runs before each of {UPLOADS} uploads; start this run again")

    def _is_own(self, existing: storage.Blob) -> bool:
        """Return whether the object has the mark and the content of this upload."""
        if (existing.metadata or {}).get(DOWNLOADED_AT, "") != self.downloaded_at:
            return False
        with self._file.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
        return existing.md5_hash == base64.b64encode(digest).decode()

    def _skip_overtaken(self, context: Context, existing: storage.Blob, uri: str) -> None:
        """Skip the task if the object was made from a newer download than this run's, or if it may have been."""
        stays = "The object stays. To load what the source has now, start a new run."
        download = datetime.fromisoformat(self.downloaded_at)
        if not is_ahead(existing.client, download):
            if newer := newer_mark(existing, download):
                made = f"{uri} was made from the download of {newer.isoformat(timespec='microseconds')}"
                skip(context["ti"], f"{OVERTAKEN}: {made}, this run's is of {self.downloaded_at}. {stays}")
            return
        started = parse_time(self.run_started_at)
        if started is None or is_ahead(existing.client, started):
            started = datetime.min.replace(tzinfo=UTC)
        if newer := newer_mark(existing, started):
            made = f"{uri} was made from the download of {newer.isoformat(timespec='microseconds')}"
            run = f"this run started at {self.run_started_at or 'an unknown time'}"
            own = f"its download is of {self.downloaded_at}, which is later than now"
            skip(context["ti"], f"{CLOCK_AHEAD}: {made}; {run}, and {own}. {stays}", level=logging.WARNING)

    def _upload(self, bucket: storage.Bucket, existing: storage.Blob | None) -> None:
        blob = bucket.blob(self.dst, chunk_size=self.chunk_size)
        if self.downloaded_at:
            blob.metadata = {DOWNLOADED_AT: self.downloaded_at}
        size, rows = self._file.stat().st_size, int(self.rows) if self.rows.isdigit() else None
        progress = Progress(self.log, f"upload of {self._file.name}", size=size)
        with progress, _WatchedFile(self._file, progress) as file:
            blob.upload_from_file(
                file,
                size=size,
                content_type=self.mime_type,
                if_generation_match=existing.generation if existing else 0,
                if_metageneration_match=existing.metageneration if existing else None,
            )
            progress.complete(rows=rows, size=size)


class _WatchedFile(io.BufferedReader):
    """A file open for reading that reports how far it has been read."""

    def __init__(self, path: Path, progress: Progress) -> None:
        super().__init__(io.FileIO(path))
        self._progress = progress

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        # The position and not a sum: the client reads a chunk again if it has to send it again.
        self._progress.reach(size=self.tell())
        return data
