"""A new dataset is one entry in the registry; a new store is a class, a DAG file and one entry in a list."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nyc_taxi.registry.datasets import DATASETS
from tests.conftest import REPOSITORY

STEPS = ("web_to_gcs", "gcs_to_bigquery", "web_to_postgres")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder, and the address at which its folder ``source`` is served."""
    folder = tmp_path_factory.mktemp("extension")
    handler = functools.partial(_Quiet, directory=str(folder / "source"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def report(source: tuple[Path, str]) -> dict[str, Any]:
    """What follows from the dataset ``ferry`` and the store ``archive``."""
    folder, url = source
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(folder / "home"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'plugins'}",
        "SOURCE": url,
        "SOURCE_LAYOUT": "mirror",
        "LOCAL_DIR": str(folder / "local"),
    }
    command = [sys.executable, "-m", "tests.extension.report", str(REPOSITORY), str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def test_every_dataset_has_a_dag_for_every_step(report: dict[str, Any]) -> None:
    names = [*DATASETS, "ferry"]
    assert report["import_errors"] == []
    assert report["dag_ids"] == sorted(
        ["trips_yearly_rollup", *(f"{name}_{step}" for name in names for step in (*STEPS, "web_to_archive"))]
    )


def test_tables_and_partitions_have_the_columns_of_the_registry(report: dict[str, Any]) -> None:
    bigquery = report["rendered"]["ferry_gcs_to_bigquery"]
    create = bigquery["create_table"]["configuration"]["query"]["query"]
    assert "CREATE TABLE IF NOT EXISTS trips.ferry (\n    `boarding_datetime` DATETIME OPTIONS" in create
    assert "`landing_datetime` DATETIME OPTIONS (description = 'When the passenger\\'s ferry landed.')" in create
    assert "CLUSTER BY `boarding_datetime`, `PULocationID`" in create
    assert [field["name"] for field in bigquery["load_staging"]["schema_fields"]] == [
        "boarding_datetime",
        "landing_datetime",
        "PULocationID",
        "fare",
        "source_month",
        "source_file",
    ]
    postgres = report["rendered"]["ferry_web_to_postgres"]["create_table"]["sql"]
    assert 'CREATE TABLE IF NOT EXISTS public.ferry_trips (\n    "boarding_datetime" timestamp' in postgres


def test_the_checks_of_the_entry_are_made_in_both_databases(report: dict[str, Any]) -> None:
    bigquery = report["rendered"]["ferry_gcs_to_bigquery"]
    postgres = report["rendered"]["ferry_web_to_postgres"]
    assert "SUM(CASE WHEN boarding_datetime IS NULL THEN 1 ELSE 0 END)" in bigquery["check_columns"]["sql"]
    for warnings, quote in ((bigquery["check_warnings"], "`"), (postgres["check_warnings"], '"')):
        assert f"{quote}fare{quote} = 0" in warnings["checks"]["has_few_free_trips"]["check_statement"]


def test_the_rollup_counts_the_dataset_if_it_has_the_whole_year(report: dict[str, Any]) -> None:
    assert "trips_yearly_rollup" in report["rendered"]
    assert "`warehouse_ferry`" in report["page"]


def test_the_stores_dag_renders_for_every_dataset(report: dict[str, Any]) -> None:
    for name in (*DATASETS, "ferry"):
        tasks = report["rendered"][f"{name}_web_to_archive"]
        assert tasks["skip_unchanged"]["store"] == "archive"
    assert report["rendered"]["ferry_web_to_archive"]["skip_unchanged"]["made_from"].startswith(
        "ferry_tripdata_2021-01.csv.gz etag="
    )


def test_the_generated_page_has_both(report: dict[str, Any]) -> None:
    for dag_id in ("ferry_web_to_gcs", "ferry_web_to_archive", "green_web_to_archive"):
        assert f"`{dag_id}`" in report["page"]
    assert "`archive_ferry`" in report["page"]


def test_the_reconciliation_counts_in_the_store(report: dict[str, Any]) -> None:
    assert report["before"] is None
    assert report["line"] == "reconciled ferry 2021-01 source=2 archive=2"
    assert report["month"] == ["2021-01", 2, True]
    assert report["content"] == {"archive": 2}
