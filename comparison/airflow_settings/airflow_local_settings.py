"""What the compared Airflow does at start-up beyond the local stack: the caller of a run may place its tasks.

Airflow imports the first ``airflow_local_settings`` on ``PYTHONPATH``; ``make compare`` puts this folder there.
"""

import runpy
from pathlib import Path
from typing import Any

_STACK = Path(__file__).resolve().parents[2] / "local" / "airflow" / "settings" / "airflow_local_settings.py"
# What a caller may set by ``{"infrastructure": {...}}`` in ``conf``. For Kubernetes, executor_config holds the pod.
PLACES = ("executor", "executor_config", "max_tries", "pool", "pool_slots", "priority_weight", "queue")

_shared = runpy.run_path(str(_STACK))
__all__ = [*_shared["__all__"], "task_instance_mutation_hook"]
globals().update({name: _shared[name] for name in _shared["__all__"]})


def task_instance_mutation_hook(task_instance: Any, dag_run: Any) -> None:
    """Give the tasks of a run what its caller asks for; the scheduler also calls this before it knows the run."""
    asked = (dag_run.conf or {}).get("infrastructure", {}) if dag_run else {}
    for name in PLACES:
        if name in asked:
            setattr(task_instance, name, asked[name])
