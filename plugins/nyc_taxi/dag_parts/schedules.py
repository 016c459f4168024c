"""Schedules of the DAGs: by the calendar, or on asset updates."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import (
    Asset,
    AssetAny,
    CronTriggerTimetable,
    MinimumCount,
    PartitionedAssetTimetable,
    RollupMapper,
    StartOfYearMapper,
    YearWindow,
)
from airflow.sdk.bases.timetable import BaseTimetable
from airflow.timetables.base import Timetable

from nyc_taxi.dag_parts.timetables import MonthlyTimetable
from nyc_taxi.registry.model import Dataset, TripDataset

# Unpausing a DAG must not start a run that nobody asked for, so its first run lies in the future. For this long after
# the midnight that starts a month, that month's run still counts: the scheduler may be late, and the dag-processor
# computes the first run anew until there is one. With False, Airflow would allow a tenth of the month.
LATE = timedelta(hours=1)


def monthly(dataset: Dataset) -> BaseTimetable | Timetable:
    """Run on the first day of each month, for a trip dataset with the month two months earlier as partition key.

    The TLC publishes about two months late, so the run of 1 November is for September. A DAG that is unpaused for the
    first time starts nothing; its first run is that of the next first day of a month.
    """
    if isinstance(dataset, TripDataset):
        return MonthlyTimetable("0 0 1 * *", timezone="UTC", run_offset=-2, run_immediately=LATE, key_format="%Y-%m")
    return CronTriggerTimetable("0 0 1 * *", timezone="UTC", run_immediately=LATE)


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
