"""Transfers that break off: resumed at the byte, started over, or refused; and bodies cut short on the way."""

from __future__ import annotations

import errno
import re
import uuid
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import requests

from nyc_taxi.common.files import DiskFullError
from nyc_taxi.source.download import Announcement, Download, announcement, download
from nyc_taxi.source.errors import NotPublishedError, SourceError
from nyc_taxi.source.request import Limits
from tests.attacks.promises import attack

pytestmark = attack("transfers-are-bounded")

PATH = "/green/green_tripdata_2021-01.csv.gz"
BODY = bytes(range(256)) * 40
TAG = '"5f2a"'
MODIFIED = {"Last-Modified": "Mon, 01 Mar 2021 00:00:01 GMT"}
LIMITS = Limits(pause_seconds=0.001, longest_pause=0.5)
# The number of bytes after which an answer breaks off; None: it does not.
Cuts = Sequence[int | None]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "run" / "file.csv.gz"


def _download(url: str, target: Path, *, announced: str = "", limits: Limits = LIMITS) -> Download:
    with requests.Session() as session:
        session.trust_env = False
        return download(session, url, target, announced=announced, limits=limits)


def _answer(
    request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str], *, cut: int | None = None
) -> None:
    # Like send_response, but a Date of its own can be given.
    request.send_response_only(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body if cut is None else body[:cut])


def _ranged(source, cuts: Cuts, body: bytes = BODY, **headers: str) -> str:
    """Serve ``body`` as RFC 9110 asks for; the answers break off after as many bytes as ``cuts`` says in turn."""
    left = list(cuts)

    def answer(request: BaseHTTPRequestHandler) -> None:
        cut = left.pop(0) if left else None
        begin = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        validators = [value for name, value in headers.items() if name in ("ETag", "Last-Modified")]
        if begin is None or request.headers.get("If-Range") not in validators:
            _answer(request, 200, body, headers, cut=cut)
            return
        first = int(begin[1])
        places = f"bytes {first}-{len(body) - 1}/{len(body)}"
        _answer(request, 206, body[first:], {**headers, "Content-Range": places}, cut=cut)

    return source.script(PATH, answer)


def _asked(source) -> list[tuple[str | None, str | None]]:
    return [(headers.get("Range"), headers.get("If-Range")) for _, headers in source.requests]


def test_a_transfer_that_breaks_off_twice_is_resumed_at_its_bytes(source, target: Path) -> None:
    done = _download(_ranged(source, [1000, 500], ETag=TAG), target)
    assert target.read_bytes() == BODY
    assert done[:2] == (len(BODY), f"etag={TAG} length={len(BODY)}")
    assert _asked(source) == [(None, None), ("bytes=1000-", TAG), ("bytes=1500-", TAG)]
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_settled_modification_time_proves_the_version_where_there_is_no_tag(source, target: Path) -> None:
    headers = {**MODIFIED, "Date": "Mon, 01 Mar 2021 00:01:01 GMT"}
    _download(_ranged(source, [1000], **headers), target)
    assert target.read_bytes() == BODY
    assert _asked(source)[1] == ("bytes=1000-", MODIFIED["Last-Modified"])


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ETag": f"W/{TAG}"},
        {"ETag": f"W/{TAG}", **MODIFIED, "Date": "Tue, 02 Mar 2021 00:00:00 GMT"},
        {"ETag": "no quotes"},
        MODIFIED,
        {**MODIFIED, "Date": "Mon, 01 Mar 2021 00:01:00 GMT"},
        {**MODIFIED, "Date": "never"},
        {"ETag": TAG, "Accept-Ranges": "none"},
    ],
    ids=["nothing", "weak", "weak and time", "no tag", "no date", "59 s", "no such date", "no ranges"],
)
def test_what_does_not_identify_the_version_is_left_to_the_tasks_retry(
    source, target: Path, headers: dict[str, str]
) -> None:
    with pytest.raises(SourceError, match=r"IncompleteRead\(1000 bytes read, 9240 more expected\)"):
        _download(_ranged(source, [1000], **headers), target)
    assert len(source.requests) == 1
    assert list(target.parent.iterdir()) == []


