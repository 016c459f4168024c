"""The generated page docs/DAGS.md agrees with the DAGs."""

from __future__ import annotations

import inspect
import re

from local.airflow.dags_page import PAGE, SOURCE_MACROS, page
from nyc_taxi.dag_parts.macros import MACROS, file


def test_the_page_is_the_generated_one(bag) -> None:
    assert PAGE.read_text() == page(bag.dags.values()), "docs/DAGS.md is stale; run make docs"


def test_the_page_has_every_dag_with_its_parts(bag) -> None:
    text = page(bag.dags.values())
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    tasks = [line for line in text.splitlines() if line.startswith("- **Tasks of** ")]
    params = [line for line in text.splitlines() if line.startswith("- **Parameter of** ")]
    assert sorted(rows) == sorted(bag.dags)
    for dag_id, dag in bag.dags.items():
        assert [cell.strip() != "" for cell in rows[dag_id].split("|")[1:-1]] == [True] * 4
        (of_dag,) = [line for line in tasks if f"`{dag_id}`" in line]
        assert {task.task_id for task in dag.tasks} == set(re.findall(r"`(\w+)`", of_dag.partition(": ")[2]))
        named = [line.partition(": `")[2].partition("`")[0] for line in params if f"`{dag_id}`" in line]
        assert named == list(dag.params)


def test_the_page_has_the_connections_that_templates_read(bag) -> None:
    (row,) = [line for line in page(bag.dags.values()).splitlines() if line.startswith("| `trips_yearly_rollup`")]
    assert "connections `google_cloud_default`, `taxi_source` |" in row


def test_these_macros_read_the_source_and_no_others() -> None:
    sources = {name: inspect.getsource(macro) for name, macro in MACROS.items() if macro.__module__ == file.__module__}
    reading = {name for name, source in sources.items() if ".taxi_source." in source}
    for _ in sources:  # a macro may read it through a macro that reads it through another
        indirect = rf"\b({'|'.join(reading)})\(context\)"
        reading |= {name for name, source in sources.items() if re.search(indirect, source)}
    assert {f"{name}()" for name in reading} == set(SOURCE_MACROS)


def test_the_page_says_how_to_rerun_the_dags_of_each_file(bag) -> None:
    text = page(bag.dags.values())
    for part in ("Schedule", "Input", "Output", "When it is skipped", "When it fails", "Rerun"):
        assert text.count(f"- **{part}** ") == len({dag.fileloc for dag in bag.dags.values()})
