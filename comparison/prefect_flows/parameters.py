"""The parameters of the flows. Prefect validates them before a run exists, and builds its UI form from them."""

from __future__ import annotations

from typing import Annotated, Literal

from prefect import runtime
from pydantic import Field

from nyc_taxi.registry.datasets import TRIP_DATASETS
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.registry.months import MONTH_PATTERN, PUBLICATION_DELAY_MONTHS, Month

DatasetName = Literal["yellow", "green", "fhv", "fhvhv"]
MonthName = Annotated[str, Field(pattern=MONTH_PATTERN, description="The month to run, YYYY-MM.")]


def published_file(dataset: DatasetName, month: MonthName) -> PublishedFile:
    """The published file of one month."""
    [found] = [each for each in TRIP_DATASETS if each.name == dataset]
    return found.file(Month.parse(month))


def run_name() -> str:
    """The name of a run: its flow, dataset and month, also where the month is that of the schedule."""
    given = runtime.flow_run.parameters
    return f"{runtime.flow_run.flow_name}-{given['dataset']}-{given['month'] or scheduled_month()}"


def scheduled_month() -> MonthName:
    """The month of a scheduled run: the run of 1 November is for September, as in Airflow.

    All runs of a deployment have the same parameters, so that the flow derives the month from its scheduled start.
    """
    start = runtime.flow_run.scheduled_start_time
    year, index = divmod(start.year * 12 + start.month - 1 - PUBLICATION_DELAY_MONTHS, 12)
    return str(Month(year, index + 1))
