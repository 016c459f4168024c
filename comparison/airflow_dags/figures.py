"""DAGs whose runs are measured: chains of no-op tasks, a mapped task, and a DAG that an event starts."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, Param, dag, task


@task
def do_nothing(number: int) -> int:
    """Does nothing."""
    return number + 1


def chain(length: int) -> None:
    """Defines a DAG that runs no-op tasks one after the other; Airflow knows their number before the run."""

    @dag(dag_id=f"chain_{length}", schedule=None, tags=["comparison"])
    def of_length() -> None:
        number: Any = 0
        for _ in range(length):
            number = do_nothing(number)

    of_length()


@dag(schedule=None, params={"count": Param(1000, type="integer")}, tags=["comparison"])
def many() -> None:
    """Runs one no-op task for each number of a list."""

    @task
    def numbers(params: dict[str, Any] | None = None) -> list[int]:
        assert params is not None
        return list(range(params["count"]))

    do_nothing.expand(number=numbers())


@dag(schedule=[Asset("compared_event")], tags=["comparison"])
def on_event() -> None:
    """Writes the time of its first line."""

    @task
    def write() -> None:
        now = time.time()
        Path(json.loads(os.environ["COMPARISON"])["folder"], "first-line").write_text(str(now))

    write()


for each in (10, 110):
    chain(each)
many()
on_event()
