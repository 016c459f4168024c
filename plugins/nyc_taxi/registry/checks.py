"""Checks of a staging table before it is published: declared once for each dataset, translated by each store.

A check either fails the run or only warns. A check on single values fails the run, so it may only state what holds for
every row of every real month. What a few rows of every real month violate (refunds, broken meters, pickups in another
month) is checked as a share of the rows, with a bound well above the measured shares.

Conditions are SQL over the whole staging table, in the subset that BigQuery and Postgres share. Identifiers are in
double quotes, as in Postgres; the BigQuery store replaces them with backticks. Conditions are templates; the task that
runs the check renders them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

# Ids of the TLC's zones. 264 ("unknown") and 265 ("outside of the city") are included, because trips refer to them.
FIRST_ZONE, LAST_ZONE = 1, 265


class Level(Enum):
    """What happens if a check does not hold."""

    FAIL = "fail"  # the check task fails, and nothing is published
    WARN = "warn"  # the check task ends as skipped, and the rows are published


@dataclass(frozen=True, kw_only=True)
class ColumnCheck:
    """A condition on every value of a column; if it does not hold, the run fails.

    Attributes:
        column: name of the column.
        not_null: whether every row must have a value.
        unique: whether all values must be distinct.
        at_least: the smallest value allowed; null values are ignored.
        at_most: the largest value allowed; null values are ignored.
    """

    column: str
    not_null: bool = True
    unique: bool = False
    at_least: float | None = None
    at_most: float | None = None

    def mapping(self) -> dict[str, dict[str, Any]]:
        """Return the checks as an entry of the ``column_mapping`` of the providers' column check operators."""
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
        """Return the checks as one SQL condition, for stores whose column names need quotes."""
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
        name: what the check asserts, as an SQL identifier.
        condition: the SQL condition (templated). A condition that is false and one that is NULL both fail the check.
        level: what happens if the condition does not hold.
    """

    name: str
    condition: str
    level: Level = Level.FAIL


HAS_ROWS = TableCheck(name="has_rows", condition="COUNT(*) > 0")


@dataclass(frozen=True, kw_only=True)
class Checks:
    """The checks of one dataset, the same in every store; by default, the table must have rows."""

    columns: tuple[ColumnCheck, ...] = ()
    table: tuple[TableCheck, ...] = (HAS_ROWS,)


def at_most(share: float, of_rows: str) -> str:
    """Return the condition that at most ``share`` of the rows (0.01 for 1 %) meet the condition ``of_rows``."""
    return f"AVG(CASE WHEN {of_rows} THEN 1.0 ELSE 0.0 END) <= {share}"


def warning(name: str, share: float, of_rows: str) -> TableCheck:
    """Return a check that warns if more than ``share`` of the rows meet the condition ``of_rows``."""
    return TableCheck(name=name, condition=at_most(share, of_rows), level=Level.WARN)


def not_null(*columns: str) -> tuple[ColumnCheck, ...]:
    """Return a check for each column that every row has a value."""
    return tuple(ColumnCheck(column=column) for column in columns)


def zones(*columns: str) -> tuple[ColumnCheck, ...]:
    """Return a check for each column that every value is the id of a taxi zone."""
    return tuple(ColumnCheck(column=column, at_least=FIRST_ZONE, at_most=LAST_ZONE) for column in columns)


def trip_checks(*, pickup: str, dropoff: str) -> tuple[TableCheck, ...]:
    """Return the checks of every trip dataset: the month of the rows, and the order of pickup and dropoff.

    Args:
        pickup: name of the column with the pickup time.
        dropoff: name of the column with the dropoff time.
    """
    month = "file().month"
    outside = f"\"{pickup}\" < '{{{{ {month}.first_day }}}}' OR \"{pickup}\" >= '{{{{ {month}.next.first_day }}}}'"
    return (
        HAS_ROWS,
        TableCheck(
            name="is_of_one_month",
            condition="COUNT(CASE WHEN source_month = DATE '{{ file().month.first_day }}' THEN 1 END) = COUNT(*)",
        ),
        # A larger share means that the file has another month's rows under this month's name.
        TableCheck(name="has_most_pickups_in_its_month", condition=at_most(0.5, outside)),
        warning("has_few_pickups_outside_its_month", 0.01, outside),
        warning("has_few_trips_that_end_before_they_begin", 0.01, f'"{dropoff}" < "{pickup}"'),
    )


def metered_trip_checks(*, pickup: str, dropoff: str) -> Checks:
    """Return the checks of yellow and green trips.

    Vendor, passengers and payment are not checked, because they are empty for trips ordered by app.
    """
    return Checks(
        columns=(
            *not_null(pickup, dropoff),
            *zones("PULocationID", "DOLocationID"),
            *not_null("trip_distance", "fare_amount", "total_amount"),
        ),
        table=(
            *trip_checks(pickup=pickup, dropoff=dropoff),
            # A refund is a separate row with negative amounts.
            warning("has_few_refunds", 0.05, '"total_amount" < 0'),
            warning("has_few_amounts_over_1000_dollars", 0.01, '"total_amount" > 1000'),
            warning("has_few_distances_over_100_miles", 0.01, '"trip_distance" < 0 OR "trip_distance" > 100'),
        ),
    )


def statements(checks: Iterable[TableCheck], level: Level) -> dict[str, str]:
    """Return the conditions of the checks of one level, keyed by the check's name."""
    return {check.name: check.condition for check in checks if check.level is level}
