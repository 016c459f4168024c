"""Skipping a month that the store already has, made from the same input."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DownstreamTasksSkipped
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSkipException

from nyc_taxi import stores
from nyc_taxi.parquet.provenance import provenance
from nyc_taxi.registry.datasets import GREEN, YELLOW
from nyc_taxi.registry.model import ContractError
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.skip_unchanged import SkipUnchangedOperator
from nyc_taxi.stores.store import MissingMonthError, StoredMonth
from tests.nyc_taxi.stores.fakes import FakeStore

FILE = GREEN.file(Month(2021, 1))
NAME = "green_tripdata_2021-01.csv.gz"
VERSION = 'etag="5f2a" length=1234'
MADE_FROM = provenance(GREEN, NAME, VERSION)
SEEN_AT = "2026-01-02T03:04:05.000006+00:00"


class _Target(FakeStore):
    name = "target"


class _Source(FakeStore):
    name = "source"


@pytest.fixture(autouse=True)
def _stores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "STORES", [_Target, _Source])
    monkeypatch.setattr(_Target, "confirmed", [])


class _TaskInstance(dict[str, Any]):
    """Fake task instance that records XComs."""

    map_index = -1

    def __init__(self, task: SkipUnchangedOperator, max_tries: int) -> None:
        self.task = task
        self.max_tries = max_tries

    def xcom_push(self, *, key: str, value: Any) -> None:
        self[key] = value


def _stored(made_from: str = "", revision: str = "") -> dict[str, StoredMonth]:
    return {FILE.lake_object: StoredMonth(rows=1, made_from=made_from, published_at=None, revision=revision)}


def _run(
    target: dict[str, StoredMonth],
    source: dict[str, StoredMonth] | None = None,
    *,
    max_tries: int = 3,
    **differences: Any,
) -> dict[str, Any]:
    """Execute the task, which has three retries, with three downstream tasks; return the XComs that it pushed."""
    _Target.kept, _Source.kept = target, source or {}
    given = {"dataset": "green", "month": "2021-01", "made_from": MADE_FROM, "force": "False", "store": "target"}
    with DAG(dag_id="x", schedule=None):
        task = SkipUnchangedOperator(task_id="skip_unchanged", retries=3, **{**given, **differences})
        others = [
            SkipUnchangedOperator(task_id=name, store="target", made_from="") for name in ("load", "create", "announce")
        ]
        task >> others
    pushed = _TaskInstance(task, max_tries)
    task.execute({"ti": pushed})  # type: ignore[typeddict-item]
    return pushed


def test_an_unchanged_month_is_skipped_and_the_reason_says_what_it_was_made_from() -> None:
    with pytest.raises(AirflowSkipException) as skipped:
        _run(_stored(MADE_FROM))
    assert str(skipped.value) == (
        f"target:{FILE.lake_object} is unchanged: it was made from {MADE_FROM}. Set force to load it again."
    )


@pytest.mark.parametrize(
    ("target", "differences"),
    [
        ({}, {}),
        (_stored(""), {}),
        (_stored(provenance(GREEN, NAME, 'etag="5f2b" length=1234')), {}),
        (_stored(provenance(GREEN, NAME, 'etag="5f2a" length=1235')), {}),
        (_stored(provenance(GREEN, "green_tripdata_2021-01.parquet", VERSION)), {}),
        (_stored(provenance(YELLOW, NAME, VERSION)), {}),
        (_stored(MADE_FROM), {"force": "True"}),
        (_stored(MADE_FROM), {"month": "2021-02"}),
        (_stored(""), {"made_from": ""}),
    ],
    ids=["absent", "unknown", "tag", "length", "source", "contract", "force", "month", "no version"],
)
def test_a_month_that_differs_is_loaded(target: dict[str, StoredMonth], differences: dict[str, Any]) -> None:
    assert _run(target, **differences) == {}


def test_the_store_notes_when_the_source_had_the_month() -> None:
    with pytest.raises(AirflowSkipException):
        _run(_stored(MADE_FROM), seen_at=SEEN_AT)
    assert _Target.confirmed == [datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("target", "differences"),
    [(_stored("other"), {}), ({}, {}), (_stored(MADE_FROM), {"force": "True"}), (_stored(MADE_FROM), {"max_tries": 4})],
    ids=["changed", "absent", "force", "cleared"],
)
def test_nothing_is_noted_of_a_month_that_is_loaded(
    target: dict[str, StoredMonth], differences: dict[str, Any]
) -> None:
    _run(target, seen_at=SEEN_AT, **differences)
    assert _Target.confirmed == []


def test_a_month_that_is_replaced_before_the_note_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Target, "still_has", False)
    assert _run(_stored(MADE_FROM), seen_at=SEEN_AT) == {}


@pytest.mark.parametrize("try_number", [1, 2, 4])
def test_a_task_that_was_cleared_loads_the_month_again(try_number: int) -> None:
    # Airflow's rule: a task that is cleared after its n-th try may have n more than its retries.
    assert _run(_stored(MADE_FROM), max_tries=try_number + 3) == {}
    with pytest.raises(DownstreamTasksSkipped):
        _run(_stored(MADE_FROM), max_tries=try_number + 3, unchanged_task_id="announce")


def test_an_unchanged_month_runs_its_own_branch_alone() -> None:
    with pytest.raises(DownstreamTasksSkipped) as branched:
        _run(_stored(MADE_FROM), unchanged_task_id="announce")
    assert {task for task, _ in branched.value.tasks} == {"load", "create"}


def test_a_month_that_is_loaded_runs_all_but_that_branch() -> None:
    with pytest.raises(DownstreamTasksSkipped) as branched:
        _run({}, unchanged_task_id="announce")
    assert {task for task, _ in branched.value.tasks} == {"announce"}


# Stores that are loaded from another store


@pytest.mark.parametrize(
    ("revision", "is_skipped"), [("17", True), ("18", False), ("", False)], ids=["same", "other", "unknown"]
)
def test_the_other_store_says_what_would_be_loaded(revision: str, is_skipped: bool) -> None:
    def run() -> None:
        _run(_stored("17"), _stored("whatever", revision), made_from="", loaded_from="source")

    if is_skipped:
        with pytest.raises(AirflowSkipException, match="it was made from 17"):
            run()
    else:
        run()


@pytest.mark.parametrize("force", ["True", "False"])
def test_a_month_that_the_other_store_lacks_is_an_error(force: str) -> None:
    with pytest.raises(MissingMonthError, match=r"^there is no source:green/.*\.parquet; run green_"):
        _run({}, {}, made_from="", loaded_from="source", force=force)


@pytest.mark.parametrize(("dataset", "month"), [("green", ""), ("zones", "2021-01"), ("purple", "2021-01")])
def test_a_dataset_and_a_month_that_do_not_go_together_are_refused(dataset: str, month: str) -> None:
    with pytest.raises(ContractError):
        _run({}, dataset=dataset, month=month)
