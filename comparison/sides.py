"""The interface of a side, and how its checks are run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from comparison.checks import Result, kill_tree
from comparison.measurements import FOR_CHECKS
from local.cloud.settings import REPOSITORY
from nyc_taxi.registry.datasets import DATASETS
from nyc_taxi.registry.model import PublishedFile, TripDataset
from nyc_taxi.registry.months import Month

CHECKS_TIMEOUT = 15 * 60
# Months of a range that are loaded at a time; for Prefect, months.AT_ONCE in comparison/prefect_flows.
RANGE_PARALLEL = 4
ERROR_CHARACTERS = 600
# How often both sides are asked whether a run has ended, while they are measured.
POLL_SECONDS = 0.1
# What a run may take, and an answer of a server that is busy with it.
RUN_TIMEOUT = 15 * 60.0


class SideError(RuntimeError):
    """A side does not start, or a run on it fails; the message says why."""


@dataclass(frozen=True)
class DatasetMonth:
    """A month of a dataset, by name."""

    dataset: str
    month: str

    @property
    def file(self) -> PublishedFile:
        """The file that a source publishes for the month."""
        dataset = DATASETS[self.dataset]
        assert isinstance(dataset, TripDataset)
        return dataset.file(Month.parse(self.month))


class Side(Protocol):
    """One orchestrator of the comparison."""

    name: str

    def start(self, settings: str = FOR_CHECKS) -> float:
        """Start it unless it runs; returns the seconds until a run can start.

        Args:
            settings: ``AS_SHIPPED``, the orchestrator's own defaults; ``AS_HERE``, those of this repository; or these
                with what the checks need.

        Raises:
            SideError: it does not start. Then none of its processes is left.
        """

    def stop(self) -> None:
        """Stop all its processes; its data stay. Repeating it does no harm."""

    def load(self, months: Sequence[DatasetMonth], *, postgres: bool = True) -> float:
        """Load these months at the same time into the lake, BigQuery and, if asked, Postgres; returns the seconds.

        Raises:
            SideError: a month fails.
        """

    def load_by_call(self, month: DatasetMonth) -> float:
        """Load a month into the lake and BigQuery; the first step calls the second, no event does."""

    def load_range(self, months: Sequence[DatasetMonth]) -> float:
        """Load consecutive months of a dataset into the lake and BigQuery, with a run for each; returns the seconds."""

    def load_range_in_one_run(self, months: Sequence[DatasetMonth], *, processes: bool) -> float:
        """The same with one run for the lake, whose months are processes or threads, on a side that can do that."""

    def chain(self, length: int) -> tuple[float, float]:
        """Run a chain of so many no-op tasks.

        Returns:
            The seconds from the call that creates the run to its end, and those of the run itself, by its own record.
        """

    def mapped(self, count: int) -> float:
        """Run one task so many times, mapped over a list; returns the seconds."""

    def latency(self) -> float:
        """Create an event that starts a run; returns the seconds until the first line of the run's own code."""

    def edit(self) -> float:
        """Write a file with one task and run it, without the scheduler; returns the seconds until it has ended."""

    def register(self, count: int) -> float:
        """Add so many new DAGs or deployments; returns the seconds until all of them can be started."""

    def recover(self) -> float:
        """Kill the process of a running task; returns the seconds until its run has succeeded."""

    def run_dirs(self) -> list[Path]:
        """The folders that record its running processes."""

    def check(self, concepts: Sequence[str]) -> Iterator[Result]:
        """Run its checks of these concepts in a separate program; yields each result when its check ends."""


def run_checks(python: Path, module: str, concepts: Sequence[str], env: Mapping[str, str]) -> Iterator[Result]:
    """Run a program of checks for at most ``CHECKS_TIMEOUT`` seconds; checks without a result count as failed."""
    command = [str(python), "-m", module, *concepts]
    told = set()
    with subprocess.Popen(
        command, cwd=REPOSITORY, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        errors: list[str] = []
        reader = _drain(program, errors)
        limit = threading.Timer(CHECKS_TIMEOUT, kill_tree, [program.pid])
        limit.start()
        for line in program.stdout:
            if line.startswith('{"concept"'):
                result = Result(**json.loads(line))
                told.add(result.concept)
                yield result
        reader.join()
    is_late = not limit.is_alive()
    limit.cancel()
    for concept in concepts:
        if concept not in told:
            end = " ".join("".join(errors).split())[-ERROR_CHARACTERS:]
            why = f"was killed after {CHECKS_TIMEOUT} s" if is_late else "ended early"
            yield Result(concept=concept, outcome="failed", note=f"the program of the checks {why}: {end}")


def _drain(program: subprocess.Popen[str], errors: list[str]) -> threading.Thread:
    """Read the program's stderr in a thread, so that it never blocks on a full pipe."""

    def read() -> None:
        assert program.stderr is not None
        for line in program.stderr:
            errors.append(line)
            del errors[:-200]

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def not_run(concepts: Sequence[str], reason: str) -> Iterator[Result]:
    """The results for a side that did not start."""
    for concept in concepts:
        yield Result(concept=concept, outcome="not run", note=reason)


def python_of(environment: Path, command: str) -> Path:
    """The interpreter of an environment.

    Raises:
        SideError: it is not installed.
    """
    python = environment / "bin" / "python"
    if not python.exists():
        raise SideError(f"{environment.relative_to(REPOSITORY)} is not installed; {command}")
    return python


def own_python() -> Path:
    """The interpreter of this process, which is that of the Airflow environment."""
    return Path(sys.executable)
