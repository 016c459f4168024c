"""Finds the runs of a dataset's DAGs, and the month of each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nyc_taxi.registry.model import Dataset, TripDataset
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
    return {store.name: store.dag_id(dataset) for store in STORES}


def runs_of(session: Session, datasets: Mapping[str, Dataset]) -> dict[str, Runs]:
    """Return the runs of DAGs, by DAG id.

    A run has its month as the partition key, as the parameter ``month`` or in its logical date; see
    :func:`~nyc_taxi.registry.months.resolve_month`. Runs whose month cannot be told have the key None, and so have all
    runs of a dataset without months.

    Args:
        session: a session of Airflow's database.
        datasets: the dataset of each DAG, by DAG id.
    """
    found = {dag_id: Runs() for dag_id in datasets}
    for row in _rows(session, datasets):
        run = Run(
            dag_id=row.dag_id,
            run_id=row.run_id,
            state=str(row.state),
            started_at=_seconds(row.start_date),
            ended_at=_seconds(row.end_date),
        )
        of_dag = found[row.dag_id]
        of_dag.newest[_month(row, datasets[row.dag_id])] = run
        of_dag.changed_at = max(of_dag.changed_at, run.ended_at or 0.0)
    return found


def _rows(session: Session, ids: Collection[str]) -> Iterable[Any]:
    """The runs from old to new, so that a newer one replaces an older one; a cleared run is queued anew."""
    from airflow.models.dagrun import DagRun
    from sqlalchemy import func, select

    # Columns, not objects: ten years are some two thousand runs.
    columns = (
        *(DagRun.dag_id, DagRun.run_id, DagRun.state, DagRun.start_date, DagRun.end_date),
        *(DagRun.partition_key, DagRun.logical_date, DagRun.conf),
    )
    # Not run_after: that of a backfill's run is the first day of its month.
    made = func.coalesce(DagRun.queued_at, DagRun.start_date, DagRun.run_after)
    return session.execute(select(*columns).where(DagRun.dag_id.in_(ids)).order_by(made, DagRun.id))


def month_of(session: Session, dag_id: str, run_id: str) -> Month | None:
    """Return the month of one run; None if there is no such run, or it has no month."""
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    columns = (DagRun.partition_key, DagRun.logical_date, DagRun.conf)
    row = session.execute(select(*columns).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)).first()
    return None if row is None else _named_month(row)


def _month(row: Any, dataset: Dataset) -> Month | None:
    return _named_month(row) if isinstance(dataset, TripDataset) else None


def _named_month(row: Any) -> Month | None:
    try:
        return resolve_month({"dag_run": row, "params": row.conf or {}})
    except MonthError:
        return None


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
