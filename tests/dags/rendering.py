"""Renders every template of a DAG as a worker does, for a fictitious run."""

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
ASKED_AT = "2026-01-01T00:00:00.000000+00:00"
STARTED_AT = "2025-12-31T23:59:59.000000+00:00"
DOWNLOADED_AT = "2026-01-01T00:00:01.000000+00:00"

# Variables and connections that the templates read.
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
    """Set the variables and connections of ``DEPLOYMENT`` for the duration of the block."""
    with mock.patch.dict(os.environ, DEPLOYMENT):
        yield


def dag_run(dag: DAG, **differences: Any) -> DagRun:
    """Return a run of ``dag`` without partition key, parameters and logical date, changed by ``differences``."""
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
    """Return the partition key of the golden runs: a month, or a year if the DAG is for whole years."""
    return "2021" if "year" in dag.params else "2021-01"


def run_kinds(dag: DAG) -> dict[str, dict[str, Any]]:
    """Return the three kinds of unscheduled runs of ``dag`` for its golden month or year."""
    key = golden_key(dag)
    is_month = "-" in key
    day = datetime.datetime.fromisoformat(f"{key}-28T23:30:00+00:00" if is_month else f"{key}-07-28T23:30:00+00:00")
    named = {"month" if is_month else "year": key}
    return {
        "partition_key": {"partition_key": key, "run_type": DagRunType.BACKFILL},
        "params": {"conf": {name: value for name, value in named.items() if name in dag.params}},
        "logical_date": {"logical_date": day, "data_interval_start": day, "data_interval_end": day},
    }


def render(dag: DAG, **differences: Any) -> dict[str, dict[str, Any]]:
    """Return the template fields of each task, rendered for ``dag_run(dag, **differences)``.

    A task that pulls the return value of an earlier task gets the value of ``_returned``.
    """
    # As in a worker: resolving the parameters changes them, so each rendering needs its own DAG and parameters.
    dag = copy.deepcopy(dag)
    run = dag_run(dag, **differences)
    returned: dict[str, Any] = {}
    pushed = {
        "version": VERSION,
        "announced": VERSION,
        "downloaded_at": DOWNLOADED_AT,
        "run_started_at": STARTED_AT,
        "asked_at": ASKED_AT,
    }

    def pull(task_ids: str, *_: Any, key: str = "return_value", **__: Any) -> Any:
        return returned[task_ids] if key == "return_value" else pushed[key]

    rendered = {}
    with deployment():
        for task in dag.topological_sort():
            prepared = task.prepare_for_execution()
            prepared.params = copy.deepcopy(prepared.params)
            context = _template_context(prepared, dag, run)
            context["ti"] = SimpleNamespace(try_number=1, task_id=task.task_id, xcom_pull=pull)
            prepared.render_template_fields(context, dag.get_template_env())
            fields = {name: getattr(prepared, name) for name in prepared.template_fields}
            rendered[task.task_id] = fields
            returned[task.task_id] = _returned(task.task_id, fields)
    return {task_id: rendered[task_id] for task_id in sorted(rendered)}


def _template_context(task: Any, dag: DAG, run: DagRun) -> Any:
    """Return the template context that a worker would build for the first try of the task."""
    from_server = TIRunContext(dag_run=run, max_tries=0)
    instance = RuntimeTaskInstance.model_construct(
        id=uuid.UUID(int=0),
        task_id=task.task_id,
        dag_id=dag.dag_id,
        run_id=run.run_id,
        try_number=1,
        map_index=-1,
        task=task,
        bundle_instance=LocalDagBundle(name="dags", path="/"),
        start_date=run.start_date,
    )
    instance._ti_context_from_server = from_server
    return instance.get_template_context()


def _returned(task_id: str, fields: dict[str, Any]) -> Any:
    """Return a value of the kind that the task returns."""
    results = {
        "wait_for_publication": VERSION,
        "download": fields.get("dst"),
        "load_staging": fields.get("table")
        or {
            "table": fields.get("destination_project_dataset_table"),
            "tries": 1,
            "generation": "1234567890",
            "rows": 1234,
        },
        "check_months": ["yellow", "green"],
    }
    return results.get(task_id, 1234)


def golden_text(rendered: dict[str, dict[str, Any]]) -> str:
    """Return the text of a golden file; empty fields are left out, and multi-line text becomes a list of lines."""

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
