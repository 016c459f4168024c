"""The record of what ``make up`` was last started with: commands go on with it while the stack runs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from local.airflow.environment import AirflowSettings, Executor
from local.cloud.settings import Settings
from nyc_taxi.registry.columns import Layout


@dataclass(frozen=True)
class StartRecord:
    """What cannot be told from the running processes.

    Attributes:
        source: the source of the trip data.
        layout: how that source arranges its files.
        executor: what runs the tasks.
        workers: how many Celery workers there are, if the executor is Celery.
    """

    source: str
    layout: Layout
    executor: Executor
    workers: int

    @classmethod
    def of(cls, settings: AirflowSettings) -> Self:
        """Return the record of a start with these settings."""
        return cls(settings.cloud.source, settings.layout, settings.executor, settings.workers)

    @classmethod
    def read(cls, cloud: Settings) -> Self | None:
        """Return the record of the last start; None if the stack was stopped since."""
        path = _file(cloud)
        if not path.exists():
            return None
        found = json.loads(path.read_text())
        return cls(found["source"], Layout(found["layout"]), Executor(found["executor"]), found["workers"])


def write(cloud: Settings, record: StartRecord | None) -> None:
    """Keep a record in place of the one before; None if the stack is stopped."""
    path = _file(cloud)
    if record is None:
        path.unlink(missing_ok=True)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps({**asdict(record), "layout": record.layout.value}))
        temporary.replace(path)


def _file(cloud: Settings) -> Path:
    return cloud.state_dir / "airflow" / "start.json"
