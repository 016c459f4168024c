"""Every task of every DAG has its killers."""

from __future__ import annotations

from collections import defaultdict

import pytest
from airflow.dag_processing.dagbag import DagBag

from nyc_taxi.registry.datasets import DATASETS
from tests.conftest import REPOSITORY
from tests.faults.cases import STEP_OF, Act
from tests.faults.catalog import CASES
from tests.faults.killers import COMPONENTS, LEVELS, matrix, rounds


@pytest.fixture(scope="module")
def levels() -> dict[str, dict[str, int]]:
    """The tasks of each pipeline, over the DAGs of all datasets, with the longest way to them from the first task."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for dag_id, dag in DagBag(dag_folder=REPOSITORY / "dags").dags.items():
        dataset, _, rest = dag_id.partition("_")
        level: dict[str, int] = {}
        for task in dag.topological_sort():
            level[task.task_id] = max((level[name] + 1 for name in task.upstream_task_ids), default=0)
        found[rest if dataset in DATASETS else dag_id] |= level
    return found


def test_every_task_is_killed(levels: dict[str, dict[str, int]]) -> None:
    killed = {(STEP_OF[case.store], case.task) for case in CASES if case.act is Act.KILL}
    assert killed == {(pipeline, task_id) for pipeline, tasks in levels.items() for task_id in tasks}


def test_components_are_killed_at_every_task(levels: dict[str, dict[str, int]]) -> None:
    planned = {
        pipeline: {task_id: number for number, tasks in enumerate(of_pipeline) for task_id in tasks}
        for pipeline, of_pipeline in LEVELS.items()
    }
    assert planned == levels


def test_every_task_sees_several_deaths_and_every_component_dies_at_several_tasks() -> None:
    by_step = matrix()
    assert {step: names for step, names in by_step.items() if len(names) < 2} == {}
    steps = {name: [step for step, names in by_step.items() if name in names] for name in COMPONENTS}
    assert {name: where for name, where in steps.items() if len(where) < 3} == {}


def test_all_rounds_together_kill_every_component_at_every_task() -> None:
    killed = {(step, name) for number in rounds() for step, names in matrix(number).items() for name in names}
    assert killed == {(step, name) for step in matrix() for name in COMPONENTS}
