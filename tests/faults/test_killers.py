"""Every task of every DAG has its killers."""

from __future__ import annotations

from collections import defaultdict

import pytest
from airflow.dag_processing.dagbag import DagBag

from nyc_taxi.registry.datasets import DATASETS
from tests.conftest import REPOSITORY
from tests.faults.cases import STEP_OF, Act
from tests.faults.catalog import CASES


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
