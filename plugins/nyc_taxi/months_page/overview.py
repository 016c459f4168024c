"""Compares what the stores have of a month."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from nyc_taxi.months_page.runs import Runs
from nyc_taxi.registry.model import Dataset, TripDataset
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.lake.store import LakeStore
from nyc_taxi.stores.store import Store, StoredMonth

MonthsByStore = Mapping[str, Mapping[Month | None, StoredMonth]]


class State(StrEnum):
    """How a store's month compares with the lake's.

    Attributes:
        SAME: made from the lake's version of the month, with as many rows; the lake's own month always is.
        BEHIND: made from another version than the lake has now.
        DIFFERENT: made from the lake's version, but with another number of rows: something changed the rows.
        ALONE: the lake does not have the month.
    """

    SAME = "same"
    BEHIND = "behind"
    DIFFERENT = "different"
    ALONE = "alone"


def compare(store: type[Store], stored: StoredMonth, lake: StoredMonth | None) -> State:
    """Return how ``stored``, a month in ``store``, compares with the same month in the lake."""
    if store is LakeStore:
        return State.SAME
    if lake is None:
        return State.ALONE
    if stored.made_from != (lake.revision if store.loaded_from == LakeStore.name else lake.made_from):
        return State.BEHIND
    return State.SAME if stored.rows == lake.rows else State.DIFFERENT


def months_of(found: MonthsByStore, dataset: Dataset, runs: Iterable[Runs]) -> Sequence[Month | None]:
    """Return the months to show: those that any store has or any run tried to load, and those between, as gaps."""
    if not isinstance(dataset, TripDataset):
        return [None]
    named = {month for months in (*found.values(), *(one.newest for one in runs)) for month in months}
    known = sorted(month for month in named if month is not None)
    months = known[:1]
    while months and months[-1] < known[-1]:
        months.append(months[-1].next)
    return months
