"""The shortest way from an edit to its result, the same on both sides: a file is written and run, or debugged."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

_AIRFLOW = """\
from airflow.sdk import dag, task


@dag(schedule=None)
def edited():
    @task
    def tell():
        value = "{value}"
        print("told", value)

    tell()


edited_dag = edited()
if __name__ == "__main__":
    edited_dag.test()
"""
_PREFECT = """\
from prefect import flow, task


@task
def tell():
    value = "{value}"
    print("told", value)


@flow
def edited():
    tell()


if __name__ == "__main__":
    edited()
"""
PROGRAMS = {"airflow": _AIRFLOW, "prefect": _PREFECT}


def run(side: str, python: Path, folder: Path, value: str, more: Mapping[str, str], *, stop: bool = False) -> str:
    """Write the program of a side with a value, and run it to its end; returns what it printed.

    Args:
        side: whose program.
        python: the interpreter of the side's environment.
        folder: where it is written.
        value: what its task prints.
        more: environment variables of the side.
        stop: stop in the task with Python's debugger, and print the value there.

    Raises:
        AssertionError: it fails.
    """
    path = folder / f"edited_on_{side}.py"
    path.write_text(PROGRAMS[side].format(value=value))
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if "print" in text)
    words = ["-m", "pdb"] if stop else []
    typed = f"break {line}\ncontinue\np 'stopped at', value\ncontinue\nquit\n" if stop else ""
    done = subprocess.run(
        [python, *words, path],
        cwd=folder, env={**os.environ, **more}, input=typed, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-1000:]
    return done.stdout + done.stderr
