"""The dbt project on an embedded BigQuery: built, built again, and built after one month was replaced."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import pytest

from examples.dbt import cli
from local.airflow.environment import AirflowSettings
from local.cloud.settings import REPOSITORY
from tests.examples.dbt.warehouse import Warehouse, running_warehouse

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not cli.DBT.exists(), reason="dbt is not installed in examples/dbt/.venv; make dbt installs it"),
]

ROWS = 1_200
MONTHS = ("2021-01", "2021-02")
REPLACED = ("green", "2021-02")
TABLES = ("fct_trips", "agg_trips_daily")
TIMES = {
    "green": ("lpep_pickup_datetime", "lpep_dropoff_datetime"),
    "yellow": ("tpep_pickup_datetime", "tpep_dropoff_datetime"),
}
KEYS = ("source_month", "service_type", "pickup_date", "pickup_location_id")
HUNDREDTHS = ("trip_distance", "fare_amount", "tip_amount", "total_amount")
SUMS = ("trips", "passengers", "duration_seconds", *HUNDREDTHS)
# Python runs it first in each process of dbt.
_GUARD = """
import os, socket

connect = socket.socket.connect

def watched(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
        with open(os.environ["OUTGOING"], "a") as file:
            file.write(f"{address}\\n")
        raise OSError(f"the test allows no connection to {address}")
    return connect(self, address)

def resolved(host, *arguments, **options):
    if host not in ("127.0.0.1", "::1", "localhost"):
        with open(os.environ["OUTGOING"], "a") as file:
            file.write(f"{host}\\n")
        raise socket.gaierror(f"the test allows no look-up of {host}")
    return resolve(host, *arguments, **options)

resolve, socket.getaddrinfo = socket.getaddrinfo, resolved
socket.socket.connect = watched
"""

Contents = dict[tuple[str, str], list[dict[str, Any]]]
"""The rows of each table's partitions, sorted."""


@dataclass
class Builds:
    """What the builds left.

    Attributes:
        lake: the lake's Parquet files after each build, by dataset and month.
        contents: the rows of the incremental tables after each build.
        results: dbt's results of each build.
        outgoing: the addresses outside of this machine that dbt asked for.
    """

    warehouse: Warehouse
    lake: list[dict[tuple[str, str], pd.DataFrame]] = field(default_factory=list)
    contents: list[Contents] = field(default_factory=list)
    results: list[list[dict[str, Any]]] = field(default_factory=list)
    outgoing: str = ""

    @property
    def target(self) -> Path:
        return self.warehouse.settings.state_dir / "dbt" / "target"


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builds]:
    """Three builds: of everything, of the same again, and after one month was replaced."""
    folder = tmp_path_factory.mktemp("dbt")
    with running_warehouse(folder) as warehouse:
        builds = Builds(warehouse)
        warehouse.load_zones()
        lake = {(name, month): _load(warehouse, name, month, ROWS) for name in TIMES for month in MONTHS}
        _make_dbt(warehouse)
        _keep(builds, lake)
        _build(builds, folder)
        _keep(builds, lake)
        lake = lake | {REPLACED: _load(warehouse, *REPLACED, ROWS + 300)}
        _build(builds, folder)
        _keep(builds, lake)
        builds.outgoing = (folder / "outgoing").read_text()
        yield builds


def _load(warehouse: Warehouse, dataset: str, month: str, rows: int) -> pd.DataFrame:
    return pd.read_parquet(warehouse.load_month(dataset, month, rows=rows))


def _make_dbt(warehouse: Warehouse) -> None:
    """Run ``make dbt`` without make: a build and the documentation."""
    command = [sys.executable, "-m", "examples.dbt", MONTHS[0]]
    _run(command, cwd=REPOSITORY, env=warehouse.environment)


def _build(builds: Builds, folder: Path) -> None:
    """Run ``dbt build`` in a process that cannot reach beyond this machine."""
    (folder / "guard").mkdir(exist_ok=True)
    (folder / "guard" / "sitecustomize.py").write_text(_GUARD)
    (folder / "outgoing").touch()
    with mock.patch.dict(os.environ, builds.warehouse.environment):
        own = cli.environment(AirflowSettings.from_env())
    own |= {"PYTHONPATH": str(folder / "guard"), "OUTGOING": str(folder / "outgoing")}
    _run([str(cli.DBT), "build"], cwd=folder, env={**builds.warehouse.environment, **own})


def _run(command: list[str], *, cwd: Path, env: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]


