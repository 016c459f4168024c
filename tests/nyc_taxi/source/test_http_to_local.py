"""HttpToLocalFilesystemOperator: the URL that it requests, its results and its errors."""

from __future__ import annotations

import json
import re
import socket
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from airflow.sdk.exceptions import AirflowNotFoundException

from nyc_taxi.source.download import _Transfer
from nyc_taxi.source.errors import NotPublishedError, PermanentSourceError, SourceError
from nyc_taxi.source.http_to_local import HttpToLocalFilesystemOperator

PATH = "/green/green_tripdata_2021-01.csv.gz"
STARTED = datetime(2021, 3, 1, tzinfo=UTC)


@pytest.fixture
def taxi_source(source, monkeypatch: pytest.MonkeyPatch):
    """Define the connection ``taxi_source`` for the server of ``source``, with a path as real mirrors have it."""
    host = f"{source.url}/releases/download"
    monkeypatch.setenv("AIRFLOW_CONN_TAXI_SOURCE", json.dumps({"conn_type": "http", "host": host}))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return source


class _Task:
    """Fake task instance that records XComs."""

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.pushed[key] = value


def _download(target: Path, *, ti: _Task | None = None, started: datetime | None = STARTED, **arguments: str) -> str:
    operator = HttpToLocalFilesystemOperator(
        task_id="download", **{"endpoint": PATH.removeprefix("/"), "dst": str(target), **arguments}
    )
    context = {"ti": ti or _Task(), "dag_run": SimpleNamespace(start_date=started)}
    return operator.execute(context)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("headers", "version"), [({"ETag": '"5f2a"'}, 'etag="5f2a" length=8'), ({}, "")], ids=["told", "not told"]
)
def test_the_downloaded_version_is_pushed_as_xcom(
    taxi_source, tmp_path: Path, headers: dict[str, str], version: str
) -> None:
    taxi_source.serve(f"/releases/download{PATH}", b"the file", **headers)
    ti = _Task()
    assert _download(tmp_path / "file", ti=ti) == str(tmp_path / "file")
    assert ti.pushed["version"] == version


@pytest.mark.parametrize(("started", "pushed"), [(STARTED, "2021-03-01T00:00:00+00:00"), (None, "")])
def test_the_start_of_the_run_is_pushed_with_the_download(
    taxi_source, tmp_path: Path, started: datetime | None, pushed: str
) -> None:
    taxi_source.serve(f"/releases/download{PATH}", b"the file")
    ti = _Task()
    _download(tmp_path / "file", ti=ti, started=started)
    assert ti.pushed["run_started_at"] == pushed


def test_the_download_is_as_old_as_the_beginning_of_the_answer(
    taxi_source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source decides then which version it sends; a slow download is no newer than a fast one that began later."""
    sent: list[datetime] = []
    answered, write_body = threading.Event(), _Transfer._write_body

    def write(transfer: _Transfer, response: requests.Response) -> None:
        answered.set()
        write_body(transfer, response)

    monkeypatch.setattr(_Transfer, "_write_body", write)

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "8")
        request.end_headers()
        assert answered.wait(60)
        sent.append(datetime.now(UTC))
        request.wfile.write(b"the file")

    taxi_source.script(f"/releases/download{PATH}", answer)
    began, ti = datetime.now(UTC), _Task()
    _download(tmp_path / "file", ti=ti)
    assert began <= datetime.fromisoformat(ti.pushed["downloaded_at"]) <= sent[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", ti.pushed["downloaded_at"])


def test_a_download_goes_below_the_connections_base_url(taxi_source, tmp_path: Path) -> None:
    taxi_source.serve(f"/releases/download{PATH}", b"the file")
    target = tmp_path / "run" / "file.csv.gz"
    assert _download(target) == str(target)
    assert target.read_bytes() == b"the file"
    assert [path for path, _ in taxi_source.requests] == [f"/releases/download{PATH}"]


def test_an_extra_slash_is_ignored(taxi_source, tmp_path: Path) -> None:
    taxi_source.serve(f"/releases/download{PATH}", b"the file")
    _download(tmp_path / "file", endpoint=PATH)
    assert (tmp_path / "file").read_bytes() == b"the file"


@pytest.mark.parametrize(
    ("status", "error"), [(404, NotPublishedError), (403, SourceError), (500, SourceError), (451, PermanentSourceError)]
)
def test_a_refusal_reaches_the_retry_policy_as_it_is(
    taxi_source, tmp_path: Path, status: int, error: type[Exception]
) -> None:
    taxi_source.serve(f"/releases/download{PATH}", b"", status=status)
    ti = _Task()
    with pytest.raises(error):
        _download(tmp_path / "file", ti=ti)
    assert list(tmp_path.iterdir()) == []
    assert ti.pushed == {}


def test_a_file_of_another_length_than_the_sensor_saw_is_retried(taxi_source, tmp_path: Path) -> None:
    taxi_source.serve(f"/releases/download{PATH}", b"the fi", ETag='"5f2a"')
    with pytest.raises(SourceError, match=r"announced 8 bytes for .* but sent 6"):
        _download(tmp_path / "file", announced='etag="5f2a" length=8')
    assert list(tmp_path.iterdir()) == []


def test_another_connection_can_be_named(source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps({"conn_type": "http", "host": source.url}))
    source.serve(PATH, b"the other file")
    _download(tmp_path / "file", http_conn_id="other")
    assert (tmp_path / "file").read_bytes() == b"the other file"


@pytest.mark.parametrize("private", [True, "true", "True"])
def test_the_connection_can_say_that_the_source_is_in_a_private_network(
    source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, private: object
) -> None:
    """None of the pipeline's own settings in its extra is sent; others are headers, as in every HTTP connection."""
    extra = {"private": private, "layout": "tlc", "last_month": "2021-07", "X-Token": "t"}
    connection = {"conn_type": "http", "host": source.url.replace("127.0.0.1", "mirror.example"), "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_TAXI_SOURCE", json.dumps(connection))
    monkeypatch.setenv("NO_PROXY", "mirror.example")
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **options: real("127.0.0.1", *more, **options))
    source.serve(PATH, b"the file")
    _download(tmp_path / "file")
    [(_, headers)] = source.requests
    assert headers["X-Token"] == "t"
    assert not {"private", "layout", "last_month"} & set(map(str.lower, headers))

    for public in (False, "false", None):
        monkeypatch.setenv("AIRFLOW_CONN_TAXI_SOURCE", json.dumps({**connection, "extra": {"private": public}}))
        with pytest.raises(PermanentSourceError, match="set private in the connection's extra to true"):
            _download(tmp_path / "file")
    assert len(source.requests) == 1


def test_a_missing_connection_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AirflowNotFoundException, match="absent"):
        _download(tmp_path / "file", http_conn_id="absent")
