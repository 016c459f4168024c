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
from nyc_taxi.stores.store import MissingMonthError

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
class Rows:
    """Some rows: the columns' names, and each row's values as text; None for null."""

    columns: list[str]
    rows: list[list[str | None]]


def profile(file: PublishedFile) -> Profile:
    """Return the profile of a month in BigQuery; asked once for each version of the month.

    Raises:
        MissingMonthError: BigQuery does not have the month.
    """
    store = BigQueryStore.connect()
    return _profile(file, store.get(file).made_from)


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
def _profile(file: PublishedFile, version: str) -> Profile:
    """Sort the rows of ``profile.sql``; ``version`` only makes a new version a new entry of the cache."""
    store = BigQueryStore.connect()
    names = _zone_names(store)
    rows = store.profile(file)
    [total] = [row for row in rows if row["every_day"] and row["every_zone"]]
    nulls = Counter({column.name: total[f"nulls_{index}"] for index, column in enumerate(file.dataset.source_columns)})
    zones = Counter({_zone(row["pickup_zone"], names): row["trips"] for row in rows if not row["every_zone"]})
    return Profile(
        trips=total["trips"],
        days=dict(sorted((str(row["pickup_day"]), row["trips"]) for row in rows if not row["every_day"])),
        zones=dict(zones.most_common(BUSIEST)),
        refunds=total["refunds"],
        nulls={name: count for name, count in nulls.most_common() if count},
    )


def _zone_names(store: BigQueryStore) -> dict[int, str]:
    """Return the names of the taxi zones by number; empty if BigQuery does not have them."""
    columns, rows = store.first_rows(ZONES.file(), LAST_ZONE)
    return {row[columns.index("LocationID")]: row[columns.index("Zone")] for row in rows}


def _zone(number: Any, names: dict[int, str]) -> str:
    return "unknown" if number is None else names.get(number, f"zone {number}")
