"""The deadline of scheduled runs that read the source: a month that nobody has published for so long is reported."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, AsyncCallback, DeadlineAlert  # type: ignore[attr-defined] # its stub lacks the deadlines
from airflow.sdk.definitions.deadline import BaseDeadlineReference

from nyc_taxi.dag_parts.notifications import notify_late

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

# A scheduled run starts about 30 days before its month is published, and gives up after 45.
LATE_AFTER = timedelta(days=35)


class ScheduledRunDue(BaseDeadlineReference):
    """Counts a deadline from the date on which the schedule started the run; all other runs have no deadline.

    People who start a run or a backfill, or clear a run, watch it themselves. Besides, in Airflow 3.3.2 clearing a run
    whose deadline counts from ``DAGRUN_QUEUED_AT`` is answered with HTTP 500: it reads the stored interval as a number.

    ``plugins/deadlines.py`` makes it known to Airflow, which evaluates it in the scheduler when it makes a run.
    """

    required_kwargs = frozenset({"dag_id", "run_id"})

    def _evaluate_with(self, *, session: Session, dag_id: str, run_id: str) -> datetime | None:
        """Return the date that the deadline counts from; None if the run has no deadline."""
        # Imported here, because tasks, which import this module with their DAG, may not use the database.
        from airflow.models import DagRun
        from airflow.utils.types import DagRunType
        from sqlalchemy import select

        return session.scalar(
            select(DagRun.run_after).where(
                DagRun.dag_id == dag_id, DagRun.run_id == run_id, DagRun.run_type == DagRunType.SCHEDULED
            )
        )


DEADLINE = DeadlineAlert(
    name="late",
    reference=ScheduledRunDue(),
    interval=LATE_AFTER,
    callback=AsyncCallback(notify_late),
)


class DeadlineDAG(DAG):
    """A DAG that ``dags test`` runs without its deadline.

    In Airflow 3.3, ``dags test`` of a DAG with a deadline ends with an error after the last task: it looks the deadline
    up by an id that only the scheduler's copy of the DAG has. Nobody waits for an alert in front of a terminal.

    Airflow reads only files that have the word ``airflow``. One that imports nothing else of it names it in words.
    """

    def test(self, *args: Any, **kwargs: Any) -> Any:
        """Run the DAG in this process, as ``DAG.test`` does."""
        deadline, self.deadline = self.deadline, None
        try:
            return super().test(*args, **kwargs)
        finally:
            self.deadline = deadline
