"""The interface of a store: which months it has, with how many rows, and what they were made from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

from nyc_taxi.registry.model import Dataset, PublishedFile
from nyc_taxi.registry.months import Month


class MissingMonthError(RuntimeError):
    """A store lacks the month that another store is loaded from; a retry would fail the same way."""


@dataclass(frozen=True, kw_only=True)
class StoredMonth:
    """One month of a dataset in a store; for a dataset without months, the whole of it.

    Attributes:
        rows: number of rows.
        made_from: what the rows were made from, as one line; empty if the store does not know. A month is up to date
            if this equals what a new load would be made from.
        published_at: when the rows became visible (UTC); None if the store does not know.
        version: what a store that is loaded from this one notes as ``made_from``; empty if there is none such.
    """

    rows: int
    made_from: str
    published_at: datetime | None
    version: str = ""


@dataclass(frozen=True)
class Content:
    """The rows of one month: how many, and the sum of their hashes, which does not depend on their order.

    Each store hashes in its own way. Compare hashes of one store only.
    """

    rows: int
    hash: int


class Store(ABC):
    """A place where published months are kept, asked through its own client.

    Answers come from the stored data, never from what a task reported. Everything that asks which months are there uses
    this interface: skipping, reconciliation, the rollup, the demo and the comparison with Prefect.

    Attributes:
        name: its name in the reconciliation line.
        asset: prefix of the names of its assets: ``lake`` for ``lake_green``.
    """

    name: ClassVar[str]
    asset: ClassVar[str]

    @classmethod
    @abstractmethod
    def connect(cls) -> Self:
        """Return the store that Airflow's connections and variables describe.

        Raises:
            AirflowNotFoundException: a connection is not defined.
        """

    @abstractmethod
    def months(self, dataset: Dataset) -> Mapping[Month | None, StoredMonth]:
        """Return the months of the dataset that are there, in order. The key is None for a dataset without months."""

    def available(self, dataset: Dataset) -> frozenset[Month | None]:
        """Return the months of the dataset that are there, as the keys of :meth:`months`."""
        return frozenset(self.months(dataset))

    @abstractmethod
    def find(self, file: PublishedFile) -> StoredMonth | None:
        """Return what the store has of one published file; None if it has nothing."""

    @abstractmethod
    def count(self, file: PublishedFile) -> int:
        """Return the number of rows of one published file, counted in the data; 0 if there are none."""

    @abstractmethod
    def content(self, file: PublishedFile) -> Content:
        """Return the content of one published file; no rows if it is not there."""

    def counts(self, file: PublishedFile) -> dict[str, int]:
        """Return the number of rows in each place of the store: one place, unless a store says otherwise."""
        return {self.name: self.count(file)}

    @abstractmethod
    def location(self, file: PublishedFile) -> str:
        """Return the name of the object, table or partition that holds one published file, for messages."""


NOTHING = Content(rows=0, hash=0)
