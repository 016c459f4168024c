"""Makes the timetable of the monthly DAGs known to Airflow. Its code is in ``nyc_taxi.dag_parts.timetables``."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from nyc_taxi.dag_parts.timetables import MonthlyTimetable


class TimetablesPlugin(AirflowPlugin):
    """Adds the timetable: Airflow reads no DAG from its database whose timetable no plugin names."""

    name = "timetables"
    timetables: ClassVar[list[Any]] = [MonthlyTimetable]
