"""Metrics of the loads, beside Airflow's own; nothing is sent unless Airflow's metrics are on.

All names begin with ``nyc_taxi.``; docs/observability.md lists them. The tags are the DAG, the task and the dataset.
The month is none: fifteen years of months would make each metric some thousand series, and the stores themselves know
which months they have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.observability import stats

from nyc_taxi.common.progress import take_ended

if TYPE_CHECKING:
    from airflow.sdk import Context


def report_transfers(context: Context) -> None:
    """Report what a task has moved; use it as the ``on_success_callback`` of every task.

    A task that updates an asset has loaded a month, or the one file of a lookup dataset, if it has moved anything.
    """
    ended = take_ended()
    if not ended:
        return
    ti, run = context["ti"], context["dag_run"]
    dataset = (context["dag"].user_defined_macros or {}).get("dataset")
    tags = {"dag_id": ti.dag_id, "task_id": ti.task_id, "dataset": dataset.name if dataset else "all"}
    for transfer in ended:
        stats.incr("nyc_taxi.transfer.milliseconds", round(1000 * transfer.seconds), tags=tags)
        if transfer.rows is not None:
            stats.incr("nyc_taxi.transfer.rows", transfer.rows, tags=tags)
        if transfer.size is not None:
            stats.incr("nyc_taxi.transfer.bytes", transfer.size, tags=tags)
    if context["task"].outlets:
        stats.incr("nyc_taxi.load.months", tags=tags)
        assert ti.end_date is not None  # a task that has succeeded has ended
        late = (ti.end_date - run.run_after).total_seconds()
        stats.gauge("nyc_taxi.load.lateness_seconds", late, tags={**tags, "run_type": run.run_type.value})
