"""Downloads from an HTTP server on this machine."""

from __future__ import annotations

import gzip
import http
import logging
import socket
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import requests

from nyc_taxi.source import download as module
from nyc_taxi.source.download import download, file_version
from nyc_taxi.source.errors import NotPublishedError, PermanentSourceError, RefusedError, SourceError
from nyc_taxi.source.request import Limits

PATH = "/green/green_tripdata_2021-01.csv.gz"
BODY = gzip.compress(b"VendorID\n1\n") * 50


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "run" / "green_tripdata_2021-01.csv.gz"


def _fetch(url: str, target: Path, *, silence: float = 60.0) -> int:
    with requests.Session() as session:
        session.trust_env = False
        limits = Limits(silence_seconds=silence)
        return download(session, url, target, limits=limits).size


def _files(target: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in target.parent.glob("*")} if target.parent.exists() else {}


def test_the_file_arrives_byte_for_byte(source, target: Path) -> None:
    assert _fetch(source.serve(PATH, BODY), target) == len(BODY)
    assert _files(target) == {target.name: BODY}


def test_the_log_tells_how_far_the_download_is_and_its_end(
    source, target: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("nyc_taxi.common.progress.INTERVAL", 0.0)
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "CHUNK_BYTES", len(BODY) // 2)
    _fetch(source.serve(PATH, BODY), target)
    lines = [line for line in caplog.messages if f"download of {target.name}" in line]
    assert "50%" in lines[0]
    assert [line.split()[0] for line in (lines[0], lines[-1])] == ["Progress", "End"]


def test_a_download_that_fails_tells_no_end(source, target: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(SourceError):
        _fetch(source.serve(PATH, BODY[:-1], announced=len(BODY)), target)
    assert "End of download" not in caplog.text


def test_it_requests_the_file_uncompressed(source, target: Path) -> None:
    _fetch(source.serve(PATH, BODY), target)
    ((path, headers),) = source.requests
    assert path == PATH
    assert headers["Accept-Encoding"] == "identity"


def test_a_body_of_many_chunks(source, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 7)
    assert _fetch(source.serve(PATH, BODY), target) == len(BODY)
    assert target.read_bytes() == BODY


def test_an_empty_file_is_a_file(source, target: Path) -> None:
    assert _fetch(source.serve(PATH, b""), target) == 0
    assert _files(target) == {target.name: b""}


def test_a_body_without_a_content_length(source, target: Path) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(BODY)

    assert _fetch(source.script(PATH, answer), target) == len(BODY)
    assert target.read_bytes() == BODY


def test_a_repeated_download_replaces_the_file(source, target: Path) -> None:
    _fetch(source.serve(PATH, BODY), target)
    _fetch(source.serve(PATH, b"shorter"), target)
    assert _files(target) == {target.name: b"shorter"}


def test_redirects_are_followed(source, target: Path) -> None:
    source.serve("/elsewhere", BODY)
    url = source.serve(PATH, b"", status=302, Location="/elsewhere")
    assert _fetch(url, target) == len(BODY)
    assert target.read_bytes() == BODY


def test_a_redirect_to_nothing_is_not_published(source, target: Path) -> None:
    source.serve("/elsewhere", b"", status=404)
    url = source.serve(PATH, b"", status=301, Location="/elsewhere")
    with pytest.raises(NotPublishedError):
        _fetch(url, target)


def _refusals():
    missing = "the source has no {url} (HTTP %d): not published, or misspelt"
    for status in (404, 410):
        yield pytest.param(status, NotPublishedError, missing % status, id=str(status))
    yield pytest.param(
        403, RefusedError, "the source refuses {url} (HTTP 403): not published, or too many requests", id="403"
    )
    for status, why in (
        (401, "it asks for a login; set login and password of the connection, or correct them"),
        (407, "the proxy asks for a login; set it in the proxy's address"),
        (451, "it may not deliver the file for legal reasons; use another source"),
    ):
        text = f"the source refuses {{url}} (HTTP {status}): {why}"
        yield pytest.param(status, PermanentSourceError, text, id=str(status))
    for status in (300, 305, 400, 402, 405, 406, 409, 411, 414, 418, 421, 423, 425, 431, 501, 505, 511):
        changes = status in (409, 421, 423, 425, 511)
        text = f"the source answers HTTP {status} {http.HTTPStatus(status).phrase} for {{url}}"
        help_ = "" if changes else "; open the address in a browser and correct the connection's host"
        yield pytest.param(status, SourceError if changes else PermanentSourceError, text + help_, id=str(status))
    for status, reason in (
        (206, "Partial Content"),
        (429, "Too Many Requests"),
        (500, "Internal Server Error"),
        (503, "Service Unavailable"),
    ):
        yield pytest.param(
            status, SourceError, f"the source answers HTTP {status} {reason} for {{url}}", id=str(status)
        )


@pytest.mark.parametrize(("status", "error", "message"), list(_refusals()))
def test_a_refusal_says_what_it_is(source, target: Path, status: int, error: type[Exception], message: str) -> None:
    url = source.serve(PATH, b"an error page", status=status)
    with pytest.raises(error) as caught:
        _fetch(url, target)
    assert type(caught.value) is error
    assert str(caught.value) == message.format(url=url)
    assert _files(target) == {}


def test_an_empty_answer_of_success_is_not_the_file(source, target: Path) -> None:
    url = source.serve(PATH, b"", status=204)
    with pytest.raises(SourceError, match="HTTP 204 No Content"):
        _fetch(url, target)
    assert _files(target) == {}


def test_a_server_that_is_down(target: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}{PATH}"
        with pytest.raises(SourceError) as caught:
            _fetch(url, target)
    assert str(caught.value).startswith(f"cannot download {url}: ")
    assert str(caught.value).endswith("; check that the source is up")
    assert _files(target) == {}


def _sends_no_length(source, path: str) -> str:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(BODY)

    return source.script(path, answer)


def test_a_file_whose_end_nothing_marks_is_refused(source, target: Path) -> None:
    url = _sends_no_length(source, "/misc/taxi_zone_lookup.csv")
    with pytest.raises(PermanentSourceError, match=r"states no length for .*csv, so a part of it cannot be told from"):
        _fetch(url, target.with_name("taxi_zone_lookup.csv"))
    assert _files(target) == {}
    assert _fetch(_sends_no_length(source, PATH), target) == len(BODY)


def _breaks_off(source) -> str:
    return source.serve(PATH, BODY[:-1], announced=len(BODY))


def _breaks_off_in_a_chunk(source) -> str:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.protocol_version = "HTTP/1.1"
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        request.wfile.write(b"100\r\nonly this")

    return source.script(PATH, answer)


def _hangs_in_the_body(source) -> str:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(BODY)))
        request.end_headers()
        request.wfile.write(BODY[:10])
        request.wfile.flush()
        source.stopping.wait(30)

    return source.script(PATH, answer)


