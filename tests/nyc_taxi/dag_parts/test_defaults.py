"""Arguments that all DAGs share: the retry policy, schedules, assets and parameters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import psycopg
import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.sdk import Asset, CronTriggerTimetable, PartitionedAssetTimetable
from airflow.sdk.definitions.retry_policy import RetryAction
from airflow.sdk.exceptions import ParamValidationError

from nyc_taxi.common.sql import SQL_DIR
from nyc_taxi.dag_parts.assets import store_asset, updates
from nyc_taxi.dag_parts.deadlines import DEADLINE
from nyc_taxi.dag_parts.defaults import DEFAULT_ARGS, RETRY_POLICY, dag_args, source_dag_args
from nyc_taxi.dag_parts.macros import MACROS, PUBLICATION_WAIT
from nyc_taxi.dag_parts.params import load_params, run_params
from nyc_taxi.dag_parts.schedules import LATE, monthly, on_update
from nyc_taxi.dag_parts.timetables import MonthlyTimetable
from nyc_taxi.registry.datasets import DATASETS, GREEN, TRIP_DATASETS, ZONES
from nyc_taxi.registry.model import ContractError, Dataset
from nyc_taxi.registry.months import MonthError
from nyc_taxi.source.errors import NotPublishedError, PermanentSourceError, RefusedError, SourceError
from nyc_taxi.stores.bigquery.store import BigQueryStore
from nyc_taxi.stores.lake.store import LakeStore
from nyc_taxi.stores.postgres.store import PostgresStore
from tests.nyc_taxi.support import announced


@pytest.mark.parametrize("error", [ContractError("x"), MonthError("x"), NotPublishedError("x")])
def test_an_error_that_a_retry_cannot_fix_fails_at_once(error: Exception) -> None:
    decision = RETRY_POLICY.evaluate(error, try_number=1, max_tries=3)
    assert decision.action is RetryAction.FAIL
    assert decision.reason == "Wrong input: a retry would fail the same way."


@pytest.mark.parametrize(
    "error",
    [
        SourceError("x"),
        RefusedError("x"),
        OSError(28, "No space left on device"),
        psycopg.OperationalError("x"),
        ValueError("x"),
    ],
)
def test_any_other_error_is_retried(error: Exception) -> None:
    assert RETRY_POLICY.evaluate(error, try_number=1, max_tries=3).action is RetryAction.DEFAULT
    assert DEFAULT_ARGS["retries"] == 3


def test_a_source_that_refuses_for_good_fails_at_once() -> None:
    decision = RETRY_POLICY.evaluate(PermanentSourceError("x"), try_number=1, max_tries=3)
    assert decision.action is RetryAction.FAIL
    assert decision.reason == "The source refuses the file: a retry would fail the same way."


def _waits(retry_after: float, try_number: int) -> list[timedelta]:
    """The waits before the retry of several runs, as Airflow computes them from the policy's decision."""
    decision = RETRY_POLICY.evaluate(SourceError("x", retry_after=retry_after), try_number=try_number, max_tries=3)
    assert decision.action is (RetryAction.DEFAULT if decision.retry_delay is None else RetryAction.RETRY)
    ended = datetime(2021, 1, 1, tzinfo=UTC)
    waits = []
    for hour in range(40):  # Airflow's jitter depends on the run's date
        ti = SimpleNamespace(
            task=SimpleNamespace(
                retry_delay=DEFAULT_ARGS["retry_delay"],
                retry_exponential_backoff=DEFAULT_ARGS["retry_exponential_backoff"],
                max_retry_delay=DEFAULT_ARGS["max_retry_delay"],
            ),
            dag_id="dag",
            task_id="task",
            logical_date=hour,
            try_number=try_number,
            end_date=ended,
            retry_delay_override=decision.retry_delay and decision.retry_delay.total_seconds(),
        )
        waits.append(TaskInstance.next_retry_datetime(cast(TaskInstance, ti)) - ended)
    return waits


@pytest.mark.parametrize("try_number", [1, 2, 3, 5, 6, 60, 1000])
@pytest.mark.parametrize("asked", [0.0, 5.0, 19.5, 20.0, 20.5, 30.0, 45.0, 80.0, 300.0, 600.0, 601.0, 3600.0])
def test_a_retry_waits_for_the_longer_of_backoff_and_retry_after(asked: float, try_number: int) -> None:
    usual = _waits(0.0, try_number)
    if try_number <= 3:
        assert min(usual) >= timedelta(seconds=20 * 2 ** (try_number - 1))
    for wait, backoff in zip(_waits(asked, try_number), usual, strict=True):
        assert wait >= max(backoff, timedelta(seconds=asked))
        assert wait <= max(2 * backoff, timedelta(seconds=asked))


@pytest.mark.parametrize(
    ("asked", "try_number", "decided"), [(300.0, 1, 300), (25.0, 1, 40), (30.0, 2, None), (5.0, 1, None)]
)
def test_the_delay_is_decided_only_if_the_source_asks_for_more(
    asked: float, try_number: int, decided: int | None
) -> None:
    decision = RETRY_POLICY.evaluate(SourceError("x", retry_after=asked), try_number=try_number, max_tries=3)
    assert decision.retry_delay == (decided and timedelta(seconds=decided))
    assert decision.reason == (decided and f"The source asks to wait: Retry-After, {timedelta(seconds=asked)}.")


