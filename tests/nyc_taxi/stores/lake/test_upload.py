"""Uploading to the lake, on the GCS emulator: an older download does not replace a newer one."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from google.cloud import storage
from google.cloud.exceptions import PreconditionFailed

from nyc_taxi.stores.lake import upload
from nyc_taxi.stores.lake.upload import OVERTAKEN, UPLOADS, UploadOperator
from tests.local.cloud.conftest import Cloud, cloud_in

EARLIER, LATER = "2026-01-02T03:04:05.000006+00:00", "2026-01-02T03:04:05.000007+00:00"
SMALL, RESUMABLE = 100, 9 * 2**20


class _Lake:
    """The lake's bucket, and uploads to one object of it."""

    def __init__(self, bucket: storage.Bucket, folder: Path, name: str) -> None:
        self.bucket, self.folder, self.name = bucket, folder, name

    def upload(self, content: bytes, downloaded_at: str) -> Any:
        source = self.folder / "file"
        source.write_bytes(content)
        operator = UploadOperator(
            task_id="local_to_gcs",
            src=str(source),
            bucket=self.bucket.name,
            dst=self.name,
            chunk_size=2**18 * 8,
            downloaded_at=downloaded_at,
        )
        return operator.execute({"ti": SimpleNamespace(xcom_push=lambda key, value: None)})  # type: ignore[typeddict-item]

    def content(self) -> bytes:
        return self.bucket.blob(self.name).download_as_bytes()

    def generation(self) -> int:
        return int(self.bucket.get_blob(self.name).generation)


