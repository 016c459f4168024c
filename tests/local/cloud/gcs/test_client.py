"""The GCS emulator, used through the official client."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from google.api_core.exceptions import BadRequest, NotFound, PreconditionFailed
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


@pytest.mark.parametrize("size", [10, 9 * 2**20], ids=["at once", "resumable"])
def test_generation_preconditions_hold(bucket: storage.Bucket, size: int) -> None:
    one, two, three = (os.urandom(size) for _ in range(3))
    blob = bucket.blob(f"precondition/{size}")
    blob.upload_from_string(one, if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob(blob.name).upload_from_string(two, if_generation_match=0)
    assert bucket.blob(blob.name).download_as_bytes() == one
    bucket.blob(blob.name).upload_from_string(three, if_generation_match=blob.generation)
    assert bucket.blob(blob.name).download_as_bytes() == three


@pytest.mark.parametrize("size", [1000, 3 * 2**20])  # the front reads large objects from their files
def test_ranges_and_generations_are_read(bucket: storage.Bucket, size: int) -> None:
    content = os.urandom(size)
    blob = bucket.blob(f"ranges/{size}", chunk_size=2**18)
    blob.upload_from_string(content, content_type="application/x-bytes")
    assert blob.download_as_bytes(start=10, end=19) == content[10:20]
    assert blob.download_as_bytes(start=size - 5) == content[-5:]
    assert bucket.blob(blob.name).download_as_bytes(if_generation_match=blob.generation) == content
    again = bucket.blob(blob.name, chunk_size=2**18)
    assert again.download_as_bytes() == content
    with pytest.raises((NotFound, PreconditionFailed)):
        bucket.blob(blob.name, generation=1).download_as_bytes()


def test_large_object_is_answered_with_the_headers_of_a_small_one(cloud, bucket: storage.Bucket) -> None:
    answers = {}
    for size in (1000, 3 * 2**20):
        bucket.blob(f"headers/{size}").upload_from_string(b"x" * size)
        url = f"{cloud.settings.gcs_url}/download/storage/v1/b/{bucket.name}/o/headers%2F{size}?alt=media"
        answers[size] = requests.get(url, timeout=60)
        assert answers[size].content == b"x" * size
    small, large = ({name.lower() for name in answer.headers} for answer in answers.values())
    assert large == small
    assert {"x-goog-generation", "x-goog-hash", "content-type", "content-length"} <= large


def test_object_replaced_while_it_is_read_is_read_whole(bucket: storage.Bucket) -> None:
    contents = [bytes([number]) * (2 * 2**20 + number) for number in range(4)]
    blob = bucket.blob("replaced/a")
    blob.upload_from_string(contents[0])
    done = threading.Event()

    def replace() -> None:
        for round_ in range(12):
            bucket.blob("replaced/a").upload_from_string(contents[round_ % 4])
        done.set()

    with ThreadPoolExecutor(1) as pool:
        replacing = pool.submit(replace)
        reads = 0
        while not done.is_set() and not replacing.done():
            assert bucket.blob("replaced/a").download_as_bytes(checksum="crc32c") in contents
            reads += 1
        replacing.result()
    assert reads


def test_copies_and_compositions(bucket: storage.Bucket) -> None:
    source = bucket.blob("copies/of folder/a+b%.parquet")
    source.upload_from_string(b"one")
    copy = bucket.copy_blob(source, bucket, "copies/copy")
    assert copy.download_as_bytes() == b"one"
    rewritten = bucket.blob("copies/rewritten")
    rewritten.rewrite(source)
    assert rewritten.download_as_bytes() == b"one"
    composed = bucket.blob("copies/composed")
    composed.compose([source, copy])
    assert composed.download_as_bytes() == b"oneone"
    source.metadata = {"name": "../free text"}
    source.patch()
    assert bucket.get_blob(source.name).metadata == {"name": "../free text"}


def test_parallel_uploads_are_all_whole(cloud) -> None:
    contents = {f"parallel/{number}": os.urandom(200_000 + number * 700_000) for number in range(16)}

    def upload(name: str) -> None:
        blob = cloud.storage_client().bucket(cloud.settings.lake_bucket).blob(name)
        blob.upload_from_string(contents[name])
        assert blob.download_as_bytes() == contents[name]

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(upload, contents))


def test_upload_to_a_missing_bucket_says_so(cloud) -> None:
    for size in (10, 9 * 2**20):
        with pytest.raises(NotFound):
            cloud.storage_client().bucket("no-such-bucket").blob("a").upload_from_string(b"x" * size)


def test_refused_name_is_told_to_the_client(bucket: storage.Bucket) -> None:
    for size in (10, 9 * 2**20):
        with pytest.raises(BadRequest, match=r"'\.\./a' has '\.\.'"):
            bucket.blob("../a").upload_from_string(b"x" * size)
    with pytest.raises(BadRequest, match=r"has '\.\.'"):
        bucket.blob("../a").download_as_bytes()


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
