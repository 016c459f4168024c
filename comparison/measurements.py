"""What both sides are measured by, in the same run on the same machine."""

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
    """One figure of both sides.

    Attributes:
        name: of the measurement.
        title: what it is, for people.
        unit: of the figures.
        runs: of each side, by its name; a side is missing if it was not there or failed.
        note: what to know of it.
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
        month: the month that is taken through both, after the months that are compared.
        repeats: how often what takes seconds is measured.
        slow_repeats: the same of what takes up to a minute; 0 for not at all.
        range_months: how many months are loaded at once; 0 for not at all.
        range_dataset: of which dataset.
    """

    month: DatasetMonth
    repeats: int
    slow_repeats: int
    range_months: int
    range_dataset: str = "green"

    @property
    def range(self) -> list[DatasetMonth]:
        """The months that are loaded at once."""
        return [DatasetMonth(self.range_dataset, f"2020-{number:02d}") for number in range(1, self.range_months + 1)]


class Failures(dict[str, str]):
    """Why a figure is missing, by measurement and side."""


def measure(sides: Sequence[Side], amounts: Amounts) -> tuple[list[Measurement], Failures]:
    """Measure the sides that run; each figure in turns, so that what disturbs one disturbs the other."""
    failures = Failures()

    def turns(name: str, repeats: int, run: Callable[[Side], float]) -> dict[str, list[float]]:
        runs: dict[str, list[float]] = {}
        for _ in range(repeats):
            for side in sides:
                try:
                    seconds = run(side)
                except Exception as error:
                    failures[f"{name}, {side.name}"] = f"{type(error).__name__}: {error}"
                else:
                    runs.setdefault(side.name, []).append(seconds)
        return runs

    def warm_start(side: Side) -> float:
        side.stop()
        return side.start()

    peaks: dict[str, list[float]] = {}

    def month(side: Side) -> float:
        with peak_memory(side.run_dirs()) as peak:
            seconds = side.load([amounts.month], postgres=False)
        peaks.setdefault(side.name, []).append(peak[0])
        return seconds

    measured = [
        Measurement(
            name="warm_start",
            title="Start again, until something can be run",
            unit="s",
            runs=turns("warm_start", amounts.slow_repeats, warm_start),
        ),
        Measurement(
            name="month",
            title="A month from the web to the lake and on to BigQuery",
            unit="s",
            note="both by their scheduler or server, the second step started by the arrival of the month",
            runs=turns("month", amounts.repeats, month),
        ),
        Measurement(
            name="peak_memory",
            title="Memory of all its processes during that, at most",
            unit="MB",
            note="shared pages counted once; without the embedded cloud",
            runs=peaks,
        ),
        Measurement(
            name="task_overhead",
            title="A task that does nothing, one of ten in a chain",
            unit="s",
            note="from the start of the run to its end, a tenth: with Prefect's start of a process for the run",
            runs=turns("task_overhead", amounts.repeats, lambda side: side.no_ops() / 10),
        ),
        Measurement(
            name="recovery",
            title="From the kill of a running process to the end of its work",
            unit="s",
            note="Prefect by an automation of ours",
            runs=turns("recovery", amounts.slow_repeats, lambda side: side.recover()),
        ),
    ]
    if amounts.range_months:
        measured.append(
            Measurement(
                name="months",
                title=f"{amounts.range_months} months to the lake and BigQuery",
                unit="s",
                note=f"{RANGE_PARALLEL} at once: a backfill, and a parent flow whose months are threads of one "
                "process; on both sides each arrival in the lake starts the second step",
                runs=turns("months", 1, lambda side: side.load_range(amounts.range)),
            )
        )
    return measured, failures


@contextmanager
def peak_memory(run_dirs: Sequence[Path]) -> Iterator[list[float]]:
    """For the time of the block, watch the processes recorded there and what they start; yields the peak, in MB."""
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
    """What they hold together; a page that several share counts in parts, so that it counts once."""
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


# Each version's own code: what it does not share with the other. Tests, examples and this comparison are in neither.
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
        "plugins/nyc_taxi/stores/*/check_*.py",
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
    """The lines of each version that hold code: no blank ones, comments or docstrings.

    Left out of Airflow's is the yearly rollup, which the others do not have.
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
    """The lines of a Python or YAML file that hold code."""
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
        # A statement that begins with a string is a docstring.
        if not (begins_statement and token.type == tokenize.STRING):
            lines.update(range(token.start[0], token.end[0] + 1))
        begins_statement = False
    return len(lines)
