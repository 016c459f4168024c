"""The range of months with a process for each month at a time, in place of a thread."""

from __future__ import annotations

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ProcessPoolTaskRunner

from comparison.prefect_flows.months import AT_ONCE, months_between
from comparison.prefect_flows.parameters import DatasetName, MonthName


@task(cache_policy=NO_CACHE)
def load_month_there(dataset: DatasetName, month: MonthName, force: bool) -> None:
    """Load one month into the lake, in the process that has this task."""
    # That gets a task with the names that it uses, but without those of the annotations of what it calls.
    from comparison.prefect_flows.months import load_month

    load_month.fn(dataset, month, force)


@flow(
    flow_run_name="{dataset}-{first}-to-{last}-in-processes",
    task_runner=ProcessPoolTaskRunner(max_workers=AT_ONCE),  # type: ignore[arg-type]
)
def load_months_in_processes(dataset: DatasetName, first: MonthName, last: MonthName, force: bool = False) -> None:
    """Load a range of months into the lake; see :func:`comparison.prefect_flows.months.load_months`."""
    load_month_there.map(dataset, months_between(first, last), force).result()