def test_another_version_is_transferred_from_its_beginning(source, target: Path) -> None:
    newer, headers = b"newer and shorter", {"ETag": '"newer"'}
    answers = iter(
        [
            lambda request: _answer(request, 200, BODY, {"ETag": TAG}, cut=1000),
            lambda request: _answer(request, 200, newer, headers, cut=9),
            lambda request: _answer(request, 206, newer[9:], {**headers, "Content-Range": "bytes 9-16/17"}),
        ]
    )
    done = _download(source.script(PATH, lambda request: next(answers)(request)), target)
    assert target.read_bytes() == newer
    assert done[:2] == (17, 'etag="newer" length=17')
    assert _asked(source) == [(None, None), ("bytes=1000-", TAG), ("bytes=9-", '"newer"')]


def _places(text: str, body: bytes = BODY[1000:], status: int = 206, **headers: str) -> Callable[..., None]:
    return lambda request: _answer(request, status, body, {"ETag": TAG, "Content-Range": text, **headers})


@pytest.mark.parametrize(
    "wrong",
    [
        _places("bytes 999-10239/10240", BODY[999:]),
        _places("bytes 1000-10239/10241"),
        _places("bytes 1000-10239/10240", ETag='"other"'),
        _places("1000-10239/10240"),
        _places(""),
        _places("bytes */10240", b"", 416),
        _places("bytes */500", b"", 416),
    ],
    ids=["other begin", "other total", "other tag", "malformed", "none", "416", "416 of a shorter file"],
)
def test_an_answer_that_does_not_continue_the_file_starts_it_over(
    source, target: Path, wrong: Callable[..., None]
) -> None:
    answers = iter(
        [
            lambda request: _answer(request, 200, BODY, {"ETag": TAG}, cut=1000),
            wrong,
            lambda request: _answer(request, 200, BODY, {"ETag": TAG}),
        ]
    )
    _download(source.script(PATH, lambda request: next(answers)(request)), target)
    assert target.read_bytes() == BODY
    assert _asked(source) == [(None, None), ("bytes=1000-", TAG), (None, None)]


def test_a_part_of_the_rest_is_taken_and_the_next_part_requested(source, target: Path) -> None:
    answers = iter(
        [
            lambda request: _answer(request, 200, BODY, {"ETag": TAG}, cut=1000),
            _places("bytes 1000-1999/10240", BODY[1000:2000]),
            _places("bytes 2000-10239/10240", BODY[2000:]),
        ]
    )
    _download(source.script(PATH, lambda request: next(answers)(request)), target)
    assert target.read_bytes() == BODY


def test_a_chunked_transfer_is_resumed(source, target: Path) -> None:
    def broken(request: BaseHTTPRequestHandler) -> None:
        request.protocol_version = "HTTP/1.1"
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.send_header("ETag", TAG)
        request.end_headers()
        request.wfile.write(b"400\r\n" + BODY[:1000])  # 24 bytes of the chunk are missing

    answers = iter([broken, _places("bytes 1000-10239/10240")])
    _download(source.script(PATH, lambda request: next(answers)(request)), target)
    assert target.read_bytes() == BODY


def test_a_source_that_is_busy_during_a_resumption_is_asked_again(source, target: Path) -> None:
    answers = iter(
        [
            lambda request: _answer(request, 200, BODY, {"ETag": TAG}, cut=1000),
            lambda request: _answer(request, 503, b"", {}),
            lambda request: None,  # closes the connection
            _places("bytes 1000-10239/10240"),
        ]
    )
    _download(source.script(PATH, lambda request: next(answers)(request)), target)
    assert target.read_bytes() == BODY


def test_a_long_wait_is_left_to_the_tasks_retry(source, target: Path) -> None:
    answers = iter(
        [
            lambda request: _answer(request, 200, BODY, {"ETag": TAG}, cut=1000),
            lambda request: _answer(request, 503, b"", {"Retry-After": "120"}),
        ]
    )
    with pytest.raises(SourceError) as caught:
        _download(source.script(PATH, lambda request: next(answers)(request)), target)
    assert caught.value.retry_after == 120.0


def test_a_file_that_is_withdrawn_meanwhile_is_not_published(source, target: Path) -> None:
    answers = iter(
        [
            lambda request: _answer(request, 200, BODY, {"ETag": TAG}, cut=1000),
            lambda request: _answer(request, 404, b"", {}),
        ]
    )
    with pytest.raises(NotPublishedError):
        _download(source.script(PATH, lambda request: next(answers)(request)), target)
    assert list(target.parent.iterdir()) == []


