"""The GCS emulator, used through the official client."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import requests
from google.api_core.exceptions import NotFound, PreconditionFailed
from google.cloud import storage


@pytest.fixture(scope="module")
def bucket(cloud) -> storage.Bucket:
    return cloud.storage_client().bucket(cloud.settings.lake_bucket)


def test_up_creates_the_lake_bucket(cloud) -> None:
    assert [one.name for one in cloud.storage_client().list_buckets()] == [cloud.settings.lake_bucket]


def test_client_connects_through_the_environment(cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud.settings.gcs_url)
    client = storage.Client(project=cloud.settings.project)
    assert client.bucket(cloud.settings.lake_bucket).exists()


def test_object_is_stored_as_a_file_below_the_root(cloud, bucket: storage.Bucket) -> None:
    blob = bucket.blob("small/year=2021/month=01/a.parquet")
    blob.upload_from_string(b"PAR1")
    assert bucket.blob(blob.name).download_as_bytes() == b"PAR1"
    file = cloud.settings.gcs_root / bucket.name / blob.name
    assert file.read_bytes() == b"PAR1"


def test_links_point_to_the_server(cloud, bucket: storage.Bucket) -> None:
    blob = bucket.blob("links/a")
    blob.upload_from_string(b"a")
    blob.reload()
    assert blob.media_link.startswith(f"{cloud.settings.gcs_url}/download/storage/v1/b/{bucket.name}/o/")
    assert blob.self_link.startswith(f"{cloud.settings.gcs_url}/storage/v1/b/{bucket.name}/o/")


def test_resumable_uploads_are_complete(bucket: storage.Bucket, tmp_path: Path) -> None:
    content = os.urandom(9 * 2**20 + 17)
    (tmp_path / "big").write_bytes(content)
    bucket.blob("resumable/whole").upload_from_filename(tmp_path / "big")
    bucket.blob("resumable/chunks", chunk_size=2**20).upload_from_filename(tmp_path / "big")
    for name in ("whole", "chunks"):
        blob = bucket.get_blob(f"resumable/{name}")
        assert blob is not None
        assert blob.size == len(content)
        assert blob.download_as_bytes() == content


def test_objects_are_listed_by_prefix_and_delimiter(bucket: storage.Bucket) -> None:
    names = {f"list/year=2021/month={month:02}/x" for month in (1, 2)} | {"list/year=2020/month=01/x"}
    for name in names:
        bucket.blob(name).upload_from_string(b"x")
    assert {blob.name for blob in bucket.list_blobs(prefix="list/")} == names
    assert {blob.name for blob in bucket.list_blobs(prefix="list/year=2021/month=0")} == {
        name for name in names if "2021" in name
    }
    folders = bucket.list_blobs(prefix="list/", delimiter="/")
    assert [blob.name for blob in folders] == []
    assert folders.prefixes == {"list/year=2020/", "list/year=2021/"}


def test_overwriting_changes_content_and_generation(bucket: storage.Bucket) -> None:
    blob = bucket.blob("overwrite/a")
    blob.upload_from_string(b"one")
    first = blob.generation
    blob.upload_from_string(b"two")
    assert blob.generation != first
    assert bucket.blob("overwrite/a").download_as_bytes() == b"two"


def test_generation_preconditions_hold_for_small_uploads(bucket: storage.Bucket) -> None:
    blob = bucket.blob("precondition/a")
    blob.upload_from_string(b"one", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("precondition/a").upload_from_string(b"two", if_generation_match=0)
    assert bucket.blob("precondition/a").download_as_bytes() == b"one"
    bucket.blob("precondition/a").upload_from_string(b"three", if_generation_match=blob.generation)
    assert bucket.blob("precondition/a").download_as_bytes() == b"three"


def test_deleted_object_is_gone(bucket: storage.Bucket) -> None:
    blob = bucket.blob("delete/a")
    blob.upload_from_string(b"x")
    blob.delete()
    assert not bucket.blob("delete/a").exists()
    with pytest.raises(NotFound):
        bucket.blob("delete/a").download_as_bytes()
    with pytest.raises(NotFound):
        bucket.blob("delete/a").delete()


def test_restart_keeps_objects_and_generations(cloud, bucket: storage.Bucket) -> None:
    blob = bucket.blob("restart/a")
    blob.upload_from_string(b"kept", content_type="application/x-kept")
    blob.reload()
    cloud.must("down", "gcs")
    cloud.must("up", "gcs")
    after = cloud.storage_client().bucket(bucket.name).get_blob("restart/a")
    assert after is not None
    assert after.download_as_bytes() == b"kept"
    assert (after.generation, after.content_type, after.crc32c) == (blob.generation, "application/x-kept", blob.crc32c)


def test_server_answers_hundreds_of_requests(cloud, bucket: storage.Bucket) -> None:
    """The wheel's own wrapper hangs after some hundred, because it never reads the server's output."""
    with requests.Session() as session:
        for number in range(500):
            url = f"{cloud.settings.gcs_url}/storage/v1/b/{bucket.name}/o/absent-{number}"
            assert session.get(url, timeout=60).status_code == 404
