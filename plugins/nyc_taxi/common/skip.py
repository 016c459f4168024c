"""Skips a task with a reason that the log and the UI show."""

from __future__ import annotations

import logging
from typing import Any, NoReturn

from airflow.sdk.exceptions import AirflowSkipException

SKIP_REASON = "skip_reason"

log = logging.getLogger(__name__)


def skip(ti: Any, reason: str, *, level: int = logging.INFO) -> NoReturn:
    """End the task as skipped, and write the reason to its log and to its XCom ``skip_reason``, which the UI shows.

    Args:
        ti: the task instance, from the task's context.
        reason: why the task is skipped.
        level: the level of the log line.

    Raises:
        AirflowSkipException: always.
    """
    log.log(level, reason)  # the UI collapses Airflow's own line about the skip
    ti.xcom_push(key=SKIP_REASON, value=reason)
    raise AirflowSkipException(reason)
