"""Parameters of runs that are started by hand."""

from __future__ import annotations

from airflow.sdk import Param

from nyc_taxi.registry.model import Dataset, TripDataset
from nyc_taxi.registry.months import MONTH_PATTERN, YEAR_PATTERN


def run_params(dataset: Dataset) -> dict[str, Param]:
    """Return the parameters that choose a run's file: ``month``, if the dataset has months."""
    if not isinstance(dataset, TripDataset):
        return {}
    return {
        "month": Param(
            None,
            type=["null", "string"],
            pattern=MONTH_PATTERN,
            title="Month",
            description="The month to load, YYYY-MM. Scheduled, backfilled and asset-triggered runs get it from their "
            "partition key.",
        )
    }


def load_params(dataset: Dataset) -> dict[str, Param]:
    """Return the parameters of a run that loads a month into a store: those of ``run_params`` and ``force``."""
    force = Param(
        False,
        type="boolean",
        title="Force",
        description="Load the month even if the store already has it, unchanged.",
    )
    return {**run_params(dataset), "force": force}


def year_params() -> dict[str, Param]:
    """Return the parameter of a run for a whole year: ``year``."""
    return {
        "year": Param(
            None,
            type=["null", "string"],
            pattern=YEAR_PATTERN,
            title="Year",
            description="The year to build, YYYY. Asset-triggered runs get it from their partition key.",
        )
    }
