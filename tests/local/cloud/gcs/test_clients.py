"""What Google's client, gcsfs, pyarrow and DuckDB get from the front: as from Cloud Storage, or refused."""

from __future__ import annotations

import datetime
import json
import os
import socket
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import google.api_core.exceptions as errors
import pandas
import pyarrow as pa
import pyarrow.compute
import pyarrow.dataset
import pyarrow.parquet
import pytest
import requests
from gcsfs.core import GCSFileSystem
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from pyarrow import fs

from local.cloud.gcs.attributes import getxattr_of_macos, set_generation, setxattr_of_macos
from tests.local.cloud.gcs.fronts import BUCKET, Front, start, stop
from tests.local.forgeries import exchange, status

UNIT = 2**18
TABLE = pa.table({"trips": [1, 2, 3], "month": ["01", "01", "02"]})


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, free_ports, cloud_python: Path) -> Iterator[Front]:
    started = start(tmp_path_factory.mktemp("clients"), free_ports(1)[0], cloud_python)
    yield started
    stop(started)


@pytest.fixture(scope="module")
def url(front: Front) -> str:
    return f"http://127.0.0.1:{front.port}"


@pytest.fixture
def bucket(url: str) -> storage.Bucket:
    options = {"api_endpoint": url}
    return storage.Client("p", credentials=AnonymousCredentials(), client_options=options).bucket(BUCKET)


@pytest.fixture
def blob(bucket: storage.Bucket, request: pytest.FixtureRequest) -> storage.Blob:
    """An object whose metadata has been changed once: generation and metageneration differ."""
    made = bucket.blob(f"objects/{request.node.name}")
    made.upload_from_string(b"content")
    made.metadata = {"first": "1"}
    made.patch()
    assert made.metageneration == 2
    return made


def again(blob: storage.Blob) -> storage.Blob:
    """The same object without what the client knows about it: the client sends the generation that it knows."""
    return blob.bucket.blob(blob.name)


def upload_in_parts(blob: storage.Blob, content: bytes, **condition: int) -> None:
    """Upload as the client does from 8 MiB on: resumable."""
    blob.chunk_size = UNIT
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("google.cloud.storage.blob._MAX_MULTIPART_SIZE", 0)
        blob.upload_from_string(content, **condition)


# --- Lists


def test_list_is_filtered_by_the_server(bucket: storage.Bucket) -> None:
    names = ["list/a.csv", "list/b.csv", "list/q/c.csv", "list/x.parquet"]
    for name in names:
        bucket.blob(name).upload_from_string(b"x")

    def listed(**arguments: Any) -> tuple[list[str], set[str]]:
        found = bucket.list_blobs(**arguments)
        return [one.name for one in found], found.prefixes

    assert listed(match_glob="list/*.csv") == (names[:2], set())
    assert listed(prefix="list/", delimiter=".csv") == (names[3:], set(names[:3]))
    assert listed(prefix="list/", delimiter="/", page_size=1) == ([*names[:2], names[3]], {"list/q/"})
    assert listed(prefix="list/", page_size=3, versions=True) == (names, set())
    assert listed(start_offset="list/b", end_offset="list/x") == (names[1:3], set())
    assert listed(prefix="list/", max_results=2) == (names[:2], set())
    with pytest.raises(errors.BadRequest, match="softDeleted='True' is not served"):
        listed(soft_deleted=True)


def test_buckets_are_listed_by_prefix(bucket: storage.Bucket) -> None:
    found = [one.name for one in bucket.client.list_buckets(prefix=BUCKET, page_size=1)]
    assert found == [BUCKET]
    assert list(bucket.client.list_buckets(prefix=f"{BUCKET}-")) == []


# --- Generations and preconditions

NOT_MET = "At least one of the pre-conditions you specified did not hold."
WRONG: dict[str, Callable[[storage.Blob], dict[str, int]]] = {
    "generation": lambda blob: {"if_generation_match": blob.generation - 1},
    "no object": lambda blob: {"if_generation_match": 0},
    "not this generation": lambda blob: {"if_generation_not_match": blob.generation},
    "metageneration": lambda blob: {"if_metageneration_match": 1},
    "not this metageneration": lambda blob: {"if_metageneration_not_match": 2},
}
RIGHT: dict[str, Callable[[storage.Blob], dict[str, int]]] = {
    "generation": lambda blob: {"if_generation_match": blob.generation},
    "another generation": lambda blob: {"if_generation_not_match": 1},
    "an object": lambda blob: {"if_generation_not_match": 0},
    "metageneration": lambda blob: {"if_metageneration_match": 2},
    "another metageneration": lambda blob: {"if_metageneration_not_match": 1},
}


def _patch(blob: storage.Blob, **condition: int) -> None:
    blob.metadata = {"second": "2"}
    blob.patch(**condition)


def _update(blob: storage.Blob, **condition: int) -> None:
    blob.content_type = "text/x"
    blob.update(**condition)


def _copy(blob: storage.Blob, **condition: int) -> None:
    source = {name.replace("if_", "if_source_"): value for name, value in condition.items()}
    blob.bucket.copy_blob(blob, blob.bucket, f"copied/{blob.name}", **source)


def _rewrite(blob: storage.Blob, **condition: int) -> None:
    source = {name.replace("if_", "if_source_"): value for name, value in condition.items()}
    blob.bucket.blob(f"rewritten/{blob.name}").rewrite(blob, **source)


def _replace_by_copy(blob: storage.Blob, **condition: int) -> None:
    seed = blob.bucket.blob("seed")
    seed.upload_from_string(b"other")
    blob.rewrite(seed, **condition)


def _upload_small(blob: storage.Blob, **condition: int) -> None:
    blob.upload_from_string(b"other", **condition)


