"""Makes what a deadline counts from known to Airflow. Its code is in ``nyc_taxi.dag_parts.deadlines``."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from nyc_taxi.dag_parts.deadlines import ScheduledRunDue


class DeadlinesPlugin(AirflowPlugin):
    """Adds the reference: Airflow makes no run of a DAG whose deadline counts from one that no plugin names."""

    name = "deadlines"
    deadline_references: ClassVar[list[Any]] = [ScheduledRunDue]
