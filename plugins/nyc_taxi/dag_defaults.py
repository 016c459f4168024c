"""What all DAGs share: task defaults, schedules, the run parameter, assets and their partitions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, CronPartitionTimetable, Param, PartitionedAssetTimetable
from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule

from nyc_taxi.datasets import ContractError, Dataset
from nyc_taxi.download import NotPublishedError
from nyc_taxi.macros import MACROS
from nyc_taxi.months import MONTH_PATTERN, MonthError, resolve_month

SQL_DIR = Path(__file__).resolve().parents[2] / "include" / "sql"

# The first day of a month names that month's run. The TLC publishes about two months late, so the run of
# 1 November is for September.
MONTHLY = CronPartitionTimetable("0 0 1 * *", timezone="UTC", run_offset=-2, key_format="%Y-%m")

# Trying again cannot make a wrong month right or a broken file whole: such a task fails at once.
RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception=[ContractError, MonthError, NotPublishedError],
            action=RetryAction.FAIL,
            reason="Wrong input: a retry would fail the same way.",
        )
    ]
)

DEFAULT_ARGS: dict[str, Any] = {
    "owner": "data-platform",
    "retries": 3,
    "retry_delay": timedelta(seconds=20),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
    "retry_policy": RETRY_POLICY,
    "execution_timeout": timedelta(minutes=30),
}


def dag_args(dataset: Dataset) -> dict[str, Any]:
    """The DAG arguments that do not differ between the DAGs of a dataset."""
    return {
        "start_date": datetime(2019, 1, 1, tzinfo=UTC),
        "catchup": False,
        "default_args": DEFAULT_ARGS,
        "dagrun_timeout": timedelta(hours=2),
        "max_active_runs": 4,
        "template_searchpath": [str(SQL_DIR)],
        "user_defined_macros": {"dataset": dataset, **MACROS},
    }


def month_params() -> dict[str, Param]:
    """The run parameter ``month``, for runs that are started by hand."""
    return {
        "month": Param(
            None,
            type=["null", "string"],
            pattern=MONTH_PATTERN,
            title="Month",
            description="The month to run, YYYY-MM. Scheduled, backfilled and asset-triggered runs have a partition "
            "key instead.",
        )
    }


def lake_asset(dataset: Dataset) -> Asset:
    """The dataset's Parquet in the lake; its partitions are months."""
    return Asset(name=f"lake_{dataset.name}", group="lake")


def warehouse_asset(dataset: Dataset) -> Asset:
    """The dataset's table in BigQuery; its partitions are months."""
    return Asset(name=f"warehouse_{dataset.name}", group="warehouse")


def postgres_asset(dataset: Dataset) -> Asset:
    """The dataset's table in Postgres; its partitions are months."""
    return Asset(name=f"postgres_{dataset.name}", group="postgres")


def on_each_partition(asset: Asset) -> PartitionedAssetTimetable:
    """Run once for each month of ``asset`` that is updated, with that month as partition key."""
    return PartitionedAssetTimetable(assets=asset)


def announce_month(asset: Asset) -> Callable[[Any, Any], None]:
    """A ``post_execute`` hook: tell which month of ``asset`` the task updated.

    A run with a partition key tells it by itself. A run that was started by hand has none, so the hook adds it; that is
    how such a run, too, reaches the DAGs that wait for the asset.
    """

    def announce(context: Any, result: Any) -> None:
        if not context["dag_run"].partition_key:
            context["outlet_events"][asset].add_partitions(str(resolve_month(context)))

    return announce
