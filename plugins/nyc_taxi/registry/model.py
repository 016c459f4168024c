"""The model of a dataset: its columns, its checks, its published files, and its names in every store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import ClassVar

from nyc_taxi.registry.checks import Checks
from nyc_taxi.registry.columns import LINEAGE, Column, Layout
from nyc_taxi.registry.months import Month


class ContractError(ValueError):
    """A name, month or file does not match the registry; a retry would fail the same way."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One dataset: its contract, and its names in every store.

    Attributes:
        name: its name in DAG ids, in the lake and in BigQuery.
        title: its display name.
        source_columns: the columns of its published files, in the order of the tables.
        table: its table in an SQL database.
        checks: the checks of its staging tables, in every store.
        kind: the kind of SQL files under ``include/sql`` that it uses: ``trip`` or ``lookup``.
    """

    kind: ClassVar[str]
    name: str
    title: str
    source_columns: tuple[Column, ...]
    table: str
    checks: Checks = field(default_factory=Checks)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of its Parquet files and tables: the source's columns, then the lineage columns."""
        return self.source_columns + LINEAGE


@dataclass(frozen=True, kw_only=True)
class TripDataset(Dataset):
    """A dataset published as one file a month.

    Attributes:
        first_month: the first month at the source of each layout. The last is set in the connection ``taxi_source``.
        pickup_column: name of the pickup time column; the first clustering column.
        pickup_zone_column: name of the pickup zone column; the second clustering column.
    """

    kind: ClassVar[str] = "trip"
    first_month: Mapping[Layout, Month] = field(hash=False)
    pickup_column: str
    pickup_zone_column: str

    def file(self, month: Month) -> PublishedFile:
        """Return the published file of one month."""
        return PublishedFile(dataset=self, month=month)


@dataclass(frozen=True, kw_only=True)
class LookupDataset(Dataset):
    """A small dataset published as one file without months; its ``source_month`` is null.

    Attributes:
        source_path: its path at every source, below the base URL.
    """

    kind: ClassVar[str] = "lookup"
    source_path: str

    def file(self) -> PublishedFile:
        """Return the one published file."""
        return PublishedFile(dataset=self, month=None)


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """One file that a source publishes, and the names of its objects and tables in every store.

    Attributes:
        dataset: the dataset that the file belongs to.
        month: the month of its rows; None for a dataset without months.
    """

    dataset: Dataset
    month: Month | None

    def source_path(self, layout: Layout) -> PurePosixPath:
        """Return the file's path at a source of that layout, below the base URL.

        Raises:
            ContractError: the month is before the source's first month.
        """
        if isinstance(self.dataset, LookupDataset):
            return PurePosixPath(self.dataset.source_path)
        assert isinstance(self.dataset, TripDataset)
        assert self.month is not None
        first = self.dataset.first_month[layout]
        if self.month < first:
            raise ContractError(f"no {self.dataset.name} file for {self.month}: the source starts with {first}")
        stem = f"{self.dataset.name}_tripdata_{self.month}"
        if layout is Layout.TLC:
            return PurePosixPath("trip-data", f"{stem}.parquet")
        return PurePosixPath(self.dataset.name, f"{stem}.csv.gz")

    @property
    def parquet_name(self) -> str:
        """The name of its Parquet file: ``green_tripdata_2021-01.parquet``."""
        if isinstance(self.dataset, LookupDataset):
            return PurePosixPath(self.dataset.source_path).with_suffix(".parquet").name
        return f"{self.dataset.name}_tripdata_{self.month}.parquet"

    @property
    def lake_object(self) -> str:
        """The name of its object in the lake's bucket; a month's object is in a Hive-style partition."""
        partition = f"year={self.month.year:04d}/month={self.month.month:02d}/" if self.month else ""
        return f"{self.dataset.name}/{partition}{self.parquet_name}"

    @property
    def slug(self) -> str:
        """Dataset and month as part of an SQL identifier: ``green_2021_01``."""
        return f"{self.dataset.name}_{self.month.slug}" if self.month else self.dataset.name

    @property
    def bigquery_table(self) -> str:
        """The BigQuery table or partition that the file is loaded into: ``green$202101``."""
        return f"{self.dataset.name}${self.month.partition_id}" if self.month else self.dataset.name

    @property
    def table(self) -> str:
        """The table or partition of an SQL database that the file is loaded into: ``green_trips_2021_01``."""
        return f"{self.dataset.table}_{self.month.slug}" if self.month else self.dataset.table
