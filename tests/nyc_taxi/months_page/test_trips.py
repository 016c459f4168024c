"""What the months page shows of a month's trips."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from nyc_taxi.months_page import trips
from nyc_taxi.registry.datasets import GREEN, ZONES
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.bigquery.store import BigQueryStore
from nyc_taxi.stores.store import MissingMonthError, StoredMonth

FILE = GREEN.file(Month(2021, 1))
ZONES_FILE = ZONES.file()
COLUMNS = [column.name for column in GREEN.source_columns]
DAYS = {datetime.date(2021, 1, 2): 1, datetime.date(2021, 1, 1): 4}
TRIPS_BY_ZONE = {7: 3, 99: 1, None: 1}


class _Store:
    """A warehouse of five trips that counts the questions."""

    asked = 0
    made_from = "17"
    rows = 5
    zones: ClassVar[list[tuple[Any, ...]]] = [(7, "Queens", "Astoria")]

    def get(self, file: object) -> StoredMonth:
        return StoredMonth(rows=self.rows, made_from=self.made_from, published_at=None)

    def profile(self, file: object) -> list[dict[str, Any]]:
        self.asked += 1
        nulls = {f"nulls_{index}": 5 * (name == "ehail_fee") for index, name in enumerate(COLUMNS)}
        total = {
            "pickup_day": None,
            "pickup_zone": None,
            "every_day": 1,
            "every_zone": 1,
            "trips": 5,
            "refunds": 2,
            **nulls,
        }
        days = [{**total, "pickup_day": day, "every_day": 0, "trips": count} for day, count in DAYS.items()]
        zones = [
            {**total, "pickup_zone": zone, "every_zone": 0, "trips": count} for zone, count in TRIPS_BY_ZONE.items()
        ]
        return [total, *days, *zones]

    def first_rows(self, file: PublishedFile, rows: int) -> tuple[list[str], list[tuple[Any, ...]]]:
        if file == ZONES_FILE:
            return ["LocationID", "Borough", "Zone"], self.zones
        return (["a", "b"], [(1, None), (datetime.date(2021, 1, 1), "x")]) if self.made_from else ([], [])


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Store]:
    made = _Store()
    monkeypatch.setattr(BigQueryStore, "connect", lambda: made)
    trips._count.cache_clear()
    yield made
    trips._count.cache_clear()


def test_a_profile_sorts_days_and_puts_the_busiest_zone_first(store: _Store) -> None:
    assert trips.profile(FILE) == trips.Profile(
        trips=5,
        days={"2021-01-01": 4, "2021-01-02": 1},
        zones={"Astoria": 3, "zone 99": 1, "unknown": 1},
        refunds=2,
        nulls={"ehail_fee": 5},
    )


def test_the_warehouse_is_asked_once_for_each_version(store: _Store) -> None:
    for _ in range(3):
        trips.profile(FILE)
    assert store.asked == 1
    store.made_from = "18"
    trips.profile(FILE)
    assert store.asked == 2
    store.rows = 4  # somebody has changed the rows
    trips.profile(FILE)
    assert store.asked == 3


def test_zones_are_named_as_soon_as_they_are_loaded_and_may_share_a_name(store: _Store) -> None:
    store.zones = []
    assert trips.profile(FILE).zones == {"zone 7": 3, "zone 99": 1, "unknown": 1}
    store.zones = [(7, "Queens", "Corona"), (99, "Queens", "Corona")]
    assert trips.profile(FILE).zones == {"Corona": 4, "unknown": 1}
    store.zones = [(7, "Queens", None)]
    assert trips.profile(FILE).zones == {"zone 7": 3, "zone 99": 1, "unknown": 1}
    assert store.asked == 1


def test_rows_are_text_and_null_stays_null(store: _Store) -> None:
    assert trips.first_rows(FILE) == trips.Rows(columns=["a", "b"], rows=[["1", None], ["2021-01-01", "x"]])


def test_a_month_without_rows_is_missing(store: _Store) -> None:
    store.made_from = ""
    with pytest.raises(MissingMonthError, match="green 2021-01"):
        trips.first_rows(FILE)
