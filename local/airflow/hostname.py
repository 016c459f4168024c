"""Names the machine of a task, for ``hostname_callable``: each Celery worker of the local stack counts as one."""

from __future__ import annotations

import os

VARIABLE = "LOCAL_WORKER"
"""Variable with the name of the worker."""


def worker_name() -> str:
    """Return the name of the worker that this process belongs to."""
    return os.environ[VARIABLE]
