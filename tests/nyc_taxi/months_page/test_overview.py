"""How the months page compares what the stores have."""

from __future__ import annotations

import datetime

import pytest

from nyc_taxi.months_page.looks import Look
from nyc_taxi.months_page.overview import State, compare, months_of
from nyc_taxi.months_page.runs import Run, Runs
from nyc_taxi.registry.datasets import GREEN, ZONES
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.bigquery.store import BigQueryStore
from nyc_taxi.stores.lake.store import LakeStore
from nyc_taxi.stores.postgres.store import PostgresStore
from nyc_taxi.stores.store import Store, StoredMonth

JANUARY, MARCH = Month(2021, 1), Month(2021, 3)
TODAY = datetime.date(2026, 11, 27)


def _stored(rows: int = 3, made_from: str = "file 1", revision: str = "") -> StoredMonth:
    return StoredMonth(rows=rows, made_from=made_from, published_at=None, revision=revision)


LAKE = _stored(revision="17")


def _looks(**months: StoredMonth | None) -> dict[str, Look]:
    """A look at each store: with this month, without it (None), or one that has not answered (not named)."""
    found = {name: {JANUARY: stored} if stored else {} for name, stored in months.items()}
    return {
        store.name: Look(months=found.get(store.name, {}), answered=store.name in found)
        for store in (LakeStore, BigQueryStore, PostgresStore)
    }


@pytest.mark.parametrize(
    ("store", "looks", "state"),
    [
        (LakeStore, _looks(lake=LAKE), State.SAME),
        (LakeStore, _looks(lake=None), State.MISSING),
        (LakeStore, _looks(bigquery=LAKE), State.UNKNOWN),
        (BigQueryStore, _looks(lake=LAKE, bigquery=_stored(made_from="17")), State.SAME),
        (BigQueryStore, _looks(lake=LAKE, bigquery=_stored(made_from="16")), State.BEHIND),
        (BigQueryStore, _looks(lake=LAKE, bigquery=_stored(made_from="17", rows=2)), State.DIFFERENT),
        (BigQueryStore, _looks(lake=None, bigquery=_stored(made_from="17")), State.ALONE),
        (BigQueryStore, _looks(bigquery=_stored(made_from="17")), State.UNKNOWN),
        (BigQueryStore, _looks(lake=LAKE, bigquery=None), State.MISSING),
        (BigQueryStore, _looks(lake=LAKE), State.UNKNOWN),
        (PostgresStore, _looks(lake=LAKE, postgres=_stored()), State.SAME),
        (PostgresStore, _looks(lake=LAKE, postgres=_stored(made_from="file 0")), State.BEHIND),
        (PostgresStore, _looks(lake=LAKE, postgres=_stored(rows=4)), State.DIFFERENT),
        (PostgresStore, _looks(lake=LAKE, postgres=_stored(made_from="")), State.BEHIND),
        (PostgresStore, _looks(lake=None, postgres=_stored()), State.ALONE),
    ],
)
def test_a_month_is_compared_with_the_lakes(store: type[Store], looks: dict[str, Look], state: State) -> None:
    assert compare(store, JANUARY, looks) is state


def _run() -> Run:
    return Run(dag_id="green_web_to_gcs", run_id="r", state="failed", started_at=1.0, ended_at=2.0)


def test_months_between_those_of_the_stores_and_runs_show_as_gaps() -> None:
    tried = Runs(newest={MARCH: _run(), None: _run()})
    months = months_of(GREEN, _looks(lake=LAKE).values(), [tried], today=TODAY)
    assert months == [JANUARY, Month(2021, 2), MARCH]


@pytest.mark.parametrize("month", [Month(9999, 12), Month(2026, 12), Month(1999, 1)])
def test_a_run_of_a_month_that_no_source_has_does_not_count(month: Month) -> None:
    tried = Runs(newest={month: _run()})
    assert months_of(GREEN, _looks(lake=LAKE).values(), [tried], today=TODAY) == [JANUARY]


def test_a_dataset_that_no_store_has_has_no_months() -> None:
    assert months_of(GREEN, _looks(lake=None).values(), [Runs()], today=TODAY) == []


def test_a_dataset_without_months_is_one_column() -> None:
    assert months_of(ZONES, _looks(lake=None).values(), [], today=TODAY) == [None]
