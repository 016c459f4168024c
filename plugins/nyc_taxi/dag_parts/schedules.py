"""When a DAG runs: by the calendar, or when an asset is updated."""

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
    """Run on the first day of each month; a dataset with months gets one of them as partition key.

    The TLC publishes about two months late, so the run of 1 November is for September. A DAG that is unpaused for the
    first time starts the run of this month's first day at once.
    """
    if isinstance(dataset, TripDataset):
        return CronPartitionTimetable(
            "0 0 1 * *", timezone="UTC", run_offset=-2, run_immediately=True, key_format="%Y-%m"
        )
    return CronTriggerTimetable("0 0 1 * *", timezone="UTC", run_immediately=True)


def on_update(dataset: Dataset, asset: Asset) -> BaseTimetable | list[Asset]:
    """Run when ``asset`` is updated; for a dataset with months once for each, with that month as partition key."""
    return PartitionedAssetTimetable(assets=asset) if isinstance(dataset, TripDataset) else [asset]


def on_update_of_a_month(*assets: Asset) -> BaseTimetable:
    """Run for a year when any month of it is updated in any of ``assets``; the year is the partition key.

    Airflow counts the months of a year anew after each run that it starts. If it waited for more than one, a month that
    is loaded again would start nothing, and a year would stay as it was after its first n months. So every month starts
    a run, and the run looks up what is there.
    """
    return PartitionedAssetTimetable(
        assets=AssetAny(*assets),
        default_partition_mapper=RollupMapper(
            upstream_mapper=StartOfYearMapper(input_format="%Y-%m"),
            window=YearWindow(),
            wait_policy=MinimumCount(1),
        ),
    )
