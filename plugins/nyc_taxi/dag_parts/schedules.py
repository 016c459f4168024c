"""Schedules of the DAGs: by the calendar, or on asset updates."""

from __future__ import annotations

from airflow.sdk import (
    Asset,
    AssetAny,
    CronPartitionTimetable,
    CronTriggerTimetable,
    MinimumCount,
    PartitionedAssetTimetable,
    RollupMapper,
    StartOfYearMapper,
    YearWindow,
)
from airflow.sdk.bases.timetable import BaseTimetable

from nyc_taxi.registry.model import Dataset, TripDataset


def monthly(dataset: Dataset) -> BaseTimetable:
    """Run on the first day of each month, for a trip dataset with the month two months earlier as partition key.

    The TLC publishes about two months late, so the run of 1 November is for September. A DAG that is unpaused for the
    first time immediately starts the run of the current month's first day.
    """
    if isinstance(dataset, TripDataset):
        return CronPartitionTimetable(
            "0 0 1 * *", timezone="UTC", run_offset=-2, run_immediately=True, key_format="%Y-%m"
        )
    return CronTriggerTimetable("0 0 1 * *", timezone="UTC", run_immediately=True)


def on_update(dataset: Dataset, asset: Asset) -> BaseTimetable | list[Asset]:
    """Run when ``asset`` is updated; for a trip dataset once for each updated month, with it as partition key."""
    return PartitionedAssetTimetable(assets=asset) if isinstance(dataset, TripDataset) else [asset]


def on_update_of_a_month(*assets: Asset) -> BaseTimetable:
    """Run for a year when any of its months is updated in any of ``assets``; the year is the partition key.

    Every month starts a run, and the run looks up which months are there. Airflow restarts its count of a year's months
    after each run that it starts. If a run waited for n months, a month loaded again would start nothing, and the year
    would keep the result of its first n months.
    """
    return PartitionedAssetTimetable(
        assets=AssetAny(*assets),
        default_partition_mapper=RollupMapper(
            upstream_mapper=StartOfYearMapper(input_format="%Y-%m"),
            window=YearWindow(),
            wait_policy=MinimumCount(1),
        ),
    )
