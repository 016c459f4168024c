"""``airflow dags test`` with nothing but the embedded cloud up, for every dataset and both layouts of the source."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from unittest import mock

import pytest

from localairflow import reconcile
from localairflow.environment import AirflowSettings
from localairflow.reconcile import Content
from localcloud.processes import answers
from localcloud.source.months import Month as SourceMonth
from localcloud.source.synthetic import write_month
from nyc_taxi.datasets import DATASETS, GREEN, TRIP_DATASETS, Dataset, TripDataset
from nyc_taxi.months import Month
from tests.integration.conftest import PORTS, REPOSITORY, free_port
from tests.integration.support import await_, line

ROWS = 3000
MONTH = Month(2021, 3)
DATE = "2021-03-15"
CONF = json.dumps({"month": str(MONTH)})
FORCED = json.dumps({"month": str(MONTH), "force": True})

# Each line is the arguments of one call of the Airflow CLI. Importing Airflow takes longer than a run does, so that one
# process makes them all; it goes on after a run that fails, and tells how each ended.
_COMMANDS = """
import json, sys
from airflow.cli import cli_parser

parser = cli_parser.get_parser()
for line in sys.stdin:
    arguments = parser.parse_args(json.loads(line))
    try:
        arguments.func(arguments)
        code = 0
    except SystemExit as end:
        code = end.code
    print("\\nended", json.dumps(code), flush=True)
"""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowSettings]:
    """An embedded cloud of its own, with an Airflow database and no Airflow process."""
    own = {port: str(free_port()) for port in PORTS}
    own |= {"LOCAL_DIR": str(tmp_path_factory.mktemp("cloud")), "SOURCE": "synthetic", "SYNTHETIC_ROWS": str(ROWS)}
    python = sys.executable.replace("/.venv/", "/localcloud/.venv/")
    with mock.patch.dict(os.environ, own):
        try:
            subprocess.run([python, "-m", "localcloud", "up"], cwd=REPOSITORY, check=True)
            yield AirflowSettings.from_env()
        finally:
            subprocess.run([python, "-m", "localcloud", "down"], cwd=REPOSITORY, check=True)


def _bin_airflow(*arguments: str) -> None:
    command = [REPOSITORY / "bin" / "airflow", *arguments]
    result = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


def _dags_test(settings: AirflowSettings, *runs: list[str], **environment: str) -> list[tuple[object, str]]:
    """Make the runs by ``airflow dags test``; how each ended, and what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", _COMMANDS],
        env={**os.environ, **settings.environment(), **environment},
        input="".join(json.dumps(["dags", "test", *run]) + "\n" for run in runs),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    outputs = done.stdout.split("\nended ")
    ended = [(json.loads(rest.partition("\n")[0]), before) for before, rest in pairwise(outputs)]
    assert len(ended) == len(runs), done.stdout[-3000:] + done.stderr[-3000:]
    return ended


def _flows(dataset: Dataset, *how: str) -> list[list[str]]:
    return [[f"{dataset.name}_{flow}", *how] for flow in ("web_to_gcs", "gcs_to_bigquery", "web_to_postgres")]


def _contents(settings: AirflowSettings) -> dict[str, dict[str, Content]]:
    return {dataset.name: reconcile.contents(settings, dataset.file(MONTH)) for dataset in TRIP_DATASETS}


@pytest.fixture(scope="module")
def by_date(cloud: AirflowSettings) -> dict[str, dict[str, Content]]:
    """The month of every dataset, by ``dags test <dag> <date>``; and what it left."""
    _bin_airflow("dags", "test", "green_web_to_gcs", DATE)
    green = DATASETS["green"]
    others = [dataset for dataset in DATASETS.values() if dataset is not green]
    runs = [*_flows(green, DATE)[1:], *(run for dataset in others for run in _flows(dataset, DATE))]
    for run, (code, output) in zip(runs, _dags_test(cloud, *runs), strict=True):
        assert code == 0, (run, output[-3000:])
    return _contents(cloud)


def test_a_date_takes_its_month_to_every_store(cloud: AirflowSettings, by_date: dict[str, dict[str, Content]]) -> None:
    for dataset in TRIP_DATASETS:
        counts = reconcile.count(cloud, dataset.file(MONTH))
        assert counts.line(dataset.name, str(MONTH)) == line(dataset.name, str(MONTH), ROWS)
    zones = reconcile.contents(cloud, DATASETS["zones"].file())
    assert {store: content.rows for store, content in zones.items()} == {"lake": 265, "bigquery": 265, "postgres": 265}


def test_the_parameter_leaves_the_same_content(cloud: AirflowSettings, by_date: dict[str, dict[str, Content]]) -> None:
    _bin_airflow("dags", "test", "green_web_to_gcs", "-c", FORCED)
    runs = [run for dataset in TRIP_DATASETS for run in _flows(dataset, "-c", FORCED)]
    # The warehouse's DAG has no parameter force: it loads whatever it is asked for.
    runs = [[run[0], "-c", CONF] if run[0].endswith("_gcs_to_bigquery") else run for run in runs]

    for run, (code, output) in zip(runs, _dags_test(cloud, *runs), strict=True):
        assert code == 0, (run, output[-3000:])
    assert _contents(cloud) == by_date


