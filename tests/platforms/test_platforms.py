"""The DAGs on each platform of docs/deploy.md: all import, and every template renders as in this repository.

Each test copies what its platform has into an empty folder and parses it there, in a process of its own, with the
connections, the variables and the work dir that the page tells for it. However a platform is told of these, here they
are variables of its environment.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from airflow.dag_processing.dagbag import DagBag

from local.cloud.settings import read_env_file
from nyc_taxi.registry.datasets import DATASETS
from tests.conftest import REPOSITORY
from tests.dags import rendering
from tests.deployment.dockerfile import Dockerfile
from tests.documented import as_variables, documented_json, documented_work_dir

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
        settings: its connections and variables; without any, it has those of the golden files.
    """

    folders: dict[str, str]
    environment: Callable[[Path], dict[str, str]]
    sql: str
    settings: dict[str, str] = field(default_factory=dict)


def documented(*, work_dir: str = "", **google: str) -> dict[str, str]:
    """The two files of the page, with another work dir, and with more in the extra of the connection to Google."""
    connections, variables = documented_json("connections.json"), documented_json("variables.json")
    connections["google_cloud_default"]["extra"] |= google
    return as_variables(connections, variables | ({"work_dir": work_dir} if work_dir else {}))


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


def image(root: Path) -> dict[str, str]:
    """What the image has, and the settings that a chart's ConfigMap takes from the repository."""
    own = {name: value.replace("/opt", f"{root}/opt") for name, value in Dockerfile().env("airflow").items()}
    return {**read_env_file(REPOSITORY / "config/airflow.env"), **own, "PATH": os.environ["PATH"]}


BUCKET = documented_work_dir()
# An account of its own, without the workers' machines being Google's.
KEY = {"keyfile_dict": '{"type": "service_account"}'}
PLATFORMS = {
    "repository": Platform(
        folders={name: f"repository/{name}" for name in ("dags", "plugins", "include", "config")},
        environment=repository,
        sql="repository/include/sql",
    ),
    "astro": Platform(
        folders={name: name for name in ("dags", "plugins", "include")},
        environment=home_only,
        sql="include/sql",
        settings=documented(work_dir=BUCKET, **KEY),
    ),
    "composer": Platform(
        folders={"dags": "gcs/dags", "plugins": "gcs/plugins", "include": "gcs/plugins/include"},
        environment=folders_set("gcs/dags", "gcs/plugins", "airflow"),
        sql="gcs/plugins/include/sql",
        settings=documented(work_dir=BUCKET),
    ),
    # One's own Helm chart: the image of the Dockerfile. With its code from git, test_repository_bundle.py has the rest.
    "helm": Platform(
        folders={name: f"opt/airflow/{place}" for name, place in Dockerfile().copied("airflow").items()},
        environment=image,
        sql="opt/airflow/include/sql",
        settings=documented(work_dir=BUCKET),
    ),
    "mwaa": Platform(
        folders={"dags": "dags", "plugins": "plugins", "include": "plugins/include"},
        environment=home_only,
        sql="plugins/include/sql",
        settings=documented(work_dir=BUCKET, **KEY),
    ),
    "standalone": Platform(
        folders={name: f"pipeline/{name}" for name in ("dags", "plugins", "include")},
        environment=folders_set("pipeline/dags", "pipeline/plugins", "airflow"),
        sql="pipeline/include/sql",
        settings=documented(),
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
    environment = {**kept, "PYTHONWARNINGS": "ignore", **platform.environment(root), **platform.settings}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def expected() -> Callable[[dict[str, str]], dict[str, str]]:
    """The rendering of this repository's own DAGs with connections and variables, or its golden files without any."""
    bag = DagBag(dag_folder=REPOSITORY / "dags")

    def texts(settings: dict[str, str]) -> dict[str, str]:
        if not settings:
            return {dag_id: (GOLDEN / f"{dag_id}.json").read_text() for dag_id in bag.dags}
        with mock.patch.dict(rendering.DEPLOYMENT, settings, clear=True):
            return {
                dag_id: rendering.golden_text(rendering.render(dag, **rendering.run_kinds(dag)["partition_key"]))
                for dag_id, dag in bag.dags.items()
            }

    return texts


@pytest.mark.parametrize("name", PLATFORMS)
def test_all_dags_import_and_render_as_in_this_repository(
    name: str, tmp_path: Path, expected: Callable[[dict[str, str]], dict[str, str]]
) -> None:
    platform = PLATFORMS[name]
    deploy(platform, tmp_path)

    seen = render_all(platform, tmp_path)

    assert seen["errors"] == {}
    # What was parsed is the copy alone.
    assert seen["package"] == str(tmp_path / platform.folders["plugins"] / "nyc_taxi" / "__init__.py")
    assert sorted(seen["rendered"]) == DAG_IDS
    for dag_id, text in expected(platform.settings).items():
        assert seen["rendered"][dag_id] == text, dag_id
    if platform.settings:
        upload = json.loads(seen["rendered"]["green_web_to_gcs"])["local_to_gcs"]
        assert upload["bucket"] == "my-nyc-taxi-lake"
        assert upload["src"].startswith(f"{platform.settings['AIRFLOW_VAR_WORK_DIR']}/green_web_to_gcs/")
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
