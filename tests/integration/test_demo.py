"""The demo from nothing running to nothing running, as ``make demo`` calls it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import (
    REPOSITORY,
    SYNTHETIC_ROWS,
    Command,
    commands,
    open_ports,
    processes_of,
    stack_environment,
)

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def environment(source_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a stack that nobody else starts."""
    return stack_environment(tmp_path_factory.mktemp("local"), source_dir)


@pytest.fixture(scope="module")
def local_airflow(environment: dict[str, str]) -> Command:
    return commands(environment)


def test_demo_runs_one_month_through_all_stores_and_leaves_nothing_running(
    environment: dict[str, str], local_airflow: Command
) -> None:
    assert open_ports(environment) == []

    demo = local_airflow("demo", "green", "2020-06")

    assert demo.returncode == 0, demo.stdout + demo.stderr
    n = SYNTHETIC_ROWS
    expected = f"reconciled green 2020-06 source={n} lake={n} external={n} bigquery={n} postgres={n}"
    assert demo.stdout.splitlines()[-1] == expected
    assert re.search(r"green_gcs_to_bigquery\.publish +success", demo.stdout)
    assert re.search(r"trips_yearly_rollup\.check_months +skipped", demo.stdout)
    unpaused = re.findall(r"(?m)^unpausing (\w+)$", demo.stdout)
    assert unpaused == ["green_web_to_gcs", "green_web_to_postgres"]
    assert re.findall(r"(?m)^pausing (\w+) again$", demo.stdout) == unpaused
    assert processes_of(environment) == []
    assert open_ports(environment) == []


def test_terminated_demo_stops_what_it_started(environment: dict[str, str]) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "local.airflow", "demo", "green", "2020-06"],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.startswith("up in"):  # the embedded cloud is up, Airflow's processes are starting
            break
    demo.send_signal(signal.SIGTERM)

    demo.communicate(timeout=400)

    assert demo.returncode == 128 + signal.SIGTERM
    assert processes_of(environment) == []
    assert open_ports(environment) == []


@pytest.mark.parametrize(
    ("dataset", "month", "message"),
    [
        ("green", "2021-13", "'2021-13' is not a month"),
        ("green", "../x", "'../x' is not a month"),
        ("green", "2018-12", "no green file for 2018-12: the source starts with 2019-01"),
        ("purple", "2021-01", "unknown dataset 'purple'; use one of yellow, green"),
    ],
)
def test_demo_refuses_what_cannot_be_before_it_starts_anything(
    local_airflow: Command, environment: dict[str, str], dataset: str, month: str, message: str
) -> None:
    demo = local_airflow("demo", dataset, month)

    assert demo.returncode == 1
    assert message in demo.stderr
    assert demo.stdout == ""
    assert processes_of(environment) == []
