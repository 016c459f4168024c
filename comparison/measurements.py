"""Measures both sides in the same run on the same machine."""

from __future__ import annotations

import io
import json
import threading
import tokenize
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from comparison.sides import RANGE_PARALLEL, DatasetMonth, Side
from local.cloud.settings import REPOSITORY

MEMORY_POLL_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One figure for both sides.

    Attributes:
        name: its name.
        title: what is measured, for the page.
        unit: the unit of the figures.
        runs: the figures by side; a side that did not run or failed is missing.
        note: what a reader must know about it.
    """

    name: str
    title: str
    unit: str
    runs: dict[str, list[float]] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """How much is measured.

    Attributes:
        month: the month that both load, after the months that are compared.
        repeats: the repetitions of what takes seconds.
        slow_repeats: the repetitions of what takes up to a minute; 0 leaves it out.
        range_months: the months that are loaded as one range; 0 leaves it out.
        range_dataset: the dataset of the range.
    """

    month: DatasetMonth
    repeats: int
    slow_repeats: int
    range_months: int
    range_dataset: str = "green"

    @property
    def range(self) -> list[DatasetMonth]:
        """The months of the range."""
        return [DatasetMonth(self.range_dataset, f"2020-{number:02d}") for number in range(1, self.range_months + 1)]


@dataclass(frozen=True)
class Timed:
    """A figure that is timed on each side.

    Attributes:
        name, title, note: those of its measurement.
        repeats: how often each side is timed.
        seconds: times one side once.
    """

    name: str
    title: str
    repeats: int
    seconds: Callable[[Side], float]
    note: str = ""


def measure(sides: Sequence[Side], amounts: Amounts) -> tuple[list[Measurement], dict[str, str]]:
    """Measure the running sides; returns the measurements, and the reason for each missing figure by its name."""
    failures: dict[str, str] = {}
    peaks: dict[str, list[float]] = {}
    measured = []
    for timed in _timed(amounts, peaks):
        runs = _in_turns(sides, timed, failures)
        measured.append(Measurement(name=timed.name, title=timed.title, unit="s", note=timed.note, runs=runs))
        if timed.name == "month":
            measured.append(
                Measurement(
                    name="peak_memory",
                    title="Peak memory of all its processes during that",
                    unit="MB",
                    note="shared pages counted once; without the embedded cloud",
                    runs=peaks,
                )
            )
    return measured, failures


def _in_turns(sides: Sequence[Side], timed: Timed, failures: dict[str, str]) -> dict[str, list[float]]:
    """Time the sides in turns, so that a disturbance affects both; returns the seconds by side."""
    runs: dict[str, list[float]] = {}
    for _ in range(timed.repeats):
        for side in sides:
            try:
                seconds = timed.seconds(side)
            except Exception as error:
                failures[f"{timed.name}, {side.name}"] = f"{type(error).__name__}: {error}"
            else:
                runs.setdefault(side.name, []).append(seconds)
    return runs


def _timed(amounts: Amounts, peaks: dict[str, list[float]]) -> list[Timed]:
    """Everything that is timed; the month also adds each side's peak memory to ``peaks``."""

    def month(side: Side) -> float:
        with peak_memory(side.run_dirs()) as peak:
            seconds = side.load([amounts.month], postgres=False)
        peaks.setdefault(side.name, []).append(peak[0])
        return seconds

    found = [
        Timed("warm_start", "Restart, until a run can start", amounts.slow_repeats, _warm_start),
        Timed(
            "month",
            "A month from the web to the lake and on to BigQuery",
            amounts.repeats,
            month,
            "both through their scheduler or server; the month's arrival in the lake starts the second step",
        ),
        Timed(
            "task_overhead",
            "A no-op task, one of ten in a chain",
            amounts.repeats,
            lambda side: side.no_ops() / 10,
            "a tenth of the time from the start of the run to its end; Prefect starts a process for the run in it",
        ),
        Timed(
            "recovery",
            "From the kill of a running process to the end of its work",
            amounts.slow_repeats,
            lambda side: side.recover(),
            "Prefect through an automation of ours",
        ),
    ]
    return [*found, *_range(amounts)]


