"""Ends a task as skipped, and says why where people look."""

from __future__ import annotations

import logging
from typing import Any, NoReturn

from airflow.sdk.exceptions import AirflowSkipException

SKIP_REASON = "skip_reason"

log = logging.getLogger(__name__)


def skip(ti: Any, reason: str, *, level: int = logging.INFO) -> NoReturn:
    """End the task as skipped; the reason is a line of its log, and its XCom ``skip_reason``, which the UI shows.

    Args:
        ti: the task instance, from the task's context.
        reason: why.
        level: that of the line in the log.

    Raises:
        AirflowSkipException: always.
    """
    log.log(level, reason)  # Airflow's own line about it is folded in the UI
    ti.xcom_push(key=SKIP_REASON, value=reason)
    raise AirflowSkipException(reason)
