"""Measures processes: in turns, each run in a process of its own; and what becomes of the figures.

Seconds are those that the measured program itself counts, from after its imports to the end of its work: a worker of
Airflow has the imports from its parent, and the course's flows import once. Memory is what the operating system saw of
the whole process at its peak.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, TypeVar

from local.cloud.settings import REPOSITORY, read_env_file

TIMEOUT = 30 * 60.0
ERROR_CHARACTERS = 2000

Better = Literal["lower", "higher"]
Ours = TypeVar("Ours")
Other = TypeVar("Other")


class MeasureError(RuntimeError):
    """A measurement is not one; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One measured process.

    Attributes:
        seconds: by the program's own clock.
        peak_mb: the most memory that it or a child of it held, in MB.
        cpu_seconds: processor time of the whole process and its children, imports included.
        figures: whatever else the program told.
    """

    seconds: float
    peak_mb: float
    cpu_seconds: float
    figures: Mapping[str, float]


def run_program(
    module: str, *arguments: object, python: str | Path = sys.executable, env: Mapping[str, str] | None = None
) -> Run:
    """Run ``python -m module arguments`` and measure it.

    Args:
        module: a program that ends with :func:`benchmarks.clock.report`.
        env: variables beside those of this process.

    Raises:
        MeasureError: it fails, takes too long, or needs less memory than this process, which would hide its figure.
    """
    command = [str(python), "-m", module, *map(str, arguments)]
    variables = {**os.environ, "PYTHONPATH": str(REPOSITORY / "plugins"), **_settings(module), **(env or {})}
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        code, usage = _wait(subprocess.Popen(command, cwd=REPOSITORY, env=variables, stdout=output, stderr=errors))
        text = _read(output)
        if code != 0:
            raise MeasureError(f"{module} ended with exit code {code}: {(text + _read(errors))[-ERROR_CHARACTERS:]}")
    try:
        figures = json.loads(text.splitlines()[-1])
        seconds = float(figures.pop("seconds"))
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise MeasureError(f"{module} told no figures: {text[-ERROR_CHARACTERS:]}") from error
    return Run(
        seconds=seconds, peak_mb=_peak_mb(module, usage), cpu_seconds=usage.ru_utime + usage.ru_stime, figures=figures
    )


def in_turns(repeats: int, ours: Callable[[], Ours], baseline: Callable[[], Other]) -> tuple[list[Ours], list[Other]]:
    """Call both ``repeats`` times: ours, the baseline, ours, and so on. What disturbs one then disturbs the other."""
    all_ours, all_baseline = [], []
    for _ in range(repeats):
        all_ours.append(ours())
        all_baseline.append(baseline())
    return all_ours, all_baseline


def median(values: Sequence[float]) -> float:
    """The middle one of the runs; of an even number the mean of the two in the middle."""
    return statistics.median(values)


def spread(values: Sequence[float]) -> float:
    """How far apart the runs are: the largest less the smallest."""
    return max(values) - min(values)


def times_better(ours: float, baseline: float, better: Better) -> float:
    """How many times better ``ours`` is than ``baseline``: 2.0 is half the seconds, or twice the rows a second."""
    return baseline / ours if better == "lower" else ours / baseline


def require_rows(runs: Sequence[Run], rows: int) -> None:
    """Make sure that each run did the whole work.

    Raises:
        MeasureError: one moved another number of rows.
    """
    for run in runs:
        if run.figures["rows"] != rows:
            raise MeasureError(f"a run moved {run.figures['rows']:,.0f} rows instead of {rows:,}")


def _settings(module: str) -> dict[str, str]:
    """Ours run as tasks do: in the memory pool that ``config/airflow.env`` chooses."""
    if not module.startswith("benchmarks.ours."):
        return {}
    name = "ARROW_DEFAULT_MEMORY_POOL"
    return {name: read_env_file(REPOSITORY / "config" / "airflow.env")[name]}


def _wait(process: subprocess.Popen[bytes]) -> tuple[int, resource.struct_rusage]:
    """Wait for the process, and kill it if that takes too long or is interrupted."""
    timer = threading.Timer(TIMEOUT, process.kill)
    timer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage


def _peak_mb(module: str, usage: resource.struct_rusage) -> float:
    """The peak of a child. A child inherits its parent's peak when it is started, so that one below it is not seen."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if usage.ru_maxrss <= own:
        raise MeasureError(f"{module} needs less memory than the process that measures it, {_in_mb(own):.0f} MB")
    return _in_mb(usage.ru_maxrss)


def _in_mb(maxrss: int) -> float:
    # Linux counts in KiB, macOS in bytes.
    return maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
