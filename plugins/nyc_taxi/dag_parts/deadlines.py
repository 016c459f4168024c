"""The deadline of the runs that read the source: a month that nobody has published for so long is reported."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import (  # type: ignore[attr-defined] # its stub lacks the deadlines
    DAG,
    AsyncCallback,
    DeadlineAlert,
    DeadlineReference,
)

from nyc_taxi.dag_parts.notifications import notify_late

# A scheduled run starts about 30 days before its month is published, and gives up after 45.
LATE_AFTER = timedelta(days=35)

DEADLINE = DeadlineAlert(
    name="late",
    reference=DeadlineReference.DAGRUN_QUEUED_AT,
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
