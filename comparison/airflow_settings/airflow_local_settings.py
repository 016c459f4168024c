"""What the compared Airflow does at start-up beyond the local stack: the caller of a run may place its tasks.

As shipped, it imports nothing beforehand for its tasks, as ``config/`` does; see ``comparison/stock.py``.

Airflow imports the first ``airflow_local_settings`` on ``PYTHONPATH``; ``make compare`` puts this folder there.
"""

import os
import runpy
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

_STACK = Path(__file__).resolve().parents[2] / "local" / "airflow" / "settings" / "airflow_local_settings.py"
# What a caller may set by ``{"infrastructure": {...}}`` in ``conf``. For Kubernetes, executor_config holds the pod.
PLACES = ("executor", "executor_config", "max_tries", "pool", "pool_slots", "priority_weight", "queue")

# config/ looks there for the name of the component, to see whether its imports are of use.
with patch.object(sys, "argv", sys.argv[: 1 if os.environ.get("COMPARISON_WITHOUT_IMPORTS") else None]):
    _shared = runpy.run_path(str(_STACK))
__all__ = [*_shared["__all__"], "task_instance_mutation_hook"]
globals().update({name: _shared[name] for name in _shared["__all__"]})


def task_instance_mutation_hook(task_instance: Any, dag_run: Any) -> None:
    """Give the tasks of a run what its caller asks for; the scheduler also calls this before it knows the run."""
    asked = (dag_run.conf or {}).get("infrastructure", {}) if dag_run else {}
    for name in PLACES:
        if name in asked:
            setattr(task_instance, name, asked[name])
