"""A new dataset is one entry in the registry; a new store is a folder, a DAG file, its SQL and one line in a list.

``sample`` has a dataset and a store, laid out as the repository is. The tests add them to a copy of the repository, run
the commands that a developer would, and look at what follows.
"""

from __future__ import annotations

import functools
import gzip
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nyc_taxi.registry.datasets import DATASETS
from nyc_taxi.stores import STORES
from tests.conftest import REPOSITORY

SAMPLE = Path(__file__).parent / "sample"
FOLDERS = ("config", "dags", "docs", "include", "local", "plugins", "tests")
CSV = b"""boarding_datetime,landing_datetime,PULocationID,fare
2021-01-01 08:00:00,2021-01-01 08:30:00,12,4.5
2021-01-31 23:50:00,2021-02-01 00:10:00,13,0
"""


class Project:
    """A copy of the repository.

    Args:
        folder: the folder of the copy.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ignore = shutil.ignore_patterns(".venv", ".local", "__pycache__", "logs")
        for name in FOLDERS:
            shutil.copytree(REPOSITORY / name, folder / name, ignore=ignore)
        shutil.copy(REPOSITORY / "pyproject.toml", folder)

    def add_dataset(self) -> None:
        """Add the one entry of the dataset ``ferry``."""
        registry = self.folder / "plugins" / "nyc_taxi" / "registry" / "datasets.py"
        _replace(registry, "TRIP_DATASETS: tuple", f"{(SAMPLE / 'ferry.py').read_text()}\nTRIP_DATASETS: tuple")
        _replace(registry, "(YELLOW, GREEN, FHV, FHVHV)", "(YELLOW, GREEN, FHV, FHVHV, FERRY)")

    def add_store(self) -> None:
        """Add the folder, the DAG file and the SQL of the store ``sqlite``, and its line in the list."""
        for name in ("dags", "include", "plugins"):
            shutil.copytree(SAMPLE / name, self.folder / name, dirs_exist_ok=True)
        stores = self.folder / "plugins" / "nyc_taxi" / "stores" / "__init__.py"
        line = "from nyc_taxi.stores.store import Store\n"
        _replace(stores, line, f"from nyc_taxi.stores.sqlite.store import SqliteStore\n{line}")
        _replace(stores, "PostgresStore]", "PostgresStore, SqliteStore]")

    def run(self, module: str, *arguments: str, **variables: str) -> str:
        """Run a module of the copy; return what it printed."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
            "AIRFLOW_HOME": str(self.folder / "home"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONPATH": f"{self.folder}:{self.folder / 'plugins'}",
            "NYC_TLC_DATA_DIR": "",
            "LOCAL_DIR": str(self.folder / "state"),
            **variables,
        }
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
        return done.stdout

    def rendered(self, dag_id: str) -> dict[str, Any]:
        """Return the golden file of a DAG: its tasks with their rendered templates."""
        return json.loads((self.folder / "tests" / "golden" / f"{dag_id}.json").read_text())  # type: ignore[no-any-return]


