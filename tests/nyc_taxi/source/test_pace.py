"""Sources that send too slowly, and sources that ask to be left alone for a while."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import requests

from nyc_taxi.source.addresses import AddressGuard
from nyc_taxi.source.connections import Pace, SourceAdapter
from nyc_taxi.source.download import announcement, download
from nyc_taxi.source.errors import SlowSourceError, SourceError
from nyc_taxi.source.request import LIMITS as USUAL
from nyc_taxi.source.request import Limits
from nyc_taxi.source.retry_after import LONGEST, retry_after
from tests.attacks.promises import attack
from tests.waiting import wait_until

pytestmark = attack("transfers-are-bounded")

PATH = "/green/green_tripdata_2021-01.csv.gz"
# What a test is not about is out of reach, also on a slow machine.
PATIENT = Limits(silence_seconds=300.0, answer_seconds=300.0, window_seconds=300.0, pause_seconds=0.001)
SLOW_BODY = replace(PATIENT, window_seconds=0.3, window_bytes=1000)
SLOW_HEADERS = replace(PATIENT, answer_seconds=0.3)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "run" / "file.csv.gz"


def _download(url: str, target: Path, limits: Limits = PATIENT) -> int:
    with requests.Session() as session:
        session.trust_env = False
        return download(session, url, target, limits=limits).size


def _drip(source, beginning: bytes, drop: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(beginning)
        try:
            while not source.stopping.wait(0.02):
                request.wfile.write(drop)
        except OSError:  # cut off
            return

    return answer


OK = b'HTTP/1.1 200 OK\r\nETag: "5f2a"\r\n'


@pytest.mark.parametrize(
    ("beginning", "drop"),
    [
        (OK + b"Content-Length: 1000000\r\n\r\n", b"x"),
        (OK + b"\r\n", b"x"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5;extension=", b"x"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"Trailer: x\r\n"),
    ],
    ids=["length", "no length", "chunks", "size of a chunk", "trailers"],
)
def test_a_body_that_drips_is_given_up(source, target: Path, beginning: bytes, drop: bytes) -> None:
    url = source.script(PATH, _drip(source, beginning, drop))
    with pytest.raises(SlowSourceError) as caught:
        _download(url, target, SLOW_BODY)
    assert str(caught.value) == (
        f"the source sent less than 1,000 bytes of {url} in 0.3 s, so the transfer was given up"
    )
    assert len(source.requests) == 1  # the retry of the task asks again, later and without a worker slot
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nETag: "], ids=["status", "header"])
def test_headers_that_drip_are_given_up(source, target: Path, beginning: bytes) -> None:
    url = source.script(PATH, _drip(source, beginning, b"x"))
    message = f"^the source did not answer within 0.3 s: {re.escape(url)}$"
    with pytest.raises(SlowSourceError, match=message):
        _download(url, target, SLOW_HEADERS)
    with requests.Session() as session, pytest.raises(SlowSourceError, match=message):
        announcement(session, url, limits=SLOW_HEADERS)


class _Windows:
    """In place of the event that ends a watch: each wait is one window, in which as many bytes arrive as it is told."""

    def __init__(self, pace: Pace, arriving: Sequence[int]) -> None:
        self._pace, self._arriving = pace, list(arriving)
        self._over = threading.Event()
        self.set, self.is_set = self._over.set, self._over.is_set

    def wait(self, seconds: float) -> bool:
        assert seconds == 60.0 or self._pace._too_slow
        if not self._arriving:
            return self._over.wait(300.0)
        self._pace.add(self._arriving.pop(0))
        return False


@pytest.mark.parametrize(
    ("arriving", "fast"),
    [([1000, 1000, 5000], True), ([], True), ([999], False), ([5000, 0], False), ([1000, 999, 5000], False)],
)
def test_a_transfer_is_fast_enough_if_each_window_has_its_bytes(arriving: Sequence[int], fast: bool) -> None:
    cut = threading.Event()
    adapter = SourceAdapter()
    adapter.abort = cut.set  # type: ignore[method-assign]
    pace = Pace(adapter, seconds=60.0, minimum=1000, message="too slow")
    windows = pace._done = _Windows(pace, arriving)  # type: ignore[assignment]
    with nullcontext() if fast else pytest.raises(SlowSourceError, match="too slow"), pace:
        wait_until(lambda: not windows._arriving or pace._too_slow, "all windows are over")
        assert fast or cut.wait(60)
    assert cut.is_set() is not fast


def test_all_bytes_of_a_body_count(source, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    monkeypatch.setattr(Pace, "add", lambda pace, size: counted.append(size))
    assert _download(source.serve(PATH, b"x" * 4_000_000), target) == 4_000_000
    assert sum(counted) == 4_000_000
    assert len(counted) > 1, "while it arrives, not at its end"


def test_a_connection_that_is_opened_only_after_the_limit_is_cut_too(source, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name was being looked up, for example: at the limit, there was nothing to cut."""
    url = source.script(PATH, _drip(source, b"HTTP/1.1 200 OK\r\nETag: ", b"x"))
    too_early, abort = threading.Event(), SourceAdapter.abort
    check = AddressGuard.check_name

    def late(guard: AddressGuard, host: str, port: int) -> None:
        assert too_early.wait(60)
        check(guard, host, port)

    def record(adapter: SourceAdapter) -> None:
        abort(adapter)
        too_early.set()

    monkeypatch.setattr(AddressGuard, "check_name", late)
    monkeypatch.setattr(SourceAdapter, "abort", record)
    with (
        requests.Session() as session,
        pytest.raises(SlowSourceError, match=r"^the source did not answer within 0.3 s"),
    ):
        announcement(session, url, limits=SLOW_HEADERS)


