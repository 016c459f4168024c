""".env.example names every variable that the local stack and the compose file read, with its default."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from local.airflow.environment import SECRETS_BACKEND, AirflowSettings
from local.airflow.login import AUTH_MANAGER
from local.airflow.secrets_backend import KWARGS
from local.cloud import env_file
from local.cloud.settings import REPOSITORY, Settings, read_env_file
from tests.deployment.compose_file import SECRETS, load_compose

EXAMPLE = REPOSITORY / ".env.example"


@pytest.fixture(scope="module")
def example() -> dict[str, str]:
    """The variables of ``.env.example`` with their defaults."""
    return dict(re.findall(r"(?m)^#([A-Z0-9_]+)=(.*)$", EXAMPLE.read_text()))


def variables_of_the_code() -> set[str]:
    """The variables that the local stack reads from the environment."""
    read = {"AIRFLOW_PORT", "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", "SOURCE_LAYOUT", "SOURCE_LAST_MONTH"}
    read |= {SECRETS_BACKEND, KWARGS, AUTH_MANAGER}
    read |= {"EXECUTOR", "WORKERS", "REDIS_PORT"}

    class Recorder(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            read.add(name)
            return default

    Settings.from_env(Recorder())
    return read


def test_it_names_every_variable(example: dict[str, str]) -> None:
    read_by_compose = [REPOSITORY / "docker-compose.yaml", REPOSITORY / "local/airflow/emulators.env"]
    text = "".join(path.read_text() for path in read_by_compose)
    of_compose = set(re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)", text))
    assert set(re.findall(r"\$\{([A-Z0-9_]+):\?", text)) == set(SECRETS) == set(env_file.SECRETS)
    profiles = (REPOSITORY / "examples/dbt/profiles.yml").read_text()
    of_dbt = set(re.findall(r"env_var\('([A-Z0-9_]+)'", profiles)) - {"DBT_TARGET"}  # which bin/dbt sets
    assert of_dbt
    assert set(example) == of_compose | of_dbt | variables_of_the_code()


def test_it_sets_nothing_as_it_is() -> None:
    assert read_env_file(EXAMPLE) == {}


def test_it_has_the_defaults_of_the_code(
    example: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in example.items()))
    given = read_env_file(tmp_path / ".env")
    monkeypatch.chdir(REPOSITORY)
    assert Settings.from_env(given) == Settings.from_env({})
    defaults = AirflowSettings(cloud=Settings(state_dir=tmp_path))
    assert given["AIRFLOW_PORT"] == str(defaults.port)
    assert given["SOURCE_LAYOUT"] == defaults.layout.value
    assert given["EXECUTOR"] == defaults.executor.value
    assert (given["WORKERS"], given["REDIS_PORT"]) == (str(defaults.workers), str(defaults.redis_port))
    assert json.loads(given["AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT"])["conn_type"] == "google_cloud_platform"
    assert {name for name, value in given.items() if not value} == {*SECRETS, "SOURCE_LAST_MONTH"}


def test_it_has_the_defaults_of_the_compose_file(example: dict[str, str]) -> None:
    plain = {name: value for name, value in example.items() if value and not value.startswith("'")}
    assert load_compose(**SECRETS, **plain) == load_compose(**SECRETS)


def test_it_says_what_each_variable_is(example: dict[str, str]) -> None:
    lines = EXAMPLE.read_text().splitlines()
    for name in example:
        [index] = [number for number, line in enumerate(lines) if line.startswith(f"#{name}=")]
        assert re.match(r"# \w", lines[index - 1]), name
