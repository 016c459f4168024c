"""The DAGs on each platform of docs/deploy.md: all import, and every template renders as in this repository.

Each test copies what its platform has into an empty folder and parses it there, in a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.cloud.settings import read_env_file
from nyc_taxi.registry.datasets import DATASETS
from tests.conftest import REPOSITORY

RENDERING = REPOSITORY / "tests" / "dags" / "rendering.py"
GOLDEN = REPOSITORY / "tests" / "golden"
STEPS = sorted(path.stem for path in (REPOSITORY / "dags").glob("*_to_*.py"))
DAG_IDS = sorted([*(f"{dataset}_{step}" for dataset in DATASETS for step in STEPS), "trips_yearly_rollup"])


@dataclass(frozen=True)
class Platform:
    """What a deployment has.

    Attributes:
        folders: the repository's folders that are copied, each with its place.
        environment: the variables of its Airflow, from the deployment's root folder.
        sql: where its SQL files are.
    """

    folders: dict[str, str]
    environment: Callable[[Path], dict[str, str]]
    sql: str


def folders_set(dags: str, plugins: str, home: str) -> Callable[[Path], dict[str, str]]:
    """An environment that names the two folders and Airflow's home."""
    return lambda root: {
        "AIRFLOW_HOME": str(root / home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(root / dags),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(root / plugins),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }


def repository(root: Path) -> dict[str, str]:
    """What make, bin/airflow and docker compose set."""
    shared = read_env_file(root / "repository/config/airflow.env")
    own = folders_set("repository/dags", "repository/plugins", "airflow")(root)
    return {**shared, **own, "PYTHONPATH": str(root / "repository/config")}


def home_only(root: Path) -> dict[str, str]:
    """Airflow's defaults: dags/ and plugins/ are in its home."""
    return {"AIRFLOW_HOME": str(root), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}


PLATFORMS = {
    "repository": Platform(
        folders={name: f"repository/{name}" for name in ("dags", "plugins", "include", "config")},
        environment=repository,
        sql="repository/include/sql",
    ),
    "astro": Platform(
        folders={name: name for name in ("dags", "plugins", "include")}, environment=home_only, sql="include/sql"
    ),
    "composer": Platform(
        folders={"dags": "gcs/dags", "plugins": "gcs/plugins", "include": "gcs/plugins/include"},
        environment=folders_set("gcs/dags", "gcs/plugins", "airflow"),
        sql="gcs/plugins/include/sql",
    ),
    "mwaa": Platform(
        folders={"dags": "dags", "plugins": "plugins", "include": "plugins/include"},
        environment=home_only,
        sql="plugins/include/sql",
    ),
    "standalone": Platform(
        folders={name: f"pipeline/{name}" for name in ("dags", "plugins", "include")},
        environment=folders_set("pipeline/dags", "pipeline/plugins", "airflow"),
        sql="pipeline/include/sql",
    ),
}


def deploy(platform: Platform, root: Path) -> None:
    """Copy the platform's folders below ``root``."""
    for folder, place in platform.folders.items():
        shutil.copytree(REPOSITORY / folder, root / place, ignore=shutil.ignore_patterns("__pycache__"))


def render_all(platform: Platform, root: Path) -> dict[str, Any]:
    """What ``render_all.py`` prints in the platform deployed below ``root``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    command = [sys.executable, str(Path(__file__).with_name("render_all.py")), str(RENDERING)]
    environment = {**kept, "PYTHONWARNINGS": "ignore", **platform.environment(root)}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", PLATFORMS)
def test_all_dags_import_and_render_as_in_this_repository(name: str, tmp_path: Path) -> None:
    platform = PLATFORMS[name]
    deploy(platform, tmp_path)

    seen = render_all(platform, tmp_path)

    assert seen["errors"] == {}
    # What was parsed is the copy alone.
    assert seen["package"] == str(tmp_path / platform.folders["plugins"] / "nyc_taxi" / "__init__.py")
    assert sorted(seen["rendered"]) == DAG_IDS
    for dag_id, text in seen["rendered"].items():
        assert text == (GOLDEN / f"{dag_id}.json").read_text(), dag_id
    # The scheduler finds the timetable of our own.
    assert seen["timetables"]["green_web_to_gcs"] == "MonthlyTimetable"


def test_without_the_sql_files_every_dag_file_names_the_places_and_what_to_copy(tmp_path: Path) -> None:
    platform = PLATFORMS["composer"]
    deploy(platform, tmp_path)
    shutil.rmtree(tmp_path / platform.sql)

    seen = render_all(platform, tmp_path)

    assert seen["rendered"] == {}
    files = sorted(Path(file).name for file in seen["errors"])
    assert files == sorted(path.name for path in (REPOSITORY / "dags").glob("*.py"))
    for error in seen["errors"].values():
        assert "MissingSqlError: the SQL files are missing" in error
        assert str(tmp_path / "gcs/include/sql") in error
        assert str(tmp_path / "gcs/plugins/include/sql") in error
        assert "Copy the repository's folder include/" in error
