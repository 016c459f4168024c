"""Small flows about what starts, waits and ends when, each showing one concept that the pipeline itself does not need.

``comparison/airflow_dags/starts_and_limits.py`` has the same examples under the same names. Those that need a worker
have a deployment in ``examples.yaml``.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.concurrency.sync import rate_limit

WAITS = 20
RATE_SECONDS = 2


@task(cache_policy=NO_CACHE)
async def wait(signal: str) -> None:
    """Waits for a file, without a thread or a process of its own."""
    while not Path(signal).exists():
        await asyncio.sleep(0.2)


@flow
async def waiting(signal: str) -> None:
    """Waits twenty times at once."""
    await asyncio.gather(*(wait(signal) for _ in range(WAITS)))


@flow
def prioritised() -> None:
    """Waits in a queue that is more or less important."""


@task(cache_policy=NO_CACHE)
def call(number: int) -> float:
    """Calls another system, no more often than every two seconds."""
    rate_limit("compared-rate")
    return time.time()


@flow
def rated() -> list[float]:
    """Makes three calls that could happen at once."""
    return call.map([1, 2, 3]).result()
