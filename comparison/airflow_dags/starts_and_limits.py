"""Small DAGs about what starts, waits and ends when, each showing one concept that the pipeline itself does not need.

``comparison/prefect_flows/starts_and_limits.py`` has the same examples under the same names.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.providers.standard.triggers.file import FileDeleteTrigger
from airflow.sdk import Asset, AssetWatcher, Param, PartitionedAssetTimetable, dag, task

WAITS = 20
RATE_SECONDS = 2
# The file that another system writes; without a comparison nothing waits for it.
_FOLDER = json.loads(os.environ.get("COMPARISON", "{}")).get("folder", "")
ANNOUNCED = "announced.txt"


@dag(schedule=PartitionedAssetTimetable(assets=Asset("input_green") & Asset("input_yellow")), tags=["comparison"])
def both_arrived() -> None:
    """Starts for a month when both of its inputs have arrived."""

    @task
    def load(dag_run: Any = None) -> str:
        return dag_run.partition_key

    load()


_FILE = AssetWatcher(name="a_file", trigger=FileDeleteTrigger(f"{_FOLDER}/{ANNOUNCED}", poke_interval=1))


@dag(schedule=[Asset("outside", watchers=[_FILE] if _FOLDER else [])], tags=["comparison"])
def from_outside() -> None:
    """Starts by a message of another system, to the REST API or as a file."""

    @task
    def read(triggering_asset_events: Any = None) -> list[Any]:
        return [event.extra.get("month") for events in triggering_asset_events.values() for event in events]

    read()


@dag(schedule=None, tags=["comparison"], params={"seconds": Param(15, type="integer")})
def outage() -> None:
    """Has a task that works for some seconds, and another one that takes its result."""

    @task
    def work(params: dict[str, Any] | None = None) -> int:
        assert params is not None
        time.sleep(params["seconds"])
        return params["seconds"]

    @task
    def publish(result: Any) -> int:
        return result

    publish(work())


@dag(schedule=None, tags=["comparison"], params={"until": Param("2021-01-01T00:00:00+00:00", type="string")})
def waiting() -> None:
    """Waits twenty times at once; neither the start nor the end of a wait needs a process of its own."""
    for number in range(WAITS):
        DateTimeSensorAsync(
            task_id=f"wait_{number}",
            pool="waiting",
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


for example in (both_arrived, from_outside, outage, waiting, prioritised, rated, cleaned, lineage):
    example()
