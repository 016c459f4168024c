"""The deadline of the DAGs that read the source."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DAG

from local.cloud.settings import REPOSITORY
from nyc_taxi.dag_parts.deadlines import DEADLINE, LATE_AFTER, DeadlineDAG
from nyc_taxi.dag_parts.defaults import dag_args, source_dag_args
from nyc_taxi.dag_parts.macros import PUBLICATION_WAIT
from nyc_taxi.registry.datasets import GREEN


def test_a_month_is_late_before_its_run_gives_up_and_only_runs_that_read_the_source_wait() -> None:
    assert source_dag_args(GREEN)["deadline"] is DEADLINE
    assert "deadline" not in dag_args(GREEN)
    assert (DEADLINE.interval, DEADLINE.interval < PUBLICATION_WAIT) == (LATE_AFTER, True)
    assert DEADLINE.callback.path == "nyc_taxi.dag_parts.notifications.notify_late"


@pytest.mark.parametrize("page", ["dags/web_to_gcs.py", "dags/web_to_postgres.py", "docs/operations.md"])
def test_people_read_the_days_that_hold(page: str) -> None:
    assert f"not ended {LATE_AFTER.days} days after its start" in (REPOSITORY / page).read_text()


@pytest.mark.parametrize("error", [None, KeyboardInterrupt()])
def test_a_test_of_the_dag_runs_without_the_deadline_and_leaves_it(
    monkeypatch: pytest.MonkeyPatch, error: BaseException | None
) -> None:
    seen: list[Any] = []

    def test(self: DAG, *args: Any, **kwargs: Any) -> str:
        seen.append((self.deadline, args, kwargs))
        if error:
            raise error
        return "the run"

    monkeypatch.setattr(DAG, "test", test)
    dag = DeadlineDAG(dag_id="a_dag", schedule=None, deadline=DEADLINE)
    if error:
        with pytest.raises(type(error)):
            dag.test(1, run_conf={})
    else:
        assert dag.test(1, run_conf={}) == "the run"
    assert seen == [(None, (1,), {"run_conf": {}})]
    assert dag.deadline == [DEADLINE]
