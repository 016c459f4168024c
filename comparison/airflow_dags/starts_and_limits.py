"""Small DAGs about what starts, waits and ends when, each showing one concept that the pipeline itself does not need.

``comparison/prefect_flows/starts_and_limits.py`` has the same examples under the same names.
"""

from __future__ import annotations

import time
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import Asset, Param, PartitionedAssetTimetable, dag, task

WAITS = 20
RATE_SECONDS = 2


@dag(schedule=PartitionedAssetTimetable(assets=Asset("input_green") & Asset("input_yellow")), tags=["comparison"])
def both_arrived() -> None:
    """Starts for a month when both of its inputs have arrived."""

    @task
    def load(dag_run: Any = None) -> str:
        return dag_run.partition_key

    load()


@dag(schedule=None, tags=["comparison"], params={"until": Param("2021-01-01T00:00:00+00:00", type="string")})
def waiting() -> None:
    """Waits twenty times at once; neither the start nor the end of a wait needs a process of its own."""
    for number in range(WAITS):
        DateTimeSensorAsync(
            task_id=f"wait_{number}",
            target_time="{{ params.until }}",
            start_from_trigger=True,
            end_from_trigger=True,
        )


@dag(schedule=None, tags=["comparison"])
def prioritised() -> None:
    """Has three tasks for one slot; the most important one is declared last."""
    for name, weight in (("low", 1), ("middle", 5), ("high", 10)):

        @task(task_id=name, pool="prioritised", priority_weight=weight)
        def load() -> None: ...

        load()


@dag(schedule=None, tags=["comparison"])
def rated() -> None:
    """Calls another system no more often than every two seconds: a task keeps the only slot for that long."""

    @task(pool="rated")
    def call(number: int) -> float:
        called = time.time()
        time.sleep(RATE_SECONDS)
        return called

    call.expand(number=[1, 2, 3])


@dag(schedule=None, tags=["comparison"])
def cleaned() -> None:
    """Leaves runs that are removed later."""
    EmptyOperator(task_id="work")


@dag(schedule=None, tags=["comparison"])
def lineage() -> None:
    """Reads one object and writes another."""

    @task(inlets=[Asset("gs://compared/read")], outlets=[Asset("gs://compared/written")])
    def copy() -> None: ...

    copy()


for example in (both_arrived, waiting, prioritised, rated, cleaned, lineage):
    example()
