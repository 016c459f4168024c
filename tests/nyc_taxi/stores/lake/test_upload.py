"""Uploading to the lake, on the GCS emulator: an older download does not replace a newer one."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from google.cloud import storage
from google.cloud.exceptions import PreconditionFailed

from local.cloud.gcs import attributes
from nyc_taxi.registry.datasets import GREEN, ZONES
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.lake import mark, upload
from nyc_taxi.stores.lake.mark import DOWNLOADED_AT
from nyc_taxi.stores.lake.store import LOOK_UPS, LakeStore
from nyc_taxi.stores.lake.upload import CLOCK_AHEAD, OVERTAKEN, UPLOADS, UploadOperator
from nyc_taxi.stores.store import StoredMonth
from tests.local.cloud.conftest import Cloud, cloud_in

EARLIER, LATER = "2026-01-02T03:04:05.000006+00:00", "2026-01-02T03:04:05.000007+00:00"
LATEST = "2026-01-02T03:04:05.000008+00:00"
SMALL, RESUMABLE = 100, 9 * 2**20
FILES = [GREEN.file(Month(2021, 1)), ZONES.file()]


class _Lake:
    """The lake's bucket, and uploads to one object of it."""

    def __init__(self, bucket: storage.Bucket, folder: Path, name: str) -> None:
        self.bucket, self.folder, self.name = bucket, folder, name

    def upload(self, content: bytes, downloaded_at: str, run_started_at: str = "") -> Any:
        source = self.folder / "file"
        source.write_bytes(content)
        operator = UploadOperator(
            task_id="local_to_gcs",
            src=str(source),
            bucket=self.bucket.name,
            dst=self.name,
            chunk_size=2**18 * 8,
            downloaded_at=downloaded_at,
            run_started_at=run_started_at,
            rows="1234",
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


@pytest.fixture(params=FILES, ids=["month", "lookup"])
def file(lake: _Lake, request: pytest.FixtureRequest) -> Iterator[PublishedFile]:
    """A published file whose object the lake's uploads replace."""
    file: PublishedFile = request.param
    lake.name = file.lake_object
    yield file
    lake.bucket.blob(lake.name).delete()


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
    lines = [line for line in caplog.messages if " of upload of file: " in line]
    assert lines[0].startswith("Progress of upload of file: 2.1 MB, 22%, ")
    assert lines[-1].startswith("End of upload of file: 1,234 rows, 9.4 MB, 100%, ")


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
    blob.metadata = {DOWNLOADED_AT: mark}
    blob.upload_from_string(b"before")
    lake.upload(b"after", EARLIER)
    assert lake.content() == b"after"


def test_a_mark_that_was_removed_keeps_nothing_out(lake: _Lake) -> None:
    """As docs/operations.md says it: only the metadata goes, the object stays."""
    lake.upload(b"before", LATER)
    blob = lake.bucket.get_blob(lake.name)
    blob.metadata = {DOWNLOADED_AT: None}
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

    def lose_answer(self: UploadOperator, bucket: storage.Bucket, existing: storage.Blob | None) -> None:
        own_upload(self, bucket, existing)
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

    def overtaken(self: UploadOperator, bucket: storage.Bucket, existing: storage.Blob | None) -> None:
        monkeypatch.setattr(UploadOperator, "_upload", own_upload)
        own_file = Path(self.src).read_bytes()
        lake.upload(content, downloaded_at)
        other = lake.generation()
        Path(self.src).write_bytes(own_file)
        with pytest.raises(PreconditionFailed):
            own_upload(self, bucket, existing)
        assert lake.generation() == other
        raise PreconditionFailed("as seen")

    monkeypatch.setattr(UploadOperator, "_upload", overtaken)
    lake.upload(b"content", LATER)
    blob = lake.bucket.get_blob(lake.name)
    assert (lake.content(), blob.metadata) == (b"content", {DOWNLOADED_AT: LATER})


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

    def overtaken(self: UploadOperator, bucket: storage.Bucket, existing: storage.Blob | None) -> None:
        monkeypatch.setattr(UploadOperator, "_upload", own_upload)
        lake.upload(newer, LATER)
        Path(self.src).write_bytes(os.urandom(size))
        own_upload(self, bucket, existing)

    monkeypatch.setattr(UploadOperator, "_upload", overtaken)
    with pytest.raises(AirflowSkipException, match=OVERTAKEN):
        lake.upload(b"x", EARLIER)
    assert lake.content() == newer


def test_an_object_that_is_replaced_before_every_upload_is_an_error(
    lake: _Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_upload = UploadOperator._upload

    def overtaken(self: UploadOperator, bucket: storage.Bucket, existing: storage.Blob | None) -> None:
        bucket.blob(lake.name).upload_from_string(b"another")
        own_upload(self, bucket, existing)

    monkeypatch.setattr(UploadOperator, "_upload", overtaken)
    with pytest.raises(RuntimeError, match=f"before each of {UPLOADS} uploads"):
        lake.upload(b"x", EARLIER)
    assert lake.content() == b"another"


# The source has a version again that the lake still has


def _store(lake: _Lake) -> LakeStore:
    return LakeStore(lake.bucket.client, lake.bucket.name)


def _find(lake: _Lake, file: PublishedFile) -> StoredMonth:
    stored = _store(lake).find(file)
    assert stored is not None
    return stored


def _mark(lake: _Lake) -> str | None:
    return (lake.bucket.get_blob(lake.name).metadata or {}).get(DOWNLOADED_AT)


def test_a_run_that_was_stopped_is_overtaken_by_a_later_look_at_the_source(lake: _Lake, file: PublishedFile) -> None:
    """The source had A, then B, and has A again. The run with B is stopped before it uploads."""
    lake.upload(b"A", EARLIER)
    before = _find(lake, file)
    assert _store(lake).confirm(file, before, datetime.fromisoformat(LATEST))
    with pytest.raises(AirflowSkipException, match=f"was made from the download of {re.escape(LATEST)}, this run's is"):
        lake.upload(b"B", LATER)
    assert lake.content() == b"A"
    # BigQuery compares the generation, so it has nothing to load again.
    assert _find(lake, file) == before
    lake.upload(b"C", _now())
    assert lake.content() == b"C"


@pytest.mark.parametrize("mark", [LATER, ""])
def test_the_mark_is_raised_and_never_lowered(lake: _Lake, file: PublishedFile, mark: str) -> None:
    lake.upload(b"A", mark)
    blob = lake.bucket.get_blob(lake.name)
    blob.metadata = {**(blob.metadata or {}), "owner": "somebody"}
    blob.patch()
    for seen in (EARLIER, LATEST, LATER):
        assert _store(lake).confirm(file, _find(lake, file), datetime.fromisoformat(seen))
        assert _mark(lake) == (max(mark, EARLIER) if seen == EARLIER else LATEST)
    assert lake.bucket.get_blob(lake.name).metadata["owner"] == "somebody"


def test_an_object_that_was_replaced_since_the_look_is_not_confirmed(lake: _Lake, file: PublishedFile) -> None:
    lake.upload(b"A", EARLIER)
    seen = _find(lake, file)
    lake.upload(b"B", LATER)
    assert not _store(lake).confirm(file, seen, datetime.fromisoformat(LATEST))
    assert _mark(lake) == LATER
    lake.bucket.blob(lake.name).delete()
    assert not _store(lake).confirm(file, seen, datetime.fromisoformat(LATEST))
    lake.upload(b"A", EARLIER)


def test_a_mark_that_is_raised_between_the_look_and_the_upload_makes_it_look_again(
    lake: _Lake, file: PublishedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.upload(b"A", EARLIER)
    seen, own_upload = _find(lake, file), UploadOperator._upload

    def overtaken(self: UploadOperator, bucket: storage.Bucket, existing: storage.Blob | None) -> None:
        assert _store(lake).confirm(file, seen, datetime.fromisoformat(LATEST))
        own_upload(self, bucket, existing)

    monkeypatch.setattr(UploadOperator, "_upload", overtaken)
    with pytest.raises(AirflowSkipException, match=OVERTAKEN):
        lake.upload(b"B", LATER)
    assert lake.content() == b"A"


@pytest.mark.parametrize(("other", "is_confirmed"), [(EARLIER, True), (LATER, False)], ids=["metadata", "object"])
def test_an_object_that_changes_between_the_look_and_the_note_is_looked_at_again(
    lake: _Lake, file: PublishedFile, monkeypatch: pytest.MonkeyPatch, other: str, is_confirmed: bool
) -> None:
    lake.upload(b"A", EARLIER)
    seen, own_patch = _find(lake, file), storage.Blob.patch

    def changed(self: storage.Blob, **conditions: int) -> None:
        monkeypatch.setattr(storage.Blob, "patch", own_patch)
        if other == EARLIER:
            again = lake.bucket.get_blob(lake.name)
            again.metadata = {"owner": "somebody"}
            again.patch()
        else:
            lake.upload(b"B", other)
        own_patch(self, **conditions)

    monkeypatch.setattr(storage.Blob, "patch", changed)
    assert _store(lake).confirm(file, seen, datetime.fromisoformat(LATEST)) is is_confirmed
    assert _mark(lake) == (LATEST if is_confirmed else LATER)


def test_an_object_that_changes_before_every_note_is_an_error(
    lake: _Lake, file: PublishedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: storage.Blob, **conditions: int) -> None:
        raise PreconditionFailed("changed")

    lake.upload(b"A", EARLIER)
    monkeypatch.setattr(storage.Blob, "patch", refused)
    with pytest.raises(RuntimeError, match=f"was changed during each of {LOOK_UPS} look-ups"):
        _store(lake).confirm(file, _find(lake, file), datetime.fromisoformat(LATER))


# The clock of the whole machine was ahead


def _set_ahead(gcs: Cloud, lake: _Lake, hours: int) -> None:
    """Let the object be that of a worker and of a bucket whose clocks were ahead."""
    path = gcs.settings.gcs_root / lake.bucket.name / lake.name
    ahead = timedelta(hours=hours)
    found = attributes.read(path)
    for name in ("Created", "Updated"):
        found[name] = (datetime.fromisoformat(found[name]) + ahead).isoformat()
    mark = datetime.fromisoformat(found["Metadata"][DOWNLOADED_AT]) + ahead
    found["Metadata"][DOWNLOADED_AT] = mark.isoformat()
    found["Generation"] += int(ahead.total_seconds()) * 10**6
    attributes._write(path, found)
    assert lake.bucket.get_blob(lake.name).updated > datetime.now(UTC)


def test_a_mark_that_is_later_than_now_keeps_nothing_out(gcs: Cloud, lake: _Lake, file: PublishedFile) -> None:
    lake.upload(b"ahead", _now())
    _set_ahead(gcs, lake, 3)
    before = lake.generation()
    lake.upload(b"set back", _now())
    assert lake.content() == b"set back"
    assert lake.generation() > before, "BigQuery takes it for the newer object"


def test_a_mark_that_is_later_than_now_is_replaced_by_a_later_look(
    gcs: Cloud, lake: _Lake, file: PublishedFile
) -> None:
    lake.upload(b"ahead", _now())
    _set_ahead(gcs, lake, 3)
    stopped = _now()
    assert _store(lake).confirm(file, _find(lake, file), datetime.now(UTC))
    with pytest.raises(AirflowSkipException, match=OVERTAKEN):
        lake.upload(b"stopped", stopped)
    assert lake.content() == b"ahead"


def test_the_clock_of_the_bucket_decides_and_not_that_of_the_worker(
    lake: _Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of a worker that is behind does not make the newer mark one of the future."""
    lake.upload(b"new", _now())
    monkeypatch.setattr(mark, "datetime", SimpleNamespace(fromisoformat=datetime.fromisoformat, now=None))
    with pytest.raises(AirflowSkipException, match=OVERTAKEN):
        lake.upload(b"old", _now(hours=-2))
    assert lake.content() == b"new"


# The clock of the run's own worker was ahead when it downloaded


def test_a_run_whose_clock_was_ahead_does_not_replace_what_may_be_newer(lake: _Lake, file: PublishedFile) -> None:
    started, ahead, newer = _now(), _now(hours=1), _now()
    lake.upload(b"newer", newer)
    with pytest.raises(AirflowSkipException) as skipped:
        lake.upload(b"older", ahead, started)
    assert str(skipped.value) == (
        f"{CLOCK_AHEAD}: gs://{lake.bucket.name}/{lake.name} was made from the download of {newer}; this run started "
        f"at {started}, and its download is of {ahead}, which is later than now. The object stays. To load what the "
        "source has now, start a new run."
    )
    assert lake.content() == b"newer"
    lake.upload(b"clock back", _now(), _now())
    assert lake.content() == b"clock back"


@pytest.mark.parametrize("started", [{"hours": -1}, {"hours": 1}, None], ids=["before", "ahead too", "unknown"])
def test_only_a_start_after_the_newest_download_tells_that_a_run_is_newer(
    lake: _Lake, started: dict[str, float] | None
) -> None:
    lake.upload(b"published", _now())
    with pytest.raises(AirflowSkipException, match=CLOCK_AHEAD):
        lake.upload(b"skipped", _now(hours=2), "" if started is None else _now(**started))
    assert lake.content() == b"published"
    lake.upload(b"started later", _now(hours=2), _now())
    assert lake.content() == b"started later"


@pytest.mark.parametrize("mark", ["", "yesterday"])
def test_a_run_whose_clock_was_ahead_replaces_an_object_whose_download_is_not_known(lake: _Lake, mark: str) -> None:
    blob = lake.bucket.blob(lake.name)
    blob.metadata = {DOWNLOADED_AT: mark}
    blob.upload_from_string(b"before")
    lake.upload(b"after", _now(hours=1))
    assert lake.content() == b"after"


def test_a_retry_after_an_upload_by_a_clock_that_was_ahead_uploads_nothing(lake: _Lake) -> None:
    started, ahead = _now(), _now(hours=1)
    lake.upload(b"content", ahead, started)
    uploaded = lake.generation()
    lake.upload(b"content", ahead, started)
    assert lake.generation() == uploaded
