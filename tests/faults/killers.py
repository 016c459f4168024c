"""What is killed of the whole stack while which tasks are held; tests/integration/test_faults.py does it.

The runs of all four pipelines go on together, level by level. A level is the tasks of a run that can run at the same
time. While the tasks of a level are held, a few components are killed together, and the watcher restarts them.
"""

from __future__ import annotations

# The tasks of each pipeline, by level. A run loads its month, or announces that it is unchanged.
LEVELS: dict[str, tuple[tuple[str, ...], ...]] = {
    "web_to_gcs": (
        ("wait_for_publication",),
        ("skip_unchanged",),
        ("announce_unchanged", "download"),
        ("to_parquet",),
        ("local_to_gcs",),
        ("remove_files",),
    ),
    "gcs_to_bigquery": (
        ("create_table",),
        ("create_external_table", "skip_unchanged"),
        ("announce_unchanged", "load_staging"),
        ("check_columns", "check_table", "check_warnings"),
        ("publish",),
        ("drop_staging",),
    ),
    "web_to_postgres": (
        ("wait_for_publication",),
        ("skip_unchanged",),
        ("create_table", "download"),
        ("to_parquet",),
        ("load_staging",),
        ("check_table", "check_warnings", "remove_files"),
        ("publish",),
        ("drop_staging",),
    ),
    "trips_yearly_rollup": (("check_months",), ("create_table",), ("publish",)),
}
# The DAGs whose runs are held, with their pipeline.
HELD = {
    "green_web_to_gcs": "web_to_gcs",
    "zones_web_to_gcs": "web_to_gcs",
    "zones_gcs_to_bigquery": "gcs_to_bigquery",
    "zones_web_to_postgres": "web_to_postgres",
    "yellow_gcs_to_bigquery": "gcs_to_bigquery",
    "fhv_web_to_postgres": "web_to_postgres",
    "trips_yearly_rollup": "trips_yearly_rollup",
}
TASK, SUPERVISOR, WATCHER = "task", "supervisor", "watcher"
# What is killed at each level in the first round. What is down at the same time is promised no less than what is down
# alone. The death of the scheduler, of Postgres and of a supervisor each take the heartbeat time-out of a minute, so
# they come once.
KILLED: tuple[tuple[str, ...], ...] = (
    ("api-server", "gcs"),
    (WATCHER, "triggerer", "bigquery"),
    ("scheduler", "gcs"),
    (TASK, "dag-processor"),
    ("postgres", "gcs", "bigquery"),
    (SUPERVISOR, "api-server"),
    ("triggerer", "bigquery"),
    ("dag-processor", "gcs"),
)
COMPONENTS = {
    TASK: "the processes of the tasks",
    SUPERVISOR: "the tasks' supervisors",
    "scheduler": "the scheduler",
    "api-server": "the API server",
    "triggerer": "the triggerer",
    "dag-processor": "the DAG processor",
    "postgres": "Postgres, which also has Airflow's metadata",
    "gcs": "Cloud Storage",
    "bigquery": "BigQuery",
    WATCHER: "the watcher",
}


def rounds() -> range:
    """Return the numbers of the rounds in which every component is killed at every level."""
    return range(len(KILLED))


def killed_in(number: int) -> tuple[tuple[str, ...], ...]:
    """Return what is killed at each level in a round: each round moves it on by one level."""
    return KILLED[number:] + KILLED[:number]


def level_of(pipeline: str, task_id: str) -> int:
    """Return the level at which a task of a pipeline is held."""
    return next(number for number, tasks in enumerate(LEVELS[pipeline]) if task_id in tasks)


def matrix(round_number: int = 0) -> dict[str, tuple[str, ...]]:
    """Return what is killed in a round while each task is held, by ``pipeline.task``."""
    return {
        f"{pipeline}.{task_id}": killed_in(round_number)[number]
        for pipeline, levels in LEVELS.items()
        for number, tasks in enumerate(levels)
        for task_id in tasks
    }
