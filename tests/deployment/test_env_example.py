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
from nyc_taxi.dag_parts.macros import PUBLICATION_WAIT
from nyc_taxi.parquet.to_parquet import UNKNOWN_COLUMNS
from nyc_taxi.stores.bigquery import billing
from tests.deployment.compose_file import SECRETS, load_compose

EXAMPLE = REPOSITORY / ".env.example"
# What docker compose does not read.
LOCAL_STACK_ONLY = {
    *("LOCAL_DIR", "START_TIMEOUT", "EXECUTOR", "WORKERS", "REDIS_PORT"),
    "SOURCE",  # a name or a folder, for which containers have TAXI_SOURCE_URL
    "BIGQUERY_LOCATION",  # dbt alone
}
# What pages name, and no line of .env sets for containers.
NOT_IN_ENV = {
    "AIRFLOW_CONN_TAXI_SOURCE": "compose makes it of TAXI_SOURCE_URL, SOURCE_LAYOUT and SOURCE_LAST_MONTH",
    "AIRFLOW_VAR_LAKE_BUCKET": "compose makes it of LAKE_BUCKET",
    "AIRFLOW__CORE__DAGS_FOLDER": "deployments without containers",
    "AIRFLOW__CORE__PLUGINS_FOLDER": "deployments without containers",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "deployments without containers; config/airflow.env has it for all others",
    "AIRFLOW__API__WORKERS": "for more workers than one host has; Airflow's default serves those of the compose file",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "compose has a database of its own",
    "AIRFLOW__OPENLINEAGE__DISABLED": "the page tells what it would save",
    "AIRFLOW__LOGGING__REMOTE_LOGGING": "compose has a volume for logs; for workers that share no disk",
    "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": "as above",
    "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": "as above",
}
# Airflow's variables that may be set in .env or in the UI, with their defaults in the code.
UI_VARIABLES = {
    "AIRFLOW_VAR_UNKNOWN_COLUMNS": UNKNOWN_COLUMNS[0],
    "AIRFLOW_VAR_PUBLICATION_WAIT_SECONDS": f"{PUBLICATION_WAIT.total_seconds():.0f}",
    "AIRFLOW_VAR_MAXIMUM_BYTES_BILLED": str(billing.DEFAULT),
}


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


@pytest.fixture(scope="module")
def of_compose() -> set[str]:
    """The variables that the compose file reads, as a part of a value or as they are."""
    read_by_compose = [REPOSITORY / "docker-compose.yaml", REPOSITORY / "local/airflow/emulators.env"]
    text = "".join(path.read_text() for path in read_by_compose)
    assert set(re.findall(r"\$\{([A-Z0-9_]+):\?", text)) == set(SECRETS) == set(env_file.SECRETS)
    return {*re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)", text), *re.findall(r"(?m)^ +([A-Z0-9_]+):$", text)}


def test_it_names_every_variable(example: dict[str, str], of_compose: set[str]) -> None:
    profiles = (REPOSITORY / "examples/dbt/profiles.yml").read_text()
    of_dbt = set(re.findall(r"env_var\('([A-Z0-9_]+)'", profiles)) - {"DBT_TARGET"}  # which bin/dbt sets
    assert of_dbt
    # Airflow's own variable of the bucket, which LAKE_BUCKET sets.
    assert set(example) == of_compose | of_dbt | variables_of_the_code() - {"AIRFLOW_VAR_LAKE_BUCKET"}


def test_every_variable_has_an_effect_in_containers_or_is_the_local_stacks(
    example: dict[str, str], of_compose: set[str]
) -> None:
    assert set(example) - of_compose == LOCAL_STACK_ONLY


def test_every_setting_that_a_page_names_has_an_effect_in_containers(of_compose: set[str]) -> None:
    pages = [REPOSITORY / "README.md", REPOSITORY / "SECURITY.md", *(REPOSITORY / "docs").glob("*.md")]
    # The comparison lists what was set for its measurements.
    text = "".join(page.read_text() for page in pages if page.name != "comparison.md")
    named = set(re.findall(r"\bAIRFLOW(?:__|_VAR_|_CONN_)[A-Z][A-Z0-9_]*[A-Z0-9]\b(?!\*)", text))
    shared = set(read_env_file(REPOSITORY / "config/airflow.env"))
    assert {"AIRFLOW_VAR_MAXIMUM_BYTES_BILLED", "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"} <= named
    assert named - of_compose - shared - set(NOT_IN_ENV) == set()


def test_comments_are_no_longer_than_a_line() -> None:
    assert [line for line in EXAMPLE.read_text().splitlines() if line.startswith("# ") and len(line) > 125] == []


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
    assert {name: given[name] for name in UI_VARIABLES} == UI_VARIABLES
    assert {name for name, value in given.items() if not value} == {*SECRETS, "SOURCE_LAST_MONTH"}


def test_it_has_the_defaults_of_the_compose_file(example: dict[str, str]) -> None:
    left_out = {name for name, value in example.items() if not value or value.startswith("'")}
    plain = {name: value for name, value in example.items() if name not in {*left_out, *UI_VARIABLES}}
    assert load_compose(**SECRETS, **plain) == load_compose(**SECRETS)


def test_it_says_what_each_variable_is(example: dict[str, str]) -> None:
    lines = EXAMPLE.read_text().splitlines()
    for name in example:
        [index] = [number for number, line in enumerate(lines) if line.startswith(f"#{name}=")]
        assert re.match(r"# \w", lines[index - 1]), name
