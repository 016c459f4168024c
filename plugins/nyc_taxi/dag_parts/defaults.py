"""Arguments and task defaults that all DAGs share, and the loop that declares one DAG for each dataset."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from airflow.sdk import get_parsing_context
from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryDecision, RetryRule

from nyc_taxi.common.objects import WorkDirError
from nyc_taxi.common.sql import SQL_DIR
from nyc_taxi.dag_parts.deadlines import DEADLINE
from nyc_taxi.dag_parts.macros import MACROS, PUBLICATION_WAIT
from nyc_taxi.dag_parts.metrics import report_transfers
from nyc_taxi.dag_parts.notifications import end_log_with_cause, notify_failure
from nyc_taxi.dag_parts.params import ParameterError
from nyc_taxi.registry.datasets import DATASETS, TRIP_DATASETS
from nyc_taxi.registry.model import ContractError, Dataset
from nyc_taxi.registry.months import MonthError
from nyc_taxi.source.errors import NotPublishedError, PermanentSourceError, SourceError
from nyc_taxi.source.retry_after import LONGEST
from nyc_taxi.stores.store import MissingMonthError

RETRY_DELAY = timedelta(seconds=20)
BACKOFF = 2.0
MAX_RETRY_DELAY = timedelta(minutes=10)


class SourceRetryPolicy(ExceptionRetryPolicy):
    """Retry policy that also waits for as long as the source asks for with ``Retry-After``, without a worker slot."""

    def evaluate(self, exception: BaseException, try_number: int, *args: Any, **kwargs: Any) -> RetryDecision:
        """Decide about a failure; the delay is the longer of the usual backoff and what the source asks for."""
        asked = min(exception.retry_after, LONGEST) if isinstance(exception, SourceError) else 0.0
        shortest = _shortest_backoff(try_number)
        if asked <= shortest:
            return super().evaluate(exception, try_number, *args, **kwargs)
        # Airflow adds up to as much again to the shortest delay, by chance; this replaces the sum.
        delay = max(asked, min(2 * shortest, MAX_RETRY_DELAY.total_seconds()))
        reason = f"The source asks to wait: Retry-After, {timedelta(seconds=asked)}."
        return RetryDecision.retry(delay=timedelta(seconds=delay), reason=reason)


def _shortest_backoff(try_number: int) -> float:
    """Return the shortest of the delays in seconds that Airflow's exponential backoff may choose after a try."""
    # The exponent is bounded because a task that is cleared often has a high try number.
    delay = RETRY_DELAY.total_seconds() * BACKOFF ** min(try_number - 1, 100)
    return min(delay, MAX_RETRY_DELAY.total_seconds())


# A retry cannot fix a wrong month, a broken file or a missing login, so such a task fails at once.
RETRY_POLICY = SourceRetryPolicy(
    rules=[
        RetryRule(
            exception=[ContractError, MissingMonthError, MonthError, NotPublishedError, ParameterError, WorkDirError],
            action=RetryAction.FAIL,
            reason="Wrong input: a retry would fail the same way.",
        ),
        RetryRule(
            exception=PermanentSourceError,
            action=RetryAction.FAIL,
            reason="The source refuses the file: a retry would fail the same way.",
        ),
    ]
)

DEFAULT_ARGS: dict[str, Any] = {
    "owner": "data-platform",
    "retries": 3,
    "retry_delay": RETRY_DELAY,
    "retry_exponential_backoff": BACKOFF,
    "max_retry_delay": MAX_RETRY_DELAY,
    "retry_policy": RETRY_POLICY,
    "execution_timeout": timedelta(minutes=30),
    "on_failure_callback": end_log_with_cause,
    "on_retry_callback": end_log_with_cause,
    "on_success_callback": report_transfers,
    # Google's operators would otherwise remember the job of each task, also when the run is cleared, and take its old
    # success for that of the new run.
    "durable": False,
}

# Trigger rule of the publish tasks: a warning check that ends as skipped must not block them, but in a run that is
# skipped, where all checks are skipped, they must be skipped too.
PUBLISH_RULE = "none_failed_min_one_success"

_DAG_ARGS: dict[str, Any] = {
    # No start_date: Airflow creates no tasks for a run with an earlier logical date, and marks that run as a success.
    "catchup": False,
    "default_args": DEFAULT_ARGS,
    "dagrun_timeout": timedelta(hours=2),
    "on_failure_callback": notify_failure,
    "template_searchpath": [str(SQL_DIR)],
}


def each_dataset(step: str) -> Iterator[tuple[str, Dataset]]:
    """Iterate over the DAGs that a file declares for one step of the pipeline.

    A task process parses the file for a single DAG, which ``get_parsing_context`` names. Only that DAG is built then,
    because building the others would be most of the parsing time.

    Args:
        step: the step that all of the file's DAGs perform, such as ``web_to_gcs``.

    Yields:
        The DAG id, ``<dataset>_<step>``, and the dataset: for every dataset in the registry, or for the one DAG that
        is being parsed.
    """
    wanted = get_parsing_context().dag_id
    for dataset in DATASETS.values():
        dag_id = f"{dataset.name}_{step}"
        if wanted in (None, dag_id):
            yield dag_id, dataset


def dag_args(dataset: Dataset) -> dict[str, Any]:
    """Return the DAG arguments that all DAGs of a dataset share."""
    return {**_DAG_ARGS, "max_active_runs": 4, "user_defined_macros": {"dataset": dataset, **MACROS}}


def yearly_dag_args() -> dict[str, Any]:
    """Return the arguments of a DAG that builds whole years from the months of all datasets.

    Its runs execute one at a time, because a later run counts what an earlier one would. Correctness does not depend on
    it: runs that overlap all the same publish in turns.
    """
    return {**_DAG_ARGS, "max_active_runs": 1, "user_defined_macros": {"trip_datasets": TRIP_DATASETS, **MACROS}}


def source_dag_args(dataset: Dataset) -> dict[str, Any]:
    """Return ``dag_args`` for a ``DeadlineDAG`` that reads the source.

    Its run timeout includes the wait for publication, and a month that is late is reported before that.
    """
    args = dag_args(dataset)
    return {**args, "dagrun_timeout": PUBLICATION_WAIT + args["dagrun_timeout"], "deadline": DEADLINE}
