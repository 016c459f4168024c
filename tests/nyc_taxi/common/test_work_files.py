"""The files of the work dir: local ones, and objects in the embedded Cloud Storage."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.google.cloud.hooks.gcs import GCSHook
from google.api_core import exceptions
from google.cloud import storage

from nyc_taxi.common import objects
from nyc_taxi.common.files import DiskFullError
from nyc_taxi.common.objects import MissingFileError, WorkDirError
from nyc_taxi.common.work_files import changed_at, checked_work_dir, folders, input_file, output_file, remove_folder
from tests.local.cloud.conftest import Cloud, cloud_in

NAME = "file name%2B.csv.gz"
SIZES = [0, 100, 9 * 2**20]


@pytest.fixture(scope="module")
def gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An embedded cloud of which only GCS runs."""
    made = cloud_in(tmp_path_factory.mktemp("cloud") / "state")
    try:
        made.must("up", "gcs")
        yield made
    finally:
        made.must("down")


@pytest.fixture
def bucket(gcs: Cloud, monkeypatch: pytest.MonkeyPatch) -> storage.Bucket:
    """The bucket, which the connection of the hook leads to."""
    google = {"conn_type": "google_cloud_platform", "extra": {"is_anonymous": True, "project": "test-project"}}
    monkeypatch.setenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", json.dumps(google))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.settings.gcs_url)
    return gcs.storage_client().bucket(gcs.settings.lake_bucket)


@pytest.fixture
def tmp_of_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The machine's folder for temporary files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(params=["folder", "bucket"])
def work_dir(bucket: storage.Bucket, tmp_of_task: Path, request: pytest.FixtureRequest) -> str:
    """A work dir of each kind."""
    name = request.node.name.replace("[", "-").replace("]", "")
    return f"gs://{bucket.name}/work/{name}" if request.param == "bucket" else str(tmp_of_task.parent / "work")


def _write(path: str, content: bytes = b"x") -> None:
    with output_file(path) as target:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _fail_half_way(path: str) -> None:
    with output_file(path) as target:
        target.write_bytes(b"half")
        raise KeyError


def _read(path: str) -> bytes:
    with input_file(path) as source:
        return source.read_bytes()


@pytest.mark.parametrize("size", SIZES)
def test_what_one_task_writes_another_one_reads(work_dir: str, tmp_of_task: Path, size: int) -> None:
    for content in (os.urandom(size), os.urandom(size)):
        _write(f"{work_dir}/run/{NAME}", content)
        with input_file(f"{work_dir}/run/{NAME}") as source:
            assert source.name == NAME
            assert source.read_bytes() == content
        assert list(tmp_of_task.iterdir()) == []


def test_the_memory_does_not_grow_with_the_file(bucket: storage.Bucket, tmp_of_task: Path) -> None:
    uri, size = f"gs://{bucket.name}/work/large/{NAME}", 4 * objects.CHUNK_BYTES
    tracemalloc.start()
    try:
        with output_file(uri) as target, target.open("wb") as file:
            file.truncate(size)
        with input_file(uri) as source:
            assert source.stat().st_size == size
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The client has a chunk, and while it sends it, at most a copy.
    assert objects.CHUNK_BYTES < peak < 2.5 * objects.CHUNK_BYTES


def test_if_the_task_fails_no_object_appears_and_an_old_one_stays(bucket: storage.Bucket, tmp_of_task: Path) -> None:
    uri = f"gs://{bucket.name}/work/fails/{NAME}"
    for before in (None, b"before"):
        if before:
            _write(uri, before)
        with pytest.raises(KeyError):
            _fail_half_way(uri)
        blob = bucket.get_blob(f"work/fails/{NAME}")
        assert (blob and blob.download_as_bytes()) == before
    assert list(tmp_of_task.iterdir()) == []


def test_folders_are_listed_dated_and_removed_with_all_in_them(work_dir: str) -> None:
    assert folders(f"{work_dir}/dag") == []
    begin = datetime.now(UTC).timestamp()
    for path in ("dag/one/file", "dag/one/try-2/deep/file", "dag/one-more/file", "dag/file", "other/two/file"):
        _write(f"{work_dir}/{path}")
    assert folders(f"{work_dir}/dag") == [f"{work_dir}/dag/one", f"{work_dir}/dag/one-more"]
    assert begin - 2 <= changed_at(f"{work_dir}/dag/one") <= datetime.now(UTC).timestamp() + 2
    for _ in range(2):  # a retry finds nothing
        remove_folder(f"{work_dir}/dag/one")
        assert folders(f"{work_dir}/dag") == [f"{work_dir}/dag/one-more"]
    for left in ("dag/one-more/file", "dag/file", "other/two/file"):
        assert _read(f"{work_dir}/{left}") == b"x"
    for gone in ("dag/one/file", "dag/one/try-2/deep/file"):
        with pytest.raises(MissingFileError):
            _read(f"{work_dir}/{gone}")


