"""What a request adds to a resumable upload: parts that follow one another, repeated parts, and questions."""

from __future__ import annotations

import pytest

from local.cloud.gcs.errors import RefusedError
from local.cloud.gcs.uploads import Part, Upload, Uploads, read_part

UNIT = 2**18


def upload(received: int = 0) -> Upload:
    return Upload(("lake", "x"), {}, received)


@pytest.mark.parametrize(
    ("received", "content_range", "length", "part"),
    [
        (0, None, 10, Part(end=10)),
        (0, None, None, Part(end=None)),
        (0, "bytes 0-9/10", 10, Part(end=10)),
        (0, f"bytes 0-{UNIT - 1}/*", UNIT, Part(end=UNIT, is_last=False)),
        (UNIT, f"bytes {UNIT}-{UNIT + 4}/{UNIT + 5}", 5, Part(end=UNIT + 5)),
        # The end of an upload whose length was not known before, and of an empty one.
        (UNIT, f"bytes */{UNIT}", 0, Part(end=UNIT)),
        (0, "bytes */0", 0, Part(end=0)),
        # How much has arrived? fake-gcs-server takes both for the end.
        (UNIT, f"bytes */{2 * UNIT}", 0, Part(end=UNIT, is_last=False, is_question=True)),
        (UNIT, "bytes */*", 0, Part(end=UNIT, is_last=False, is_question=True)),
        # A part that has arrived before, whole or at its start. fake-gcs-server appends it again.
        (UNIT, f"bytes 0-{UNIT - 1}/*", UNIT, Part(skip=UNIT, end=UNIT, is_last=False, is_question=True)),
        (UNIT, f"bytes 0-{2 * UNIT - 1}/{2 * UNIT}", 2 * UNIT, Part(skip=UNIT, end=2 * UNIT)),
    ],
)
def test_part_is_read(received: int, content_range: str | None, length: int | None, part: Part) -> None:
    assert read_part(upload(received), content_range, length) == part


@pytest.mark.parametrize(
    ("received", "content_range", "length"),
    [
        (UNIT, None, 10),
        (0, "bytes 0-9/10", 9),
        (0, "bytes 0-9/10", None),
        (0, "bytes 0-9/5", 10),
        (0, "bytes 9-0/10", 10),
        (0, "bytes 0-99/*", 100),
        (0, "bytes 0-99/200", 100),
        (0, f"bytes {UNIT}-{UNIT + 9}/{UNIT + 10}", 10),
        (0, "bytes */*", 10),
        (0, "bytes */10", 10),
        (0, "0-9/10", 10),
        (0, "bytes 0-*/*", 10),
        (0, f"bytes 0-{'9' * 400}/*", 10),
    ],
)
def test_part_that_does_not_follow_is_refused(received: int, content_range: str | None, length: int | None) -> None:
    with pytest.raises(RefusedError) as refused:
        read_part(upload(received), content_range, length)
    assert refused.value.status in (400, 411)


def test_uploads_that_never_end_are_forgotten() -> None:
    uploads = Uploads()
    for number in range(1001):
        uploads.begin(str(number), upload())
    assert uploads.find("1") == upload()
    uploads.cancel("1")
    for gone in ("0", "1", ""):
        with pytest.raises(RefusedError, match="begin it anew"):
            uploads.find(gone)
