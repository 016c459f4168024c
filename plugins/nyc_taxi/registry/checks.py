"""Checks of a staging table before it is published: declared once for each dataset, translated by each store.

A check fails the run or only warns. A condition on single values fails it, and so may only say what no real month
breaks. What a few rows of every real month break (refunds, broken meters, pickups in another month) is a share of the
rows, and its bound lies well above what was measured.

Conditions are SQL over the whole staging table, in the subset that BigQuery and Postgres share. Identifiers stand in
double quotes, as in Postgres; the BigQuery store replaces them by backticks. All are templates, rendered by the task
that runs them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

# The TLC's zones; 264 and 265 are "unknown" and "outside of the city", and trips do refer to them.
FIRST_ZONE, LAST_ZONE = 1, 265


class Level(Enum):
    """What follows if a check does not hold."""

    FAIL = "fail"  # nothing is published
    WARN = "warn"  # the data are published; the task that checks ends as skipped


@dataclass(frozen=True, kw_only=True)
class ColumnCheck:
    """What must hold of every value in a column; if it does not, the run fails.

    Attributes:
        column: the column.
        not_null: no row lacks a value.
        unique: no two rows have the same value.
        at_least: the least value allowed; rows without a value are passed over.
        at_most: the greatest value allowed; likewise.
    """

    column: str
    not_null: bool = True
    unique: bool = False
    at_least: float | None = None
    at_most: float | None = None

    def mapping(self) -> dict[str, dict[str, Any]]:
        """The checks of the column as the providers' column check operators take them."""
        checks: dict[str, dict[str, Any]] = {}
        if self.not_null:
            checks["null_check"] = {"equal_to": 0}
        if self.unique:
            checks["unique_check"] = {"equal_to": 0}
        if self.at_least is not None:
            checks["min"] = {"geq_to": self.at_least}
        if self.at_most is not None:
            checks["max"] = {"leq_to": self.at_most}
        return checks

    def condition(self) -> str:
        """The same as one condition, for stores whose names of columns need quotes."""
        name = f'"{self.column}"'
        parts = []
        if self.not_null:
            parts.append(f"COUNT({name}) = COUNT(*)")
        if self.unique:
            parts.append(f"COUNT(DISTINCT {name}) = COUNT({name})")
        if self.at_least is not None:
            parts.append(f"COALESCE(MIN({name}) >= {self.at_least}, TRUE)")
        if self.at_most is not None:
            parts.append(f"COALESCE(MAX({name}) <= {self.at_most}, TRUE)")
        return " AND ".join(parts)


@dataclass(frozen=True, kw_only=True)
class TableCheck:
    """A condition on the whole table.

    Attributes:
        name: what it asserts, as an SQL identifier.
        condition: the SQL (templated); not to hold and to have no value are the same.
        level: what follows if it does not hold.
    """

    name: str
    condition: str
    level: Level = Level.FAIL


HAS_ROWS = TableCheck(name="has_rows", condition="COUNT(*) > 0")


@dataclass(frozen=True, kw_only=True)
class Checks:
    """The checks of one dataset that are the same in every store; a dataset that declares none must have rows."""

    columns: tuple[ColumnCheck, ...] = ()
    table: tuple[TableCheck, ...] = (HAS_ROWS,)


def at_most(share: float, of_rows: str) -> str:
    """The condition that at most ``share`` of the rows, 0.01 for 1 %, are such as the condition ``of_rows`` says."""
    return f"AVG(CASE WHEN {of_rows} THEN 1.0 ELSE 0.0 END) <= {share}"


def warning(name: str, share: float, of_rows: str) -> TableCheck:
    """Return a check that warns if more than ``share`` of the rows meet the condition ``of_rows``."""
    return TableCheck(name=name, condition=at_most(share, of_rows), level=Level.WARN)


def not_null(*columns: str) -> tuple[ColumnCheck, ...]:
    """Return a check for each column that none of its values is missing."""
    return tuple(ColumnCheck(column=column) for column in columns)


def zones(*columns: str) -> tuple[ColumnCheck, ...]:
    """Return a check for each column that all its values are ids of taxi zones."""
    return tuple(ColumnCheck(column=column, at_least=FIRST_ZONE, at_most=LAST_ZONE) for column in columns)


def trip_checks(*, pickup: str, dropoff: str) -> tuple[TableCheck, ...]:
    """Return what is checked of all trips: the months of their rows, and the order of their times.

    Args:
        pickup: the column with the pickup time.
        dropoff: the column with the dropoff time.
    """
    month = "file().month"
    outside = f"\"{pickup}\" < '{{{{ {month}.first_day }}}}' OR \"{pickup}\" >= '{{{{ {month}.next.first_day }}}}'"
    return (
        HAS_ROWS,
        TableCheck(
            name="is_of_one_month",
            condition="COUNT(CASE WHEN source_month = DATE '{{ file().month.first_day }}' THEN 1 END) = COUNT(*)",
        ),
        # More would be another month's file under this month's name.
        TableCheck(name="has_most_pickups_in_its_month", condition=at_most(0.5, outside)),
        warning("has_few_pickups_outside_its_month", 0.01, outside),
        warning("has_few_trips_that_end_before_they_begin", 0.01, f'"{dropoff}" < "{pickup}"'),
    )


def metered_trip_checks(*, pickup: str, dropoff: str) -> Checks:
    """Return the checks of taxis with a meter. Vendor, passengers and payment are empty for trips ordered by app."""
    return Checks(
        columns=(
            *not_null(pickup, dropoff),
            *zones("PULocationID", "DOLocationID"),
            *not_null("trip_distance", "fare_amount", "total_amount"),
        ),
        table=(
            *trip_checks(pickup=pickup, dropoff=dropoff),
            # Refunds are rows of their own.
            warning("has_few_refunds", 0.05, '"total_amount" < 0'),
            warning("has_few_amounts_over_1000_dollars", 0.01, '"total_amount" > 1000'),
            warning("has_few_distances_over_100_miles", 0.01, '"trip_distance" < 0 OR "trip_distance" > 100'),
        ),
    )


def statements(checks: Iterable[TableCheck], level: Level) -> dict[str, str]:
    """Return the conditions of the checks of one level by the names of the checks."""
    return {check.name: check.condition for check in checks if check.level is level}
