"""Write the tasks of the DAGs from the web to the lake, and what follows each: python -m benchmarks.shapes FILE"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from local.cloud.settings import REPOSITORY

STEP = "web_to_gcs"
# A run that loads its month skips it.
SKIPPED = frozenset({"announce_unchanged"})


def shape(tasks: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """Return the tasks that a run executes which loads its month: by id, with those that follow."""
    return {
        task.task_id: {
            "downstream": sorted(task.downstream_task_ids - SKIPPED),
            "is_setup": task.is_setup,
            "is_teardown": task.is_teardown,
        }
        for task in tasks
        if task.task_id not in SKIPPED
    }


if __name__ == "__main__":
    from airflow.dag_processing.dagbag import DagBag  # here, because the process that measures imports nothing large

    bag = DagBag(dag_folder=REPOSITORY / "dags" / f"{STEP}.py")
    if bag.import_errors:
        raise SystemExit(str(bag.import_errors))
    shapes = {dag_id.removesuffix(f"_{STEP}"): shape(dag.tasks) for dag_id, dag in bag.dags.items()}
    Path(sys.argv[1]).write_text(json.dumps(shapes), encoding="utf-8")
