"""Settings of a local Airflow below a temporary folder; nothing is started."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from local.airflow import environment
from local.airflow.environment import AirflowSettings

NAMES = ("GCS_PORT", "BIGQUERY_PORT", "POSTGRES_PORT", "SOURCE_PORT", "GCP_PROJECT", "LAKE_BUCKET", "SYNTHETIC_ROWS")
MORE = ("START_TIMEOUT", "SOURCE_LAYOUT", "SOURCE_LAST_MONTH")
EMULATORS = ("STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST")


@pytest.fixture
def make_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AirflowSettings]:
    """Settings made from the given variables and no others, whatever the user's shell and ``.env`` say."""
    for name in (*NAMES, *MORE, *EMULATORS, "AIRFLOW_PORT", "SOURCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(environment, "load_env_file", lambda: None)

    def make(**variables: str) -> AirflowSettings:
        for name, value in {"LOCAL_DIR": str(tmp_path / "state"), **variables}.items():
            monkeypatch.setenv(name, value)
        return AirflowSettings.from_env()

    return make