def _upload_large(blob: storage.Blob, **condition: int) -> None:
    upload_in_parts(blob, b"o" * (UNIT + 10), **condition)


READS: dict[str, Callable[..., Any]] = {
    "reload": storage.Blob.reload,
    "download": storage.Blob.download_as_bytes,
    "exists": storage.Blob.exists,
}
WRITES: dict[str, Callable[..., Any]] = {
    "delete": storage.Blob.delete,
    "patch": _patch,
    "update": _update,
    "upload": _upload_small,
    "resumable upload": _upload_large,
    "replace by a copy": _replace_by_copy,
}
OF_SOURCE: dict[str, Callable[..., Any]] = {"copy": _copy, "rewrite": _rewrite}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("action", READS | WRITES | OF_SOURCE)
def test_precondition_that_does_not_hold_stops_the_request(blob: storage.Blob, action: str, wrong: str) -> None:
    before = again(blob)
    before.reload()
    act = (READS | WRITES | OF_SOURCE)[action]
    error: type[errors.GoogleAPICallError] = errors.PreconditionFailed
    if wrong.startswith("not") and action in READS:
        error = errors.NotModified
    if wrong == "not this metageneration" and "upload" in action:
        error = errors.BadRequest  # the client misspells the parameter, which Cloud Storage ignores then
    with pytest.raises(error) as raised:
        act(again(blob), **WRONG[wrong](blob))
    assert error is not errors.PreconditionFailed or NOT_MET in str(raised.value)
    after = again(blob)
    after.reload()
    assert after._properties == before._properties
    assert after.download_as_bytes() == b"content"
    assert not blob.bucket.blob(f"copied/{blob.name}").exists()
    assert not blob.bucket.blob(f"rewritten/{blob.name}").exists()


@pytest.mark.parametrize(
    ("action", "right"),
    [
        (action, right)
        for action in READS | WRITES | OF_SOURCE
        for right in RIGHT
        if not ("upload" in action and right == "another metageneration")
    ],
)
def test_precondition_that_holds_lets_the_request_pass(blob: storage.Blob, action: str, right: str) -> None:
    (READS | WRITES | OF_SOURCE)[action](again(blob), **RIGHT[right](blob))
    changed = bool(again(blob).exists() and blob.bucket.get_blob(blob.name).etag != blob.etag)
    assert changed is (action in WRITES and action != "delete")
    assert again(blob).exists() is (action != "delete")


@pytest.mark.parametrize("upload", [storage.Blob.upload_from_string, upload_in_parts])
@pytest.mark.parametrize("condition", ["if_generation_match", "if_metageneration_match"])
def test_object_that_must_not_exist_is_created_once(
    bucket: storage.Bucket, upload: Callable[..., None], condition: str
) -> None:
    blob = bucket.blob(f"once/{upload.__name__}-{condition}")
    upload(blob, b"one", **{condition: 0})
    with pytest.raises(errors.PreconditionFailed):
        upload(again(blob), b"two", **{condition: 0})
    assert again(blob).download_as_bytes() == b"one"
    with pytest.raises(errors.PreconditionFailed):
        upload(bucket.blob("never"), b"x", if_generation_not_match=0)


def _compose(blob: storage.Blob) -> None:
    blob.compose([again(blob)])


def _delete_and_create(blob: storage.Blob) -> None:
    again(blob).delete()
    blob.upload_from_string(b"content")


def _copy_over(blob: storage.Blob) -> None:
    seed = blob.bucket.blob("seed")
    seed.upload_from_string(b"content")
    copied = blob.bucket.copy_blob(seed, blob.bucket, blob.name)
    blob._set_properties(copied._properties)


REPLACEMENTS: dict[str, Callable[[storage.Blob], object]] = {
    "upload": _upload_small,
    "resumable upload": _upload_large,
    "copy": _copy_over,
    "rewrite": _replace_by_copy,
    "composition": _compose,
    "deletion and upload": _delete_and_create,
}


@pytest.mark.parametrize("replace", REPLACEMENTS)
def test_a_later_generation_is_greater_even_if_the_clock_was_set_back(
    front: Front, blob: storage.Blob, replace: str
) -> None:
    path = front.root / BUCKET / blob.name
    in_an_hour = blob.generation + 3600 * 10**6
    set_generation(path, in_an_hour)
    again(blob).reload(if_generation_match=in_an_hour)

    replaced = again(blob)
    REPLACEMENTS[replace](replaced)
    found = again(blob)
    found.reload()
    assert replaced.generation == found.generation == in_an_hour + 1
    assert (replaced.etag, found.metageneration) == (found.etag, 1)
    assert found.etag != blob.etag
    assert found.download_as_bytes(if_generation_match=found.generation) == replaced.download_as_bytes()
    found.upload_from_string(b"newest", if_generation_match=found.generation)
    assert found.generation == in_an_hour + 2


def test_a_generation_is_that_of_the_clock_otherwise(blob: storage.Blob) -> None:
    before = time.time_ns() // 1000
    again(blob).upload_from_string(b"newer")
    assert before <= blob.bucket.get_blob(blob.name).generation <= time.time_ns() // 1000


def test_the_functions_for_macos_read_and_write_what_fake_gcs_server_has(front: Front, blob: storage.Blob) -> None:
    """They call the C library, which ignores the two further arguments on Linux."""
    path = front.root / BUCKET / blob.name
    attributes = json.loads(getxattr_of_macos(path))
    assert attributes["Generation"] == blob.generation
    setxattr_of_macos(path, json.dumps({**attributes, "Generation": 17}).encode())
    assert blob.bucket.get_blob(blob.name).generation == 17
    with pytest.raises(FileNotFoundError):
        getxattr_of_macos(front.root / "none")
    with pytest.raises(FileNotFoundError):
        setxattr_of_macos(front.root / "none", b"{}")


