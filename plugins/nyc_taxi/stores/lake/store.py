"""The lake as a store: one Parquet object for each month, with its provenance in the footer."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Self

import pyarrow.parquet as pq

from nyc_taxi.parquet.provenance import read_footer
from nyc_taxi.registry.model import Dataset, PublishedFile, TripDataset
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.lake.mark import DOWNLOADED_AT, newer_mark
from nyc_taxi.stores.store import NOTHING, Content, Store, StoredMonth

if TYPE_CHECKING:
    from google.cloud import storage

# Number of footers read in parallel; each takes a round trip to the bucket.
READERS = 16
# Bytes in one read. A footer fits; the client's default of 40 MiB would be kept in memory for each reader.
FOOTER_BYTES = 1 << 16
CONTENT_BYTES = 1 << 22
# How often an object is looked up again that is replaced before its footer is read.
LOOK_UPS = 3


class LakeStore(Store):
    """The Parquet objects in one GCS bucket.

    A month's ``made_from`` is the provenance line of its Parquet file; its ``revision`` is the object's generation.

    Args:
        client: a GCS client.
        bucket: name of the bucket.
    """

    name: ClassVar[str] = "lake"
    asset: ClassVar[str] = "lake"
    step: ClassVar[str] = "web_to_gcs"

    def __init__(self, client: storage.Client, bucket: str) -> None:
        self._bucket = client.bucket(bucket)

    @classmethod
    def connect(cls) -> Self:
        """Return the bucket in the variable ``lake_bucket``, accessed by the connection ``google_cloud_default``."""
        from airflow.providers.google.cloud.hooks.gcs import GCSHook
        from airflow.sdk import Variable

        return cls(GCSHook().get_conn(), Variable.get("lake_bucket"))

    def months(self, dataset: Dataset) -> dict[Month | None, StoredMonth]:
        """List the dataset's objects, and read the footer of each."""
        blobs = {
            file.month: blob
            for blob in self._bucket.list_blobs(prefix=f"{dataset.name}/")
            if (file := _file_of(dataset, blob.name)) is not None
        }
        with ThreadPoolExecutor(READERS) as pool:
            found = dict(zip(blobs, pool.map(_stored, blobs.values()), strict=True))
        # The listing is in the order of the names, which is that of the months.
        return {month: stored for month, stored in found.items() if stored is not None}

    def find(self, file: PublishedFile) -> StoredMonth | None:
        """Read the footer of the file's object.

        Raises:
            RuntimeError: the object was replaced between each look-up and its reading.
        """
        for _ in range(LOOK_UPS):
            blob = self._bucket.get_blob(file.lake_object)
            if blob is None or (stored := _stored(blob)) is not None:
                return None if blob is None else stored
        raise RuntimeError(f"{self.location(file)} was replaced during each of {LOOK_UPS} look-ups")

    def confirm(self, file: PublishedFile, stored: StoredMonth, seen_at: datetime) -> bool:
        """Raise the object's mark; the object keeps its generation, so that nothing is loaded from it again.

        Raises:
            RuntimeError: the object's metadata changed between each look-up and the note.
        """
        from google.cloud.exceptions import NotFound, PreconditionFailed

        for _ in range(LOOK_UPS):
            blob = self._bucket.get_blob(file.lake_object)
            if blob is None or str(blob.generation) != stored.revision:
                return False
            if newer_mark(blob, seen_at):
                return True
            blob.metadata = {**(blob.metadata or {}), DOWNLOADED_AT: seen_at.isoformat(timespec="microseconds")}
            try:
                blob.patch(if_generation_match=blob.generation, if_metageneration_match=blob.metageneration)
            except (NotFound, PreconditionFailed):  # looked up again
                continue
            return True
        raise RuntimeError(f"{self.location(file)} was changed during each of {LOOK_UPS} look-ups")

    def count(self, file: PublishedFile) -> int:
        """Return the row count in the footer of the file's object."""
        stored = self.find(file)
        return stored.rows if stored else 0

    def content(self, file: PublishedFile) -> Content:
        """Hash the rows with pandas, in memory bounded by a row group."""
        import pandas as pd

        blob = self._bucket.get_blob(file.lake_object)
        if blob is None:
            return NOTHING
        rows = hashes = 0
        with blob.open("rb", chunk_size=CONTENT_BYTES) as opened:
            for batch in pq.ParquetFile(opened, pre_buffer=False).iter_batches():
                rows += batch.num_rows
                hashes += int(pd.util.hash_pandas_object(batch.to_pandas(), index=False).sum())
        return Content(rows, hashes % 2**64)

    def location(self, file: PublishedFile) -> str:
        """Return the object's URI."""
        return f"gs://{self._bucket.name}/{file.lake_object}"


def _file_of(dataset: Dataset, name: str) -> PublishedFile | None:
    """Return the published file whose object has that name; None if the object is not the pipeline's."""
    if not isinstance(dataset, TripDataset):
        file = dataset.file()  # type: ignore[attr-defined]
    elif found := re.search(r"/year=(\d{4})/month=(0[1-9]|1[0-2])/", name):
        file = dataset.file(Month(int(found[1]), int(found[2])))
    else:
        return None
    return file if file.lake_object == name else None


def _stored(blob: storage.Blob) -> StoredMonth | None:
    """Return what the object states about itself; None if it was replaced or deleted since it was looked up."""
    from google.cloud.exceptions import NotFound

    try:
        with blob.open("rb", chunk_size=FOOTER_BYTES) as opened:
            footer = read_footer(opened)
    except NotFound:  # the client reads only the generation that it looked up
        return None
    return StoredMonth(
        rows=footer.rows,
        made_from=footer.provenance,
        published_at=blob.time_created,
        revision=str(blob.generation),
    )
