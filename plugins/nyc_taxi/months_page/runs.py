"""Finds the runs of a dataset's DAGs, and the month of each."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nyc_taxi.registry.model import Dataset
from nyc_taxi.registry.months import Month, MonthError, resolve_month
from nyc_taxi.stores import STORES

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a DAG that loads a month.

    Attributes:
        dag_id, run_id: its names in Airflow.
        state: ``queued``, ``running``, ``success`` or ``failed``.
        started_at, ended_at: in seconds since the epoch; None if it has not started or ended.
    """

    dag_id: str
    run_id: str
    state: str
    started_at: float | None
    ended_at: float | None


@dataclass(kw_only=True)
class Runs:
    """The runs of one DAG.

    Attributes:
        newest: the newest run of each month.
        changed_at: when a run ended last, in seconds since the epoch; 0 if none did.
    """

    newest: dict[Month | None, Run] = field(default_factory=dict)
    changed_at: float = 0.0


def dag_ids(dataset: Dataset) -> dict[str, str]:
    """Return the id of the DAG that loads the dataset into each store, by the store's name."""
    return {store.name: f"{dataset.name}_{store.step}" for store in STORES}


def runs_of(session: Session, ids: Collection[str]) -> dict[str, Runs]:
    """Return the runs of the DAGs, by DAG id.

    A run has its month as the partition key, as the parameter ``month`` or in its logical date; see
    :func:`~nyc_taxi.registry.months.resolve_month`. Runs whose month cannot be told have the key None.
    """
    found = {dag_id: Runs() for dag_id in ids}
    for row in _rows(session, ids):
        run = Run(
            dag_id=row.dag_id,
            run_id=row.run_id,
            state=str(row.state),
            started_at=_seconds(row.start_date),
            ended_at=_seconds(row.end_date),
        )
        of_dag = found[row.dag_id]
        of_dag.newest[_month(row)] = run
        of_dag.changed_at = max(of_dag.changed_at, run.ended_at or 0.0)
    return found


def _rows(session: Session, ids: Collection[str]) -> Iterable[Any]:
    """The runs from old to new, so that a newer one replaces an older one."""
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    # Columns, not objects: ten years are some two thousand runs.
    columns = (
        *(DagRun.dag_id, DagRun.run_id, DagRun.state, DagRun.start_date, DagRun.end_date),
        *(DagRun.partition_key, DagRun.logical_date, DagRun.conf),
    )
    return session.execute(select(*columns).where(DagRun.dag_id.in_(ids)).order_by(DagRun.run_after, DagRun.id))


def _month(row: Any) -> Month | None:
    try:
        return resolve_month({"dag_run": row, "params": row.conf or {}})
    except MonthError:
        return None


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
