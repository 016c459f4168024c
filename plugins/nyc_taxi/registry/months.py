"""Months: the type, and the functions that decide which month or year a run is for."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

MONTH_PATTERN = r"^[0-9]{4}-(0[1-9]|1[0-2])$"
YEAR_PATTERN = r"^[1-9][0-9]{3}$"

# The TLC publishes a month about two months after its end.
PUBLICATION_DELAY_MONTHS = 2


class MonthError(ValueError):
    """A run has no month or year, or an invalid one; a retry would fail the same way."""


class Month(NamedTuple):
    """A calendar month. Its text form, such as ``2021-01``, is the partition key of its runs and asset events."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """Parse ``YYYY-MM``.

        Raises:
            MonthError: ``text`` has any other form, such as ``2021-13`` or ``../x``.
        """
        # fullmatch: "$" alone would accept a trailing newline.
        if not isinstance(text, str) or not re.fullmatch(MONTH_PATTERN, text):
            raise MonthError(f"{text!r:.80} is not a month; write YYYY-MM, for example 2021-01")
        year, month = text.split("-")
        return cls(int(year), int(month))

    @classmethod
    def published_by(cls, day: datetime.date) -> Month:
        """Return the newest month that must be published by ``day``: on any day in November, that is August.

        September's file is published in the course of November, so it is not yet missing.
        """
        year, index = divmod(day.year * 12 + day.month - 2 - PUBLICATION_DELAY_MONTHS, 12)
        return cls(year, index + 1)

    @property
    def first_day(self) -> datetime.date:
        """The first day of the month: the value of ``source_month``."""
        return datetime.date(self.year, self.month, 1)

    @property
    def next(self) -> Month:
        """The following month."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def partition_id(self) -> str:
        """The month as a BigQuery partition id: ``202101``."""
        return f"{self.year:04d}{self.month:02d}"

    @property
    def slug(self) -> str:
        """The month as part of an SQL identifier: ``2021_01``."""
        return f"{self.year:04d}_{self.month:02d}"

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"


# The mirror of DataTalksClub has ended.
LAST_MIRRORED = Month(2021, 7)


def resolve_month(context: Mapping[str, Any]) -> Month:
    """Return the month that a run is for.

    A scheduled, backfilled or asset-triggered run has it as its partition key. A run started by hand has it as the
    parameter ``month``; without that parameter, it is the calendar month of the logical date.

    Args:
        context: the task's template context (``dag_run``, ``params``).

    Raises:
        MonthError: the run has none of the three, the first one found is not a month, or the parameter differs from
            the partition key.
    """
    if month := _named(context, "month"):
        return Month.parse(month)
    if logical_date := context["dag_run"].logical_date:
        return Month(logical_date.year, logical_date.month)
    raise MonthError("the run has no month: start it with the parameter month, for example 2021-01")


def resolve_year(context: Mapping[str, Any]) -> int:
    """Return the year that a run is for, by the rule of :func:`resolve_month` with the parameter ``year``.

    Args:
        context: the task's template context (``dag_run``, ``params``).

    Raises:
        MonthError: the run has none of the three, the first one found is not a year, or the parameter differs from the
            partition key.
    """
    if year := _named(context, "year"):
        if not isinstance(year, str) or not re.fullmatch(YEAR_PATTERN, year):
            raise MonthError(f"{year!r:.80} is not a year; write YYYY, for example 2021")
        return int(year)
    if logical_date := context["dag_run"].logical_date:
        return logical_date.year
    raise MonthError("the run has no year: start it with the parameter year, for example 2021")


def _named(context: Mapping[str, Any], parameter: str) -> Any:
    """Return the run's partition key, or else its parameter."""
    key, named = getattr(context["dag_run"], "partition_key", None), context["params"].get(parameter)
    if key and named and key != named:
        raise MonthError(
            f"the run's partition key is {key!r:.80}, but its parameter {parameter} is {named!r:.80}: remove one"
        )
    return key or named