def test_an_object_that_another_task_deletes_first_is_no_error(
    bucket: storage.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, list_ = f"gs://{bucket.name}/work/race", GCSHook.list
    for name in ("one", "two"):
        _write(f"{folder}/{name}")

    def list_and_delete(self: GCSHook, *arguments: Any, **more: Any) -> Any:
        found = list_(self, *arguments, **more)
        bucket.blob(found[0]).delete()
        return found

    monkeypatch.setattr(GCSHook, "list", list_and_delete)
    remove_folder(folder)
    assert list(bucket.list_blobs(prefix="work/race/")) == []


# Bad input


@pytest.mark.parametrize("good", ["/", "/tmp/work", "gs://bucket", "gs://my-bucket/a/b", "gs://a.b_c-1/x%2Fy"])
def test_a_work_dir_may_end_with_a_slash(good: str) -> None:
    assert checked_work_dir(good) == checked_work_dir(f"{good}/") == good.rstrip("/")


@pytest.mark.parametrize(
    "bad",
    ["work", "./work", "~/work", "s3://bucket/x", "file:///tmp", "gs:/bucket", "gs://", "gs://Bucket/x", "gs://b//c",
     "gs://bucket/a b", " /tmp", "GS://bucket"],
)  # fmt: skip
def test_a_work_dir_that_is_neither_a_folder_nor_a_bucket_is_refused_by_name(bad: str) -> None:
    with pytest.raises(WorkDirError) as refused:
        checked_work_dir(bad)
    assert str(refused.value) == (
        f"the variable work_dir is {bad!r}; set it to the absolute path of a folder that all workers share, or to "
        "gs://bucket/prefix"
    )


def test_a_folder_that_is_not_shared_is_named_with_its_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "node", lambda: "worker-2")
    with pytest.raises(MissingFileError) as missing:
        _read(f"{tmp_path}/work/{NAME}")
    assert str(missing.value) == (
        f"there is no {tmp_path}/work/{NAME} on this worker (worker-2), although an earlier task of this run has "
        "written it. Set the variable work_dir to a folder that all workers share, or to gs://bucket/prefix, then "
        "clear the run"
    )


def test_an_object_that_is_gone_is_named(
    bucket: storage.Bucket, tmp_of_task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GCSHook, "list", None)  # lists the whole bucket, which may be the lake's
    uri = f"gs://{bucket.name}/work/gone/{NAME}"
    with pytest.raises(MissingFileError, match="lifecycle rule of the bucket or somebody has deleted it"):
        _read(uri)
    assert list(tmp_of_task.iterdir()) == []


ACTS: Mapping[str, Callable[[str], object]] = {
    "read": _read,
    "write": _write,
    "list": folders,
    "delete": remove_folder,
}


@pytest.mark.parametrize("verb", ACTS)
def test_a_bucket_that_does_not_exist_is_named_with_its_setting(
    bucket: storage.Bucket, tmp_of_task: Path, verb: str
) -> None:
    with pytest.raises(WorkDirError) as refused:
        ACTS[verb]("gs://no-such-bucket/work/file")
    assert str(refused.value) == (
        f"cannot {verb} gs://no-such-bucket/work/file: the bucket no-such-bucket does not exist; create it, or set "
        "the variable work_dir to another one, then clear the task"
    )
    assert list(tmp_of_task.iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (exceptions.Forbidden("GET x: no\x1b access"), WorkDirError, r"refuses it \(403 GET x: no.* access\); grant"),
        (exceptions.Unauthorized("who"), WorkDirError, "grant the account of the connection google_cloud_default the"),
        (
            exceptions.BadRequest("Invalid bucket name"),
            WorkDirError,
            "Invalid bucket name.; correct the variable work_",
        ),
        (exceptions.ServiceUnavailable("later"), OSError, "503 later; clear the task when Cloud Storage answers"),
        (exceptions.RetryError("timeout", None), OSError, "clear the task when Cloud Storage answers"),
    ],
)
def test_a_refusal_is_one_line_that_says_what_to_do(
    bucket: storage.Bucket, monkeypatch: pytest.MonkeyPatch, answer: Exception, error: type[Exception], says: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise answer

    for method in ("download", "upload", "list"):
        monkeypatch.setattr(GCSHook, method, refuse)
    for act in ACTS.values():
        with pytest.raises(error, match=says) as refused:
            act("gs://bucket/work/file")
        assert type(refused.value) is error
        assert not {"\n", "\x1b"} & set(str(refused.value))
        assert "gs://bucket/work/file" in str(refused.value)


def test_a_full_disk_of_the_worker_names_tmpdir(
    bucket: storage.Bucket, tmp_of_task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"gs://{bucket.name}/work/full"
    _write(uri)

    def download(self: GCSHook, bucket: str, name: str, filename: str) -> None:
        with Path("/dev/full").open("wb") as full:
            full.write(b"x")

    monkeypatch.setattr(GCSHook, "download", download)
    with pytest.raises(DiskFullError, match="or set the environment variable TMPDIR of the worker to a folder on a"):
        _read(uri)