def test_it_is_resumed_a_limited_number_of_times(source, target: Path) -> None:
    with pytest.raises(SourceError, match="IncompleteRead"):
        _download(_ranged(source, [10] * 100, ETag=TAG), target)
    assert len(source.requests) == 1 + LIMITS.resumptions
    assert list(target.parent.iterdir()) == []


# Bodies that are shorter than what the source announced before


def _shortened(source, *, length: int, headers: dict[str, str], now: int) -> str:
    """Serve the file cut to ``length`` with a matching Content-Length; a request of one byte states ``now``."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.headers.get("Range") == "bytes=0-0":
            _answer(request, 206, BODY[:1], {**headers, "Content-Range": f"bytes 0-0/{now}"})
        else:
            _answer(request, 200, BODY[:length], headers)

    return source.script(PATH, answer)


@pytest.mark.parametrize(
    ("headers", "announced"),
    [
        ({"ETag": TAG}, f"etag={TAG} length=10240"),
        ({}, f"etag={TAG} length=10240"),
        ({"ETag": '"another"'}, f"etag={TAG} length=10240"),
        (MODIFIED, f"last-modified='{MODIFIED['Last-Modified']}' length=10240"),
        ({}, "length=10240"),
    ],
    ids=["same tag", "tag lost", "another tag", "same time", "length alone"],
)
def test_a_body_cut_short_on_the_way_is_a_fault_of_the_transfer_to_retry(
    source, target: Path, headers: dict[str, str], announced: str
) -> None:
    url = _shortened(source, length=999, headers=headers, now=10240)
    with pytest.raises(SourceError) as caught:
        _download(url, target, announced=announced)
    assert str(caught.value) == (
        f"the source announced 10,240 bytes for {url} but sent 999: the transfer was cut short or mixed up on the way"
    )
    assert list(target.parent.iterdir()) == []


def test_the_same_version_cannot_have_another_length_whatever_the_source_says_now(source, target: Path) -> None:
    url = _shortened(source, length=999, headers={"ETag": TAG}, now=999)
    with pytest.raises(SourceError, match="announced 10,240 bytes"):
        _download(url, target, announced=f"etag={TAG} length=10240")


def test_a_file_that_was_replaced_since_it_was_announced_is_taken(source, target: Path) -> None:
    url = _shortened(source, length=999, headers={"ETag": '"newer"'}, now=999)
    done = _download(url, target, announced=f"etag={TAG} length=10240")
    assert done[:2] == (999, 'etag="newer" length=999')


@pytest.mark.parametrize("announced", ["", f"etag={TAG} length=10240", "length=10240", "length=None", "nonsense"])
def test_a_file_as_announced_takes_one_request(source, target: Path, announced: str) -> None:
    _download(source.serve(PATH, BODY, ETag='"whatever"'), target, announced=announced)
    assert target.read_bytes() == BODY
    assert len(source.requests) == 1


@pytest.mark.parametrize("headers", [{"ETag": TAG}, {"ETag": f"W/{TAG}"}, MODIFIED, {}])
def test_an_announcement_survives_as_text(source, headers: dict[str, str]) -> None:
    url = source.serve(PATH, BODY, **headers)
    with requests.Session() as session:
        stated = announcement(session, url)
    assert stated.length == len(BODY)
    assert Announcement.parse(str(stated)) == stated


def test_a_length_that_is_no_number_is_unknown(source) -> None:
    url = source.serve(PATH, b"", status=206, **{"Content-Range": f"bytes 0-0/{'9' * 5000}"})
    with requests.Session() as session:
        assert announcement(session, url).length is None


def test_a_full_disk_is_explained_and_nothing_is_left(source, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = source.serve(PATH, BODY)
    target.parent.mkdir()
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=7))
    target.with_name(f".{target.name}.{uuid.UUID(int=7).hex}.part").symlink_to("/dev/full")
    with pytest.raises(DiskFullError, match=r"file\.csv\.gz: its disk is full; .* MiB are free in") as caught:
        _download(url, target)
    assert caught.value.errno == errno.ENOSPC
    assert list(target.parent.iterdir()) == []
