"""What a dataset is: its columns, its checks, the files that its source publishes, and its names in every store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import ClassVar

from nyc_taxi.registry.checks import Checks
from nyc_taxi.registry.columns import LINEAGE, Column, Layout
from nyc_taxi.registry.months import Month


class ContractError(ValueError):
    """A name, month or file does not agree with the registry; trying again cannot help."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One dataset: what its source publishes and where it lives.

    Attributes:
        name: its name in DAG ids, in the lake and in BigQuery.
        title: its name for people.
        source_columns: the columns of its files, in the order that the tables keep.
        postgres_table: its table in the database ``ny_taxi``.
        checks: what must hold of a staging table before it is published, in every store.
        kind: which of the SQL files under ``include/sql`` are its: ``trip`` or ``lookup``.
    """

    kind: ClassVar[str]
    name: str
    title: str
    source_columns: tuple[Column, ...]
    postgres_table: str
    checks: Checks = field(default_factory=Checks)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of its Parquet files and tables: those of the source, then the lineage."""
        return self.source_columns + LINEAGE


@dataclass(frozen=True, kw_only=True)
class TripDataset(Dataset):
    """A dataset published as one file a month.

    Attributes:
        first_month: the first month that the sources of each layout have. Which is the last, the source itself says.
        pickup_column: the pickup time; tables are clustered by it.
        pickup_zone_column: the pickup zone; second in the clustering.
    """

    kind: ClassVar[str] = "trip"
    first_month: Mapping[Layout, Month] = field(hash=False)
    pickup_column: str
    pickup_zone_column: str

    def file(self, month: Month) -> PublishedFile:
        """The file of one month."""
        return PublishedFile(dataset=self, month=month)


@dataclass(frozen=True, kw_only=True)
class LookupDataset(Dataset):
    """A small dataset published as one file without months; its ``source_month`` is null.

    Attributes:
        source_path: where every source serves it.
    """

    kind: ClassVar[str] = "lookup"
    source_path: str

    def file(self) -> PublishedFile:
        """Its one file."""
        return PublishedFile(dataset=self, month=None)


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """One file that a source publishes, and the names of what becomes of it.

    Attributes:
        dataset: the dataset it belongs to.
        month: the month that it publishes; None for a dataset without months.
    """

    dataset: Dataset
    month: Month | None

    def source_path(self, layout: Layout) -> PurePosixPath:
        """Where a source with that layout serves the file, below its base URL.

        Raises:
            ContractError: the month lies before the source's first.
        """
        if isinstance(self.dataset, LookupDataset):
            return PurePosixPath(self.dataset.source_path)
        assert isinstance(self.dataset, TripDataset)
        assert self.month is not None
        first = self.dataset.first_month[layout]
        if self.month < first:
            raise ContractError(f"{self.dataset.name} begins with {first}; there is no {self.month}")
        stem = f"{self.dataset.name}_tripdata_{self.month}"
        if layout is Layout.TLC:
            return PurePosixPath("trip-data", f"{stem}.parquet")
        return PurePosixPath(self.dataset.name, f"{stem}.csv.gz")

    @property
    def parquet_name(self) -> str:
        """The file name of its Parquet: ``green_tripdata_2021-01.parquet``."""
        if isinstance(self.dataset, LookupDataset):
            return PurePosixPath(self.dataset.source_path).with_suffix(".parquet").name
        return f"{self.dataset.name}_tripdata_{self.month}.parquet"

    @property
    def lake_object(self) -> str:
        """The name of its object in the lake's bucket, in a Hive-style partition where there are months."""
        partition = f"year={self.month.year:04d}/month={self.month.month:02d}/" if self.month else ""
        return f"{self.dataset.name}/{partition}{self.parquet_name}"

    @property
    def slug(self) -> str:
        """Dataset and month as part of an SQL identifier: ``green_2021_01``."""
        return f"{self.dataset.name}_{self.month.slug}" if self.month else self.dataset.name

    @property
    def bigquery_table(self) -> str:
        """The BigQuery table or partition that it fills: ``green$202101``."""
        return f"{self.dataset.name}${self.month.partition_id}" if self.month else self.dataset.name

    @property
    def postgres_table(self) -> str:
        """The Postgres table or partition that it fills: ``green_trips_2021_01``."""
        return f"{self.dataset.postgres_table}_{self.month.slug}" if self.month else self.dataset.postgres_table
