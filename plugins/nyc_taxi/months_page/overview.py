"""Compares what the stores have of a month."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from nyc_taxi.months_page.looks import Look
from nyc_taxi.months_page.runs import Runs
from nyc_taxi.registry.model import Dataset, TripDataset
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.lake.store import LakeStore
from nyc_taxi.stores.store import Store


class State(StrEnum):
    """How a store's month compares with the lake's.

    Attributes:
        SAME: made from the lake's version of the month, with as many rows; the lake's own month always is.
        BEHIND: made from another version than the lake has now.
        DIFFERENT: made from the lake's version, but with another number of rows: something changed the rows.
        ALONE: the lake does not have the month.
        MISSING: the store does not have the month.
        UNKNOWN: the store, or the lake, has not answered yet.
    """

    SAME = "same"
    BEHIND = "behind"
    DIFFERENT = "different"
    ALONE = "alone"
    MISSING = "missing"
    UNKNOWN = "unknown"


def compare(store: type[Store], month: Month | None, looks: Mapping[str, Look]) -> State:
    """Return how a month in ``store`` compares with the same month in the lake, by the last look at each store."""
    look, at_lake = looks[store.name], looks[LakeStore.name]
    if not look.answered:
        return State.UNKNOWN
    if (stored := look.months.get(month)) is None:
        return State.MISSING
    if store is LakeStore:
        return State.SAME
    if not at_lake.answered:
        return State.UNKNOWN
    if (lake := at_lake.months.get(month)) is None:
        return State.ALONE
    if stored.made_from != (lake.revision if store.loaded_from == LakeStore.name else lake.made_from):
        return State.BEHIND
    return State.SAME if stored.rows == lake.rows else State.DIFFERENT


def months_of(
    dataset: Dataset, looks: Iterable[Look], runs: Iterable[Runs], *, today: datetime.date
) -> Sequence[Month | None]:
    """Return the months to show: those that any store has or any run tried to load, and those between, as gaps.

    Runs of months that no source can have do not count: one run of the year 9999 would make the page useless.
    """
    if not isinstance(dataset, TripDataset):
        return [None]
    first, last = min(dataset.first_month.values()), Month(today.year, today.month)
    tried = {month for one in runs for month in one.newest if month is not None and first <= month <= last}
    known = sorted({month for look in looks for month in look.months if month is not None} | tried)
    months = known[:1]
    while months and months[-1] < known[-1]:
        months.append(months[-1].next)
    return months