@pytest.mark.parametrize("path", ["/storage/v1/b", "/nothing", "/storage/v1/b/{bucket}/o/{name}?alt=media"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_every_answer_has_its_date_once(url: str, blob: storage.Blob, method: str, path: str) -> None:
    target = path.format(bucket=BUCKET, name=quote(blob.name, safe=""))
    answer = requests.request(method, f"{url}{target}", timeout=60)
    sent = parsedate_to_datetime(answer.headers["Date"])  # several would be joined by commas
    assert abs(datetime.datetime.now(datetime.UTC) - sent) < datetime.timedelta(minutes=1)


def test_only_the_newest_generation_is_there(blob: storage.Blob) -> None:
    earlier = blob.generation
    again(blob).upload_from_string(b"newer")
    old = blob.bucket.blob(blob.name, generation=earlier)
    assert not old.exists()
    requests_of_old: list[Callable[[], Any]] = [old.reload, old.download_as_bytes, old.delete, old.patch]
    requests_of_old.append(lambda: blob.bucket.blob("x").rewrite(old))
    requests_of_old.append(lambda: blob.bucket.copy_blob(blob, blob.bucket, "x", source_generation=earlier))
    for request in requests_of_old:
        with pytest.raises(errors.NotFound):
            request()
    assert again(blob).download_as_bytes() == b"newer"


def test_composition_is_of_the_generations_that_it_names(blob: storage.Blob) -> None:
    joined, other = blob.bucket.blob(f"joined/{blob.name}"), blob.bucket.blob(f"other/{blob.name}")
    other.upload_from_string(b"other")
    for sources, condition, error in (
        ([blob, other], {"if_source_generation_match": [blob.generation, 1]}, errors.PreconditionFailed),
        ([blob, other], {"if_generation_match": 1}, errors.PreconditionFailed),
        ([blob, blob.bucket.blob("nothing")], {}, errors.NotFound),
        ([blob.bucket.blob(blob.name, generation=1)], {}, errors.NotFound),
        ([], {}, errors.BadRequest),
    ):
        with pytest.raises(error):
            joined.compose(sources, **condition)
        assert not joined.exists()
    joined.compose([blob, other], if_source_generation_match=[blob.generation, None], if_generation_match=0)
    assert joined.download_as_bytes() == b"contentother"


def test_metadata_changes_in_place(blob: storage.Blob, front: Front) -> None:
    file = front.root / BUCKET / blob.name
    before, generation, etag = file.stat(), blob.generation, blob.etag
    blob.metadata = {"first": None, "second": "2"}
    blob.cache_control = "no-store"
    blob.patch()
    other = blob.bucket.get_blob(blob.name)
    assert other is not None
    assert (other.metadata, other.cache_control, other.content_type) == ({"second": "2"}, "no-store", "text/plain")
    assert (other.generation, other.metageneration) == (generation, 3)
    assert other.etag != etag
    assert other.time_created < other.updated
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    # An update replaces all that can be changed.
    fresh = again(blob)
    fresh.content_type = "text/x"
    fresh.update()
    assert (fresh.metadata, fresh.cache_control, fresh.content_type) == (None, None, "text/x")
    # A new generation begins anew.
    fresh.upload_from_string(b"x")
    assert (fresh.metageneration, fresh.metadata) == (1, None)


def test_entity_tags_hold(blob: storage.Blob) -> None:
    assert again(blob).download_as_bytes(if_etag_match=blob.etag) == b"content"
    with pytest.raises(errors.PreconditionFailed):
        again(blob).download_as_bytes(if_etag_match="other")
    with pytest.raises(errors.NotModified):
        again(blob).reload(if_etag_not_match=[blob.etag, "other"])


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "POST"])
@pytest.mark.parametrize(
    ("header", "tag", "holds"),
    [
        ("If-Match", "other", False),
        ("If-Match", "*", True),
        ("If-Match", "", True),
        ("If-None-Match", "*", False),
        ("If-None-Match", "", False),
        ("If-None-Match", "other", True),
    ],
)
def test_entity_tags_hold_for_writes(
    url: str, blob: storage.Blob, method: str, header: str, tag: str, holds: bool
) -> None:
    name = quote(blob.name, safe="")
    target = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={name}"
    if method != "POST":
        target = f"/storage/v1/b/{BUCKET}/o/{name}"
    headers = {header: f'"{tag or blob.etag}"'}
    answer = requests.request(method, f"{url}{target}", data=b"{}", headers=headers, timeout=60)
    done = 204 if method == "DELETE" else 200
    assert answer.status_code == (done if holds else 412)


