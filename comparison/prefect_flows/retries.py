"""The retry options of tasks; the same failures are final as in the DAGs."""

from __future__ import annotations

from typing import Any, TypedDict

from prefect import Task
from prefect.cache_policies import NO_CACHE, CachePolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import exponential_backoff

from nyc_taxi.registry.model import ContractError
from nyc_taxi.registry.months import MonthError
from nyc_taxi.source.errors import NotPublishedError, PermanentSourceError
from nyc_taxi.stores.store import MissingMonthError


class CheckError(RuntimeError):
    """A check of the loaded rows failed; nothing was published."""


# The file, the month or its rows will be the same in the next try.
FINAL = (CheckError, ContractError, MissingMonthError, MonthError, NotPublishedError, PermanentSourceError)


class TaskOptions(TypedDict):
    """The options of a task that uses another system."""

    retries: int
    retry_delay_seconds: Any
    retry_condition_fn: Any
    timeout_seconds: float
    cache_policy: CachePolicy


async def is_worth_a_retry(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether a retry can help; it cannot for an invalid month, a broken file or a month that is not published."""
    return not isinstance(await state.aresult(raise_on_failure=False), FINAL)


# No caching without an explicit key: the inputs are paths and clients of one process, and their hash says nothing about
# the data behind them. So a restarted run begins anew: the files of its work are gone with its process.
RETRIED = TaskOptions(
    retries=3,
    retry_delay_seconds=exponential_backoff(backoff_factor=20),
    retry_condition_fn=is_worth_a_retry,
    timeout_seconds=30 * 60,
    cache_policy=NO_CACHE,
)
