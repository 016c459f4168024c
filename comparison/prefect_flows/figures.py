"""Flows whose runs are measured: chains of no-op tasks, mapped tasks, and a flow that an event starts."""

from __future__ import annotations

import time
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from comparison.ground import Ground


@task(cache_policy=NO_CACHE)
def do_nothing(number: int) -> int:
    """Does nothing."""
    return number + 1


@flow
def chain(length: int) -> int:
    """Runs no-op tasks one after the other."""
    number = 0
    for _ in range(length):
        number = do_nothing(number)
    return number


@flow
def many(count: int) -> None:
    """Runs one no-op task for each number of a list."""
    do_nothing.map(list(range(count))).result()


@flow
def on_event() -> None:
    """Writes the time of its first line."""
    now = time.time()
    Path(Ground.from_env().folder, "first-line").write_text(str(now))
