"""Says why a connection or variable is missing: the secrets backend that was to have it fails, or nobody has set it.

Airflow asks the backend first. If that fails, Airflow goes on to the environment and its database and logs nothing, so
that the error is that of something that nobody has set.
"""

from __future__ import annotations

import re
from typing import Any

from airflow.sdk.configuration import get_custom_secret_backend
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError, ErrorType

# Any that the pipeline reads: a backend that fails, fails for each.
_CONNECTION, _VARIABLE = "taxi_source", "lake_bucket"
# How Airflow's errors name what is missing, and the prefix of the variable of the environment that sets it.
_NAMES = {"connection": (r"`(\S+)`", "AIRFLOW_CONN_"), "variable": (r"Variable (\S+) not found", "AIRFLOW_VAR_")}


def why_missing(error: object) -> str:
    """Return why a connection or variable is missing, and what to do; empty if ``error`` is of another kind.

    Args:
        error: what has ended a task.
    """
    if failure := backend_failure(error):
        return failure
    for kind, (pattern, prefix) in _NAMES.items() if _says_missing(error) else ():
        if found := re.search(pattern, str(error)):
            variable = f"{prefix}{found[1].upper()}"
            return (
                f"nobody has set the {kind} {found[1]}: set {variable} in the environment of all components, or the "
                f"{kind} in the UI, then clear the task"
            )
    return ""


def backend_failure(error: object) -> str:
    """Return what is wrong with the secrets backend; empty if nothing is, or ``error`` is of another kind.

    Args:
        error: what has ended a task.
    """
    if not _says_missing(error):
        return ""
    try:
        backend: Any = get_custom_secret_backend(worker_mode=True)
        if backend is not None:
            backend.get_connection(_CONNECTION)
            backend.get_variable(_VARIABLE)
    except Exception as failure:  # whatever a backend raises
        return f"the secrets backend cannot be used: {type(failure).__name__}: {' '.join(str(failure).split())}"
    return ""


def _says_missing(error: object) -> bool:
    if isinstance(error, AirflowRuntimeError):
        return error.error.error in (ErrorType.CONNECTION_NOT_FOUND, ErrorType.VARIABLE_NOT_FOUND)
    return isinstance(error, AirflowNotFoundException)