def _range(amounts: Amounts) -> list[Timed]:
    """The range of months, if one is measured."""
    if not amounts.range_months:
        return []
    title = f"{amounts.range_months} months to the lake and BigQuery"
    note = (
        f"{RANGE_PARALLEL} at a time: a backfill, and a parent flow whose months are threads of one process; on both "
        "sides each arrival in the lake starts the second step"
    )
    return [Timed("months", title, 1, lambda side: side.load_range(amounts.range), note)]


def _warm_start(side: Side) -> float:
    side.stop()
    return side.start()


@contextmanager
def peak_memory(run_dirs: Sequence[Path]) -> Iterator[list[float]]:
    """Watch the recorded processes and their descendants during the block; yields their peak memory in MB."""
    peak, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.is_set():
            peak[0] = max(peak[0], _memory_mb(run_dirs))
            ended.wait(MEMORY_POLL_SECONDS)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def _memory_mb(run_dirs: Sequence[Path]) -> float:
    """The memory of all of them; a page shared by several processes is divided among them, so that it counts once."""
    total = 0
    for record in (record for folder in run_dirs for record in folder.glob("*.json")):
        try:
            leader = psutil.Process(json.loads(record.read_text())["pid"])
            family = [leader, *leader.children(recursive=True)]
        except (psutil.Error, OSError, ValueError):
            continue
        for process in family:
            try:
                memory = process.memory_full_info()
                total += getattr(memory, "pss", memory.uss)
            except psutil.Error:
                continue
    return total / 1e6


# Each version's own code, without what both share. Tests, examples and this comparison count for neither.
CODE = {
    "airflow": (
        "dags/*.py",
        "plugins/nyc_taxi/common/skip.py",
        "plugins/nyc_taxi/dag_parts/*.py",
        "plugins/nyc_taxi/parquet/to_parquet.py",
        "plugins/nyc_taxi/rollup/whole_years.py",
        "plugins/nyc_taxi/source/http_to_local.py",
        "plugins/nyc_taxi/source/publication_*.py",
        "plugins/nyc_taxi/stores/audit.py",
        "plugins/nyc_taxi/stores/lake_to_bigquery.py",
        "plugins/nyc_taxi/stores/skip_unchanged.py",
        "plugins/nyc_taxi/stores/*/check_*.py",
        "plugins/nyc_taxi/stores/bigquery/publish.py",
        "plugins/nyc_taxi/stores/postgres/parquet_to_postgres.py",
    ),
    "prefect": ("comparison/prefect_flows/*.py", "comparison/prefect_flows/prefect.yaml", "comparison/statements.py"),
    "course": (
        "comparison/course_flows/files.py",
        "comparison/course_flows/cloud.py",
        "comparison/course_flows/flows.py",
    ),
}
_NOT_CODE = frozenset({"examples.py", "rollup.py", "whole_years.py"})


def lines_of_code() -> dict[str, int]:
    """Count each version's lines of code, without blank lines, comments and docstrings.

    The yearly rollup is left out: only the Airflow version has it.
    """
    return {
        version: sum(
            count_lines(path)
            for pattern in patterns
            for path in sorted(REPOSITORY.glob(pattern))
            if path.name not in _NOT_CODE
        )
        for version, patterns in CODE.items()
    }


def count_lines(path: Path) -> int:
    """Count the lines of code in a Python or YAML file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return sum(1 for line in text.splitlines() if line.strip() and not line.strip().startswith("#"))
    lines: set[int] = set()
    begins_statement = True
    nothing = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in nothing or token.type == tokenize.ENDMARKER:
            begins_statement = begins_statement or token.type == tokenize.NEWLINE
            continue
        # A statement that starts with a string is a docstring.
        if not (begins_statement and token.type == tokenize.STRING):
            lines.update(range(token.start[0], token.end[0] + 1))
        begins_statement = False
    return len(lines)