def _keep(builds: Builds, lake: dict[tuple[str, str], pd.DataFrame]) -> None:
    builds.lake.append(lake)
    contents: Contents = defaultdict(list)
    for table in TABLES:
        for row in builds.warehouse.client().query_and_wait(f"SELECT * FROM analytics.{table}"):
            contents[table, f"{row['source_month']:%Y-%m}"].append(dict(row.items()))
    builds.contents.append({key: sorted(rows, key=repr) for key, rows in contents.items()})
    builds.results.append(json.loads((builds.target / "run_results.json").read_text())["results"])


def test_every_model_and_test_succeeds_in_every_build(builds: Builds) -> None:
    manifest = json.loads((builds.target / "manifest.json").read_text())
    everything = {*manifest["nodes"], *manifest["unit_tests"]}
    for results in builds.results[1:]:  # those of the first are replaced by the documentation's
        assert {one["unique_id"] for one in results} == everything
        assert {one["status"] for one in results} == {"success", "pass"}


def test_the_second_build_changes_nothing(builds: Builds) -> None:
    first, second, _ = builds.contents
    assert set(first) == {(table, month) for table in TABLES for month in MONTHS}
    assert first == second


def test_only_the_replaced_month_changes(builds: Builds) -> None:
    _, before, after = builds.contents
    changed = {key for key in before | after if before.get(key) != after.get(key)}
    assert changed == {(table, REPLACED[1]) for table in TABLES}
    yellow = [
        [row for row in rows["fct_trips", "2021-02"] if row["service_type"] == "yellow"] for rows in (before, after)
    ]
    assert yellow[0] == yellow[1]
    assert len(yellow[0]) == ROWS


@pytest.mark.parametrize("build", [0, 2], ids=["first", "after the replacement"])
def test_days_agree_with_pandas(builds: Builds, build: int) -> None:
    expected: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for (dataset, _), trips in builds.lake[build].items():
        expected |= _by_day(dataset, trips)
    rows = [row for (table, _), rows in builds.contents[build].items() if table == "agg_trips_daily" for row in rows]
    found = {tuple(row[name] for name in KEYS): tuple(row[name] for name in SUMS) for row in rows}
    assert len(found) == len(rows)
    assert found == expected


def _by_day(dataset: str, trips: pd.DataFrame) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The sums by day and zone, computed by pandas in hundredths: whole numbers, whose sums are exact."""
    pickup, dropoff = (trips[column] for column in TIMES[dataset])
    days = pd.DataFrame(
        {
            "source_month": trips["source_month"],
            "service_type": dataset,
            "pickup_date": pickup.dt.date,
            "pickup_location_id": trips["PULocationID"],
            "trips": 1,
            "passengers": trips["passenger_count"],
            "duration_seconds": (dropoff - pickup).dt.total_seconds().astype(int),
            **{name: (trips[name] * 100).round().astype("Int64") for name in HUNDREDTHS},
        }
    )
    sums = days.groupby(list(KEYS)).sum(min_count=1)
    return {
        key: tuple(
            None if pd.isna(value) else Decimal(int(value)) / 100 if name in HUNDREDTHS else int(value)
            for name, value in zip(SUMS, values, strict=True)
        )
        for key, values in zip(sums.index, sums[list(SUMS)].itertuples(index=False), strict=True)
    }


def test_documentation_has_every_column_as_it_is(builds: Builds) -> None:
    manifest, catalog = (json.loads((builds.target / f"{name}.json").read_text()) for name in ("manifest", "catalog"))
    assert catalog["errors"] is None
    built = {key: one for key, one in manifest["nodes"].items() if one["resource_type"] in ("model", "seed")}
    assert set(catalog["nodes"]) == set(built)
    for key, one in built.items():
        assert set(catalog["nodes"][key]["columns"]) == set(one["columns"]), key
    fact = catalog["nodes"]["model.nyc_taxi.fct_trips"]
    assert fact["stats"]["num_rows"]["value"] == 2 * len(MONTHS) * ROWS
    assert fact["stats"]["partitioning_type"]["value"] == "source_month"
    assert fact["stats"]["clustering_fields"]["value"] == "pickup_datetime, pickup_location_id"
    assert fact["columns"]["trip_id"]["comment"] == "Id of the trip, computed from its values."
    assert (builds.target / "static_index.html").stat().st_size > 1_000_000


def test_nothing_leaves_this_machine(builds: Builds) -> None:
    assert builds.outgoing == ""
