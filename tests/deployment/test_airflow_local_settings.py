"""What Airflow takes over at start-up from ``config/``, and what from the local stack's settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local.airflow.environment import AirflowSettings
from local.cloud.settings import REPOSITORY, Settings, read_env_file
from tests.imports import third_party_imports

CONFIG = REPOSITORY / "config"
LOCAL = REPOSITORY / "local" / "airflow" / "settings"

# Which file Airflow has loaded, the names of its settings, and whether Google's client is patched.
LOOK = """
import json, sys
import airflow.settings
from google.cloud.bigquery import Client
print(json.dumps({
    "file": getattr(sys.modules.get("airflow_local_settings"), "__file__", None),
    "names": sorted(vars(airflow.settings)),
    "patched": Client._ensure_bqstorage_client.__module__ != "google.cloud.bigquery.client",
}))
"""

# The modules that parsing and running the DAGs adds to a scheduler that has done its start-up.
ADDED = """
import importlib, json, sys
sys.argv = ["airflow", "scheduler"]
import airflow.settings
import airflow.sdk.execution_time.task_runner
from airflow.dag_processing.dagbag import DagBag
before = set(sys.modules)
bag = DagBag()
assert bag.dags, bag.import_errors
for name in json.loads(sys.stdin.read()):
    importlib.import_module(name)
added = {name for name in set(sys.modules) - before if not name.startswith(("nyc_taxi", "unusual_prefix"))}
print(json.dumps(sorted(added)))
"""


def run_python(code: str, tmp_path: Path, *, pythonpath: Path | None, stdin: str = "", **variables: str) -> Any:
    """Run ``code`` in a Python with an Airflow home of its own; returns the JSON in its last line."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    own = {"AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(pythonpath or ""), "PYTHONWARNINGS": "ignore"}
    environment = {**kept, **own, **variables}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What an Airflow without any airflow_local_settings has."""
    return run_python(LOOK, tmp_path_factory.mktemp("stock"), pythonpath=None)


def test_config_gives_airflow_no_name_and_leaves_googles_client_alone(stock: Any, tmp_path: Path) -> None:
    emulator = {"BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:1"}
    seen = run_python(LOOK, tmp_path, pythonpath=CONFIG, **emulator)
    assert seen == {"file": str(CONFIG / "airflow_local_settings.py"), "names": stock["names"], "patched": False}


def test_the_local_stack_adds_the_patch_and_no_name(stock: Any, tmp_path: Path) -> None:
    seen = run_python(LOOK, tmp_path, pythonpath=LOCAL)
    assert seen == {"file": str(LOCAL / "airflow_local_settings.py"), "names": stock["names"], "patched": True}


def test_the_local_stack_takes_over_the_policies_of_config(stock: Any, tmp_path: Path) -> None:
    copied = tmp_path / "local" / "airflow" / "settings" / "airflow_local_settings.py"
    copied.parent.mkdir(parents=True)
    copied.write_text((LOCAL / "airflow_local_settings.py").read_text())
    (tmp_path / "config").mkdir()
    shared = '__all__ = ["SHARED"]\nSHARED = 1\nHIDDEN = 2\n'
    (tmp_path / "config" / "airflow_local_settings.py").write_text(shared)
    seen = run_python(LOOK, tmp_path, pythonpath=copied.parent)
    assert set(seen["names"]) - set(stock["names"]) == {"SHARED"}


def test_the_local_stack_uses_the_patch_only_with_the_emulators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", raising=False)
    settings = AirflowSettings(cloud=Settings(state_dir=tmp_path))
    assert settings.environment()["PYTHONPATH"] == f"{LOCAL}:{CONFIG}"
    monkeypatch.setenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", '{"conn_type": "google_cloud_platform"}')
    assert settings.environment()["PYTHONPATH"] == str(CONFIG)


def test_no_setting_is_in_both_files() -> None:
    everywhere = read_env_file(CONFIG / "airflow.env")
    laptop = read_env_file(LOCAL.parent / "airflow.env")
    assert everywhere
    assert laptop
    assert not set(everywhere) & set(laptop)


def test_config_names_no_user_host_or_path() -> None:
    values = read_env_file(CONFIG / "airflow.env")
    assert {name for name, value in values.items() if "/" in value or "admin" in value or "127.0.0.1" in value} == set()


def test_workers_have_everything_imported_before_they_fork(tmp_path: Path) -> None:
    wanted = third_party_imports(of_tasks=True)
    assert {"pyarrow", "airflow.sdk", "airflow.providers.google.cloud.hooks.gcs"} <= wanted
    folders = {
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    stdin = json.dumps(sorted(wanted))
    added = run_python(ADDED, tmp_path, pythonpath=CONFIG, stdin=stdin, **folders)
    assert [name for name in added if name.split(".")[0] not in sys.stdlib_module_names] == []
