"""What "as shipped" means: each orchestrator's own defaults, but for what it needs to run here at all.

"As here" are the settings of this repository. Between the two columns of a side, nothing else differs.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import yaml

from local.airflow.environment import CONFIG, LAPTOP
from local.cloud.settings import read_env_file

# Without these it would run examples of its own, call home or miss DAGs; they are the same in both columns.
_AIRFLOW_NEEDS = frozenset(
    {
        "AIRFLOW__CORE__LOAD_EXAMPLES",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST",
    }
)
# In comparison/airflow_settings: the tasks' imports before the fork, of config/airflow_local_settings.py, are left out.
AIRFLOW_WITHOUT_IMPORTS = {"COMPARISON_WITHOUT_IMPORTS": "1"}
# Not declared in Airflow's configuration; the scheduler's code falls back to it.
_FALLBACKS = {"AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "2"}
PREFECT_NEEDS = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
# As in Airflow's config/airflow.env: shorter than the defaults, which make runs wait longer than necessary.
PREFECT_HERE = {
    # By default a worker polls every ten seconds, and a run is late after fifteen.
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "5",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "2",
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "10",
    # By default every three minutes; this is the shortest.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
}


@cache
def airflow_as_shipped() -> dict[str, str]:
    """Airflow's own value of each setting of this repository that differs from it, by environment variable.

    Celery's settings are left out: the stack runs the LocalExecutor, which is Airflow's default too.
    """
    found = {}
    for name, here in airflow_here().items():
        _, section, option = name.lower().split("__", 2)
        declared = _declared().get(section, {}).get("options", {}).get(option, {}).get("default")
        value = _FALLBACKS.get(name, declared)
        if value is None:
            raise ValueError(f"{name} has no default in Airflow's configuration; say in _FALLBACKS what it is")
        if not _same(str(value), here):
            found[name] = str(value)
    return found


@cache
def airflow_here() -> dict[str, str]:
    """The settings of this repository that one who starts Airflow as shipped would not have."""
    given = {**read_env_file(CONFIG / "airflow.env"), **read_env_file(LAPTOP / "airflow.env")}
    return {
        name: value
        for name, value in given.items()
        if name.startswith("AIRFLOW__") and "__CELERY" not in name and name not in _AIRFLOW_NEEDS
    }


def _same(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return one.lower() == other.lower()


@cache
def _declared() -> dict[str, dict[str, dict[str, dict[str, object]]]]:
    """The configuration that the installed Airflow declares, read without importing it."""
    spec = importlib.util.find_spec("airflow")
    assert spec is not None
    [folder] = spec.submodule_search_locations or [""]
    declared: dict[str, dict[str, dict[str, dict[str, object]]]] = yaml.safe_load(
        (Path(folder) / "config_templates" / "config.yml").read_text(encoding="utf-8")
    )
    return declared