@pytest.mark.parametrize("asked", [3601.0, 1e300, float("inf")])
def test_no_source_can_put_a_retry_off_for_longer_than_an_hour(asked: float) -> None:
    decision = RETRY_POLICY.evaluate(SourceError("x", retry_after=asked), try_number=1, max_tries=3)
    assert decision.retry_delay == timedelta(hours=1)


def test_the_policy_survives_serialization() -> None:
    restored = type(RETRY_POLICY).deserialize(RETRY_POLICY.serialize())
    assert restored.evaluate(NotPublishedError("x"), try_number=1, max_tries=3).action is RetryAction.FAIL
    assert restored.evaluate(SourceError("x"), try_number=1, max_tries=3).action is RetryAction.DEFAULT


def _announce(partition_key: str | None, month: str | None) -> list[tuple[str, str]]:
    return announced(updates(GREEN, store_asset(LakeStore, GREEN)), partition_key, {"month": month})


def test_a_run_started_by_hand_announces_its_month() -> None:
    assert _announce(None, "2021-01") == [("lake_green", "2021-01")]


def test_a_run_with_a_partition_key_announces_nothing_more() -> None:
    assert _announce("2021-01", None) == []
    assert _announce("2021-01", "2020-02") == []


def test_a_run_without_a_month_cannot_announce_one() -> None:
    with pytest.raises(MonthError):
        _announce(None, None)


def test_the_assets() -> None:
    assert store_asset(LakeStore, GREEN) == Asset(name="lake_green", group="lake")
    assert store_asset(BigQueryStore, GREEN) == Asset(name="warehouse_green", group="warehouse")
    assert store_asset(PostgresStore, ZONES) == Asset(name="postgres_zones", group="postgres")
    assert on_update(GREEN, store_asset(LakeStore, GREEN)) == PartitionedAssetTimetable(
        assets=store_asset(LakeStore, GREEN)
    )
    assert on_update(ZONES, store_asset(LakeStore, ZONES)) == [store_asset(LakeStore, ZONES)]


def test_a_dataset_without_months_announces_no_partition() -> None:
    asset = store_asset(LakeStore, ZONES)
    assert updates(ZONES, asset) == {"outlets": [asset], "post_execute": None}
    assert updates(GREEN, store_asset(LakeStore, GREEN))["outlets"] == [store_asset(LakeStore, GREEN)]


# Runs


def test_a_month_is_run_for_two_months_after_it_began() -> None:
    for dataset in TRIP_DATASETS:
        timetable = monthly(dataset)
        assert isinstance(timetable, MonthlyTimetable)
        assert (
            timetable.serialize()
            == MonthlyTimetable(
                "0 0 1 * *", timezone="UTC", run_offset=-2, run_immediately=LATE, key_format="%Y-%m"
            ).serialize()
        )
    assert monthly(ZONES) == CronTriggerTimetable("0 0 1 * *", timezone="UTC", run_immediately=LATE)


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_a_run_knows_its_dataset_and_its_macros_and_where_the_sql_is(dataset: Dataset) -> None:
    args = dag_args(dataset)
    assert args["user_defined_macros"] == {"dataset": dataset, **MACROS}
    assert args["template_searchpath"] == [str(SQL_DIR)]
    assert (SQL_DIR / "bigquery").is_dir()
    assert args["catchup"] is False
    assert args["max_active_runs"] == 4
    assert args["default_args"] is DEFAULT_ARGS


def test_only_a_run_that_reads_the_source_has_the_time_to_wait_for_it() -> None:
    plain, waiting = dag_args(GREEN), source_dag_args(GREEN)
    assert plain["dagrun_timeout"] == timedelta(hours=2)
    assert waiting["dagrun_timeout"] == timedelta(hours=2) + PUBLICATION_WAIT
    assert {**waiting, "dagrun_timeout": None} == {**plain, "dagrun_timeout": None, "deadline": DEADLINE}


def test_a_run_is_started_by_hand_with_a_month_where_the_dataset_has_months() -> None:
    assert list(run_params(GREEN)) == ["month"]
    assert run_params(ZONES) == {}
    month = run_params(GREEN)["month"]
    assert month.value is None
    assert month.resolve("2021-01") == "2021-01"
    for wrong in ("2021-13", "2021-1", "2021", " 2021-01", 202101):
        with pytest.raises(ParamValidationError):
            month.resolve(wrong)


def test_a_run_that_reads_the_source_can_be_forced() -> None:
    assert list(load_params(GREEN)) == ["month", "force"]
    assert list(load_params(ZONES)) == ["force"]
    force = load_params(GREEN)["force"]
    assert force.value is False
    assert force.resolve(True) is True
    with pytest.raises(ParamValidationError):
        force.resolve("yes")
