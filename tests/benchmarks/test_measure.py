"""The measuring of processes, and the arithmetic of their figures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import measure
from benchmarks.measure import MeasureError, Run, in_turns, median, require_rows, run_program, spread, times_better
from local.cloud.settings import REPOSITORY


@pytest.mark.parametrize(
    ("values", "middle", "apart"),
    [([3.0], 3.0, 0.0), ([5.0, 1.0, 2.0], 2.0, 4.0), ([4.0, 1.0, 2.0, 9.0], 3.0, 8.0), ([2.0, 2.0], 2.0, 0.0)],
)
def test_the_median_and_the_spread(values: list[float], middle: float, apart: float) -> None:
    assert median(values) == middle
    assert spread(values) == apart


def test_half_the_seconds_are_two_times_better() -> None:
    assert times_better(2.0, 4.0, "lower") == 2.0
    assert times_better(4.0, 2.0, "lower") == 0.5


def test_twice_the_rows_a_second_are_two_times_better() -> None:
    assert times_better(4.0, 2.0, "higher") == 2.0
    assert times_better(2.0, 4.0, "higher") == 0.5


def test_both_ways_take_turns() -> None:
    calls: list[str] = []

    def call(name: str) -> int:
        calls.append(name)
        return len(calls)

    ours, baseline = in_turns(3, lambda: call("ours"), lambda: call("baseline"))
    assert calls == ["ours", "baseline"] * 3
    assert (ours, baseline) == ([1, 3, 5], [2, 4, 6])


def test_a_run_that_lost_rows_is_none() -> None:
    whole, short = (Run(seconds=1, peak_mb=1, cpu_seconds=1, figures={"rows": rows}) for rows in (1000, 999))
    require_rows([whole], 1000)
    with pytest.raises(MeasureError, match="moved 999 rows instead of 1,000"):
        require_rows([whole, short], 1000)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a module ``measured_program`` that can be run; empty at first."""
    monkeypatch.setattr(measure, "REPOSITORY", tmp_path)
    # As if nothing were needed by the tests themselves, which are larger than what they measure.
    monkeypatch.setattr(measure.resource, "getrusage", lambda who: type("Usage", (), {"ru_maxrss": 0}))
    return tmp_path / "measured_program.py"


def test_a_program_is_measured_by_its_own_clock_and_by_the_system(program: Path) -> None:
    program.write_text(
        "import json, os, sys\n"
        "held = bytearray(200_000_000)\n"
        "sum(range(3_000_000))\n"
        "print('noise')\n"
        "print(json.dumps({'seconds': 7.5, 'rows': int(sys.argv[1]) + int(os.environ['MORE'])}))\n"
    )
    run = run_program("measured_program", 40, env={"MORE": "2"})
    assert run.seconds == 7.5
    assert run.figures == {"rows": 42}
    assert 200 < run.peak_mb < 2000
    assert 0.01 < run.cpu_seconds < 30


def test_a_program_that_fails_is_told_with_its_error(program: Path) -> None:
    program.write_text("raise SystemExit('no such month')")
    with pytest.raises(MeasureError, match="measured_program ended with exit code 1: no such month"):
        run_program("measured_program")


@pytest.mark.parametrize("output", ["", "print('done')", "print('{}')", "print('[1]')"])
def test_a_program_that_tells_no_figures_is_refused(program: Path, output: str) -> None:
    program.write_text(output)
    with pytest.raises(MeasureError, match="measured_program reported no figures"):
        run_program("measured_program")


def test_a_program_that_takes_too_long_is_killed(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "TIMEOUT", 0.3)
    program.write_text("import time; time.sleep(60)")
    with pytest.raises(MeasureError, match="ended with exit code -9"):
        run_program("measured_program")


def test_a_peak_that_this_process_hides_is_refused(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure.resource, "getrusage", lambda who: type("Usage", (), {"ru_maxrss": 1 << 50}))
    program.write_text("print('{\"seconds\": 1}')")
    with pytest.raises(MeasureError, match="needs less memory than the process that measures it"):
        run_program("measured_program")


def test_what_measures_imports_nothing_large() -> None:
    large = {"pandas", "pyarrow", "matplotlib", "airflow"}
    code = f"import sys, benchmarks.__main__; print(sorted({large} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
