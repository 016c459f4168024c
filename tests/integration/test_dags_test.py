"""``airflow dags test`` with nothing but the embedded cloud up, for every dataset and both layouts of the source."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.cloud import bigquery

from local.airflow import reconcile
from local.airflow.environment import AirflowSettings
from local.airflow.stack import migrate
from local.cloud.processes import answers
from local.cloud.source.months import Month as SourceMonth
from local.cloud.source.synthetic import write_month
from nyc_taxi.parquet.schema import arrow_schema
from nyc_taxi.registry.datasets import DATASETS, FHV, GREEN, TRIP_DATASETS, YELLOW
from nyc_taxi.registry.model import Dataset, TripDataset
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.lake.store import LakeStore
from nyc_taxi.stores.postgres.store import PostgresStore
from nyc_taxi.stores.store import Content
from tests import clients
from tests.integration.conftest import PORTS, REPOSITORY, free_port
from tests.integration.support import FLOWS, AirflowCli, await_, line, query_bigquery, source_variable

pytestmark = pytest.mark.full

ROWS = 3000
MONTH = Month(2021, 3)
DATE = "2021-03-15"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowSettings]:
    """An embedded cloud of its own, with an Airflow database and no Airflow process."""
    own = {port: str(free_port()) for port in PORTS}
    folder = tmp_path_factory.mktemp("cloud")
    own |= {"LOCAL_DIR": str(folder), "SOURCE": "synthetic", "SYNTHETIC_ROWS": str(ROWS)}
    # That of a shared stack which runs has the address of another source.
    own["LOCAL_ENV_FILE"] = str(folder / "settings.env")
    (folder / "settings.env").touch()
    python = sys.executable.replace("/.venv/", "/local/cloud/.venv/")
    with mock.patch.dict(os.environ, own):
        try:
            subprocess.run([python, "-m", "local.cloud", "up"], cwd=REPOSITORY, check=True)
            yield AirflowSettings.from_env()
        finally:
            subprocess.run([python, "-m", "local.cloud", "down"], cwd=REPOSITORY, check=True)


def _bin_airflow(*arguments: str) -> None:
    command = [REPOSITORY / "bin" / "airflow", *arguments]
    result = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=400, check=False)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


@pytest.fixture(scope="module")
def cli(cloud: AirflowSettings) -> Iterator[AirflowCli]:
    """The Airflow CLI on that cloud."""
    migrate(cloud)
    with AirflowCli(cloud) as cli:
        yield cli


def _must_run(cli: AirflowCli, runs: Iterable[list[str]], **variables: str) -> list[str]:
    """Make the runs by ``airflow dags test``, one after another; what each printed."""
    return [cli.must("dags", "test", *run, **variables) for run in runs]


def _conf(month: object, **more: object) -> str:
    return json.dumps({"month": str(month), **more})


def _flows(dataset: Dataset, *how: str) -> list[list[str]]:
    return [[f"{dataset.name}_{flow}", *how] for flow in FLOWS]


def _contents(settings: AirflowSettings) -> dict[str, dict[str, Content]]:
    return {dataset.name: reconcile.contents(settings, dataset.file(MONTH)) for dataset in TRIP_DATASETS}


@pytest.fixture(scope="module")
def by_date(cloud: AirflowSettings, cli: AirflowCli) -> dict[str, dict[str, Content]]:
    """The month of every dataset, by ``dags test <dag> <date>``; and what it left."""
    _bin_airflow("dags", "test", "green_web_to_gcs", DATE)
    green = DATASETS["green"]
    others = [dataset for dataset in DATASETS.values() if dataset is not green]
    _must_run(cli, [*_flows(green, DATE)[1:], *(run for dataset in others for run in _flows(dataset, DATE))])
    return _contents(cloud)


def test_a_date_takes_its_month_to_every_store(cloud: AirflowSettings, by_date: dict[str, dict[str, Content]]) -> None:
    for dataset in TRIP_DATASETS:
        counts = reconcile.count(cloud, dataset.file(MONTH))
        assert counts.line(dataset.name, str(MONTH)) == line(dataset.name, str(MONTH), ROWS)
    zones = reconcile.contents(cloud, DATASETS["zones"].file())
    assert {store: content.rows for store, content in zones.items()} == {"lake": 265, "bigquery": 265, "postgres": 265}


def test_the_parameter_leaves_the_same_content(
    cloud: AirflowSettings, cli: AirflowCli, by_date: dict[str, dict[str, Content]]
) -> None:
    runs = [run for dataset in TRIP_DATASETS for run in _flows(dataset, "-c", _conf(MONTH, force=True))]

    _must_run(cli, runs)
    assert _contents(cloud) == by_date


def test_the_tlcs_parquet_lands_on_the_same_rows(
    cloud: AirflowSettings, cli: AirflowCli, by_date: dict[str, dict[str, Content]]
) -> None:
    before = {dataset.name: _rows_of_both_layouts(cloud, dataset) for dataset in TRIP_DATASETS}

    runs = [run for dataset in TRIP_DATASETS for run in _flows(dataset, "-c", _conf(MONTH))]
    _must_run(cli, runs, **source_variable(cloud.source_base_url, layout="tlc"))
    for dataset in TRIP_DATASETS:
        assert _rows_of_both_layouts(cloud, dataset) == before[dataset.name]
        assert {content.rows for content in reconcile.contents(cloud, dataset.file(MONTH)).values()} == {ROWS}


def test_no_date_is_too_early_but_for_the_source(cloud: AirflowSettings, cli: AirflowCli) -> None:
    tlc = source_variable(cloud.source_base_url, layout="tlc")
    cli.must("dags", "test", "yellow_web_to_gcs", "2015-06-15", **tlc)
    code, output = cli.call("dags", "test", "green_web_to_gcs", "2018-12-15")

    assert reconcile.connected(cloud, LakeStore).count(YELLOW.file(Month(2015, 6))) == ROWS
    assert code != 0
    assert "no green file for 2018-12: the source starts with 2019-01" in output


def _rows_of_both_layouts(settings: AirflowSettings, dataset: TripDataset) -> list[tuple[object, ...]]:
    """The month's rows in the warehouse and in Postgres, in the columns that both layouts have."""
    names = [column.name for column in dataset.source_columns if len(column.layouts) == 2]
    query = f"SELECT {', '.join(names)} FROM trips.{dataset.name} WHERE source_month = '{MONTH.first_day}'"
    rows = [tuple(row.values()) for row in clients.bigquery_client(settings).query(query).result()]
    assert len(rows) == ROWS
    return sorted(rows, key=repr)


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """The folder as a source, at the URL that is yielded."""
    port = free_port()
    python = sys.executable.replace("/.venv/", "/local/cloud/.venv/")
    server = subprocess.Popen(
        [python, "-m", "local.cloud.source", "--port", str(port), "--folder", str(folder)], cwd=REPOSITORY
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
    cloud: AirflowSettings, cli: AirflowCli, tlc_data: Path, dataset: str, month: str, rows: int
) -> None:
    with _served(tlc_data) as url:
        settings = replace(cloud, cloud=replace(cloud.cloud, source=url))
        _must_run(cli, _flows(DATASETS[dataset], f"{month}-15"), **source_variable(url))
        counts = reconcile.count(settings, DATASETS[dataset].file(Month.parse(month)))  # type: ignore[attr-defined]
    assert counts.line(dataset, month) == line(dataset, month, rows)


