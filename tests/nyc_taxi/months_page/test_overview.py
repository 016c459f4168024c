"""How the months page compares what the stores have."""

from __future__ import annotations

import pytest

from nyc_taxi.months_page.overview import State, compare, months_of
from nyc_taxi.months_page.runs import Run, Runs
from nyc_taxi.registry.datasets import GREEN, ZONES
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.bigquery.store import BigQueryStore
from nyc_taxi.stores.lake.store import LakeStore
from nyc_taxi.stores.postgres.store import PostgresStore
from nyc_taxi.stores.store import Store, StoredMonth

JANUARY, MARCH = Month(2021, 1), Month(2021, 3)


def _stored(rows: int = 3, made_from: str = "file 1", revision: str = "") -> StoredMonth:
    return StoredMonth(rows=rows, made_from=made_from, published_at=None, revision=revision)


LAKE = _stored(revision="17")


@pytest.mark.parametrize(
    ("store", "stored", "lake", "state"),
    [
        (LakeStore, LAKE, LAKE, State.SAME),
        (BigQueryStore, _stored(made_from="17"), LAKE, State.SAME),
        (BigQueryStore, _stored(made_from="16"), LAKE, State.BEHIND),
        (BigQueryStore, _stored(made_from="17", rows=2), LAKE, State.DIFFERENT),
        (BigQueryStore, _stored(made_from="17"), None, State.ALONE),
        (PostgresStore, _stored(), LAKE, State.SAME),
        (PostgresStore, _stored(made_from="file 0"), LAKE, State.BEHIND),
        (PostgresStore, _stored(rows=4), LAKE, State.DIFFERENT),
        (PostgresStore, _stored(made_from=""), LAKE, State.BEHIND),
        (PostgresStore, _stored(), None, State.ALONE),
    ],
)
def test_a_month_is_compared_with_the_lakes(
    store: type[Store], stored: StoredMonth, lake: StoredMonth | None, state: State
) -> None:
    assert compare(store, stored, lake) is state


def test_months_between_those_of_the_stores_and_runs_show_as_gaps() -> None:
    run = Run(dag_id="green_web_to_gcs", run_id="r", state="failed", started_at=1.0, ended_at=2.0)
    tried = Runs(newest={MARCH: run, None: run})
    assert months_of({"lake": {JANUARY: LAKE}, "bigquery": {}}, GREEN, [tried]) == [JANUARY, Month(2021, 2), MARCH]


def test_a_dataset_that_no_store_has_has_no_months() -> None:
    assert months_of({"lake": {}, "bigquery": {}}, GREEN, [Runs()]) == []


def test_a_dataset_without_months_is_one_column() -> None:
    assert months_of({"lake": {}}, ZONES, []) == [None]
