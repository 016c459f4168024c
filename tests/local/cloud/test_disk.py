"""A full disk below the embedded servers: each says so and where, and goes on when there is room again."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from local.cloud.disk import full_folder
from tests.faults import disks
from tests.local.cloud.conftest import Cloud

MIB = 1 << 20
# Numbers without a pattern, so that no server can pack them.
ROWS = "SELECT RAND() AS a, RAND() AS b FROM UNNEST(GENERATE_ARRAY(1, 100000))"

MESSAGES = {
    'IO Error: Could not write file "/a b/d.duckdb": No space left on device': "/a b",
    'Failed to commit: Could not write file "/a/b/d.duckdb.wal": Disk quota exceeded': "/a/b",
    '{"error":{"message":"write /lake/x/.y.csv123: no space left on device"}}': "/lake/x",
    "mkdir /lake/a: no space left on device": "/lake",
    "there is no space left on device": None,
    'IO Error: Could not write file "/a/b": Input/output error': None,
}


@pytest.mark.parametrize("message", MESSAGES)
def test_the_folder_of_a_full_disk_is_found_in_what_other_programs_say(message: str) -> None:
    folder = full_folder(message)
    assert (None if folder is None else str(folder)) == MESSAGES[message]


@pytest.fixture
def small_cloud(tmp_path: Path, make_cloud: Callable[..., Cloud]) -> Iterator[Cloud]:
    """A lake and a warehouse on a small disk."""
    if os.getuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder = tmp_path / "small"
    folder.mkdir()
    with disks.mounted(folder, bytes=32 * MIB, owner=0):
        cloud = make_cloud(folder / "state")
        try:
            cloud.must("up", "gcs", "bigquery")
            yield cloud
        finally:
            cloud.run("down")


def _named(error: pytest.ExceptionInfo[GoogleAPICallError], server: str, folder: Path) -> bool:
    """Whether an error says which server cannot write where, how much room there is, and what to do."""
    there = rf"cannot write to {folder}\S*: its disk is full, or the quota on it is used up; 0 MiB of 32 MiB are free"
    return re.search(rf"the embedded {server} {there}\. Free some space there", str(error.value)) is not None


def test_each_server_names_the_disk_and_goes_on_when_there_is_room(small_cloud: Cloud) -> None:
    settings = small_cloud.settings
    bucket = small_cloud.storage_client().bucket(settings.lake_bucket)
    client = bigquery.Client(
        project=settings.project,
        credentials=AnonymousCredentials(),
        client_options=ClientOptions(api_endpoint=settings.bigquery_url),
    )
    client.create_dataset("d")
    bucket.blob("kept").upload_from_string(b"kept")
    filler = disks.fill(settings.state_dir)

    for blob, content in (("a/small", b"x"), ("a/large", b"x" * MIB), ("kept", b"y" * MIB)):
        with pytest.raises(GoogleAPICallError) as error:
            bucket.blob(blob).upload_from_string(content)
        assert _named(error, "Cloud Storage", settings.gcs_root)
    for statement in (f"CREATE TABLE d.t AS {ROWS}", f"BEGIN CREATE TABLE d.t AS {ROWS}; END"):
        with pytest.raises(GoogleAPICallError) as error:
            client.query(statement).result()
        assert _named(error, "BigQuery", settings.bigquery_dir)
    [(one,)] = client.query("SELECT 1").result()
    assert one == 1
    assert bucket.blob("kept").download_as_bytes() == b"kept"

    filler.unlink()
    bucket.blob("a/large").upload_from_string(b"x" * MIB)
    client.query(f"CREATE TABLE d.t AS {ROWS}").result()
    [(rows,)] = client.query("SELECT COUNT(*) FROM d.t").result()
    assert rows == 100_000
    assert sorted(blob.name for blob in bucket.list_blobs()) == ["a/large", "kept"]
