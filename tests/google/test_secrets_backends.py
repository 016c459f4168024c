"""Runs whose connections and variables are in a secrets backend and nowhere else: a local file, and Secret Manager."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest

from local.airflow.environment import AirflowSettings
from local.cloud.settings import Settings
from tests.faults.runs import Run, Worker
from tests.google.conftest import ACCOUNT
from tests.google.secret_manager import secret_manager
from tests.local.cloud.conftest import cloud_in

pytestmark = pytest.mark.full

PROJECT = "team-project"
FILE = "airflow.secrets.local_filesystem.LocalFilesystemBackend"
SECRET_MANAGER = "airflow.providers.google.cloud.secrets.secret_manager.CloudSecretManagerBackend"
BACKEND, KWARGS = "AIRFLOW__SECRETS__BACKEND", "AIRFLOW__SECRETS__BACKEND_KWARGS"
Start = Callable[[Mapping[str, str]], Run]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Start, dict[str, Any], dict[str, str]]]:
    """A function that starts a load of a month, and the connections and variables that its tasks need.

    The environment of the tasks has none of them.
    """
    folder = tmp_path_factory.mktemp("secrets")
    cloud = cloud_in(folder / "state")
    cloud.must("up", "gcs", "source")
    worker = Worker(os.environ)
    try:
        environment = AirflowSettings(cloud=Settings.from_env(cloud.env)).environment()
        connections = {
            name: json.loads(environment[f"AIRFLOW_CONN_{name.upper()}"])
            for name in ("taxi_source", "google_cloud_default")
        }
        variables = {name: environment[f"AIRFLOW_VAR_{name.upper()}"] for name in ("lake_bucket", "work_dir")}
        own = {name: environment[name] for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT")}

        def start(backend: Mapping[str, str]) -> Run:
            given = {**own, "NO_PROXY": "127.0.0.1", **backend}
            conf = {"month": "2021-01", "force": True}
            return Run(worker, "green_web_to_gcs", conf=conf, environment=given, folder=folder / "runs")

        yield start, connections, variables
    finally:
        worker.close()
        cloud.must("down")


def test_a_file_gives_a_run_all_that_it_needs(place: Any, tmp_path: Path) -> None:
    start, connections, variables = place
    (tmp_path / "connections.json").write_text(json.dumps(connections))
    (tmp_path / "variables.json").write_text(json.dumps(variables))
    files = {f"{kind}_file_path": str(tmp_path / f"{kind}.json") for kind in ("connections", "variables")}
    run = start({BACKEND: FILE, KWARGS: json.dumps(files)})
    assert run.go().state == "success", run.log()


def test_secret_manager_gives_a_run_all_that_it_needs(place: Any, key: dict[str, str], tmp_path: Path) -> None:
    start, connections, variables = place
    secrets = {f"airflow-connections-{name}": json.dumps(value) for name, value in connections.items()}
    secrets |= {f"airflow-variables-{name}": value for name, value in variables.items()}
    secrets = {f"projects/{PROJECT}/secrets/{name}": value for name, value in secrets.items()}
    kwargs = {"project_id": PROJECT, "gcp_keyfile_dict": key}
    with secret_manager(tmp_path, secrets) as running:
        run = start({BACKEND: SECRET_MANAGER, KWARGS: json.dumps(kwargs), **running.variables})
        assert run.go().state == "success", run.log()
    assert {f"{name}/versions/latest" for name in secrets} <= set(running.asked)
    claims = {"iss": ACCOUNT, "sub": ACCOUNT, "aud": "https://secretmanager.googleapis.com/"}
    assert all(_claims(account) == claims for account in running.accounts)


def _claims(account: str) -> dict[str, str]:
    """What the key has signed for a call: who calls, and what for."""
    claims = jwt.decode(account.removeprefix("Bearer "), options={"verify_signature": False})
    return {name: value for name, value in claims.items() if name not in ("iat", "exp")}