def test_of_many_conditional_writers_each_change_is_by_one(url: str, bucket: storage.Bucket) -> None:
    """Four writers count up one number, each by reading it and writing the next one if nobody else has."""
    counter = bucket.blob("counter")
    counter.upload_from_string("0")

    def count(number: int) -> None:
        options = {"api_endpoint": url}
        own = storage.Client("p", credentials=AnonymousCredentials(), client_options=options)
        done = 0
        while done < 10:
            read = own.bucket(BUCKET).get_blob("counter")
            value = int(read.download_as_bytes())
            try:
                text = str(value + 1)
                if number % 2:  # as a resumable upload
                    with own.bucket(BUCKET).blob("counter").open("w", if_generation_match=read.generation) as file:
                        file.write(text)
                else:
                    own.bucket(BUCKET).blob("counter").upload_from_string(text, if_generation_match=read.generation)
                done += 1
            except (errors.PreconditionFailed, errors.NotFound, storage.exceptions.InvalidResponse):
                pass  # the client does not translate all errors of a resumable upload

    writers = [threading.Thread(target=count, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert counter.download_as_bytes() == b"40"


# --- Uploads


def begin(url: str, name: str, **parameters: str) -> str:
    """Begin a resumable upload, and return its address."""
    query = {"uploadType": "resumable", "name": name, **parameters}
    answer = requests.post(f"{url}/upload/storage/v1/b/{BUCKET}/o", params=query, timeout=60)
    assert answer.status_code == 200
    return answer.headers["Location"]


def test_interrupted_upload_goes_on_where_it_was(url: str, bucket: storage.Bucket) -> None:
    content = os.urandom(3 * UNIT + 10)
    where = begin(url, "interrupted")

    def put(data: bytes, content_range: str, **headers: str) -> tuple[int, str | None]:
        answer = requests.put(where, data, headers={"Content-Range": content_range, **headers}, timeout=60)
        return answer.status_code, answer.headers.get("Range")

    assert put(b"", "bytes */*") == (308, None)
    assert put(content[:UNIT], f"bytes 0-{UNIT - 1}/*") == (308, f"bytes=0-{UNIT - 1}")
    assert put(b"", f"bytes */{len(content)}") == (308, f"bytes=0-{UNIT - 1}")
    assert not bucket.blob("interrupted").exists()
    assert put(content[: 2 * UNIT], f"bytes 0-{2 * UNIT - 1}/*") == (308, f"bytes=0-{2 * UNIT - 1}")
    assert put(content[: 2 * UNIT], f"bytes 0-{2 * UNIT - 1}/*") == (308, f"bytes=0-{2 * UNIT - 1}")
    assert put(content[3 * UNIT :], f"bytes {3 * UNIT}-{len(content) - 1}/{len(content)}")[0] == 400
    assert put(content[UNIT:], f"bytes {UNIT}-{len(content) - 1}/{len(content)}")[0] == 200
    assert put(b"", f"bytes */{len(content)}")[0] == 200
    assert bucket.blob("interrupted").download_as_bytes() == content


def test_upload_looks_at_its_precondition_when_it_ends(url: str, bucket: storage.Bucket) -> None:
    where = begin(url, "overtaken", ifGenerationMatch="0")
    bucket.blob("overtaken").upload_from_string(b"meanwhile")
    assert requests.put(where, b"late", timeout=60).status_code == 412
    assert bucket.blob("overtaken").download_as_bytes() == b"meanwhile"


def test_cancelled_upload_is_gone(url: str) -> None:
    where = begin(url, "cancelled")
    assert requests.delete(where, timeout=60).status_code == 499
    assert requests.put(where, b"x", timeout=60).status_code == 404


@pytest.mark.parametrize("kind", ["media", "multipart", "resumable"])
def test_client_that_stalls_in_an_upload_keeps_nobody_waiting(url: str, front: Front, kind: str) -> None:
    target = f"/upload/storage/v1/b/{BUCKET}/o?uploadType={kind}&name=stalled"
    method, headers = "POST", "Content-Length: 1000000\r\n"
    if kind == "multipart":
        headers += "Content-Type: multipart/related; boundary=b\r\n"
    if kind == "resumable":
        method, target = "PUT", begin(url, "stalled").removeprefix(url)
    start_of_body = b"--b\r\n\r\n{}\r\n--b\r\n\r\n" if kind == "multipart" else b"x"
    with socket.create_connection(("127.0.0.1", front.port), timeout=60) as stalled:
        host = f"Host: 127.0.0.1:{front.port}\r\n"
        stalled.sendall(f"{method} {target} HTTP/1.1\r\n{host}{headers}\r\n".encode() + start_of_body + b"x" * 500_000)
        for name in ("stalled", "unrelated"):
            query = {"uploadType": "media", "name": name}
            answer = requests.post(f"{url}/upload/storage/v1/b/{BUCKET}/o", b"quick", params=query, timeout=60)
            assert answer.status_code == 200
            assert requests.get(f"{url}/storage/v1/b/{BUCKET}/o/{name}?alt=media", timeout=60).content == b"quick"


def test_name_that_cannot_be_a_file_is_refused(bucket: storage.Bucket) -> None:
    bucket.blob("file/in/folder").upload_from_string(b"x")
    for name in ("file", "file/in", "file/in/folder/below", "file/in/folder/far/below", "file/", "new/"):
        for write in (
            lambda blob: blob.upload_from_string(b"x"),
            lambda blob: upload_in_parts(blob, b"x"),
            lambda blob: blob.rewrite(bucket.blob("file/in/folder")),
            lambda blob: blob.compose([bucket.blob("file/in/folder")]),
        ):
            with pytest.raises(errors.BadRequest, match="object"):
                write(bucket.blob(name))
    assert [blob.name for blob in bucket.list_blobs(prefix="file")] == ["file/in/folder"]


# --- Metadata and errors

DESCRIPTION = {
    **{"cache_control": "no-store", "content_disposition": "inline", "content_encoding": "br"},
    **{"content_language": "de", "content_type": "text/x", "metadata": {"a": "1", "b": "2"}},
    "custom_time": datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC),
}


def description(blob: storage.Blob) -> dict[str, Any]:
    found = again(blob)
    found.reload()
    return {key: getattr(found, key) for key in DESCRIPTION}


def described(blob: storage.Blob, **values: Any) -> storage.Blob:
    for key, value in values.items():
        setattr(blob, key, value)
    return blob


def _upload(blob: storage.Blob) -> None:
    blob.upload_from_string(b"content", content_type=blob.content_type)


def _upload_in_parts(blob: storage.Blob) -> None:
    blob.chunk_size = UNIT
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("google.cloud.storage.blob._MAX_MULTIPART_SIZE", 0)
        _upload(blob)


def _copy_description(blob: storage.Blob) -> None:
    source = described(blob.bucket.blob("described"), **DESCRIPTION)
    _upload(source)
    blob.bucket.copy_blob(source, blob.bucket, blob.name)


def _replace_description(blob: storage.Blob) -> None:
    source = described(blob.bucket.blob("described"), cache_control="public", metadata={"other": "1"})
    _upload(source)
    blob.rewrite(source)


def _compose_from_seed(blob: storage.Blob) -> None:
    seed = blob.bucket.blob("seed")
    seed.upload_from_string(b"x")
    blob.compose([seed])


DESCRIBE: dict[str, Callable[[storage.Blob], object]] = {
    "upload": _upload,
    "resumable upload": _upload_in_parts,
    "patch": lambda blob: (again(blob).upload_from_string(b"x"), blob.patch()),
    "update": lambda blob: (again(blob).upload_from_string(b"x"), blob.update()),
    "composition": lambda blob: (
        blob.bucket.blob("seed").upload_from_string(b"x"),
        blob.compose([blob.bucket.blob("seed")]),
    ),
    "copy": _copy_description,
    "rewrite": _replace_description,
}


@pytest.mark.parametrize("way", DESCRIBE)
def test_metadata_is_kept(bucket: storage.Bucket, way: str) -> None:
    blob = described(bucket.blob(f"kept/{way}"), **DESCRIPTION)
    DESCRIBE[way](blob)
    assert description(blob) == DESCRIPTION


def test_nulls_leave_metadata_out(url: str, bucket: storage.Bucket) -> None:
    body = b'--b\n\n{"metadata": {"a": "1", "b": null}, "cacheControl": null}\n--b\n\nx\n--b--'
    headers = {"Content-Type": "multipart/related; boundary=b"}
    query = {"uploadType": "multipart", "name": "nulls"}
    answer = requests.post(f"{url}/upload/storage/v1/b/{BUCKET}/o", body, params=query, headers=headers, timeout=60)
    assert answer.json()["metadata"] == {"a": "1"}
    found = bucket.get_blob("nulls")
    assert (found.metadata, found.cache_control) == ({"a": "1"}, None)
    requests.patch(f"{url}/storage/v1/b/{BUCKET}/o/nulls", json={"metadata": None}, timeout=60)
    assert bucket.get_blob("nulls").metadata is None


def test_custom_time_goes_only_forward(bucket: storage.Bucket) -> None:
    blob = described(bucket.blob("timed"), **DESCRIPTION)
    _upload(blob)
    for wrong in (None, datetime.datetime(2020, 12, 31, tzinfo=datetime.UTC)):
        with pytest.raises(errors.BadRequest, match="can only be set to a later time"):
            described(again(blob), custom_time=wrong).patch()
    later = datetime.datetime(2021, 1, 2, tzinfo=datetime.UTC)
    described(again(blob), custom_time=later).patch()
    described(again(blob), content_type="a/b").update()
    assert description(blob)["custom_time"] == later


def test_storage_class_is_that_of_the_object_or_of_the_bucket(bucket: storage.Bucket) -> None:
    made = bucket.client.bucket("cold-lake")
    made.storage_class, made.labels = "NEARLINE", {"team": "taxi"}
    bucket.client.create_bucket(made, location="eu")
    for found in (bucket.client.get_bucket("cold-lake"), *bucket.client.list_buckets(prefix="cold")):
        assert (found.storage_class, found.location, found.location_type) == ("NEARLINE", "EU", "multi-region")
        assert found.labels == {"team": "taxi"}
    blob = described(made.blob("own"), storage_class="ARCHIVE", cache_control="no-store")
    blob.upload_from_string(b"x")
    _upload_in_parts(made.blob("default"))
    made.copy_blob(blob, bucket, "moved")
    made.blob("composed").compose([blob])
    assert blob.bucket.get_blob("own").storage_class == "ARCHIVE"
    assert made.get_blob("default").storage_class == made.get_blob("composed").storage_class == "NEARLINE"
    assert bucket.get_blob("moved").storage_class == "STANDARD"
    again(blob).update_storage_class("COLDLINE")
    changed = made.get_blob("own")
    assert (changed.storage_class, changed.cache_control) == ("COLDLINE", "no-store")
    changed.content_type = "a/b"
    changed.update()  # names the class that the object has
    with pytest.raises(errors.BadRequest, match="is changed by a rewrite"):
        described(again(blob), storage_class="STANDARD").patch()
    with pytest.raises(errors.BadRequest, match="'FROZEN' is none"):
        described(again(blob), storage_class="FROZEN").upload_from_string(b"x")
    made.delete(force=True)
    bucket.client.create_bucket("cold-lake")
    assert bucket.client.get_bucket("cold-lake").storage_class == "STANDARD"
    bucket.client.bucket("cold-lake").delete()


def test_composite_object_has_components_and_no_md5(bucket: storage.Bucket) -> None:
    part, whole = bucket.blob("composite/part"), bucket.blob("composite/whole")
    part.upload_from_string(b"ab")
    whole.compose([part, part])
    bucket.blob("composite/larger").compose([whole, part])
    copied = bucket.copy_blob(whole, bucket, "composite/copy")
    rewritten = described(bucket.blob("composite/cold"), storage_class="COLDLINE")
    rewritten.rewrite(whole)
    for name, count, content in (
        ("whole", 2, b"abab"),
        ("larger", 3, b"ababab"),
        ("copy", 2, b"abab"),
        ("cold", 1, b"abab"),
        ("part", None, b"ab"),
    ):
        found = bucket.get_blob(f"composite/{name}")
        assert (found.component_count, bool(found.md5_hash)) == (count, count is None)
        assert found.download_as_bytes() == content
    assert copied.component_count == 2
    part.upload_from_string(b"new")
    whole.upload_from_string(b"new")
    assert bucket.get_blob(whole.name).component_count is None
    with pytest.raises(errors.BadRequest, match=r"provided \(33\) exceeds the maximum \(32\)"):
        whole.compose([part] * 33)


WRONG_SUMS = {"crc32c": ("crc32c", "AAAAAA==", "CRC32C"), "md5Hash": ("md5", "A" * 22 + "==", "MD5 hash")}


@pytest.mark.parametrize("kind", ["multipart", "media", "resumable", "resumable at its end"])
@pytest.mark.parametrize("key", WRONG_SUMS)
def test_content_that_has_another_checksum_is_not_stored(url: str, blob: storage.Blob, kind: str, key: str) -> None:
    header, wrong, name = WRONG_SUMS[key]
    right = {"crc32c": blob.crc32c, "md5Hash": blob.md5_hash}[key]

    def upload(checksum: str) -> requests.Response:
        query = {"uploadType": kind.split()[0], "name": blob.name}
        target = f"{url}/upload/storage/v1/b/{BUCKET}/o"
        headers, body = {"X-Goog-Hash": f"{header}={checksum}"}, b"content"
        metadata = json.dumps({key: checksum}).encode()
        if kind == "multipart":
            body = b"--b\n\n%b\n--b\n\ncontent\n--b--" % metadata
            headers = {"Content-Type": "multipart/related; boundary=b"}
        elif kind != "media":
            begun = requests.post(target, b"" if "end" in kind else metadata, params=query, timeout=60)
            return requests.put(
                begun.headers["Location"], b"content", headers=headers if "end" in kind else {}, timeout=60
            )
        return requests.post(target, body, params=query, headers=headers, timeout=60)

    refused = upload(wrong)
    message = f'Provided {name} "{wrong}" doesn\'t match calculated {name} "{right}".'
    assert (refused.status_code, refused.json()["error"]["message"]) == (400, message)
    assert refused.json()["error"]["errors"] == [{"message": message, "domain": "global", "reason": "invalid"}]
    assert again(blob).exists()
    assert blob.bucket.get_blob(blob.name).generation == blob.generation
    assert upload(right).status_code == 200


def test_client_sees_a_wrong_checksum(bucket: storage.Bucket) -> None:
    with pytest.raises(errors.BadRequest, match="doesn't match calculated MD5 hash"):
        described(bucket.blob("sums"), md5_hash="A" * 22 + "==").upload_from_string(b"x")
    assert not bucket.blob("sums").exists()


ABSENT: dict[str, tuple[Callable[[storage.Bucket], Any], type[errors.GoogleAPICallError], str]] = {
    "reload": (lambda bucket: bucket.blob("absent").reload(), errors.NotFound, f"No such object: {BUCKET}/absent"),
    "read": (
        lambda bucket: bucket.blob("absent").download_as_bytes(),
        errors.NotFound,
        f": No such object: {BUCKET}/absent:",
    ),
    "delete": (lambda bucket: bucket.blob("absent").delete(), errors.NotFound, f"No such object: {BUCKET}/absent"),
    "rewrite": (
        lambda bucket: bucket.blob("x").rewrite(bucket.blob("absent")),
        errors.NotFound,
        f"No such object: {BUCKET}/absent",
    ),
    **{
        f"{name} in a bucket": (
            lambda bucket, ask=ask: ask(bucket.client.bucket("absent-lake")),
            errors.NotFound,
            "The specified bucket does not exist.",
        )
        for name, ask in {
            "reload": lambda bucket: bucket.reload(),
            "list": lambda bucket: list(bucket.list_blobs()),
            "read": lambda bucket: bucket.blob("x").download_as_bytes(),
            "upload": lambda bucket: bucket.blob("x").upload_from_string(b"x"),
            "resumable": lambda bucket: _upload_in_parts(bucket.blob("x")),
            "delete": lambda bucket: bucket.delete(),
        }.items()
    },
    "create": (
        lambda bucket: bucket.client.create_bucket(BUCKET),
        errors.Conflict,
        "Your previous request to create the named bucket succeeded and you already own it.",
    ),
    "delete what is not empty": (
        lambda bucket: (bucket.blob("full").upload_from_string(b"x"), bucket.delete()),
        errors.Conflict,
        "The bucket you tried to delete is not empty.",
    ),
}


@pytest.mark.parametrize("name", ABSENT)
def test_errors_are_worded_as_cloud_storage_does(bucket: storage.Bucket, name: str) -> None:
    ask, error, text = ABSENT[name]
    with pytest.raises(error) as raised:
        ask(bucket)
    assert text in str(raised.value)


def test_entity_tags_tell_objects_generations_and_metadata_apart(bucket: storage.Bucket) -> None:
    """https://cloud.google.com/storage/docs/hashes-etags#etags"""
    one, other = bucket.blob("tags/one"), bucket.blob("tags/other")
    tags = []
    for blob in (one, other, one):
        blob.upload_from_string(b"the same")
        tags.append(blob.etag)
    one.metadata = {"a": "1"}
    one.patch()
    copy = bucket.copy_blob(one, bucket, "tags/copy")
    assert len({*tags, one.etag, copy.etag}) == 5
    assert bucket.get_blob("tags/one").etag == one.etag


def test_a_deletion_has_no_content(url: str, bucket: storage.Bucket) -> None:
    bucket.blob("gone").upload_from_string(b"x")
    bucket.client.create_bucket("gone-lake")
    for target in (f"{BUCKET}/o/gone", "gone-lake"):
        answer = requests.delete(f"{url}/storage/v1/b/{target}", timeout=60)
        assert (answer.status_code, answer.content) == (204, b"")


def test_errors_have_a_reason_and_a_location(url: str, blob: storage.Blob) -> None:
    target = f"{url}/storage/v1/b/{BUCKET}/o/{quote(blob.name, safe='')}"

    def error(method: str, query: str, name: str = target) -> dict[str, str]:
        answer = requests.request(method, f"{name}?{query}", timeout=60)
        [only] = answer.json()["error"].pop("errors")
        assert answer.json()["error"]["message"] == only.pop("message")
        assert answer.json()["error"]["code"] == answer.status_code
        return dict(only)

    not_met = {"domain": "global", "reason": "conditionNotMet", "locationType": "header"}
    assert error("GET", "ifGenerationMatch=1") == not_met | {"location": "If-Match"}
    assert error("DELETE", "ifMetagenerationMatch=1") == not_met | {"location": "If-Match"}
    assert error("DELETE", f"ifGenerationNotMatch={blob.generation}") == not_met | {"location": "If-None-Match"}
    assert error("GET", "", f"{target}x") == {"domain": "global", "reason": "notFound"}
    assert error("GET", "unknown=1") == {"domain": "global", "reason": "invalid"}
    unchanged = requests.get(target, params={"ifGenerationNotMatch": str(blob.generation)}, timeout=60)
    assert (unchanged.status_code, unchanged.content) == (304, b"")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("acl", [{"entity": "allUsers", "role": "READER"}]),
        ("contexts", {"custom": {"a": {"value": "1"}}}),
        ("customTime", "yesterday"),
        ("eventBasedHold", True),
        ("kmsKeyName", "k"),
        ("metadata", {"a": 1}),
        ("metadata", "a"),
        ("retention", {"mode": "Locked", "retainUntilTime": "2040-01-01T00:00:00Z"}),
        ("storageClass", "FROZEN"),
        ("tags", {"a": "b"}),
        ("temporaryHold", True),
    ],
)
def test_metadata_that_would_be_lost_is_refused(url: str, blob: storage.Blob, key: str, value: object) -> None:
    name = quote(blob.name, safe="")
    target, resource = f"{url}/storage/v1/b/{BUCKET}/o", {key: value}
    query = {"uploadType": "resumable", "name": blob.name}
    source = {"sourceObjects": [{"name": blob.name}], "destination": resource}
    for answer in (
        requests.post(f"{url}/upload/storage/v1/b/{BUCKET}/o", json=resource, params=query, timeout=60),
        requests.patch(f"{target}/{name}", json=resource, timeout=60),
        requests.put(f"{target}/{name}", json=resource, timeout=60),
        requests.post(f"{target}/{name}/rewriteTo/b/{BUCKET}/o/lost", json=resource, timeout=60),
        requests.post(f"{target}/{name}/copyTo/b/{BUCKET}/o/lost", json=resource, timeout=60),
        requests.post(f"{target}/lost/compose", json=source, timeout=60),
    ):
        assert answer.status_code == 400
        assert key in answer.text or str(value) in answer.text
    assert not blob.bucket.blob("lost").exists()


