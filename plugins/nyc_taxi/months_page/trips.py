"""What a month holds: its trips by day and zone, its nulls and refunds, its first rows. All from BigQuery."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from nyc_taxi.registry.checks import LAST_ZONE
from nyc_taxi.registry.datasets import ZONES
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.stores.bigquery.store import BigQueryStore
from nyc_taxi.stores.store import MissingMonthError, StoredMonth

BUSIEST = 10
FIRST_ROWS = 20


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The trips of one month.

    Attributes:
        trips: their number.
        days: trips by the day of the pickup, YYYY-MM-DD, in order; days outside the month are as in the file.
        zones: trips by the pickup zone's name, the busiest first.
        refunds: the number of trips with a negative total.
        nulls: the number of nulls by column, the most first, without the columns that have none.
    """

    trips: int
    days: dict[str, int]
    zones: dict[str, int]
    refunds: int
    nulls: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class _Counted:
    """As :class:`Profile`, with all zones by their number."""

    trips: int
    days: dict[str, int]
    zones: dict[int | None, int]
    refunds: int
    nulls: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Some rows: the columns' names, and each row's values as text; None for null."""

    columns: list[str]
    rows: list[list[str | None]]


def profile(file: PublishedFile) -> Profile:
    """Return the profile of a month in BigQuery; its trips are counted once for each version of the month.

    Raises:
        MissingMonthError: BigQuery does not have the month.
    """
    store = BigQueryStore.connect()
    counted = _count(file, store.get(file))
    names = _zone_names(store)
    zones: Counter[str] = Counter()
    for zone, count in counted.zones.items():
        zones[_zone(zone, names)] += count  # some zones share a name
    return Profile(
        trips=counted.trips,
        days=counted.days,
        zones=dict(zones.most_common(BUSIEST)),
        refunds=counted.refunds,
        nulls=counted.nulls,
    )


def first_rows(file: PublishedFile) -> Rows:
    """Return the first rows of a month in BigQuery, in no particular order; costs nothing there.

    Raises:
        MissingMonthError: BigQuery does not have the month.
    """
    columns, rows = BigQueryStore.connect().first_rows(file, FIRST_ROWS)
    if not rows:
        raise MissingMonthError(f"BigQuery has no rows of {file.dataset.name} {file.month}")
    return Rows(columns=columns, rows=[[None if value is None else str(value) for value in row] for row in rows])


@lru_cache(maxsize=256)
def _count(file: PublishedFile, stored: StoredMonth) -> _Counted:
    """Sort the rows of ``profile.sql``. What is stored now is an argument so that a change of it is a new entry."""
    rows = BigQueryStore.connect().profile(file)
    [total] = [row for row in rows if row["every_day"] and row["every_zone"]]
    nulls = Counter({column.name: total[f"nulls_{index}"] for index, column in enumerate(file.dataset.source_columns)})
    return _Counted(
        trips=total["trips"],
        days=dict(sorted((str(row["pickup_day"]), row["trips"]) for row in rows if not row["every_day"])),
        zones={row["pickup_zone"]: row["trips"] for row in rows if not row["every_zone"]},
        refunds=total["refunds"],
        nulls={name: count for name, count in nulls.most_common() if count},
    )


def _zone_names(store: BigQueryStore) -> dict[int, str]:
    """Return the names of the taxi zones by number; empty if BigQuery does not have them."""
    columns, rows = store.first_rows(ZONES.file(), LAST_ZONE)
    return {row[columns.index("LocationID")]: row[columns.index("Zone")] for row in rows}


def _zone(number: Any, names: dict[int, str]) -> str:
    return "unknown" if number is None else names.get(number) or f"zone {number}"