INVALID = "is not a valid green file: "
DEFECTS = {
    "unknown-column": f"{INVALID}its columns differ from the contract; unknown: unknown_fee; set the variable ",
    "missing-column": f"{INVALID}its columns differ from the contract; missing: PULocationID",
    "wrong-dataset": "its columns are those of yellow",
    "cut-short": INVALID,  # how it goes on depends on where the file ends
    "html": "it begins with '<!DOCTYPE html>",
    "empty": f"{INVALID}it is empty",
    "no-rows": f"{INVALID}it has columns but no rows",
    "fraction-in-integer": f"{INVALID}column passenger_count: row 50",
}
LAYOUTS = {"mirror": ("green", ".csv.gz"), "tlc": ("trip-data", ".parquet")}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_defect_fails_with_its_reason_and_leaves_what_was_there(
    cloud: AirflowSettings, cli: AirflowCli, by_date: dict[str, dict[str, Content]], tmp_path: Path, layout: str
) -> None:
    before = _contents(cloud)
    folder, suffix = LAYOUTS[layout]
    months = {defect: Month(2021, 4 + index) for index, defect in enumerate(DEFECTS)}
    for defect, month in months.items():
        target = tmp_path / folder / f"green_tripdata_{month}{suffix}"
        write_month("green", SourceMonth.parse(str(month)), target, rows=500, defects=[defect])

    with _served(tmp_path) as url:
        source = source_variable(url, layout=layout)
        ended = [
            cli.call("dags", "test", "green_web_to_gcs", "-c", _conf(month), **source) for month in months.values()
        ]

    for (defect, message), (code, output) in zip(DEFECTS.items(), ended, strict=True):
        assert code != 0, defect
        assert message in output, (defect, output[-3000:])
    objects = reconcile.storage_client(cloud).list_blobs(cloud.cloud.lake_bucket, prefix="green/")
    assert {blob.name for blob in objects}.isdisjoint(GREEN.file(month).lake_object for month in months.values())
    assert _contents(cloud) == before


