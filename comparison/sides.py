"""What the comparison asks of each side, and how it runs a side's checks."""

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
from local.cloud.settings import REPOSITORY

CHECKS_TIMEOUT = 15 * 60
# So many months of a range are loaded at once; LIMIT and AT_ONCE of comparison/prefect_flows are Prefect's.
RANGE_PARALLEL = 4
ERROR_CHARACTERS = 600


class SideError(RuntimeError):
    """A side does not start, or fails as a whole; the message says why, and what to do."""


@dataclass(frozen=True)
class DatasetMonth:
    """One published file, by name."""

    dataset: str
    month: str


class Side(Protocol):
    """One orchestrator on the common ground."""

    name: str

    def start(self) -> float:
        """Start it, unless it runs; returns the seconds until it was ready to run something.

        Raises:
            SideError: it does not start. Then nothing of it is left running.
        """

    def stop(self) -> None:
        """Stop it with everything that it started; its data stay. Repeating that does no harm."""

    def load(self, months: Sequence[DatasetMonth], *, postgres: bool = True) -> float:
        """Take these months, all at once, to the lake, the warehouse and, if wanted, Postgres; returns the seconds.

        Raises:
            SideError: one of them fails.
        """

    def load_range(self, months: Sequence[DatasetMonth]) -> float:
        """Take consecutive months of a dataset to the lake and the warehouse by one command; returns the seconds."""

    def no_ops(self) -> float:
        """Run a chain of ten tasks that do nothing; returns the seconds."""

    def recover(self) -> float:
        """Kill the process of a running task; returns the seconds until its run has succeeded all the same."""

    def run_dirs(self) -> list[Path]:
        """Where its running processes are recorded."""

    def check(self, concepts: Sequence[str]) -> Iterator[Result]:
        """Run its checks of these concepts, as a program of its own; yields each as it ends."""


def run_checks(python: Path, module: str, concepts: Sequence[str], env: Mapping[str, str]) -> Iterator[Result]:
    """Run a program of checks, for as long as ``CHECKS_TIMEOUT``; what it tells nothing of has failed with it."""
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
            why = f"was ended after {CHECKS_TIMEOUT} s" if is_late else "ended"
            yield Result(concept=concept, outcome="failed", note=f"the program of the checks {why}: {end}")


def _drain(program: subprocess.Popen[str], errors: list[str]) -> threading.Thread:
    """Read what the program says of errors, so that it never waits for a reader."""

    def read() -> None:
        assert program.stderr is not None
        for line in program.stderr:
            errors.append(line)
            del errors[:-200]

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def not_run(concepts: Sequence[str], reason: str) -> Iterator[Result]:
    """The results of a side that did not start."""
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
    """The interpreter of this process: that of the Airflow environment."""
    return Path(sys.executable)
