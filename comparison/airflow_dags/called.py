"""The pipeline's two steps once more, as Airflow DAGs without schedules and assets: the first calls the second.

The pipeline's own files make them, so that only the hand-over differs.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any
from unittest.mock import patch

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, get_parsing_context

from nyc_taxi.dag_parts import assets, defaults, schedules
from nyc_taxi.registry.datasets import DATASETS

DAGS = Path(__file__).resolve().parents[2] / "dags"
DATASET = DATASETS["yellow"]
FIRST, SECOND = (f"{DATASET.name}_{step}_called" for step in ("web_to_gcs", "gcs_to_bigquery"))


def called(step: str, dag_id: str) -> DAG:
    """The DAG of one step, under another name: nothing but a call starts it, and it announces nothing."""
    with (
        patch.object(defaults, "each_dataset", lambda _: [(dag_id, DATASET)]),
        patch.object(schedules, "monthly", lambda _: None),
        patch.object(schedules, "on_update", lambda *_: None),
        patch.object(assets, "updates", lambda *_: {}),
    ):
        made: dict[str, Any] = runpy.run_path(str(DAGS / f"{step}.py"))
    dag: DAG = made["dag"]
    return dag


# As in the pipeline, a task process builds only its own DAG.
wanted = get_parsing_context().dag_id
if wanted in (None, FIRST):
    with called("web_to_gcs", FIRST) as first:
        first.get_task("local_to_gcs") >> TriggerDagRunOperator(
            task_id="call",
            trigger_dag_id=SECOND,
            trigger_run_id="{{ run_id }}",
            conf={"month": "{{ params.month }}", "force": True},
        )
if wanted in (None, SECOND):
    called("gcs_to_bigquery", SECOND)
