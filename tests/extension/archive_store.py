"""A store of the tests' own: Parquet files in one local folder."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Self

import pandas as pd
import pyarrow.parquet as pq

from nyc_taxi.parquet.provenance import read_footer
from nyc_taxi.registry.model import Dataset, PublishedFile, TripDataset
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.store import NOTHING, Content, Store, StoredMonth


class ArchiveStore(Store):
    """The Parquet files in the folder that the variable ``ARCHIVE`` names."""

    name: ClassVar[str] = "archive"
    asset: ClassVar[str] = "archive"
    step: ClassVar[str] = "web_to_archive"

    @staticmethod
    def folder() -> str:
        return os.environ["ARCHIVE"]

    @classmethod
    def connect(cls) -> Self:
        return cls()

    def months(self, dataset: Dataset) -> dict[Month | None, StoredMonth]:
        assert isinstance(dataset, TripDataset)
        months = [Month.parse(path.stem[-7:]) for path in sorted(Path(self.folder()).glob(f"{dataset.name}_*.parquet"))]
        return {month: stored for month in months if (stored := self.find(dataset.file(month)))}

    def find(self, file: PublishedFile) -> StoredMonth | None:
        path = Path(self.location(file))
        if not path.exists():
            return None
        footer = read_footer(path)
        published_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return StoredMonth(rows=footer.rows, made_from=footer.provenance, published_at=published_at)

    def count(self, file: PublishedFile) -> int:
        return stored.rows if (stored := self.find(file)) else 0

    def content(self, file: PublishedFile) -> Content:
        path = Path(self.location(file))
        if not path.exists():
            return NOTHING
        frame = pq.read_table(path).to_pandas()
        return Content(len(frame), int(pd.util.hash_pandas_object(frame, index=False).sum()))

    def location(self, file: PublishedFile) -> str:
        return f"{self.folder()}/{file.parquet_name}"