def test_the_tlcs_parquet_lands_on_the_same_rows(
    cloud: AirflowSettings, by_date: dict[str, dict[str, Content]]
) -> None:
    before = {dataset.name: _rows_of_both_layouts(cloud, dataset) for dataset in TRIP_DATASETS}
    source = json.dumps({"conn_type": "http", "host": cloud.source_base_url, "extra": {"layout": "tlc"}})
    runs = [run for dataset in TRIP_DATASETS for run in _flows(dataset, "-c", CONF)]

    for run, (code, output) in zip(runs, _dags_test(cloud, *runs, AIRFLOW_CONN_TAXI_SOURCE=source), strict=True):
        assert code == 0, (run, output[-3000:])
    for dataset in TRIP_DATASETS:
        assert _rows_of_both_layouts(cloud, dataset) == before[dataset.name]
        assert {content.rows for content in reconcile.contents(cloud, dataset.file(MONTH)).values()} == {ROWS}


def _rows_of_both_layouts(settings: AirflowSettings, dataset: TripDataset) -> list[tuple[object, ...]]:
    """The month's rows in the warehouse and in Postgres, in the columns that both layouts have."""
    names = [column.name for column in dataset.source_columns if len(column.layouts) == 2]
    query = f"SELECT {', '.join(names)} FROM trips.{dataset.name} WHERE source_month = '{MONTH.first_day}'"
    rows = [tuple(row.values()) for row in reconcile.bigquery_client(settings).query(query).result()]
    assert len(rows) == ROWS
    return sorted(rows, key=repr)


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """The folder as a source, at the URL that is yielded."""
    port = free_port()
    python = sys.executable.replace("/.venv/", "/localcloud/.venv/")
    server = subprocess.Popen(
        [python, "-m", "localcloud.source", "--port", str(port), "--folder", str(folder)], cwd=REPOSITORY
    )
    url = f"http://127.0.0.1:{port}"
    try:
        await_(lambda: answers(f"{url}/healthz"), "the source answers", 20)
        yield url
    finally:
        server.terminate()
        server.wait()


@pytest.mark.parametrize(("dataset", "month", "rows"), [("green", "2021-01", 76_518), ("yellow", "2020-01", 10_000)])
def test_a_real_month_agrees_in_every_store(
    cloud: AirflowSettings, tlc_data: Path, dataset: str, month: str, rows: int
) -> None:
    with _served(tlc_data) as url:
        settings = replace(cloud, cloud=replace(cloud.cloud, source=url))
        by_date = _flows(DATASETS[dataset], f"{month}-15")
        for run, (code, output) in zip(by_date, _dags_test(settings, *by_date), strict=True):
            assert code == 0, (run, output[-3000:])
        counts = reconcile.count(settings, DATASETS[dataset].file(Month.parse(month)))  # type: ignore[attr-defined]
    assert counts.line(dataset, month) == line(dataset, month, rows)


INVALID = "is no valid file of green: "
DEFECTS = {
    "unknown-column": f"{INVALID}it has other columns; unknown: unknown_fee; set the variable unknown_columns",
    "missing-column": f"{INVALID}it has other columns; missing: PULocationID",
    "wrong-dataset": "its columns are those of yellow",
    "cut-short": INVALID,  # how it goes on depends on where the file ends
    "html": "it begins with '<!DOCTYPE html>",
    "empty": f"{INVALID}it is empty",
    "no-rows": f"{INVALID}it has columns and no rows",
    "fraction-in-integer": f"{INVALID}column passenger_count: row 50",
}
LAYOUTS = {"mirror": ("green", ".csv.gz"), "tlc": ("trip-data", ".parquet")}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_defect_fails_with_its_reason_and_leaves_what_was_there(
    cloud: AirflowSettings, by_date: dict[str, dict[str, Content]], tmp_path: Path, layout: str
) -> None:
    before = _contents(cloud)
    folder, suffix = LAYOUTS[layout]
    months = {defect: Month(2021, 4 + index) for index, defect in enumerate(DEFECTS)}
    for defect, month in months.items():
        target = tmp_path / folder / f"green_tripdata_{month}{suffix}"
        write_month("green", SourceMonth.parse(str(month)), target, rows=500, defects=[defect])
    runs = [["green_web_to_gcs", "-c", json.dumps({"month": str(month)})] for month in months.values()]

    with _served(tmp_path) as url:
        source = json.dumps({"conn_type": "http", "host": url, "extra": {"layout": layout}})
        ended = _dags_test(cloud, *runs, AIRFLOW_CONN_TAXI_SOURCE=source)

    for (defect, message), (code, output) in zip(DEFECTS.items(), ended, strict=True):
        assert code != 0, defect
        assert message in output, (defect, output[-3000:])
    objects = reconcile.storage_client(cloud).list_blobs(cloud.cloud.lake_bucket, prefix="green/")
    assert {blob.name for blob in objects}.isdisjoint(GREEN.file(month).lake_object for month in months.values())
    assert _contents(cloud) == before


def test_an_unknown_column_can_be_accepted(
    cloud: AirflowSettings, by_date: dict[str, dict[str, Content]], tmp_path: Path
) -> None:
    target = tmp_path / "green" / "green_tripdata_2020-12.csv.gz"
    write_month("green", SourceMonth.parse("2020-12"), target, rows=500, defects=["unknown-column"])
    with _served(tmp_path) as url:
        ((code, output),) = _dags_test(
            cloud,
            ["green_web_to_postgres", "-c", '{"month": "2020-12"}'],
            AIRFLOW_CONN_TAXI_SOURCE=json.dumps({"conn_type": "http", "host": url}),
            AIRFLOW_VAR_UNKNOWN_COLUMNS="ignore",
        )
    assert code == 0, output[-3000:]
    assert reconcile.count_postgres(cloud, DATASETS["green"].file(Month(2020, 12))) == 500  # type: ignore[attr-defined]
    assert "unknown_fee" in output
