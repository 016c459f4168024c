"""The deadline of the DAGs that read the source."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.models import DagRun
from airflow.models.tasklog import LogTemplate
from airflow.sdk import DAG
from airflow.serialization.decoders import decode_deadline_reference
from airflow.serialization.encoders import encode_deadline_reference
from airflow.utils.types import DagRunType
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from deadlines import DeadlinesPlugin
from local.cloud.settings import REPOSITORY
from nyc_taxi.dag_parts.deadlines import DEADLINE, LATE_AFTER, DeadlineDAG, ScheduledRunDue
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
    assert f"not ended {LATE_AFTER.days} days after it was due" in " ".join((REPOSITORY / page).read_text().split())


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


DUE = datetime(2021, 3, 1, tzinfo=UTC)


@pytest.fixture
def session() -> Any:
    """A metadata database that has the table of runs, and one run of each kind."""
    engine = create_engine("sqlite://")
    for table in (LogTemplate.__table__, DagRun.__table__):
        table.create(engine)
    with Session(engine) as session:
        for kind in DagRunType:
            session.execute(
                DagRun.__table__.insert().values(
                    dag_id="a_dag", run_id=kind.value, run_type=kind, run_after=DUE, state="queued", updated_at=DUE
                )
            )
        yield session


def test_a_deadline_counts_from_the_date_of_a_scheduled_run_and_other_runs_have_none(session: Session) -> None:
    encoded = encode_deadline_reference(DEADLINE.reference)
    reference = decode_deadline_reference(encoded)  # as the scheduler has it

    found = {
        kind.value: reference.evaluate_with(session=session, interval=LATE_AFTER, dag_id="a_dag", run_id=kind.value)
        for kind in DagRunType
    }

    assert found == {**dict.fromkeys(found), "scheduled": DUE + LATE_AFTER}
    assert len(found) >= 4


def test_the_plugin_names_the_reference_and_airflow_does_not_take_it_for_its_own() -> None:
    """For its own that counts from the start of a run, Airflow 3.3.2 fails to clear the run."""
    assert DeadlinesPlugin.deadline_references == [ScheduledRunDue] == [type(DEADLINE.reference)]
    assert encode_deadline_reference(DEADLINE.reference) == {
        "reference_type": "ScheduledRunDue",
        "__class_path": "nyc_taxi.dag_parts.deadlines.ScheduledRunDue",
    }