def _now(**ahead: float) -> str:
    return (datetime.now(UTC) + timedelta(**ahead)).isoformat(timespec="microseconds")


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
def lake(gcs: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> _Lake:
    client = gcs.storage_client()
    monkeypatch.setattr(upload, "GCSHook", lambda **_: SimpleNamespace(get_conn=lambda: client))
    return _Lake(client.bucket(gcs.settings.lake_bucket), tmp_path, f"upload/{request.node.name}")


def test_an_older_download_is_skipped_and_says_so(lake: _Lake) -> None:
    assert lake.upload(b"new", LATER) == [f"gs://{lake.bucket.name}/{lake.name}"]
    with pytest.raises(AirflowSkipException) as skipped:
        lake.upload(b"old", EARLIER)
    assert str(skipped.value) == (
        f"{OVERTAKEN}: gs://{lake.bucket.name}/{lake.name} was made from the download of {LATER}, this run's is of "
        f"{EARLIER}. The object stays. To load what the source has now, start a new run."
    )
    assert lake.content() == b"new"


def test_the_log_tells_how_far_the_upload_is_and_its_end(
    lake: _Lake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("nyc_taxi.common.progress.INTERVAL", 0.0)
    monkeypatch.setattr(UploadOperator, "log", logging.getLogger("upload"))
    caplog.set_level(logging.INFO)
    lake.upload(os.urandom(RESUMABLE), EARLIER)
    lines = [line.split(", ")[:2] for line in caplog.messages if " of upload of file: " in line]
    assert lines[0] == ["Progress of upload of file: 2.1 MB", "22%"]
    assert lines[-1] == ["End of upload of file: 9.4 MB", "100%"]


@pytest.mark.parametrize("size", [SMALL, RESUMABLE])
@pytest.mark.parametrize(("published", "own"), [(EARLIER, LATER), (EARLIER, EARLIER), ("", EARLIER), (LATER, "")])
def test_every_other_upload_replaces_the_object(lake: _Lake, published: str, own: str, size: int) -> None:
    lake.upload(os.urandom(size), published)
    content = os.urandom(size)
    lake.upload(content, own)
    assert lake.content() == content


@pytest.mark.parametrize("mark", ["2026-01-02T03:04:06", "yesterday"])
def test_a_mark_that_is_no_time_keeps_nothing_out(lake: _Lake, mark: str) -> None:
    blob = lake.bucket.blob(lake.name)
    blob.metadata = {upload.DOWNLOADED_AT: mark}
    blob.upload_from_string(b"before")
    lake.upload(b"after", EARLIER)
    assert lake.content() == b"after"


def test_a_mark_that_was_removed_keeps_nothing_out(lake: _Lake) -> None:
    """As docs/operations.md says it: only the metadata goes, the object stays."""
    lake.upload(b"before", LATER)
    blob = lake.bucket.get_blob(lake.name)
    blob.metadata = {upload.DOWNLOADED_AT: None}
    blob.patch()
    assert lake.content() == b"before"
    lake.upload(b"after", EARLIER)
    assert lake.content() == b"after"


def test_after_a_clock_that_was_ahead_the_time_of_the_upload_decides(lake: _Lake) -> None:
    stopped = _now()
    lake.upload(b"clock ahead", _now(hours=1))
    with pytest.raises(AirflowSkipException, match=OVERTAKEN):
        lake.upload(b"stopped meanwhile", stopped)
    assert lake.content() == b"clock ahead"
    lake.upload(b"clock back", _now())
    assert lake.content() == b"clock back"


@pytest.mark.parametrize("size", [SMALL, RESUMABLE])
@pytest.mark.parametrize("exists", [True, False])
def test_an_upload_whose_answer_was_lost_is_recognized_and_not_repeated(
    lake: _Lake, monkeypatch: pytest.MonkeyPatch, size: int, exists: bool
) -> None:
    if exists:
        lake.upload(b"before", EARLIER)
    own_upload, uploaded = UploadOperator._upload, []

    def lose_answer(self: UploadOperator, bucket: storage.Bucket, generation: int) -> None:
        own_upload(self, bucket, generation)
        uploaded.append(lake.generation())
        raise PreconditionFailed("the client's second attempt")

    monkeypatch.setattr(UploadOperator, "_upload", lose_answer)
    assert lake.upload(os.urandom(size), LATER) == [f"gs://{lake.bucket.name}/{lake.name}"]
    assert uploaded == [lake.generation()]


def test_a_retry_after_an_upload_that_arrived_uploads_nothing(lake: _Lake) -> None:
    lake.upload(b"content", LATER)
    uploaded = lake.generation()
    lake.upload(b"content", LATER)
    assert lake.generation() == uploaded


@pytest.mark.parametrize(("content", "downloaded_at"), [(b"other", LATER), (b"content", EARLIER), (b"content", "")])
def test_an_object_that_differs_in_content_or_download_is_not_taken_for_the_own(
    lake: _Lake, monkeypatch: pytest.MonkeyPatch, content: bytes, downloaded_at: str
) -> None:
    """Another run uploads between the look and the upload; the upload is refused, and made after a second look."""
    own_upload = UploadOperator._upload

    def overtaken(self: UploadOperator, bucket: storage.Bucket, generation: int) -> None:
        monkeypatch.setattr(UploadOperator, "_upload", own_upload)
        own_file = Path(self.src).read_bytes()
        lake.upload(content, downloaded_at)
        other = lake.generation()
        Path(self.src).write_bytes(own_file)
        with pytest.raises(PreconditionFailed):
            own_upload(self, bucket, generation)
        assert lake.generation() == other
        raise PreconditionFailed("as seen")

    monkeypatch.setattr(UploadOperator, "_upload", overtaken)
    lake.upload(b"content", LATER)
    blob = lake.bucket.get_blob(lake.name)
    assert (lake.content(), blob.metadata) == (b"content", {upload.DOWNLOADED_AT: LATER})


@pytest.mark.parametrize("size", [SMALL, RESUMABLE])
@pytest.mark.parametrize("exists", [True, False])
def test_of_two_uploads_at_once_the_newer_download_wins(
    lake: _Lake, monkeypatch: pytest.MonkeyPatch, size: int, exists: bool
) -> None:
    """The newer object appears after the older run has looked, and before its upload ends."""
    if exists:
        lake.upload(b"before", "2020-01-01T00:00:00.000000+00:00")
    newer = os.urandom(size)
    own_upload = UploadOperator._upload

    def overtaken(self: UploadOperator, bucket: storage.Bucket, generation: int) -> None:
        monkeypatch.setattr(UploadOperator, "_upload", own_upload)
        lake.upload(newer, LATER)
        Path(self.src).write_bytes(os.urandom(size))
        own_upload(self, bucket, generation)

    monkeypatch.setattr(UploadOperator, "_upload", overtaken)
    with pytest.raises(AirflowSkipException, match=OVERTAKEN):
        lake.upload(b"x", EARLIER)
    assert lake.content() == newer


def test_an_object_that_is_replaced_before_every_upload_is_an_error(
    lake: _Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_upload = UploadOperator._upload

    def overtaken(self: UploadOperator, bucket: storage.Bucket, generation: int) -> None:
        bucket.blob(lake.name).upload_from_string(b"another")
        own_upload(self, bucket, generation)

    monkeypatch.setattr(UploadOperator, "_upload", overtaken)
    with pytest.raises(RuntimeError, match=f"before each of {UPLOADS} uploads"):
        lake.upload(b"x", EARLIER)
    assert lake.content() == b"another"
