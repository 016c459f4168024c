"""Links that the UI shows on a task, each to the data that the task reads or writes.

A worker writes a task's links when the task ends. An empty one is not shown, and before that there is none.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from airflow.sdk import DAG, BaseOperatorLink, TaskInstanceState
from airflow.sdk.configuration import conf

from nyc_taxi.registry.model import Dataset, TripDataset

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

CONSOLE = "https://console.cloud.google.com"


class MonthLink(BaseOperatorLink):
    """Link to the run's month on the page *Months*: its counts in every store, and its rows."""

    name = "Month in every store"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the path of the tab *Month* of the run; without a host, because the UI is open already."""
        prefix = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")
        return f"{prefix}/dags/{ti_key.dag_id}/runs/{quote(ti_key.run_id, safe='')}/plugin/run_month"


class DatasetLink(MonthLink):
    """Link to the dataset of a run without a month on the page *Months*: the same tab of the run."""

    name = "Dataset in every store"


class LakeObjectLink(BaseOperatorLink):
    """Link to the lake object of a task that has the fields ``bucket`` and ``dst`` or ``source_objects``."""

    name = "Object in Cloud Storage"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """Return the object's page in Google's console; nothing if an emulator takes the place of Cloud Storage."""
        if os.environ.get("STORAGE_EMULATOR_HOST") or not _succeeded(ti_key):
            return ""
        name = getattr(operator, "dst", None) or operator.source_objects[0]
        return f"{CONSOLE}/storage/browser/_details/{quote(operator.bucket)}/{quote(name)}"


class BigQueryTableLink(BaseOperatorLink):
    """Link to the table that a query job writes, in the field ``configuration``; a partition has no page of its own."""

    name = "Table in BigQuery"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """Return the table's page in Google's console; nothing if an emulator takes the place of BigQuery."""
        if os.environ.get("BIGQUERY_EMULATOR_HOST") or not _succeeded(ti_key):
            return ""
        table = operator.configuration["query"]["destinationTable"]
        project, name = table["projectId"], table["tableId"].partition("$")[0]
        query = {"project": project, "p": project, "d": table["datasetId"], "t": name, "page": "table"}
        return f"{CONSOLE}/bigquery?{urlencode(query)}"


def link_tasks(dag: DAG, *, dataset: Dataset | None, **links: BaseOperatorLink) -> None:
    """Give each task its links, in place of those of its operator.

    Google's operators link to a project that does not exist where an emulator takes the place of Google Cloud, and to
    staging tables that are gone when somebody follows the link.

    Args:
        dag: the DAG, with all of its tasks.
        dataset: the dataset of the DAG, to which all tasks link; None if the DAG has all datasets.
        links: a further link of a task, by the task's id.
    """
    common = (MonthLink() if isinstance(dataset, TripDataset) else DatasetLink(),) if dataset else ()
    for task in dag.tasks:
        own = (links.pop(task.task_id),) if task.task_id in links else ()
        task.operator_extra_links = (*common, *own)
    assert not links, f"no such tasks: {', '.join(links)}"


def _succeeded(ti: Any) -> bool:
    """Return whether the task succeeded: what one that failed was to read or write may not be there."""
    return ti.state == TaskInstanceState.SUCCESS