@pytest.mark.parametrize(
    "resource",
    [{"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}}}, {"labels": "a"}, {"colour": "red"}],
)
def test_property_of_a_bucket_that_would_be_lost_is_refused(url: str, resource: dict[str, object]) -> None:
    answer = requests.post(f"{url}/storage/v1/b?project=p", json={"name": "lost-lake", **resource}, timeout=60)
    assert answer.status_code == 400
    assert next(iter(resource)) in answer.text


def test_what_is_not_served_is_refused(bucket: storage.Bucket, blob: storage.Blob) -> None:
    def hold() -> None:
        blob.temporary_hold = True
        blob.patch()

    def batch() -> None:
        with bucket.client.batch():
            bucket.delete_blob(blob.name)

    def version() -> None:
        other = bucket.client.bucket("versioned-bucket")
        other.versioning_enabled = True
        bucket.client.create_bucket(other)

    for ask in (
        blob.make_public,
        hold,
        batch,
        version,
        bucket.get_iam_policy,
        bucket.patch,
        lambda: bucket.blob("x", encryption_key=b"0" * 32).upload_from_string(b"x"),
        lambda: bucket.blob("x", kms_key_name="k").upload_from_string(b"x"),
        lambda: bucket.blob("x").upload_from_string(b"x", predefined_acl="publicRead"),
        lambda: bucket.rename_blob(blob, "file/"),
        lambda: bucket.move_blob(blob, "x"),
    ):
        with pytest.raises((errors.BadRequest, errors.NotFound)):
            ask()
    assert blob.exists()
    with pytest.raises(errors.Conflict):
        bucket.delete()


# --- gcsfs and pandas


@pytest.fixture(scope="module")
def files(url: str) -> GCSFileSystem:
    # The class without the gRPC for zonal buckets, as with GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT=false.
    made = GCSFileSystem("p", token="anon", endpoint_url=url, skip_instance_cache=True)
    # Its threads start here, so that no test leaves them behind.
    made.pipe(f"{BUCKET}/gcsfs/first", b"first")
    with made.open(f"{BUCKET}/gcsfs/first") as file:
        assert file.read() == b"first"
    made.rm_file(f"{BUCKET}/gcsfs/first")
    return made


def test_gcsfs_reads_and_writes(files: GCSFileSystem) -> None:
    files.pipe(f"{BUCKET}/gcsfs/small", b"0123456789")
    large = os.urandom(3 * 2**20 + 5)  # in parts
    with files.open(f"{BUCKET}/gcsfs/large", "wb", block_size=UNIT) as file:
        for start in range(0, len(large), UNIT):
            file.write(large[start : start + UNIT])
    assert files.cat_file(f"{BUCKET}/gcsfs/small", 2, 5) == b"234"
    assert files.cat_file(f"{BUCKET}/gcsfs/large") == large
    assert files.glob(f"{BUCKET}/gcs*/s*") == [f"{BUCKET}/gcsfs/small"]
    files.cp_file(f"{BUCKET}/gcsfs/small", f"{BUCKET}/gcsfs/copy")
    files.merge(f"{BUCKET}/gcsfs/joined", [f"{BUCKET}/gcsfs/small", f"{BUCKET}/gcsfs/copy"])
    assert files.info(f"{BUCKET}/gcsfs/joined")["size"] == 20
    files.mv(f"{BUCKET}/gcsfs/copy", f"{BUCKET}/gcsfs/moved")  # a move is refused, so it copies and deletes
    files.setxattrs(f"{BUCKET}/gcsfs/small", trips="1")
    assert files.getxattr(f"{BUCKET}/gcsfs/small", "trips") == "1"
    with pytest.raises(FileExistsError):
        files.pipe_file(f"{BUCKET}/gcsfs/small", b"x", mode="create")
    assert [path.rpartition("/")[2] for path in files.find(f"{BUCKET}/gcsfs")] == ["joined", "large", "moved", "small"]
    files.rm_file(f"{BUCKET}/gcsfs/moved")
    assert not files.exists(f"{BUCKET}/gcsfs/moved")


def test_pandas_reads_and_writes(files: GCSFileSystem) -> None:
    frame = pandas.DataFrame({"trips": [1, 2]})
    frame.to_parquet(f"{BUCKET}/pandas/x.parquet", filesystem=files)
    assert pandas.read_parquet(f"{BUCKET}/pandas/x.parquet", filesystem=files).equals(frame)


# --- pyarrow


def test_pyarrow_reads_and_writes(front: Front) -> None:
    patience = datetime.timedelta(seconds=20)
    address = f"127.0.0.1:{front.port}"
    files = fs.GcsFileSystem(anonymous=True, endpoint_override=address, scheme="http", retry_time_limit=patience)
    folder = f"{BUCKET}/arrow"
    pyarrow.dataset.write_dataset(
        TABLE, folder, filesystem=files, format="parquet", partitioning=["month"], partitioning_flavor="hive"
    )
    read = pyarrow.dataset.dataset(folder, filesystem=files, format="parquet", partitioning="hive").to_table()
    assert read["trips"].to_pylist() == [1, 2, 3]
    large = os.urandom(20 * 2**20)
    for content in (large, b""):
        with files.open_output_stream(f"{folder}/stream") as stream:
            stream.write(content)
        assert files.get_file_info(f"{folder}/stream").size == len(content)
        assert files.open_input_file(f"{folder}/stream").read() == content
    files.copy_file(f"{folder}/stream", f"{folder}/copy")
    files.move(f"{folder}/copy", f"{folder}/moved")
    found = {one.path.removeprefix(f"{folder}/") for one in files.get_file_info(fs.FileSelector(folder))}
    assert {"stream", "moved"} <= found
    assert "copy" not in found
    files.delete_file(f"{folder}/moved")
    assert files.get_file_info(f"{folder}/moved").type == fs.FileType.NotFound


# --- DuckDB


_READ_WITH_DUCKDB = """
import sys
sys.path.append(sys.argv[1])  # gcsfs is not in the environment that DuckDB is in
import duckdb
from gcsfs.core import GCSFileSystem
connection = duckdb.connect()
connection.register_filesystem(GCSFileSystem("p", token="anon", endpoint_url=sys.argv[2], skip_instance_cache=True))
trips = connection.read_parquet(sys.argv[3], hive_partitioning=True)
print(trips.aggregate("month, sum(trips)").order("month").fetchall())
"""


def test_duckdb_reads_parquet_through_gcsfs(url: str, bucket: storage.Bucket, cloud_python: Path) -> None:
    """DuckDB reads ``gs://`` with a registered file system, for which it needs no extension of its own."""
    for month in ("01", "02"):
        rows = TABLE.filter(pyarrow.compute.field("month") == month).drop(["month"])
        with pa.BufferOutputStream() as stream:
            pyarrow.parquet.write_table(rows, stream)
        bucket.blob(f"duckdb/month={month}/x.parquet").upload_from_string(stream.getvalue().to_pybytes())
    arguments = [sysconfig.get_path("purelib"), url, f"gs://{BUCKET}/duckdb/*/x.parquet"]
    environment = {"PATH": os.environ["PATH"], "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}
    run = [cloud_python, "-c", _READ_WITH_DUCKDB, *arguments]
    answer = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (answer.returncode, answer.stdout) == (0, "[('01', 3), ('02', 3)]\n"), answer.stderr


def test_object_is_read_by_its_address_as_httpfs_does(front: Front, bucket: storage.Bucket) -> None:
    """The requests of DuckDB's extension httpfs, which is not installed here: the length by a HEAD, then ranges.

    Its ``gs://`` is the XML API, which is refused.
    """
    bucket.blob("duckdb/month=01/x.parquet").upload_from_string(b"0123456789")
    for name in ("duckdb/month=01/x.parquet", "duckdb%2Fmonth%3D01%2Fx.parquet?alt=media"):
        target = f"/download/storage/v1/b/{BUCKET}/o/{name}"
        head = front.send("HEAD", target)
        assert status(head) == 200
        assert b"content-length: 10" in head.lower()
        part = front.send("GET", target, Range="bytes=2-4")
        assert (status(part), part.rpartition(b"\r\n\r\n")[2]) == (206, b"234")
    for target in (f"/{BUCKET}/duckdb/month=01/x.parquet", f"/{BUCKET}/?list-type=2&prefix=duckdb"):
        answer = exchange(
            front.port, f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{front.port}\r\nConnection: close\r\n\r\n".encode()
        )
        assert status(answer) == 400
        assert b"use the JSON API" in answer