def test_the_page_states_the_limits() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "sources.md").read_text()
    section = page.split("## Transfers\n")[1].split("\n## ")[0]
    stated = re.findall(r"(?m)^\| (.*) \| ([\d,]+ ?(?:s|KiB|)) *\|$", section)
    pauses = ", ".join(f"{USUAL.pause_seconds * 2**at:g}" for at in range(USUAL.resumptions))
    assert [(name, value.strip()) for name, value in stated] == [
        ("time to connect", f"{USUAL.connect_seconds:g} s"),
        ("time between two bytes", f"{USUAL.silence_seconds:g} s"),
        ("time until the headers of an answer are complete", f"{USUAL.answer_seconds:g} s"),
        (
            f"minimum of a body's bytes, in each window of {USUAL.window_seconds:g} s",
            f"{USUAL.window_bytes // 1024} KiB",
        ),
        ("redirects of one request", f"{USUAL.redirects}"),
        (f"resumptions of one download, with pauses of {pauses} s", f"{USUAL.resumptions}"),
        ("longest wait for `Retry-After`", f"{LONGEST:,.0f} s"),
    ]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0.0),
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": " 7 "}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "86400"}, LONGEST),
        ({"Retry-After": "9" * 5000}, LONGEST),
        ({"Retry-After": "-5"}, 0.0),
        ({"Retry-After": "soon"}, 0.0),
        ({"Retry-After": "²"}, 0.0),
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0.0),
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT", "Date": "Fri, 31 Dec 1999 23:57:59 GMT"}, 120.0),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, LONGEST),
        ({"Retry-After": "Fri, 31 Dec 99999 23:59:59 GMT"}, 0.0),
    ],
)
def test_the_wait_that_a_source_asks_for(headers: dict[str, str], seconds: float) -> None:
    assert retry_after(headers) == seconds


@pytest.mark.parametrize("status", [403, 429, 503])
def test_a_refusal_says_how_long_the_source_asks_to_wait(source, target: Path, status: int) -> None:
    url = source.serve(PATH, b"", status=status, **{"Retry-After": "90"})
    with pytest.raises(SourceError) as caught:
        _download(url, target)
    assert caught.value.retry_after == 90.0


@attack("headers-are-data")
@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 503 \x1b[2Jgone\r\n\r\n",
        b"\x1b[2Jno HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: \x1b[2J\r\nContent-Length: 1\r\n\r\nx",
    ],
    ids=["reason", "status line", "encoding"],
)
def test_no_answer_can_write_to_the_terminal(source, tmp_path: Path, raw: bytes) -> None:
    url = source.script("/zones.csv", lambda request: request.wfile.write(raw))
    with pytest.raises(SourceError, match=r"\\x1b\[2J") as caught:
        _download(url, tmp_path / "zones.csv")
    assert "\x1b" not in str(caught.value)
    # The log would print the original error, too.
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@attack("headers-are-data")
def test_a_tag_cannot_write_to_the_terminal(source) -> None:
    url = source.serve(PATH, b"the file", ETag='"\x1b[2J"')
    with requests.Session() as session:
        assert announcement(session, url).version == r'etag="\x1b[2J" length=8'
