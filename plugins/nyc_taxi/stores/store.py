"""The interface of a store: the months that it has, their row counts, and what they were made from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Self

from nyc_taxi.registry.model import Dataset, PublishedFile
from nyc_taxi.registry.months import Month


class MissingMonthError(RuntimeError):
    """The store to load from lacks the month; a retry would fail the same way."""


@dataclass(frozen=True, kw_only=True)
class StoredMonth:
    """One month of a dataset in a store, or a whole dataset without months.

    Attributes:
        rows: the number of rows.
        made_from: what the rows were made from, as one line; empty if unknown. The month is unchanged if a new load
            would have the same ``made_from``.
        published_at: when the rows became visible (UTC); None if unknown.
        revision: what identifies this content of the month in the store; it is the ``made_from`` of a store that is
            loaded from this one. Empty if no store is.
    """

    rows: int
    made_from: str
    published_at: datetime | None
    revision: str = ""


@dataclass(frozen=True)
class Content:
    """The content of one month: the row count, and the sum of the row hashes, which does not depend on their order.

    Each store uses its own hash function, so only hashes of the same store are comparable.
    """

    rows: int
    hash: int


class Store(ABC):
    """A place that keeps published months, queried by its own client.

    Answers come from the stored data, never from what a task reported. Skipping, reconciliation, the rollup, the demo
    and the comparison with Prefect use this interface to find out which months there are.

    Attributes:
        name: its name in the reconciliation line.
        asset: the prefix of its asset names: ``lake`` for ``lake_green``.
        step: what its DAGs are called after the dataset: ``web_to_gcs`` for ``green_web_to_gcs``.
        loaded_from: the name of the store whose months start its DAGs; None if they read the source.
        macros: the names that its SQL may use in addition to those of every DAG, such as the types of its columns.
    """

    name: ClassVar[str]
    asset: ClassVar[str]
    step: ClassVar[str]
    loaded_from: ClassVar[str | None] = None
    macros: ClassVar[Mapping[str, Callable[..., Any]]] = {}

    @classmethod
    def dag_id(cls, dataset: Dataset) -> str:
        """Return the id of the DAG that loads the dataset into this store: ``green_web_to_gcs``."""
        return f"{dataset.name}_{cls.step}"

    @classmethod
    @abstractmethod
    def connect(cls) -> Self:
        """Return the store that Airflow's connections and variables describe.

        Raises:
            AirflowNotFoundException: a connection is not defined.
        """

    @abstractmethod
    def months(self, dataset: Dataset) -> Mapping[Month | None, StoredMonth]:
        """Return the months that the store has, in order; the key is None for a dataset without months."""

    def available(self, dataset: Dataset) -> frozenset[Month | None]:
        """Return the keys of :meth:`months`; a store may have a cheaper way to find them."""
        return frozenset(self.months(dataset))

    @abstractmethod
    def find(self, file: PublishedFile) -> StoredMonth | None:
        """Return the stored month of one published file; None if the store does not have it."""

    def get(self, file: PublishedFile) -> StoredMonth:
        """Return the stored month of one published file, for a task that loads it into another store.

        Raises:
            MissingMonthError: the store does not have it.
        """
        if (stored := self.find(file)) is None:
            raise MissingMonthError(f"there is no {self.location(file)}; run {self.dag_id(file.dataset)} for it first")
        return stored

    def confirm(self, file: PublishedFile, stored: StoredMonth, seen_at: datetime) -> bool:
        """Note that the source had at ``seen_at`` what the stored month was made from.

        An older download of something else must not replace the month from then on. By default, nothing is noted: a
        store whose publishes do not compare downloads needs no note.

        Args:
            file: the month's published file.
            stored: what :meth:`find` has returned for it.
            seen_at: a time before the source was asked; with its zone.

        Returns:
            Whether the store still has the month as ``stored`` describes it. If not, nothing is noted.
        """
        return True

    @abstractmethod
    def count(self, file: PublishedFile) -> int:
        """Return the row count of one published file, counted in the stored data; 0 if it is not there."""

    @abstractmethod
    def content(self, file: PublishedFile) -> Content:
        """Return the content of one published file; :data:`NOTHING` if it is not there."""

    def counts(self, file: PublishedFile) -> dict[str, int]:
        """Return the row count by name of the place that holds the rows; by default, the store is the only place."""
        return {self.name: self.count(file)}

    @abstractmethod
    def location(self, file: PublishedFile) -> str:
        """Return the name of the object, table or partition that holds one published file, for messages."""


NOTHING = Content(rows=0, hash=0)