def test_an_unknown_column_can_be_accepted(cloud: AirflowSettings, cli: AirflowCli, tmp_path: Path) -> None:
    month = _written(tmp_path, "2020-12", "unknown-column")
    with _served(tmp_path) as url:
        run = ["green_web_to_postgres", "-c", _conf(month)]
        (output,) = _must_run(cli, [run], **source_variable(url), AIRFLOW_VAR_UNKNOWN_COLUMNS="ignore")
    assert reconcile.connected(cloud, PostgresStore).count(GREEN.file(month)) == 500
    assert "unknown_fee" in output


def _written(folder: Path, month: str, defect: str) -> Month:
    """A month of green with the defect, in a folder that can be served."""
    target = folder / "green" / f"green_tripdata_{month}.csv.gz"
    write_month("green", SourceMonth.parse(month), target, rows=500, defects=[defect])
    return Month.parse(month)


# Checks, on real databases

CHECKED_DAGS = ("green_gcs_to_bigquery", "green_web_to_postgres")
CHECKED_MONTH = "2020-10"


def _states(settings: AirflowSettings, dag_id: str) -> dict[str, str]:
    """The states of the tasks of the DAG's newest run."""
    query = """
        SELECT task_id, state FROM task_instance
        WHERE (dag_id, run_id) = (SELECT dag_id, run_id FROM dag_run WHERE dag_id = %s ORDER BY id DESC LIMIT 1)
    """
    with psycopg.connect(settings.cloud.postgres_url("airflow")) as connection:
        return dict(connection.execute(query, [dag_id]).fetchall())


def _staged(settings: AirflowSettings) -> list[str]:
    """What lies in staging, in both databases."""
    tables = [table.table_id for table in clients.bigquery_client(settings).list_tables("trips_staging")]
    with psycopg.connect(settings.cloud.postgres_url("ny_taxi")) as connection:
        return tables + connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'staging'").fetchall()


@pytest.fixture(scope="module")
def refunds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """The folder of a source whose month has too many refunds, and the variable that makes it the source."""
    folder = tmp_path_factory.mktemp("refunds")
    _written(folder, CHECKED_MONTH, "many-refunds")
    with _served(folder) as url:
        yield folder, source_variable(url)


@pytest.fixture(scope="module")
def refunded(cli: AirflowCli, refunds: tuple[Path, dict[str, str]]) -> dict[str, str]:
    """The month, taken to every store; what each run printed, by DAG."""
    runs = _flows(GREEN, "-c", _conf(CHECKED_MONTH))
    return {run[0]: output for run, output in zip(runs, _must_run(cli, runs, **refunds[1]), strict=True)}


