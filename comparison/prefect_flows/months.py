"""A range of months: a parent flow with each month as a subflow."""

from __future__ import annotations

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.concurrency.sync import concurrency
from prefect.task_runners import ThreadPoolTaskRunner

from comparison.prefect_flows.parameters import DatasetName, MonthName
from comparison.prefect_flows.web_to_gcs import web_to_gcs
from nyc_taxi.registry.months import Month

AT_ONCE = 4
LIMIT = "taxi-months"


def months_between(first: MonthName, last: MonthName) -> list[MonthName]:
    """All months from the first to the last, inclusive."""
    month, end, found = Month.parse(first), Month.parse(last), []
    while month <= end:
        found.append(str(month))
        month = month.next
    return found


# In a thread no time-out of Prefect's interrupts a blocking call: what ends a download that hangs are its own limits.
@task(cache_policy=NO_CACHE)
def load_month(dataset: DatasetName, month: MonthName, force: bool) -> None:
    """Load one month into the lake when the server's limit, which covers all runs, allows it."""
    # Without the limit it fails; if the server is away for a while, it goes on.
    with concurrency(LIMIT, strict=True, raise_on_lease_renewal_failure=False):
        web_to_gcs(dataset, month, force)


@flow(
    name="load-months",
    flow_run_name="{dataset}-{first}-to-{last}",
    task_runner=ThreadPoolTaskRunner(max_workers=AT_ONCE),  # type: ignore[arg-type]
)
def load_months(dataset: DatasetName, first: MonthName, last: MonthName, force: bool = False) -> None:
    """Load a range of months into the lake, several at a time; each arrival starts the load into BigQuery.

    Args:
        dataset: which dataset.
        first: the first month.
        last: the last month.
        force: also load months that are unchanged.
    """
    load_month.map(dataset, months_between(first, last), force).result()
