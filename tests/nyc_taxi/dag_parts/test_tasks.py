"""The shared steps: how they are declared, skipping what is loaded already, and tidying up."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.providers.google.cloud.hooks import gcs
from airflow.providers.postgres.hooks import postgres
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowSkipException
from google.cloud.exceptions import NotFound

from nyc_taxi.dag_parts import tasks
from nyc_taxi.parquet.provenance import METADATA_KEY, provenance
from nyc_taxi.parquet.to_parquet import ToParquetOperator
from nyc_taxi.registry.datasets import GREEN, YELLOW
from nyc_taxi.source.http_to_local import HttpToLocalFilesystemOperator
from nyc_taxi.source.publication_sensor import PublicationSensor

NAME = "green_tripdata_2021-01.csv.gz"
VERSION = 'etag="5f2a" length=1234'
LOADED = provenance(GREEN, NAME, VERSION)


class _TaskInstance(dict[str, Any]):
    """Stands for the task instance: notes what is pushed."""

    def xcom_push(self, *, key: str, value: Any) -> None:
        self[key] = value


def _skip(loaded: str | None, version: str = VERSION, **differences: Any) -> None:
    given = {"dataset": "green", "source_path": f"green/{NAME}", "target": "gs://lake/x", "params": {"force": False}}
    tasks._skip_unchanged(loaded, version, **{**given, "ti": _TaskInstance(), **differences})


def test_what_is_unchanged_is_skipped_and_the_reason_tells_of_what_it_was_made() -> None:
    pushed = _TaskInstance()
    with pytest.raises(AirflowSkipException) as skipped:
        _skip(LOADED, ti=pushed)
    assert str(skipped.value) == f"gs://lake/x is unchanged: it was made from {LOADED}. To load it again, set force."
    assert pushed == {"skip_reason": str(skipped.value)}


@pytest.mark.parametrize(
    ("loaded", "differences"),
    [
        (None, {}),
        ("", {}),
        (LOADED, {"version": 'etag="5f2b" length=1234'}),
        (LOADED, {"version": 'etag="5f2a" length=1235'}),
        (LOADED, {"params": {"force": True}}),
        (LOADED, {"source_path": "trip-data/green_tripdata_2021-01.parquet"}),
        (provenance(YELLOW, NAME, VERSION), {}),
        (provenance(GREEN, NAME, ""), {"version": ""}),
    ],
    ids=["absent", "unknown", "tag", "length", "force", "other source", "other contract", "no version"],
)
def test_what_differs_is_loaded(loaded: str | None, differences: dict[str, Any]) -> None:
    _skip(loaded, **differences)


# What the lake and Postgres know of what they have


def _parquet(line: str) -> bytes:
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, pa.schema([("a", pa.int64())])) as writer:
        writer.add_key_value_metadata({METADATA_KEY: line})
    return sink.getvalue()


class _Lake:
    """Stands for the hook, its client and a bucket that has one object, or none."""

    def __init__(self, content: bytes | None) -> None:
        self.content = content
        self.asked: list[str] = []

    def __call__(self) -> _Lake:
        return self

    def get_conn(self) -> _Lake:
        return self

    def bucket(self, name: str) -> _Lake:
        self.asked.append(name)
        return self

    def blob(self, name: str) -> _Lake:
        self.asked.append(name)
        return self

    def open(self, mode: str) -> io.BytesIO:
        assert mode == "rb"
        if self.content is None:
            raise NotFound("no such object")
        return io.BytesIO(self.content)


def _skip_in_lake(monkeypatch: pytest.MonkeyPatch, content: bytes | None, *, force: bool = False) -> None:
    lake = _Lake(content)
    monkeypatch.setattr(gcs, "GCSHook", lake)
    try:
        tasks.skip_unchanged_in_lake.function(
            VERSION, "green", f"green/{NAME}", "lake", "green/x.parquet", params={"force": force}, ti=_TaskInstance()
        )
    finally:
        assert lake.asked == ["lake", "green/x.parquet"]


def test_an_object_that_would_come_out_the_same_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AirflowSkipException) as skipped:
        _skip_in_lake(monkeypatch, _parquet(LOADED))
    assert str(skipped.value).startswith(f"gs://lake/green/x.parquet is unchanged: it was made from {LOADED}.")


@pytest.mark.parametrize(
    "content",
    [None, b"", b"no Parquet", _parquet(""), _parquet(provenance(GREEN, NAME, 'etag="5f2b" length=1234'))],
    ids=["absent", "empty", "no Parquet", "no line", "other version"],
)
def test_an_object_that_is_another_or_none_is_made_again(
    monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    _skip_in_lake(monkeypatch, content)


def test_an_object_is_made_again_by_force(monkeypatch: pytest.MonkeyPatch) -> None:
    _skip_in_lake(monkeypatch, _parquet(LOADED), force=True)


def _skip_in_postgres(monkeypatch: pytest.MonkeyPatch, row: tuple[str | None] | None, *, force: bool = False) -> None:
    asked: list[tuple[str, tuple[str, ...]]] = []

    def get_first(query: str, parameters: tuple[str, ...]) -> tuple[str | None] | None:
        asked.append((query, parameters))
        return row

    hooks = {"ny_taxi": SimpleNamespace(get_first=get_first)}
    monkeypatch.setattr(postgres, "PostgresHook", lambda postgres_conn_id: hooks[postgres_conn_id])
    try:
        tasks.skip_unchanged_in_postgres.function(
            VERSION, "green", f"green/{NAME}", "green_trips_2021_01", params={"force": force}, ti=_TaskInstance()
        )
    finally:
        query = "SELECT obj_description(to_regclass(%s), 'pg_class')"
        assert asked == [(query, ("public.green_trips_2021_01",))]


PUBLISHED = f"published from staging.green_2021_01_3f2a90c1d4\n{LOADED}"


def test_a_table_that_would_come_out_the_same_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AirflowSkipException) as skipped:
        _skip_in_postgres(monkeypatch, (PUBLISHED,))
    assert str(skipped.value).startswith(f"green_trips_2021_01 is unchanged: it was made from {LOADED}.")


@pytest.mark.parametrize(
    "row",
    [None, (None,), ("",), (LOADED,), (f"{PUBLISHED}x",)],
    ids=["no row", "no comment", "empty", "one line", "other"],
)
def test_a_table_that_is_another_or_none_is_made_again(
    monkeypatch: pytest.MonkeyPatch, row: tuple[str | None] | None
) -> None:
    _skip_in_postgres(monkeypatch, row)


def test_a_table_is_made_again_by_force(monkeypatch: pytest.MonkeyPatch) -> None:
    _skip_in_postgres(monkeypatch, (PUBLISHED,), force=True)


# What is declared


def test_download_and_conversion_are_setups_and_the_removal_is_their_teardown() -> None:
    with DAG(dag_id="x", schedule=None) as dag:
        first, last, removed = tasks.fetch_parquet()
    assert isinstance(first, HttpToLocalFilesystemOperator)
    assert isinstance(last, ToParquetOperator)
    assert list(dag.task_dict) == ["download", "to_parquet", "remove_files"]
    assert last.upstream_task_ids == {"download"}
    tidying = removed.operator
    assert isinstance(tidying, BaseOperator)
    assert (first.is_setup, last.is_setup, tidying.is_teardown) == (True, True, True)
    assert tidying.upstream_task_ids == {"download", "to_parquet"}
    assert (first.dst, last.dst) == ("{{ run_dir() }}/{{ source_path().name }}", tasks.LOCAL_PARQUET)
    assert tidying.op_args == ("{{ run_dir() }}",)  # type: ignore[attr-defined]


def test_the_wait_is_for_the_file_that_is_downloaded() -> None:
    with DAG(dag_id="x", schedule=None):
        wait = tasks.wait_for_publication()
        download, _, _ = tasks.fetch_parquet()
    assert isinstance(wait, PublicationSensor)
    assert isinstance(download, HttpToLocalFilesystemOperator)
    assert (wait.endpoint, wait.http_conn_id) == (download.endpoint, download.http_conn_id)
    assert wait.wait_seconds == "{{ publication_wait() }}"


def test_removing_the_runs_folder_leaves_others_and_can_be_repeated(tmp_path: Path) -> None:
    for run in ("one", "two"):
        (tmp_path / run / "deep").mkdir(parents=True)
        (tmp_path / run / "deep" / "file").write_bytes(b"x")
    for _ in range(2):
        tasks.remove_files.function(str(tmp_path / "one"))
        assert [path.name for path in tmp_path.iterdir()] == ["two"]
