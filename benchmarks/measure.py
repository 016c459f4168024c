"""Measures programs in turns, each run in a new process, and does the arithmetic of the figures.

The measured program counts its own seconds, from after its imports to the end of its work: a worker of Airflow
inherits its imports, and the course's flows import once. Memory is the peak of the whole process, as the operating
system reports it.
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
    """A measurement failed or is invalid; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One measured process.

    Attributes:
        seconds: the duration by the program's own clock.
        peak_mb: the peak memory of the process or a child of it, in MB.
        cpu_seconds: CPU time of the process and its children, imports included.
        figures: the other figures that the program reported.
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
        env: environment variables in addition to those of this process.

    Raises:
        MeasureError: it fails, takes too long, or needs less memory than this process, which hides its peak.
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
        raise MeasureError(f"{module} reported no figures: {text[-ERROR_CHARACTERS:]}") from error
    return Run(
        seconds=seconds, peak_mb=_peak_mb(module, usage), cpu_seconds=usage.ru_utime + usage.ru_stime, figures=figures
    )


def in_turns(repeats: int, ours: Callable[[], Ours], baseline: Callable[[], Other]) -> tuple[list[Ours], list[Other]]:
    """Call both ``repeats`` times in turns, so that a disturbance affects both; returns the figures of each."""
    all_ours, all_baseline = [], []
    for _ in range(repeats):
        all_ours.append(ours())
        all_baseline.append(baseline())
    return all_ours, all_baseline


def median(values: Sequence[float]) -> float:
    """The median of the runs; of an even number, the mean of the two in the middle."""
    return statistics.median(values)


def spread(values: Sequence[float]) -> float:
    """The largest run minus the smallest."""
    return max(values) - min(values)


def times_better(ours: float, baseline: float, better: Better) -> float:
    """How many times better ``ours`` is than ``baseline``: 2.0 is half the seconds, or twice the rows a second."""
    return baseline / ours if better == "lower" else ours / baseline


def require_rows(runs: Sequence[Run], rows: int) -> None:
    """Check that each run moved all rows.

    Raises:
        MeasureError: a run moved another number of rows.
    """
    for run in runs:
        if run.figures["rows"] != rows:
            raise MeasureError(f"a run moved {run.figures['rows']:,.0f} rows instead of {rows:,}")


def _settings(module: str) -> dict[str, str]:
    """The settings that a task would have: our programs use the memory pool that ``config/airflow.env`` sets."""
    if not module.startswith("benchmarks.ours."):
        return {}
    name = "ARROW_DEFAULT_MEMORY_POOL"
    return {name: read_env_file(REPOSITORY / "config" / "airflow.env")[name]}


def _wait(process: subprocess.Popen[bytes]) -> tuple[int, resource.struct_rusage]:
    """Wait for the process; kill it on a time-out or an interrupt."""
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
    """The peak of a child; a child starts with its parent's peak, which hides a smaller one."""
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
