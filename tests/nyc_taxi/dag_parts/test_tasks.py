"""The shared tasks: how they are declared, and the cleanup."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from airflow.sdk import DAG, BaseOperator

from nyc_taxi.dag_parts import tasks
from nyc_taxi.parquet.to_parquet import ToParquetOperator
from nyc_taxi.source.http_to_local import HttpToLocalFilesystemOperator
from nyc_taxi.source.publication_sensor import PublicationSensor


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
    assert (first.dst, last.dst) == ("{{ try_dir() }}/{{ source_path().name }}", tasks.PARQUET)
    assert tidying.op_args == ("{{ run_dir() }}",)  # type: ignore[attr-defined]


def test_the_wait_is_for_the_file_that_is_downloaded() -> None:
    with DAG(dag_id="x", schedule=None):
        wait = tasks.wait_for_publication()
        download, _, _ = tasks.fetch_parquet()
    assert isinstance(wait, PublicationSensor)
    assert isinstance(download, HttpToLocalFilesystemOperator)
    assert (wait.endpoint, wait.http_conn_id) == (download.endpoint, download.http_conn_id)
    assert wait.wait_seconds == "{{ publication_wait() }}"


def test_removing_the_runs_folder_is_idempotent_and_leaves_others(tmp_path: Path) -> None:
    for run in ("one", "two"):
        (tmp_path / run / "deep").mkdir(parents=True)
        (tmp_path / run / "deep" / "file").write_bytes(b"x")
    for _ in range(2):
        tasks.remove_files.function(str(tmp_path / "one"))
        assert [path.name for path in tmp_path.iterdir()] == ["two"]


def test_a_folder_that_cannot_be_removed_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "file").write_bytes(b"x")

    def refuse(path: str, **_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(PermissionError, match="file"):
        tasks.remove_files.function(str(tmp_path / "run"))
