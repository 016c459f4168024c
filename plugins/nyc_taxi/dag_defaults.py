"""What all DAGs share: task defaults, schedules, the run parameter, assets and their partitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import (
    Asset,
    AssetAny,
    CronPartitionTimetable,
    CronTriggerTimetable,
    MinimumCount,
    Param,
    PartitionedAssetTimetable,
    RollupMapper,
    StartOfYearMapper,
    YearWindow,
    get_parsing_context,
)
from airflow.sdk.bases.timetable import BaseTimetable
from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule

from nyc_taxi.datasets import DATASETS, TRIP_DATASETS, ContractError, Dataset, TripDataset
from nyc_taxi.download import NotPublishedError
from nyc_taxi.macros import MACROS, PUBLICATION_WAIT
from nyc_taxi.months import MONTH_PATTERN, YEAR_PATTERN, MonthError, resolve_month, resolve_year
from nyc_taxi.notifications import notify_failure

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

# Of what publishes: a check that only warns ends as skipped and stops nothing, and a run that is skipped stays so.
PUBLISH_RULE = "none_failed_min_one_success"

_DAG_ARGS: dict[str, Any] = {
    # No start_date: of a run whose logical date lies before it, Airflow makes no task and calls it a success.
    "catchup": False,
    "default_args": DEFAULT_ARGS,
    "dagrun_timeout": timedelta(hours=2),
    "on_failure_callback": notify_failure,
    "template_searchpath": [str(SQL_DIR)],
}


def each_dataset(step: str) -> Iterator[tuple[str, Dataset]]:
    """The DAGs that a file declares for one step of the pipeline: the id of each, and its dataset.

    A process that runs a task parses the file for one DAG alone, and Airflow says for which
    (``get_parsing_context``): building the others too would be most of what parsing costs there.

    Args:
        step: what all of them do, such as ``web_to_gcs``.

    Yields:
        ``<dataset>_<step>`` and the dataset: of every dataset of the registry, or of the DAG that is asked for.
    """
    wanted = get_parsing_context().dag_id
    for dataset in DATASETS.values():
        dag_id = f"{dataset.name}_{step}"
        if wanted in (None, dag_id):
            yield dag_id, dataset


def dag_args(dataset: Dataset) -> dict[str, Any]:
    """The DAG arguments that do not differ between the DAGs of a dataset."""
    return {**_DAG_ARGS, "max_active_runs": 4, "user_defined_macros": {"dataset": dataset, **MACROS}}


def yearly_dag_args() -> dict[str, Any]:
    """The DAG arguments of a DAG that makes whole years from all datasets' months.

    Its runs take turns, so that none replaces a year by what it counted before another one's.
    """
    return {**_DAG_ARGS, "max_active_runs": 1, "user_defined_macros": {"trip_datasets": TRIP_DATASETS, **MACROS}}


def source_dag_args(dataset: Dataset) -> dict[str, Any]:
    """``dag_args`` of a DAG that reads the source: its run may wait for the publication."""
    args = dag_args(dataset)
    return {**args, "dagrun_timeout": PUBLICATION_WAIT + args["dagrun_timeout"]}


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


def source_params(dataset: Dataset) -> dict[str, Param]:
    """The parameters of a run that reads the source: those of ``run_params``, and ``force``."""
    force = Param(
        False,
        type="boolean",
        title="Force",
        description="Load again what is loaded already, although neither the source's file nor the contract changed.",
    )
    return {**run_params(dataset), "force": force}


def year_params() -> dict[str, Param]:
    """The parameter of a run for a whole year that is started by hand: ``year``."""
    return {
        "year": Param(
            None,
            type=["null", "string"],
            pattern=YEAR_PATTERN,
            title="Year",
            description="The year to run, YYYY. Asset-triggered runs have a partition key instead.",
        )
    }


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


def lake_asset(dataset: Dataset) -> Asset:
    """The dataset's Parquet in the lake; its partitions are months."""
    return Asset(name=f"lake_{dataset.name}", group="lake")


def warehouse_asset(dataset: Dataset) -> Asset:
    """The dataset's table in BigQuery; its partitions are months."""
    return Asset(name=f"warehouse_{dataset.name}", group="warehouse")


def postgres_asset(dataset: Dataset) -> Asset:
    """The dataset's table in Postgres; its partitions are months."""
    return Asset(name=f"postgres_{dataset.name}", group="postgres")


def yearly_rollup_asset() -> Asset:
    """The rollup of all datasets in BigQuery; its partitions are years."""
    return Asset(name="warehouse_yearly_rollup", group="warehouse")


def updates(dataset: Dataset, asset: Asset) -> dict[str, Any]:
    """The arguments of a task that updates ``asset``: its outlet, and the hook that tells which month it was.

    A run with a partition key tells it by itself. A run that was started by hand has none, so the hook adds it; that is
    how such a run, too, reaches the DAGs that wait for the asset.
    """
    announce = _announcing(asset, resolve_month) if isinstance(dataset, TripDataset) else None
    return {"outlets": [asset], "post_execute": announce}


def updates_year(asset: Asset) -> dict[str, Any]:
    """The same of a task that updates a whole year of ``asset``."""
    return {"outlets": [asset], "post_execute": _announcing(asset, resolve_year)}


def _announcing(asset: Asset, resolve: Callable[[Any], object]) -> Callable[[Any, Any], None]:
    def announce(context: Any, result: Any) -> None:
        if not context["dag_run"].partition_key:
            context["outlet_events"][asset].add_partitions(str(resolve(context)))

    return announce
