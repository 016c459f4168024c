"""Which failures are tried again, and how a month is announced."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from airflow.sdk import Asset, PartitionedAssetTimetable
from airflow.sdk.definitions.retry_policy import RetryAction

from nyc_taxi.dag_defaults import (
    DEFAULT_ARGS,
    RETRY_POLICY,
    lake_asset,
    on_update,
    postgres_asset,
    updates,
    warehouse_asset,
)
from nyc_taxi.datasets import GREEN, ZONES, ContractError
from nyc_taxi.download import NotPublishedError, SourceError
from nyc_taxi.months import MonthError


@pytest.mark.parametrize("error", [ContractError("x"), MonthError("x"), NotPublishedError("x")])
def test_what_a_retry_cannot_help_fails_at_once(error: Exception) -> None:
    decision = RETRY_POLICY.evaluate(error, try_number=1, max_tries=3)
    assert decision.action is RetryAction.FAIL
    assert decision.reason == "Wrong input: a retry would fail the same way."


@pytest.mark.parametrize(
    "error",
    [SourceError("x"), OSError(28, "No space left on device"), psycopg.OperationalError("x"), ValueError("x")],
)
def test_all_else_is_tried_again_as_usual(error: Exception) -> None:
    assert RETRY_POLICY.evaluate(error, try_number=1, max_tries=3).action is RetryAction.DEFAULT
    assert DEFAULT_ARGS["retries"] == 3


def test_the_policy_survives_serialization() -> None:
    restored = type(RETRY_POLICY).deserialize(RETRY_POLICY.serialize())
    assert restored.evaluate(NotPublishedError("x"), try_number=1, max_tries=3).action is RetryAction.FAIL
    assert restored.evaluate(SourceError("x"), try_number=1, max_tries=3).action is RetryAction.DEFAULT


class _Events(dict[Asset, Any]):
    """Stands for ``outlet_events``: notes which partitions are added to which asset."""

    def __init__(self) -> None:
        super().__init__()
        self.added: list[tuple[str, str]] = []

    def __missing__(self, asset: Asset) -> Any:
        return SimpleNamespace(add_partitions=lambda key: self.added.append((asset.name, key)))


def _announce(partition_key: str | None, month: str | None) -> list[tuple[str, str]]:
    events = _Events()
    context = {
        "dag_run": SimpleNamespace(partition_key=partition_key, logical_date=None),
        "params": {"month": month},
        "outlet_events": events,
    }
    updates(GREEN, lake_asset(GREEN))["post_execute"](context, None)
    return events.added


def test_a_run_started_by_hand_announces_its_month() -> None:
    assert _announce(None, "2021-01") == [("lake_green", "2021-01")]


def test_a_run_with_a_partition_key_announces_nothing_more() -> None:
    assert _announce("2021-01", None) == []
    assert _announce("2021-01", "2020-02") == []


def test_a_run_without_a_month_cannot_announce_one() -> None:
    with pytest.raises(MonthError):
        _announce(None, None)


def test_the_assets() -> None:
    assert lake_asset(GREEN) == Asset(name="lake_green", group="lake")
    assert warehouse_asset(GREEN) == Asset(name="warehouse_green", group="warehouse")
    assert postgres_asset(ZONES) == Asset(name="postgres_zones", group="postgres")
    assert on_update(GREEN, lake_asset(GREEN)) == PartitionedAssetTimetable(assets=lake_asset(GREEN))
    assert on_update(ZONES, lake_asset(ZONES)) == [lake_asset(ZONES)]
