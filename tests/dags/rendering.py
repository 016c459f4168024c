"""Renders every template of a DAG as the worker does it, for a run that is only made up."""

from __future__ import annotations

import copy
import datetime
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from airflow.dag_processing.bundles.local import LocalDagBundle
from airflow.sdk import DAG
from airflow.sdk.api.datamodels._generated import DagRun, DagRunState, DagRunType, TIRunContext
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
RUN_ID = "manual__golden"
VERSION = 'etag="golden" length=1234'

# What the templates read from the deployment.
DEPLOYMENT = {
    "AIRFLOW_VAR_LAKE_BUCKET": "golden-lake",
    "AIRFLOW_VAR_WORK_DIR": "/golden/files/",
    "AIRFLOW_CONN_TAXI_SOURCE": json.dumps({"conn_type": "http", "host": "https://golden.invalid"}),
    "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": json.dumps(
        {"conn_type": "google_cloud_platform", "extra": {"project": "golden-project"}}
    ),
}


@contextmanager
def deployment() -> Iterator[None]:
    """For the time of the block, the variables and connections are those of ``DEPLOYMENT``."""
    with mock.patch.dict(os.environ, DEPLOYMENT):
        yield


def dag_run(dag: DAG, **differences: Any) -> DagRun:
    """A run of ``dag`` without a partition key, parameters or a logical date, but for ``differences``."""
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    values = {
        "dag_id": dag.dag_id,
        "run_id": RUN_ID,
        "logical_date": None,
        "data_interval_start": None,
        "data_interval_end": None,
        "run_after": now,
        "start_date": now,
        "end_date": None,
        "run_type": DagRunType.MANUAL,
        "state": DagRunState.RUNNING,
        "consumed_asset_events": [],
        "partition_key": None,
    }
    return DagRun(**(values | differences))


def golden_key(dag: DAG) -> str:
    """The partition key of the golden runs: a month, or a year where the DAG is for whole years."""
    return "2021" if "year" in dag.params else "2021-01"


def run_kinds(key: str) -> dict[str, dict[str, Any]]:
    """The three ways in which a run can have ``key``, a month or a year, none of them by the clock."""
    is_month = "-" in key
    day = datetime.datetime.fromisoformat(f"{key}-28T23:30:00+00:00" if is_month else f"{key}-07-28T23:30:00+00:00")
    return {
        "partition_key": {"partition_key": key, "run_type": DagRunType.BACKFILL},
        "params": {"conf": {"month" if is_month else "year": key}},
        "logical_date": {"logical_date": day, "data_interval_start": day, "data_interval_end": day},
    }


def render(dag: DAG, **differences: Any) -> dict[str, dict[str, Any]]:
    """The template fields of each task, rendered for ``dag_run(dag, **differences)``.

    A task that reads what an earlier one returned gets what that one would return.
    """
    # A worker, too, has a DAG and parameters of its own: resolving the parameters changes them.
    dag = copy.deepcopy(dag)
    run = dag_run(dag, **differences)
    returned: dict[str, Any] = {}
    rendered = {}
    with deployment():
        for task in dag.topological_sort():
            prepared = task.prepare_for_execution()
            prepared.params = copy.deepcopy(prepared.params)
            instance = RuntimeTaskInstance.model_construct(
                id=uuid.UUID(int=0),
                task_id=task.task_id,
                dag_id=dag.dag_id,
                run_id=run.run_id,
                try_number=1,
                map_index=-1,
                task=prepared,
                bundle_instance=LocalDagBundle(name="dags", path="/"),
                _ti_context_from_server=TIRunContext(dag_run=run, max_tries=0),
                start_date=run.start_date,
            )
            instance._ti_context_from_server = TIRunContext(dag_run=run, max_tries=0)
            context = instance.get_template_context()

            def pull(task_ids: str, *_: Any, key: str = "return_value", **__: Any) -> Any:
                return returned[task_ids] if key == "return_value" else {"version": VERSION}[key]

            context["ti"] = SimpleNamespace(try_number=1, task_id=task.task_id, xcom_pull=pull)
            prepared.render_template_fields(context, dag.get_template_env())
            fields = {name: getattr(prepared, name) for name in prepared.template_fields}
            rendered[task.task_id] = fields
            results = {
                "wait_for_publication": VERSION,
                "download": fields.get("dst"),
                "load_staging": fields.get("table") or {"generation": "1234567890", "rows": 1234},
                "check_months": ["yellow", "green"],
            }
            returned[task.task_id] = results.get(task.task_id, 1234)
    return {task_id: rendered[task_id] for task_id in sorted(rendered)}


def golden_text(rendered: dict[str, dict[str, Any]]) -> str:
    """The text of a golden file: fields that are empty are left out, texts of several lines are lists of lines."""

    def lines(value: Any) -> Any:
        if isinstance(value, str):
            return value.split("\n") if "\n" in value else value
        if isinstance(value, dict):
            return {key: lines(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [lines(item) for item in value]
        return value

    shown = {
        task_id: {name: lines(value) for name, value in sorted(fields.items()) if value not in (None, "", [], (), {})}
        for task_id, fields in rendered.items()
    }
    return json.dumps(shown, indent=2, ensure_ascii=False) + "\n"
