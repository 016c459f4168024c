"""Compares the months of a year that a store has with those that the source has published."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.datasets import TRIP_DATASETS
from nyc_taxi.registry.months import Month


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """The part of a year that a store has of one dataset.

    Attributes:
        dataset: name of the dataset.
        published: the months of the year that the source must have published by now, in order.
        loaded: the months of the year that the store has.
    """

    dataset: str
    published: tuple[Month, ...]
    loaded: frozenset[Month]

    @property
    def missing(self) -> tuple[Month, ...]:
        """The published months that the store lacks."""
        return tuple(month for month in self.published if month not in self.loaded)

    @property
    def is_complete(self) -> bool:
        """Whether the store has every published month of the year, and there is at least one.

        The store may have more months, published early or loaded from another source. A year without a month that must
        be published by now is not complete, whatever the store has.
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
    """Return the coverage of ``year`` for each trip dataset.

    Args:
        year: the year.
        layout: the source's layout, which decides its first month.
        last: the last month of a source that has ended; None if it still publishes.
        today: the current date, which decides the newest month that a source must have published.
        loaded: the months that the store has, keyed by dataset name.
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
    """Return ordered months of one year as text, consecutive ones as a range: ``2021-01``, ``2021-03 to 2021-07``."""
    spans: list[list[Month]] = []
    for month in months:
        if spans and spans[-1][-1].month + 1 == month.month:
            spans[-1].append(month)
        else:
            spans.append([month])
    return [f"{span[0]} to {span[-1]}" if len(span) > 1 else str(span[0]) for span in spans]
