"""The compose file, the Dockerfile and the settings of the local stack.

There is no Docker here. What a container would be told to do is read from the files; where its command can run without
a container, it does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from local.airflow.environment import AirflowSettings
from local.cloud.settings import Settings
from tests.deployment.compose_file import SECRETS, load_compose
from tests.deployment.dockerfile import Dockerfile


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    """The compose file with nothing but the secrets set."""
    return load_compose(**SECRETS)


@pytest.fixture(scope="session")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    """Its services."""
    return compose["services"]


@pytest.fixture(scope="session")
def dockerfile() -> Dockerfile:
    """The Dockerfile."""
    return Dockerfile()


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AirflowSettings:
    """The local stack with nothing set by the user."""
    for name in list(os.environ):
        if name.startswith("AIRFLOW") or name.endswith(("_EMULATOR_HOST", "_CLOUD_PROJECT")):
            monkeypatch.delenv(name)
    return AirflowSettings(cloud=Settings(state_dir=tmp_path))
