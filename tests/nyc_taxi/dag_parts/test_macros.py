"""The template macros. The golden files in ``tests/golden`` cover the DAGs' own templates."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest

from nyc_taxi.common.objects import WorkDirError
from nyc_taxi.dag_parts.macros import MACROS
from nyc_taxi.registry.datasets import GREEN, ZONES
from nyc_taxi.registry.model import ContractError, Dataset


def _render(template: str, *, dataset: Dataset = GREEN, **differences: Any) -> str:
    context = {
        "dag": SimpleNamespace(dag_id="green_web_to_gcs", params={"month": None, "force": False}),
        "dag_run": SimpleNamespace(partition_key="2021-01", logical_date=None, conf={}),
        "params": {},
        "run_id": "one",
        "ti": SimpleNamespace(try_number=2, xcom_pull=lambda task_id: None),
        "var": {"value": SimpleNamespace(work_dir="/files")},
    }
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.globals.update(dataset=dataset, **MACROS)
    return environment.from_string(template).render(**{**context, **differences})


def test_the_file_of_the_runs_month() -> None:
    assert _render("{{ file().bigquery_table }}") == "green$202101"
    assert _render("{{ file().month.first_day }}") == "2021-01-01"
    assert _render("{{ file().lake_object }}", dataset=ZONES) == "zones/taxi_zone_lookup.parquet"
    assert _render("{{ file().month or '' }}", dataset=ZONES) == ""


def _source(**extra: str) -> SimpleNamespace:
    return SimpleNamespace(taxi_source=SimpleNamespace(extra_dejson=extra))


@pytest.mark.parametrize(
    ("extra", "path"),
    [
        ({}, "green/green_tripdata_2021-01.csv.gz"),
        ({"layout": "mirror"}, "green/green_tripdata_2021-01.csv.gz"),
        ({"layout": "tlc"}, "trip-data/green_tripdata_2021-01.parquet"),
    ],
)
def test_the_connection_decides_where_the_source_has_the_file(extra: dict[str, str], path: str) -> None:
    assert _render("{{ source_path() }}", conn=_source(**extra)) == path
    assert _render("{{ source_path().name }}", conn=_source(**extra)) == path.rpartition("/")[2]
    assert _render("{{ source_path() }}", dataset=ZONES, conn=_source(**extra)) == "misc/taxi_zone_lookup.csv"


def test_a_month_that_the_source_never_had_is_refused() -> None:
    early = SimpleNamespace(partition_key="2018-12", logical_date=None, conf=None)
    with pytest.raises(ContractError, match="no green file for 2018-12: the source starts with 2019-01"):
        _render("{{ source_path() }}", dag_run=early, conn=_source())
    assert _render("{{ source_path() }}", dag_run=early, conn=_source(layout="tlc")).endswith("2018-12.parquet")


@pytest.mark.parametrize(
    ("run_type", "variables", "seconds"),
    [
        ("scheduled", {}, "3888000.0"),
        ("scheduled", {"publication_wait_seconds": "2.5"}, "2.5"),
        ("manual", {"publication_wait_seconds": "2.5"}, "0.0"),
        ("backfill", {"publication_wait_seconds": "2.5"}, "0.0"),
        ("asset_triggered", {}, "0.0"),
    ],
)
def test_only_scheduled_runs_wait(run_type: str, variables: dict[str, str], seconds: str) -> None:
    run = SimpleNamespace(run_type=run_type, partition_key="2021-01", conf={})
    assert _render("{{ publication_wait() }}", dag_run=run, conn=_source(), var={"value": variables}) == seconds


@pytest.mark.parametrize(("last", "seconds"), [("", "3888000.0"), ("2021-01", "3888000.0"), ("2020-12", "0.0")])
def test_no_run_waits_for_a_month_after_the_last_of_its_source(last: str, seconds: str) -> None:
    run = SimpleNamespace(run_type="scheduled", partition_key="2021-01", conf=None)
    conn = _source(last_month=last)
    assert _render("{{ publication_wait() }}", dag_run=run, conn=conn, var={"value": {}}) == seconds


def test_types_of_columns() -> None:
    assert _render("{{ bigquery_type(dataset.columns[0]) }} {{ postgres_type(dataset.columns[0]) }}") == "INT64 bigint"


RUN_IDS = [
    "one",
    "two",
    "manual__2021-01-01T00:00:00+00:00",
    "manual__2021-01-01T00_00_00_00_00",
    "a:b",
    "a+b",
    "a_b",
    ".",
    "..",
    "../../etc",
    "/",
    "x" * 250,
    "x" * 249,
]


def test_each_run_has_its_own_folder_in_the_work_dir() -> None:
    folders = [_render("{{ run_dir() }}", run_id=run_id) for run_id in RUN_IDS]
    for folder in folders:
        assert re.fullmatch(r"/files/green_web_to_gcs/[\w.%~-]+-[0-9a-f]{10}", folder)
        assert len(folder.rpartition("/")[2]) <= 255
    assert len(set(folders)) == len(folders)


def test_a_work_dir_may_end_with_a_slash() -> None:
    with_slash = {"value": SimpleNamespace(work_dir="/files/")}
    assert _render("{{ run_dir() }}", var=with_slash) == _render("{{ run_dir() }}")


IN_BUCKET = {"value": SimpleNamespace(work_dir="gs://bucket/work/")}


@pytest.mark.parametrize("var", [{"value": SimpleNamespace(work_dir="/files")}, IN_BUCKET], ids=["folder", "bucket"])
def test_the_parquet_file_lies_beside_the_download_of_the_successful_try(var: Any) -> None:
    """A try that was given up may still write, on another machine, where it writes nothing that others read."""
    folders = [_render("{{ try_dir() }}", var=var, ti=SimpleNamespace(try_number=number)) for number in (1, 2)]
    folder = _render("{{ run_dir() }}", var=var)
    tries = ("/try-1", "/try-2") if var is IN_BUCKET else ("", "")
    assert folders == [f"{folder}{own}" for own in tries]
    for own in tries:
        returned = {"download": f"{folder}{own}/green_tripdata_2021-01.csv.gz"}
        rendered = _render("{{ parquet_path() }}", var=var, ti=SimpleNamespace(xcom_pull=returned.get))
        assert rendered == f"{folder}{own}/green_tripdata_2021-01.parquet"
    assert _render("{{ parquet_path() }}", var=var) == f"{folder}/green_tripdata_2021-01.parquet"


def test_a_wrong_work_dir_is_refused_by_name() -> None:
    with pytest.raises(WorkDirError, match="the variable work_dir is 's3://bucket'; set it to the absolute path of a"):
        _render("{{ run_dir() }}", var={"value": SimpleNamespace(work_dir="s3://bucket")})


def test_each_run_has_its_own_staging_table_that_needs_no_quotes() -> None:
    names = [_render("{{ staging_table() }}", run_id=run_id) for run_id in RUN_IDS]
    for name in names:
        assert re.fullmatch(r"green_2021_01_[0-9a-f]{10}", name)
    assert len(set(names)) == len(names)
    assert re.fullmatch(r"zones_[0-9a-f]{10}", _render("{{ staging_table() }}", dataset=ZONES))


def test_runs_of_the_same_name_in_two_dags_share_nothing() -> None:
    other = SimpleNamespace(dag_id="green_web_to_postgres", params={"month": None, "force": False})
    for template in ("{{ staging_table() }}", "{{ run_dir() }}"):
        assert _render(template) != _render(template, dag=other)
        assert _render(template) == _render(template)
