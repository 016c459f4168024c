"""The timetable of the DAGs that run every month. ``plugins/timetables.py`` makes it known to Airflow."""

from __future__ import annotations

from airflow.timetables.base import DagRunInfo, TimeRestriction
from airflow.timetables.trigger import CronPartitionTimetable


class MonthlyTimetable(CronPartitionTimetable):
    """Starts the runs that ``CronPartitionTimetable`` starts, but none merely because of a backfill.

    In Airflow 3.3, any backfill counts as the last scheduled run. After a backfill of old months, all later months
    would seem to be missed, and without catchup the newest of them would start at once.

    A run that directly follows the backfilled months does start: who has loaded all months until now, and then has the
    scheduler down on the first of a month, does not lose that month.
    """

    def next_dagrun_info_v2(
        self, *, last_dagrun_info: DagRunInfo | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Return the run that comes after the last one."""
        last = last_dagrun_info
        following = super().next_dagrun_info_v2(last_dagrun_info=last, restriction=restriction)
        # Airflow makes the runs of a backfill, and no others, as if they were due when their month begins.
        if following is None or restriction.catchup or last is None or last.run_after != last.partition_date:
            return following
        if following.partition_date == self._get_next(last.run_after):
            return following
        return super().next_dagrun_info_v2(last_dagrun_info=None, restriction=restriction)
