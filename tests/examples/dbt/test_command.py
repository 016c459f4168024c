"""``make dbt`` before dbt runs: which months it loads, and what it says if it cannot."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from examples.dbt import __main__ as command
from examples.dbt import cli
from local.cloud.processes import ProcessError
from nyc_taxi.registry.datasets import GREEN, YELLOW, ZONES
from nyc_taxi.registry.months import Month

FILES = [GREEN.file(Month(2021, 2)), YELLOW.file(Month(2021, 2)), ZONES.file()]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What ``airflow dags test`` is called with; the warehouse has the yellow month only."""
    calls: list[list[str]] = []
    counts = {"yellow": 5}
    warehouse = SimpleNamespace(count=lambda file: counts.get(file.dataset.name, 0))
    monkeypatch.setattr(command.reconcile, "connected", lambda settings, store: warehouse)

    def run(words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        calls.append(words[words.index("test") + 1 :])
        code = 1 if "zones_gcs_to_bigquery" in words else 0
        return subprocess.CompletedProcess(words, code, "what Airflow says", "")

    monkeypatch.setattr(command.subprocess, "run", run)
    return calls


def test_only_what_the_warehouse_lacks_is_loaded(runs: list[list[str]]) -> None:
    command._load_missing(SimpleNamespace(), FILES[:2])
    assert runs == [["green_web_to_gcs", "2021-02-15"], ["green_gcs_to_bigquery", "2021-02-15"]]


def test_a_load_that_fails_is_shown(runs: list[list[str]]) -> None:
    with pytest.raises(ProcessError, match=r"zones_gcs_to_bigquery failed:\nwhat Airflow says"):
        command._load_missing(SimpleNamespace(), FILES)
    assert [words[0] for words in runs][-2:] == ["zones_web_to_gcs", "zones_gcs_to_bigquery"]


def test_a_missing_installation_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(cli, "DBT", tmp_path / "dbt")
    with pytest.raises(ProcessError, match="dbt is not installed; run make dbt"):
        cli.check_installed()


@pytest.mark.parametrize(("connection", "target"), [("", "local"), ("{}", "cloud")])
def test_a_connection_to_google_cloud_decides_the_target(
    connection: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", connection)
    settings = command.AirflowSettings.from_env()
    assert cli.environment(settings)["DBT_TARGET"] == target