def _text(value: str | list[str]) -> str:
    """Return a value of a golden file, which has a text of several lines as a list."""
    return value if isinstance(value, str) else "\n".join(value)


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, (path, old)
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the repository with the dataset and the store, its generated files written anew."""
    project = Project(tmp_path_factory.mktemp("extension"))
    project.add_dataset()
    project.add_store()
    project.run("tests.dags.regenerate_golden")
    project.run("local.airflow.dags_page")
    return project


@pytest.fixture(scope="module")
def page(project: Project) -> str:
    return (project.folder / "docs" / "DAGS.md").read_text()


def test_every_dataset_has_a_dag_for_every_store(project: Project) -> None:
    steps = [*(store.step for store in STORES), "web_to_sqlite"]
    dag_ids = {f"{dataset}_{step}" for dataset in (*DATASETS, "ferry") for step in steps}
    files = {path.stem for path in (project.folder / "tests" / "golden").glob("*.json")}
    assert files == {*dag_ids, "trips_yearly_rollup"}


def test_what_was_there_renders_as_before(project: Project) -> None:
    for path in (REPOSITORY / "tests" / "golden").glob("*.json"):
        assert (project.folder / "tests" / "golden" / path.name).read_text() == path.read_text(), path.name


def test_tables_and_partitions_have_the_columns_of_the_registry(project: Project) -> None:
    bigquery = project.rendered("ferry_gcs_to_bigquery")
    create = _text(bigquery["create_table"]["configuration"]["query"]["query"])
    assert "CREATE TABLE IF NOT EXISTS trips.ferry (\n    `boarding_datetime` DATETIME OPTIONS" in create
    assert "`landing_datetime` DATETIME OPTIONS (description = 'When the passenger\\'s ferry landed.')" in create
    assert "CLUSTER BY `boarding_datetime`, `PULocationID`" in create
    names = [field["name"] for field in bigquery["load_staging"]["schema_fields"]]
    assert names == ["boarding_datetime", "landing_datetime", "PULocationID", "fare", "source_month", "source_file"]
    postgres = _text(project.rendered("ferry_web_to_postgres")["create_table"]["sql"])
    assert 'CREATE TABLE IF NOT EXISTS public.ferry_trips (\n    "boarding_datetime" timestamp' in postgres


def test_the_checks_of_the_entry_are_made_in_both_databases(project: Project) -> None:
    bigquery = project.rendered("ferry_gcs_to_bigquery")
    postgres = project.rendered("ferry_web_to_postgres")
    assert "SUM(CASE WHEN boarding_datetime IS NULL THEN 1 ELSE 0 END)" in _text(bigquery["check_columns"]["sql"])
    for warnings, quote in ((bigquery["check_warnings"], "`"), (postgres["check_warnings"], '"')):
        assert f"{quote}fare{quote} = 0" in warnings["checks"]["has_few_free_trips"]["check_statement"]


def test_the_new_stores_sql_is_rendered_with_its_own_types(project: Project) -> None:
    tasks = project.rendered("ferry_web_to_sqlite")
    assert tasks["skip_unchanged"]["store"] == "sqlite"
    assert tasks["skip_unchanged"]["made_from"].startswith("ferry_tripdata_2021-01.csv.gz etag=")
    create = _text(tasks["publish"]["create_sql"])
    assert 'ferry_trips (\n    "boarding_datetime" text' in create
    assert '"fare" real' in create
    assert _text(tasks["publish"]["delete_sql"]) == "DELETE FROM ferry_trips\nWHERE source_month = '2021-01-01'"
    assert "WHERE" not in _text(project.rendered("zones_web_to_sqlite")["publish"]["delete_sql"])


def test_the_generated_page_has_both(page: str) -> None:
    for name in ("ferry_web_to_gcs", "ferry_web_to_sqlite", "green_web_to_sqlite", "sqlite_ferry", "warehouse_ferry"):
        assert f"`{name}`" in page


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The published file of ``ferry`` 2021-01, and the address of the source that serves it."""
    folder = tmp_path_factory.mktemp("source")
    file = folder / "ferry" / "ferry_tripdata_2021-01.csv.gz"
    file.parent.mkdir()
    file.write_bytes(gzip.compress(CSV))
    handler = functools.partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield file, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_the_reconciliation_counts_in_the_store(project: Project, source: tuple[Path, str], tmp_path: Path) -> None:
    file, url = source
    printed = project.run(
        "tests.extension.reconcile",
        SOURCE=url,
        SOURCE_LAYOUT="mirror",
        FERRY_SOURCE=str(file),
        FERRY_PARQUET=str(tmp_path / "ferry_tripdata_2021-01.parquet"),
        AIRFLOW_VAR_SQLITE_FILE=str(tmp_path / "trips.sqlite"),
    )
    assert json.loads(printed.splitlines()[-1]) == {
        "before": None,
        "line": "reconciled ferry 2021-01 source=2 sqlite=2",
        "month": ["2021-01", 2, True],
        "content": {"sqlite": 2},
    }


CHECKS = {
    "dags": ("pytest", "-q", "-p", "no:cacheprovider", "tests/dags"),
    "stores": ("pytest", "-q", "-p", "no:cacheprovider", "tests/nyc_taxi/stores/test_independence.py"),
    "SQL": ("sqlfluff", "lint", "include/sql/sqlite", "--dialect", "sqlite"),
    "imports": ("importlinter.cli", "--no-cache"),
}


@pytest.mark.full
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_the_repositorys_own_checks_pass_unchanged(project: Project, check: Sequence[str]) -> None:
    project.run(*check)
