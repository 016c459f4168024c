"""Parses the DAGs in the working directory and looks for each SQL template: what a platform has that syncs folders.

Prints one JSON line. ``comparison.checks.airflow`` runs this file with ``-P`` in a copy of the synced folders: its own
folder must not be on the import path, because it has a module named ``airflow``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from jinja2 import TemplateNotFound


def report() -> dict[str, Any]:
    """The number of DAGs, the import errors, and the templates that are missing, by DAG."""
    bag = DagBag("dags")
    missing = {dag_id: names for dag_id, dag in bag.dags.items() if (names := sorted(_missing(dag)))}
    return {"dags": len(bag.dags), "import_errors": bag.import_errors, "missing": missing}


def _missing(dag: Any) -> Iterator[str]:
    """The names of SQL files that the DAG's tasks refer to and its search path does not have."""
    templates = dag.get_template_env()
    for task in dag.tasks:
        for field in task.template_fields:
            for name in _sql_files(getattr(task, field, None)):
                try:
                    templates.get_template(name)
                except TemplateNotFound:
                    yield name


def _sql_files(value: Any) -> Iterator[str]:
    """The names of SQL files in a field. The bag has already replaced a top-level name by its content if it exists."""
    if isinstance(value, str) and value.endswith(".sql"):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _sql_files(item)


if __name__ == "__main__":
    print(json.dumps(report()))
