"""Writes docs/DAGS.md from the DAGs as Airflow parses them: ``python -m local.airflow.dags_page``."""

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.cloud import shell
from local.cloud.settings import REPOSITORY

if TYPE_CHECKING:
    from airflow.sdk import DAG, Param

PAGE = REPOSITORY / "docs" / "DAGS.md"
HEAD = """\
# The DAGs

This page is generated from the DAGs by `make docs`; a test fails if it is out of date. Each DAG's own page in the UI
has the same text, with the names of its dataset. How to rerun, backfill and diagnose a failure is also in
[operations.md](operations.md).
"""
# Macros that read the connection taxi_source; see nyc_taxi.dag_parts.macros.
SOURCE_MACROS = ("layout()", "last_month()", "source_path()", "source_provenance()", "publication_wait()")


def main() -> int:
    """Parse the DAGs in an empty Airflow home, and write the page."""
    shell.adopt()
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        sys.path.insert(0, str(REPOSITORY / "plugins"))
        from airflow.dag_processing.dagbag import DagBag

        bag = DagBag(dag_folder=REPOSITORY / "dags")
        for file, error in bag.import_errors.items():
            print(f"error: {file}: {error}", file=sys.stderr)
        if bag.import_errors:
            return 1
        PAGE.write_text(page(bag.dags.values()))
    print(f"{PAGE.relative_to(REPOSITORY)}: {len(bag.dags)} DAGs")
    return 0


def page(dags: Iterable[DAG]) -> str:
    """Return the whole page: the DAGs grouped by file, in alphabetical order."""
    by_file = sorted(dags, key=lambda dag: (_file(dag), dag.dag_id))
    return "\n".join([HEAD, *(_section(file, list(group)) for file, group in groupby(by_file, key=_file))])


def _file(dag: DAG) -> str:
    return Path(dag.fileloc).name


def _section(file: str, dags: list[DAG]) -> str:
    """The section on the DAGs of one file; each DAG's page in the UI is the file's docstring with its own names."""
    from nyc_taxi.dag_parts.docs import file_doc  # plugins/ is on the path only by now

    doc = file_doc(inspect.cleandoc(ast.get_docstring(ast.parse(Path(dags[0].fileloc).read_text())) or ""))
    return "\n".join([f"## dags/{file}\n", doc, "", *_table(dags), "", *_tasks(dags), "", *_params(dags)])


def _table(dags: list[DAG]) -> list[str]:
    rows = [f"| `{dag.dag_id}` | {_schedule(dag)} | {_inputs(dag)} | {_outputs(dag)} |" for dag in dags]
    return ["| DAG | runs | reads | updates |", "| --- | --- | --- | --- |", *rows]


def _tasks(dags: list[DAG]) -> list[str]:
    """Each list of tasks once, with the DAGs that have it."""
    return [
        f"- **Tasks of** {names}: {', '.join(f'`{task}`' for task in tasks)}"
        for tasks, names in _grouped({dag.dag_id: [task.task_id for task in dag.topological_sort()] for dag in dags})
    ]


def _params(dags: list[DAG]) -> list[str]:
    """Each parameter once, with the DAGs that have it."""
    given: dict[str, dict[str, list[str]]] = {}
    for dag in dags:
        for name in dag.params:
            given.setdefault(name, {})[dag.dag_id] = [_param(name, dag.params.get_param(name))]
    lines = [f"- **Parameter of** {names}: {text}" for of_dag in given.values() for (text,), names in _grouped(of_dag)]
    return [*lines, ""] if lines else []


def _grouped(of_dag: dict[str, list[str]]) -> list[tuple[list[str], str]]:
    """Each value once, with the names of the DAGs that have it."""
    grouped: dict[tuple[str, ...], list[str]] = {}
    for dag_id, value in of_dag.items():
        grouped.setdefault(tuple(value), []).append(f"`{dag_id}`")
    return [(list(value), ", ".join(names)) for value, names in grouped.items()]


def _schedule(dag: DAG) -> str:
    """When the DAG runs, in words."""
    timetable: Any = dag.timetable
    kind = type(timetable).__name__
    if kind == "MonthlyTimetable":
        fields = timetable.serialize()
        key = f"the partition key is its date as `{fields['key_format']}`, {-fields['run_offset']} runs earlier"
        return f"`{fields['expression']}` {fields['timezone']}; {key}"
    if kind == "CronTriggerTimetable":
        return f"`{timetable.expression}` {timetable.timezone}"
    if kind == "PartitionedAssetTimetable":
        key = {"IdentityMapper": "partition", "RollupMapper": "year"}[type(timetable.default_partition_mapper).__name__]
        return "for a year, whenever one of its months is updated" if key == "year" else f"for each {key} that arrives"
    return "after each update"


def _inputs(dag: DAG) -> str:
    condition = getattr(dag.timetable, "asset_condition", None)
    assets = _names(_assets(condition)) if condition else ""
    connections = sorted({connection for task in dag.tasks for connection in _connections(task)})
    through = f"connections {', '.join(f'`{name}`' for name in connections)}"
    return f"{assets}; {through}" if assets else through


def _connections(task: Any) -> Iterator[str]:
    """The connections in a task's arguments and in its templates."""
    for name, value in vars(task).items():
        if name.endswith("conn_id") and isinstance(value, str):
            yield value
    templates = repr([getattr(task, name) for name in task.template_fields])
    yield from re.findall(r"\bconn\.(\w+)", templates)
    if any(macro in templates for macro in SOURCE_MACROS):
        yield "taxi_source"


def _assets(condition: Any) -> list[Any]:
    """The assets of a condition, which is an asset or a combination by ``AssetAny`` or ``AssetAll``."""
    combined = getattr(condition, "objects", None)
    return [condition] if combined is None else [asset for each in combined for asset in _assets(each)]


def _outputs(dag: DAG) -> str:
    return _names({outlet.name: outlet for task in dag.tasks for outlet in task.outlets}.values())


def _names(assets: Iterable[Any]) -> str:
    return ", ".join(f"`{asset.name}`" for asset in assets)


def _param(name: str, param: Param) -> str:
    types = param.schema.get("type", "")
    kind = " or ".join([types] if isinstance(types, str) else types)
    description = re.sub(r"\s+", " ", param.schema.get("description", param.description or ""))
    return f"`{name}` ({kind}; `{param.value}` if not given). {description}"


if __name__ == "__main__":
    sys.exit(main())
