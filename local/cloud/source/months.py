"""Months, and pickup times as seconds since 1970 in New York wall-clock time, without a time zone."""

from __future__ import annotations

import calendar
import datetime
from dataclasses import dataclass

import numpy as np

from local.cloud.source.draws import Draws, Ints

PUBLICATION_DELAY = 2
"""Number of months after which the TLC publishes a month, approximately."""


@dataclass(frozen=True, order=True)
class Month:
    """A calendar month."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """Parse a month such as "2021-01".

        Raises:
            ValueError: ``text`` is not a month.
        """
        date = datetime.datetime.strptime(text, "%Y-%m").date()
        if str(cls(date.year, date.month)) != text:
            raise ValueError(f"{text!r} is not a month; write YYYY-MM, for example 2021-01")
        return cls(date.year, date.month)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"

    def plus(self, months: int) -> Month:
        years, index = divmod(self.year * 12 + self.number - 1 + months, 12)
        return Month(years, index + 1)

    @property
    def start(self) -> int:
        """The first second."""
        return calendar.timegm((self.year, self.number, 1, 0, 0, 0))

    @property
    def end(self) -> int:
        """The first second of the next month."""
        return self.plus(1).start


def latest_month(today: datetime.date | None = None) -> Month:
    """Return the newest month that is published on ``today``."""
    today = today or datetime.datetime.now(datetime.UTC).date()
    return Month(today.year, today.month).plus(-PUBLICATION_DELAY)


def pickup_times(month: Month, draws: Draws, *, positions: Ints, rows: int, hours: Ints, weekdays: Ints) -> Ints:
    """Draw pickup times within ``month``, roughly in row order, distributed by the weights.

    Args:
        month: the month.
        draws: the random draws.
        positions: positions of the rows in their block.
        rows: number of rows in the block.
        hours: 24 weights.
        weekdays: 7 weights, Monday first.
    """
    days = (month.end - month.start) // 86400
    first_weekday = datetime.date(month.year, month.number, 1).weekday()
    weights = np.outer(weekdays[(first_weekday + np.arange(days)) % 7], hours).ravel()
    ends = np.cumsum(weights)
    total = int(ends[-1])
    # Neighbouring rows are within about half a day of each other, as in published files.
    spread = total // 50
    place = positions * (total - spread) // rows + draws.below(spread, len(positions))
    slot = np.searchsorted(ends, place, side="right")
    return month.start + slot * 3600 + draws.below(3600, len(positions))