def _never_answers(source) -> str:
    return source.script(PATH, lambda _: source.stopping.wait(30))


def _answers_garbage(source) -> str:
    return source.script(PATH, lambda request: request.wfile.write(b"no HTTP at all\r\n\r\n"))


def _server_error(source) -> str:
    return source.serve(PATH, b"an error page", status=500)


FAILURES = [
    _breaks_off,
    _breaks_off_in_a_chunk,
    _hangs_in_the_body,
    _never_answers,
    _answers_garbage,
    _server_error,
]


@pytest.mark.parametrize("earlier", [None, b"an earlier download"], ids=["nothing there", "an earlier file"])
@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_leaves_the_existing_file(source, target: Path, failure, earlier: bytes | None) -> None:
    target.parent.mkdir()
    if earlier is not None:
        target.write_bytes(earlier)
    with pytest.raises(SourceError) as caught:
        _fetch(failure(source), target, silence=0.2)
    assert PATH in str(caught.value)
    assert _files(target) == ({} if earlier is None else {target.name: earlier})


def test_a_body_cut_short_is_told_apart(source, target: Path) -> None:
    with pytest.raises(SourceError, match=r"IncompleteRead|broke off"):
        _fetch(_breaks_off(source), target)


def test_a_gzip_file_is_stored_as_it_was_sent_whatever_the_source_calls_its_encoding(source, target: Path) -> None:
    sent = gzip.compress(b"x" * 1000)
    url = source.serve(PATH, sent, **{"Content-Encoding": "gzip"})
    assert _fetch(url, target) == len(sent)
    assert target.read_bytes() == sent


def test_an_encoding_that_was_not_requested_is_refused(source, target: Path) -> None:
    url = source.serve("/misc/taxi_zone_lookup.csv", gzip.compress(b"x" * 1000), **{"Content-Encoding": "gzip"})
    with pytest.raises(SourceError, match=r"with Content-Encoding gzip, which was not requested$"):
        _fetch(url, target)
    assert _files(target) == {}


# Versions


def _version(url: str) -> str:
    with requests.Session() as session:
        session.trust_env = False
        return file_version(session, url)


def _downloaded_version(url: str, target: Path) -> str:
    with requests.Session() as session:
        session.trust_env = False
        return download(session, url, target).version


TIME = "Mon, 01 Mar 2021 00:00:01 GMT"


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({"ETag": '"5f2a"'}, f'etag="5f2a" length={len(BODY)}'),
        ({"ETag": '"5f2a"', "Last-Modified": TIME}, f'etag="5f2a" length={len(BODY)}'),
        ({"Last-Modified": TIME}, f"last-modified='{TIME}' length={len(BODY)}"),
        ({}, ""),
    ],
    ids=["tag", "tag and time", "time", "neither"],
)
def test_a_version_is_the_tag_or_the_time_and_the_length(
    source, target: Path, headers: dict[str, str], version: str
) -> None:
    url = source.serve(PATH, BODY, **headers)
    assert _version(url) == version
    assert _downloaded_version(url, target) == version
    assert target.read_bytes() == BODY


def test_one_byte_is_requested_and_the_length_is_the_whole_files(source) -> None:
    headers = {"ETag": '"5f2a"', "Content-Range": "bytes 0-0/1234"}
    assert _version(source.serve(PATH, b"V", status=206, **headers)) == 'etag="5f2a" length=1234'
    ((_, asked),) = source.requests
    assert asked["Range"] == "bytes=0-0"


def test_an_empty_file_has_a_version(source) -> None:
    headers = {"ETag": '"0"', "Content-Range": "bytes */0"}
    assert _version(source.serve(PATH, b"", status=416, **headers)) == 'etag="0" length=0'


@pytest.mark.parametrize(("status", "error"), [(404, NotPublishedError), (403, RefusedError), (500, SourceError)])
def test_a_missing_file_has_no_version(source, status: int, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        _version(source.serve(PATH, b"an error page", status=status, ETag='"5f2a"'))
    assert type(caught.value) is error
