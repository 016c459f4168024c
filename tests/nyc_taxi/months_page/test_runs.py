"""Which run belongs to which month."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from airflow.models.dagrun import DagRun
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from nyc_taxi.months_page import runs
from nyc_taxi.registry.datasets import GREEN, ZONES
from nyc_taxi.registry.model import Dataset
from nyc_taxi.registry.months import Month

DAG = "green_web_to_gcs"
JANUARY, FEBRUARY = Month(2021, 1), Month(2021, 2)


def _moment(minute: int) -> datetime:
    return datetime(2026, 11, 1, 0, minute, tzinfo=UTC)


def _row(run_id: str, **fields: Any) -> SimpleNamespace:
    empty = {"partition_key": None, "logical_date": None, "conf": None, "start_date": None, "end_date": None}
    return SimpleNamespace(**{**empty, "dag_id": DAG, "run_id": run_id, "state": "success", **fields})


def _runs_of(*rows: SimpleNamespace, dataset: Dataset = GREEN) -> runs.Runs:
    session: Any = SimpleNamespace(execute=lambda statement: rows)
    return runs.runs_of(session, {DAG: dataset})[DAG]


def test_a_run_has_its_month_however_it_was_started() -> None:
    found = _runs_of(
        _row("scheduled", partition_key="2021-01"),
        _row("form", conf={"month": "2021-02", "force": True}),
        _row("dags test", logical_date=datetime(2021, 3, 1, tzinfo=UTC)),
    )
    assert {str(month): run.run_id for month, run in found.newest.items()} == {
        "2021-01": "scheduled",
        "2021-02": "form",
        "2021-03": "dags test",
    }


def test_a_run_whose_month_cannot_be_told_is_under_none() -> None:
    found = _runs_of(_row("empty"), _row("wrong", conf={"month": "2021-13"}), _row("key", partition_key="../x"))
    assert list(found.newest) == [None]


def test_a_run_of_a_dataset_without_months_has_none() -> None:
    found = _runs_of(_row("scheduled", logical_date=datetime(2026, 11, 1, tzinfo=UTC)), dataset=ZONES)
    assert list(found.newest) == [None]


def test_runs_come_in_the_order_in_which_they_were_made() -> None:
    """On a real database: a backfill's run has the first day of its month as run_after."""
    engine = create_engine("sqlite://")
    DagRun.__table__.create(engine)
    old, new, cleared = (
        dict(
            dag_id=DAG,
            run_id=run_id,
            run_type="manual",
            partition_key="2021-01",
            log_template_id=1,
            **dates,
        )
        for run_id, dates in (
            ("old", {"queued_at": _moment(1), "run_after": _moment(9)}),
            ("new", {"queued_at": _moment(2), "run_after": datetime(2021, 1, 1, tzinfo=UTC)}),
            ("cleared", {"queued_at": _moment(3), "run_after": _moment(8)}),
        )
    )
    with Session(engine) as session:
        for values in (cleared, old, new):
            session.execute(DagRun.__table__.insert().values(**values))
        assert [row.run_id for row in runs._rows(session, [DAG])] == ["old", "new", "cleared"]
        assert runs.month_of(session, DAG, "new") == JANUARY
        assert runs.month_of(session, DAG, "other") is None


def test_the_newest_run_of_a_month_counts() -> None:
    old = _row("old", partition_key="2021-01", end_date=_moment(9))
    new = _row("new", partition_key="2021-01", state="failed", start_date=_moment(1), end_date=_moment(2))
    found = _runs_of(old, new)
    assert found.newest[JANUARY] == runs.Run(
        dag_id=DAG,
        run_id="new",
        state="failed",
        started_at=_moment(1).timestamp(),
        ended_at=_moment(2).timestamp(),
    )
    assert found.changed_at == _moment(9).timestamp()


def test_a_dag_without_runs_has_never_changed_anything() -> None:
    assert _runs_of() == runs.Runs(newest={}, changed_at=0.0)


def test_each_store_has_its_dag() -> None:
    assert runs.dag_ids(GREEN) == {
        "lake": "green_web_to_gcs",
        "bigquery": "green_gcs_to_bigquery",
        "postgres": "green_web_to_postgres",
    }
