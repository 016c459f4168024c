"""What all DAGs share: task defaults, schedules, the run parameter, assets and their partitions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, CronPartitionTimetable, CronTriggerTimetable, Param, PartitionedAssetTimetable
from airflow.sdk.bases.timetable import BaseTimetable
from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule

from nyc_taxi.datasets import ContractError, Dataset, TripDataset
from nyc_taxi.download import NotPublishedError
from nyc_taxi.macros import MACROS
from nyc_taxi.months import MONTH_PATTERN, MonthError, resolve_month

SQL_DIR = Path(__file__).resolve().parents[2] / "include" / "sql"

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


def run_params(dataset: Dataset) -> dict[str, Param]:
    """The parameters of a run that is started by hand: ``month``, where the dataset has months."""
    if not isinstance(dataset, TripDataset):
        return {}
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


def monthly(dataset: Dataset) -> BaseTimetable:
    """Run on the first day of each month; a dataset with months gets one of them as partition key.

    The TLC publishes about two months late, so the run of 1 November is for September.
    """
    if isinstance(dataset, TripDataset):
        return CronPartitionTimetable("0 0 1 * *", timezone="UTC", run_offset=-2, key_format="%Y-%m")
    return CronTriggerTimetable("0 0 1 * *", timezone="UTC")


def on_update(dataset: Dataset, asset: Asset) -> BaseTimetable | list[Asset]:
    """Run when ``asset`` is updated; for a dataset with months once for each, with that month as partition key."""
    return PartitionedAssetTimetable(assets=asset) if isinstance(dataset, TripDataset) else [asset]


def lake_asset(dataset: Dataset) -> Asset:
    """The dataset's Parquet in the lake; its partitions are months."""
    return Asset(name=f"lake_{dataset.name}", group="lake")


def warehouse_asset(dataset: Dataset) -> Asset:
    """The dataset's table in BigQuery; its partitions are months."""
    return Asset(name=f"warehouse_{dataset.name}", group="warehouse")


def postgres_asset(dataset: Dataset) -> Asset:
    """The dataset's table in Postgres; its partitions are months."""
    return Asset(name=f"postgres_{dataset.name}", group="postgres")


def updates(dataset: Dataset, asset: Asset) -> dict[str, Any]:
    """The arguments of a task that updates ``asset``: its outlet, and the hook that tells which month it was.

    A run with a partition key tells it by itself. A run that was started by hand has none, so the hook adds it; that is
    how such a run, too, reaches the DAGs that wait for the asset.
    """

    def announce_month(context: Any, result: Any) -> None:
        if not context["dag_run"].partition_key:
            context["outlet_events"][asset].add_partitions(str(resolve_month(context)))

    return {"outlets": [asset], "post_execute": announce_month if isinstance(dataset, TripDataset) else None}
