"""Patch of bqemulator 1.4.0: no copy of the table at every change.

Subclasses ``bqemulator.versioning.snapshots.SnapshotManager`` and uses its private members.

Why: bqemulator copies the whole table after every change, to answer ``FOR SYSTEM_TIME AS OF``. Every load would write
the table again, and the database would grow with each. The pipeline never reads old versions: such queries are refused.

Can be removed when bqemulator can switch its snapshots off.
"""

from __future__ import annotations

from typing import Any

from bqemulator.catalog.models import SnapshotMeta
from bqemulator.domain.events import TableDataChanged
from bqemulator.versioning.snapshots import SnapshotManager

from local.cloud.bigquery.limits import limit
from local.cloud.bigquery.store import touched


class NoTimeTravel(SnapshotManager):
    """Records the time of a change only, and refuses ``FOR SYSTEM_TIME AS OF``."""

    def record_change(self, project_id: str, dataset_id: str, table_id: str) -> SnapshotMeta | None:
        """Update the table's modification time and notify materialized views."""
        table = self._catalog.get_table(project_id, dataset_id, table_id)
        if table is not None:
            self._catalog.update_table(touched(table, self._clock.now()))
        self._events.publish(TableDataChanged(project_id, dataset_id, table_id))
        return None

    def resolve_time_travel(self, *_: Any) -> SnapshotMeta | None:
        raise limit("keep old versions of tables; leave out FOR SYSTEM_TIME AS OF")
