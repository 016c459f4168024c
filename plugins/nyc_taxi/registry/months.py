"""Months: the type, and the one place that decides which month, or which year, a run is for."""

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
    """A run has no month or no year, or something that is none; trying again cannot help."""


class Month(NamedTuple):
    """A calendar month. Its text form, ``2021-01``, is the partition key of everything that belongs to it."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """Read ``YYYY-MM``.

        Raises:
            MonthError: ``text`` is anything else, such as ``2021-13`` or ``../x``.
        """
        # fullmatch: "$" alone would accept a trailing newline.
        if not isinstance(text, str) or not re.fullmatch(MONTH_PATTERN, text):
            raise MonthError(f"{text!r} is not a month; write YYYY-MM, for example 2021-01")
        year, month = text.split("-")
        return cls(int(year), int(month))

    @classmethod
    def published_by(cls, day: datetime.date) -> Month:
        """The newest month that must have been published by ``day``: in November it is August.

        September's file comes in the course of November: it is waited for, and not yet missed.
        """
        year, index = divmod(day.year * 12 + day.month - 2 - PUBLICATION_DELAY_MONTHS, 12)
        return cls(year, index + 1)

    @property
    def first_day(self) -> datetime.date:
        """The first day of the month: the value of ``source_month``."""
        return datetime.date(self.year, self.month, 1)

    @property
    def next(self) -> Month:
        """The month after it."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def partition_id(self) -> str:
        """The month as BigQuery's partition decorator wants it: ``202101``."""
        return f"{self.year:04d}{self.month:02d}"

    @property
    def slug(self) -> str:
        """The month as part of an SQL identifier: ``2021_01``."""
        return f"{self.year:04d}_{self.month:02d}"

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"


def resolve_month(context: Mapping[str, Any]) -> Month:
    """Return the month that a run is for.

    A scheduled, backfilled or asset-triggered run carries it as its partition key. A run started by hand names it with
    the parameter ``month``, or else is for the calendar month of its logical date.

    Args:
        context: the task's template context (``dag_run``, ``params``).

    Raises:
        MonthError: none of the three is there, the first one found is not a month, or the parameter is another one than
            the key.
    """
    if month := _named(context, "month"):
        return Month.parse(month)
    if logical_date := context["dag_run"].logical_date:
        return Month(logical_date.year, logical_date.month)
    raise MonthError("the run has no month: start it with the parameter month, for example 2021-01")


def resolve_year(context: Mapping[str, Any]) -> int:
    """Return the year that a run of a DAG for whole years is for, by the same rule with the parameter ``year``.

    Args:
        context: the task's template context (``dag_run``, ``params``).

    Raises:
        MonthError: none of the three is there, the first one found is not a year, or the parameter is another one than
            the key.
    """
    if year := _named(context, "year"):
        if not isinstance(year, str) or not re.fullmatch(YEAR_PATTERN, year):
            raise MonthError(f"{year!r} is not a year; write YYYY, for example 2021")
        return int(year)
    if logical_date := context["dag_run"].logical_date:
        return logical_date.year
    raise MonthError("the run has no year: start it with the parameter year, for example 2021")


def _named(context: Mapping[str, Any], parameter: str) -> Any:
    """What the run names: its partition key, or else the parameter."""
    key, named = getattr(context["dag_run"], "partition_key", None), context["params"].get(parameter)
    if key and named and key != named:
        raise MonthError(f"the run's partition key is {key}, but its parameter {parameter} is {named}: leave one out")
    return key or named