def test_a_check_that_warns_stops_nothing_and_says_its_name(cloud: AirflowSettings, refunded: dict[str, str]) -> None:
    contents = reconcile.contents(cloud, GREEN.file(Month.parse(CHECKED_MONTH)))
    assert {store: content.rows for store, content in contents.items()} == dict.fromkeys(contents, 500)
    for dag_id in CHECKED_DAGS:
        assert "failed warning checks: has_few_refunds" in refunded[dag_id]
        states = _states(cloud, dag_id)
        assert states.pop("check_warnings") == "skipped"
        assert states.pop("announce_unchanged", "skipped") == "skipped"
        assert set(states.values()) == {"success"}
    assert _staged(cloud) == []


def test_a_check_that_fails_keeps_what_was_published(
    cloud: AirflowSettings, cli: AirflowCli, refunds: tuple[Path, dict[str, str]], refunded: dict[str, str]
) -> None:
    folder, source = refunds
    file = GREEN.file(_written(folder, CHECKED_MONTH, "wrong-month"))
    before = reconcile.contents(cloud, file)

    cli.must("dags", "test", "green_web_to_gcs", "-c", _conf(CHECKED_MONTH), **source)
    ended = {dag_id: cli.call("dags", "test", dag_id, "-c", _conf(CHECKED_MONTH), **source) for dag_id in CHECKED_DAGS}

    for dag_id, (code, output) in ended.items():
        assert code != 0
        assert re.search(r"has_most_pickups_in_its_month +fail +0 +NO ", output), output[-3000:]
        states = _states(cloud, dag_id)
        assert (states["check_table"], states["publish"], states["drop_staging"]) == (
            *("failed", "upstream_failed", "success"),
        )
    after = reconcile.contents(cloud, file)
    assert after.pop("lake") != before.pop("lake")  # the lake has what the source has
    assert after == before
    assert _staged(cloud) == []


# The yearly rollup of several datasets


def _append_year(settings: AirflowSettings, dataset: TripDataset, months: Iterable[Month]) -> None:
    """Load a few trips of each month into the warehouse, without any DAG."""
    rows = [
        {dataset.pickup_zone_column: zone, "source_month": month.first_day, "source_file": "a.csv.gz"}
        for month in months
        for zone in (None, 7, *range(1, month.month + 1))
    ]
    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema(dataset)), content)
    blob = reconcile.storage_client(settings).bucket(settings.cloud.lake_bucket).blob(f"rollup/{dataset.name}.parquet")
    blob.upload_from_string(content.getvalue())
    config = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_APPEND")
    uri = f"gs://{blob.bucket.name}/{blob.name}"
    clients.bigquery_client(settings).load_table_from_uri(uri, f"trips.{dataset.name}", job_config=config).result()


def test_the_rollup_has_every_dataset_whose_year_is_whole_up_to_the_sources_last_month(
    cloud: AirflowSettings, cli: AirflowCli, by_date: dict[str, dict[str, Content]]
) -> None:
    months = [Month(2021, number) for number in range(1, 8)]
    for dataset in (GREEN, FHV):
        _append_year(cloud, dataset, months)
    source = source_variable(cloud.source_base_url, last_month="2021-07")

    cli.must("dags", "test", "trips_yearly_rollup", "-c", '{"year": "2021"}', **source)

    expected = [
        (dataset.name, *row)
        for dataset in (GREEN, FHV)
        for row in query_bigquery(
            cloud,
            f"SELECT source_month, {dataset.pickup_zone_column}, COUNT(*) FROM trips.{dataset.name}"
            " WHERE source_month BETWEEN '2021-01-01' AND '2021-12-31' GROUP BY 1, 2",
        )
    ]
    assert {(dataset, month.month) for dataset, month, *_ in expected} >= {
        (name, month.month) for name in ("green", "fhv") for month in months
    }
    rollup = query_bigquery(
        cloud, "SELECT dataset, month, zone, trips FROM trips.yearly_rollup WHERE month >= '2021-01-01'"
    )
    assert Counter(rollup) == Counter(expected)
