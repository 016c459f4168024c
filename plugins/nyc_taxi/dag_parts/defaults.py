"""What all DAGs share: the datasets to declare them for, their arguments and the defaults of their tasks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from airflow.sdk import get_parsing_context
from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule

from nyc_taxi.common.sql import SQL_DIR
from nyc_taxi.dag_parts.macros import MACROS, PUBLICATION_WAIT
from nyc_taxi.dag_parts.notifications import notify_failure
from nyc_taxi.registry.datasets import DATASETS, TRIP_DATASETS
from nyc_taxi.registry.model import ContractError, Dataset
from nyc_taxi.registry.months import MonthError
from nyc_taxi.source.download import NotPublishedError
from nyc_taxi.stores.store import MissingMonthError

# Trying again cannot make a wrong month right or a broken file whole: such a task fails at once.
RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception=[ContractError, MissingMonthError, MonthError, NotPublishedError],
            action=RetryAction.FAIL,
            reason="Wrong input: a retry would fail the same way.",
        )
    ]
)

DEFAULT_ARGS: dict[str, Any] = {
    "owner": "data-platform",
    "retries": 3,
    "retry_delay": timedelta(seconds=20),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
    "retry_policy": RETRY_POLICY,
    "execution_timeout": timedelta(minutes=30),
}

# Of what publishes: a check that only warns ends as skipped and stops nothing, and a run that is skipped stays so.
PUBLISH_RULE = "none_failed_min_one_success"

_DAG_ARGS: dict[str, Any] = {
    # No start_date: of a run whose logical date lies before it, Airflow makes no task and calls it a success.
    "catchup": False,
    "default_args": DEFAULT_ARGS,
    "dagrun_timeout": timedelta(hours=2),
    "on_failure_callback": notify_failure,
    "template_searchpath": [str(SQL_DIR)],
}


def each_dataset(step: str) -> Iterator[tuple[str, Dataset]]:
    """The DAGs that a file declares for one step of the pipeline: the id of each, and its dataset.

    A process that runs a task parses the file for one DAG alone, and Airflow says for which
    (``get_parsing_context``): building the others too would be most of what parsing costs there.

    Args:
        step: what all of them do, such as ``web_to_gcs``.

    Yields:
        ``<dataset>_<step>`` and the dataset: of every dataset of the registry, or of the DAG that is asked for.
    """
    wanted = get_parsing_context().dag_id
    for dataset in DATASETS.values():
        dag_id = f"{dataset.name}_{step}"
        if wanted in (None, dag_id):
            yield dag_id, dataset


def dag_args(dataset: Dataset) -> dict[str, Any]:
    """The DAG arguments that do not differ between the DAGs of a dataset."""
    return {**_DAG_ARGS, "max_active_runs": 4, "user_defined_macros": {"dataset": dataset, **MACROS}}


def yearly_dag_args() -> dict[str, Any]:
    """The DAG arguments of a DAG that makes whole years from all datasets' months.

    Its runs take turns, so that none replaces a year by what it counted before another one's.
    """
    return {**_DAG_ARGS, "max_active_runs": 1, "user_defined_macros": {"trip_datasets": TRIP_DATASETS, **MACROS}}


def source_dag_args(dataset: Dataset) -> dict[str, Any]:
    """``dag_args`` of a DAG that reads the source: its run may wait for the publication."""
    args = dag_args(dataset)
    return {**args, "dagrun_timeout": PUBLICATION_WAIT + args["dagrun_timeout"]}
