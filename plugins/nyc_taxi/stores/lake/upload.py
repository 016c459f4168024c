"""Uploads a month's Parquet file to the lake, unless the lake's object was made from a newer download."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.google.cloud.hooks.gcs import GCSHook
from airflow.providers.google.cloud.transfers.local_to_gcs import LocalFilesystemToGCSOperator
from google.cloud.exceptions import PreconditionFailed

from nyc_taxi.common.progress import Progress
from nyc_taxi.common.skip import skip
from nyc_taxi.stores.lake.mark import DOWNLOADED_AT, newer_mark

if TYPE_CHECKING:
    from airflow.sdk import Context
    from google.cloud import storage

OVERTAKEN = "overtaken by a newer download of the source"
# How often an object is looked at again that another run replaced meanwhile.
UPLOADS = 5


class UploadOperator(LocalFilesystemToGCSOperator):
    """Upload one local file as an object, which it replaces whole, unless the object is of a newer download.

    The upload succeeds only if the object and its mark are still what was looked at, so of two runs at once, the newer
    download wins. An object whose download is not known is replaced. An object that is this very upload is left as it
    is: a try was killed after it, or its answer was lost.

    Args:
        downloaded_at: when the source sent what the file was made from, in ISO 8601; empty if unknown (templated).
        kwargs: the arguments of LocalFilesystemToGCSOperator, for one file without ``gzip``.

    Returns:
        The object's URI, in a list.

    Raises:
        AirflowSkipException: the object was made from a newer download.
        RuntimeError: other runs replaced the object before each upload.
    """

    template_fields: Sequence[str] = (*LocalFilesystemToGCSOperator.template_fields, "downloaded_at")

    def __init__(self, *, downloaded_at: str = "{{ downloaded_at() }}", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.downloaded_at = downloaded_at

    def execute(self, context: Context) -> list[str]:
        hook = GCSHook(gcp_conn_id=self.gcp_conn_id, impersonation_chain=self.impersonation_chain)
        bucket = hook.get_conn().bucket(self.bucket)
        uri = f"gs://{self.bucket}/{self.dst}"
        for _ in range(UPLOADS):
            existing = bucket.get_blob(self.dst)
            if existing and self._is_own(existing):
                self.log.info("%s was uploaded by this run before, as generation %s", uri, existing.generation)
                return [uri]
            if newer := self._newer_download(existing):
                skip(
                    context["ti"],
                    f"{OVERTAKEN}: {uri} was made from the download of {newer}, this run's is of "
                    f"{self.downloaded_at}. The object stays. To load what the source has now, start a new run.",
                )
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
        assert isinstance(self.src, str)  # one file
        with Path(self.src).open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
        return existing.md5_hash == base64.b64encode(digest).decode()

    def _newer_download(self, existing: storage.Blob | None) -> str | None:
        """Return when the source last had what the object was made from, if that is newer than this run's download."""
        if existing is None or not self.downloaded_at:
            return None
        newer = newer_mark(existing, datetime.fromisoformat(self.downloaded_at))
        return newer.isoformat(timespec="microseconds") if newer else None

    def _upload(self, bucket: storage.Bucket, existing: storage.Blob | None) -> None:
        blob = bucket.blob(self.dst, chunk_size=self.chunk_size)
        if self.downloaded_at:
            blob.metadata = {DOWNLOADED_AT: self.downloaded_at}
        assert isinstance(self.src, str)  # one file
        size = Path(self.src).stat().st_size
        progress = Progress(self.log, f"upload of {Path(self.src).name}", size=size)
        with progress, _WatchedFile(self.src, progress) as file:
            blob.upload_from_file(
                file,
                size=size,
                content_type=self.mime_type,
                if_generation_match=existing.generation if existing else 0,
                if_metageneration_match=existing.metageneration if existing else None,
            )


class _WatchedFile(io.BufferedReader):
    """A file open for reading that reports how far it has been read."""

    def __init__(self, path: str, progress: Progress) -> None:
        super().__init__(io.FileIO(path))
        self._progress = progress

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        # The position and not a sum: the client reads a chunk again if it has to send it again.
        self._progress.reach(size=self.tell())
        return data
