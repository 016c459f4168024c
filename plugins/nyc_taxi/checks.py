"""What must hold of a staging table before it is published: declared once for each dataset, derived for each store.

A check fails the run or only warns. A condition on single values fails it, and so may only say what no real month
breaks. What a few rows of every real month break (refunds, broken meters, pickups in another month) is a share of the
rows, and its bound lies well above what was measured.

Conditions are SQL over the whole staging table that BigQuery and Postgres understand alike. Identifiers stand in
double quotes, as Postgres wants them; BigQuery gets backticks. All are templates of the task that runs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from nyc_taxi.datasets import FHV, FHVHV, GREEN, YELLOW, ZONES, Dataset, TripDataset

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


@dataclass(frozen=True, kw_only=True)
class Checks:
    """The checks of one dataset that are the same in every store."""

    columns: tuple[ColumnCheck, ...]
    table: tuple[TableCheck, ...]


def at_most(share: float, of_rows: str) -> str:
    """The condition that at most ``share`` of the rows, 0.01 for 1 %, are such as the condition ``of_rows`` says."""
    return f"AVG(CASE WHEN {of_rows} THEN 1.0 ELSE 0.0 END) <= {share}"


def bigquery_column_checks(dataset: Dataset) -> dict[str, dict[str, dict[str, Any]]]:
    """``column_mapping`` for BigQueryColumnCheckOperator."""
    return {check.column: check.mapping() for check in CHECKS[dataset.name].columns}


def bigquery_table_checks(dataset: Dataset, level: Level) -> dict[str, dict[str, str]]:
    """``checks`` of one level for BigQueryTableCheckOperator."""
    checks = CHECKS[dataset.name].table
    if isinstance(dataset, TripDataset):
        checks = (_HAS_EVERY_ROW_OF_THE_LAKE, *checks)
    statements = _statements(checks, level)
    return {name: {"check_statement": statement.replace('"', "`")} for name, statement in statements.items()}


def postgres_checks(dataset: Dataset, level: Level) -> dict[str, dict[str, str]]:
    """``checks`` of one level for SQLTableCheckOperator: those of the table, and those of the columns.

    SQLColumnCheckOperator does not quote names of columns, which Postgres would therefore take for lower case.
    """
    checks = (_HAS_EVERY_ROW_OF_THE_SOURCE, *CHECKS[dataset.name].table)
    columns = (TableCheck(name=check.column, condition=check.condition()) for check in CHECKS[dataset.name].columns)
    statements = _statements((*checks, *columns), level)
    return {name: {"check_statement": statement} for name, statement in statements.items()}


def _statements(checks: Iterable[TableCheck], level: Level) -> dict[str, str]:
    return {check.name: check.condition for check in checks if check.level is level}


# The lake's object, and the file that became Parquet, were counted apart from the staging table.
_HAS_EVERY_ROW_OF_THE_LAKE = TableCheck(
    name="has_every_row_of_the_lake",
    condition="COUNT(*) = (SELECT COUNT(*) FROM trips.{{ dataset.name }}_external"
    " WHERE year = {{ file().month.year }} AND month = {{ file().month.month }})",
)
_HAS_EVERY_ROW_OF_THE_SOURCE = TableCheck(
    name="has_every_row_of_the_source", condition="COUNT(*) = {{ converted_rows() }}"
)
_HAS_ROWS = TableCheck(name="has_rows", condition="COUNT(*) > 0")


def _trips(dataset: TripDataset, *, dropoff: str) -> tuple[TableCheck, ...]:
    """What is checked of all trips: the months of their rows, and the order of their times."""
    pickup = f'"{dataset.pickup_column}"'
    outside = f"{pickup} < '{{{{ file().month.first_day }}}}' OR {pickup} >= '{{{{ file().month.next.first_day }}}}'"
    return (
        _HAS_ROWS,
        TableCheck(
            name="is_of_one_month",
            condition="COUNT(CASE WHEN source_month = DATE '{{ file().month.first_day }}' THEN 1 END) = COUNT(*)",
        ),
        # More would be another month's file under this month's name.
        TableCheck(name="has_most_pickups_in_its_month", condition=at_most(0.5, outside)),
        _warning("has_few_pickups_outside_its_month", 0.01, outside),
        _warning("has_few_trips_that_end_before_they_begin", 0.01, f'"{dropoff}" < "{dataset.pickup_column}"'),
    )


def _warning(name: str, share: float, of_rows: str) -> TableCheck:
    return TableCheck(name=name, condition=at_most(share, of_rows), level=Level.WARN)


def _not_null(*columns: str) -> tuple[ColumnCheck, ...]:
    return tuple(ColumnCheck(column=column) for column in columns)


def _zone(column: str) -> ColumnCheck:
    return ColumnCheck(column=column, at_least=FIRST_ZONE, at_most=LAST_ZONE)


def _metered(dataset: TripDataset, *, pickup: str, dropoff: str) -> Checks:
    """The checks of the taxis with a meter. Vendor, passengers and payment are empty for trips ordered by app."""
    return Checks(
        columns=(
            *_not_null(pickup, dropoff),
            *(_zone(column) for column in ("PULocationID", "DOLocationID")),
            *_not_null("trip_distance", "fare_amount", "total_amount"),
        ),
        table=(
            *_trips(dataset, dropoff=dropoff),
            # Refunds are rows of their own.
            _warning("has_few_refunds", 0.05, '"total_amount" < 0'),
            _warning("has_few_amounts_over_1000_dollars", 0.01, '"total_amount" > 1000'),
            _warning("has_few_distances_over_100_miles", 0.01, '"trip_distance" < 0 OR "trip_distance" > 100'),
        ),
    )


CHECKS: Mapping[str, Checks] = {
    YELLOW.name: _metered(YELLOW, pickup="tpep_pickup_datetime", dropoff="tpep_dropoff_datetime"),
    GREEN.name: _metered(GREEN, pickup="lpep_pickup_datetime", dropoff="lpep_dropoff_datetime"),
    # The bases report what they like: every column but the pickup time is empty in some rows, and ids of zones have
    # been seen that there are not.
    FHV.name: Checks(
        columns=_not_null("pickup_datetime"),
        table=(
            *_trips(FHV, dropoff="dropOff_datetime"),
            *(
                _warning(
                    f"has_few_unknown_zones_in_{column}",
                    0.01,
                    f'"{column}" NOT BETWEEN {FIRST_ZONE} AND {LAST_ZONE}',
                )
                for column in ("PUlocationID", "DOlocationID")
            ),
        ),
    ),
    FHVHV.name: Checks(
        columns=(
            *_not_null("hvfhs_license_num", "pickup_datetime", "dropoff_datetime"),
            *(_zone(column) for column in ("PULocationID", "DOLocationID")),
        ),
        table=(
            *_trips(FHVHV, dropoff="dropoff_datetime"),
            _warning("has_few_distances_over_100_miles", 0.01, '"trip_miles" < 0 OR "trip_miles" > 100'),
        ),
    ),
    ZONES.name: Checks(
        columns=(ColumnCheck(column="LocationID", unique=True, at_least=FIRST_ZONE, at_most=LAST_ZONE),),
        table=(_HAS_ROWS, TableCheck(name="has_every_zone", condition=f"COUNT(*) = {LAST_ZONE - FIRST_ZONE + 1}")),
    ),
}
