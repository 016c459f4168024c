"""Which datasets have a whole year in the warehouse: what the yearly rollup builds, and what it waits for."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.datasets import TRIP_DATASETS
from nyc_taxi.registry.months import Month


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How much of a year of one dataset the warehouse has.

    Attributes:
        dataset: its name.
        published: the months of the year that the source must have by now, in order.
        loaded: the months of the year that are in the warehouse.
    """

    dataset: str
    published: tuple[Month, ...]
    loaded: frozenset[Month]

    @property
    def missing(self) -> tuple[Month, ...]:
        """The published months that are not in the warehouse."""
        return tuple(month for month in self.published if month not in self.loaded)

    @property
    def is_complete(self) -> bool:
        """Whether months of the year are published, and none of them is missing in the warehouse.

        It may have more: a month that was published early, or one from another source. A year of which nothing is due
        yet is not complete, whatever is there.
        """
        return bool(self.published) and not self.missing

    def __str__(self) -> str:
        there = f"{self.dataset} {len(self.published) - len(self.missing)} of {len(self.published)}"
        if not self.published:
            return f"{there} (the source has none)"
        return f"{there} (missing: {', '.join(_spans(self.missing))})" if self.missing else there


def coverage(
    *,
    year: int,
    layout: Layout,
    last: Month | None,
    today: datetime.date,
    loaded: Mapping[str, Collection[Month | None]],
) -> list[Coverage]:
    """Compare what the source of each trip dataset has published of ``year`` with what a store has.

    Args:
        year: the year.
        layout: the source's layout; each has its own first month.
        last: the last month that the source has; None if it goes on publishing.
        today: the day up to which a source that goes on publishing must have published.
        loaded: the months that the store has, by name of the dataset.
    """
    newest = last or Month.published_by(today)
    months = [Month(year, number) for number in range(1, 13)]
    return [
        Coverage(
            dataset=dataset.name,
            published=tuple(month for month in months if dataset.first_month[layout] <= month <= newest),
            loaded=frozenset(month for month in months if month in loaded[dataset.name]),
        )
        for dataset in TRIP_DATASETS
    ]


def _spans(months: Iterable[Month]) -> list[str]:
    """Months of one year in order, those in a row as one: ``2021-01``, ``2021-03 to 2021-07``."""
    spans: list[list[Month]] = []
    for month in months:
        if spans and spans[-1][-1].month + 1 == month.month:
            spans[-1].append(month)
        else:
            spans.append([month])
    return [f"{span[0]} to {span[-1]}" if len(span) > 1 else str(span[0]) for span in spans]
