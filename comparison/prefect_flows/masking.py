"""Masks passwords in the log messages of flows and tasks, which Prefect does not."""

from __future__ import annotations

import logging

_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


class _Mask(logging.Filter):
    """Replaces the secrets that this process knows in each message; tracebacks stay as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        for secret in self.secrets:
            message = message.replace(secret, "***")
        record.msg, record.args = message, ()
        return True


_MASK = _Mask()


def mask(secret: str) -> None:
    """Mask the secret in all messages that this process logs from now on."""
    _MASK.secrets.add(secret)
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_MASK)
