"""What a run sends to Google: the requests that are on record, each as Google's own description allows it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.google.discovery import UnknownMethodError, method_of, problems
from tests.google.golden import BY_CLIENT, COUNTS, FOLDER, IN_BUCKET, counted, golden, record, started
from tests.google.recording import Request, _content

DAGS = [path.stem for path in sorted(FOLDER.glob("*.json"))]
INSERT = Request("bigquery", "POST", "/bigquery/v2/projects/p/jobs", (), {"configuration": {"dryRun": True}})
UPLOAD = Request(
    "storage", "POST", "/upload/storage/v1/b/lake/o", (("uploadType", "multipart"),), {"name": "x"}, ("text/csv",)
)
GET = Request("storage", "GET", "/storage/v1/b/lake/o/a%2Fb", (("projection", "noAcl"),))
PART = Request(
    *("storage", "PUT", "/upload/storage/v1/b/lake/o", (("upload_id", "1"), ("of", "Google")), None, ("text/csv",)),
    sent_range="bytes 0-262143/300000",
)
# A task sends the first more often the longer a job takes; the second is of a thread that the task's end may cut off.
VARYING = {"bigquery.jobs.getQueryResults", "storage.buckets.get"}


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[Request]]]:
    """The requests of a month, of the zones and of a year, by DAG and task."""
    with started(tmp_path_factory.mktemp("google")) as scene:
        return record(scene)


@pytest.mark.full
def test_each_dag_that_talks_to_google_is_on_record(sent: dict[str, dict[str, list[Request]]]) -> None:
    assert sorted(sent) == DAGS


@pytest.mark.full
@pytest.mark.parametrize("dag_id", DAGS)
def test_the_requests_are_those_on_record(sent: dict[str, dict[str, list[Request]]], dag_id: str) -> None:
    assert golden(sent[dag_id]) == (FOLDER / f"{dag_id}.json").read_text(), (
        "run PYTHONPATH=plugins .venv/bin/python -m tests.google.golden, and read what has changed"
    )


@pytest.mark.full
@pytest.mark.parametrize("dag_id", DAGS)
def test_google_describes_each_request(sent: dict[str, dict[str, list[Request]]], dag_id: str) -> None:
    assert {
        f"{task_id}: {method_of(request)}": found
        for task_id, requests in sent[dag_id].items()
        for request in requests
        if (found := problems(request))
    } == {}


@pytest.mark.full
def test_the_counts_are_those_on_record(sent: dict[str, dict[str, list[Request]]]) -> None:
    """Those of a work dir in a bucket are of a small month; the recording changes together with them."""
    kept = json.loads(COUNTS.read_text())
    for name in sent.keys() - {name for name in sent if name.endswith(IN_BUCKET)}:
        found = counted(sent[name])
        assert {method: found.get(method) for method in {*found, *kept[name]} - VARYING} == {
            method: number for method, number in kept[name].items() if method not in VARYING
        }


@pytest.mark.parametrize(
    ("request_", "method"),
    [
        (INSERT, "bigquery.jobs.insert"),
        (UPLOAD, "storage.objects.insert"),
        (GET, "storage.objects.get"),
        (replace(GET, path="/download/storage/v1/b/lake/o/a%2Fb", query=(("alt", "media"),)), "storage.objects.get"),
        (replace(INSERT, body={"configuration": {"load": {"maxBadRecords": None}}}), "bigquery.jobs.insert"),
        (replace(UPLOAD, body={"name": "x", "metadata": {"any": "text"}}), "storage.objects.insert"),
        (PART, "storage.objects.insert"),
        (replace(PART, sent_range="bytes 262144-299999/300000"), "storage.objects.insert"),
    ],
)
def test_a_request_as_described_has_no_problems(request_: Request, method: str) -> None:
    assert method_of(request_) == method
    assert problems(request_) == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/bigquery/v2/projects/p/jobs"),
        ("POST", "/bigquery/v2/projects/p/q/jobs"),
        ("POST", "/bigquery/v1/projects/p/jobs"),
        ("POST", "/projects/p/jobs"),
        ("POST", "/download/bigquery/v2/projects/p/jobs"),
        ("POST", "/storage/v1/b/lake/o"),
    ],
)
def test_a_path_that_google_does_not_have_is_found(method: str, path: str) -> None:
    with pytest.raises(UnknownMethodError, match=f"bigquery has no {method} {path}"):
        problems(replace(INSERT, method=method, path=path))


def _load(**options: Any) -> dict[str, Any]:
    return {"configuration": {"load": options}}


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (replace(INSERT, body={"config": {}}), "body has no config"),
        (replace(INSERT, body=_load(maxBadRecord=1)), "body.configuration.load has no maxBadRecord"),
        (replace(INSERT, body=_load(sourceUris="gs://a")), "body.configuration.load.sourceUris is no array"),
        (replace(INSERT, body=_load(sourceUris=[1])), "body.configuration.load.sourceUris[0] is 1, and no string"),
        (replace(INSERT, body=_load(schema=[])), "body.configuration.load.schema is no object"),
        (
            replace(INSERT, body=_load(maxBadRecords="1")),
            "body.configuration.load.maxBadRecords is '1', and no integer",
        ),
        (replace(INSERT, body=_load(maxBadRecords=True)), "body.configuration.load.maxBadRecords is True, and no int"),
        (
            replace(INSERT, body=_load(autodetect="true")),
            "body.configuration.load.autodetect is 'true', and no boolean",
        ),
        (
            replace(INSERT, body={"configuration": {"query": {"maximumBytesBilled": "1 GB"}}}),
            "body.configuration.query.maximumBytesBilled is '1 GB', and no string",
        ),
        (replace(INSERT, query=(("locations", "US"),)), "bigquery.jobs.insert has no parameter locations"),
        (replace(GET, body={}), "storage.objects.get takes no body"),
        (replace(GET, media=("text/csv",)), "storage.objects.get takes no text/csv"),
        (replace(GET, query=(("projection", "all"),)), "storage.objects.get: projection=all is no string"),
        (replace(GET, query=(("ifGenerationMatch", "x"),)), "storage.objects.get: ifGenerationMatch=x is no string"),
        (
            replace(UPLOAD, query=(("uploadType", "x"), ("userProject", ""), ("uploads", ""))),
            "has no parameter uploads",
        ),
        (replace(PART, sent_range="bytes 0-262142/300000"), "a part that is not the last has 262143 bytes"),
        (replace(PART, sent_range="bytes 0-262142/*"), "a part that is not the last has 262143 bytes"),
        (replace(PART, sent_range=""), "a part of an upload says '' of its place"),
    ],
)
def test_what_google_does_not_describe_is_found(request_: Request, problem: str) -> None:
    [found] = problems(request_)
    assert problem in found


def test_a_record_hides_only_what_varies() -> None:
    one = replace(INSERT, body={"jobReference": {"jobId": "0b7a0d0c-7a05-4ed7-b3dc-37fb7f2ba7c1"}, "x": None})
    other = replace(INSERT, body={"jobReference": {"jobId": "5f0a5ad5-1f8e-4c84-bd7a-b0bf8a5c5a4b"}})
    assert golden({"load": [one, other], "none": []}) == golden({"load": [other]})
    read = replace(GET, path="/storage/v1/b/lake/o")
    assert golden({"load": [GET, read, GET, one]}) == golden({"load": [read, GET, one]})
    assert golden({"load": [GET, one, read]}) != golden({"load": [GET, read, one]})
    assert golden({"load": [replace(one, body={"jobReference": {"jobId": "publish_1"}})]}) != golden({"load": [one]})


def test_a_look_of_the_client_at_a_bucket_has_no_place_among_the_others() -> None:
    look = replace(GET, path="/storage/v1/b/lake")
    assert golden({"load": [look, GET, UPLOAD]}) == golden({"load": [GET, UPLOAD], "clean": [look, look]})
    assert list(json.loads(golden({"load": [GET, look]}))) == [BY_CLIENT, "load"]


def test_requests_are_counted_by_method() -> None:
    assert counted({"load": [GET, UPLOAD, PART], "clean": [GET, PART]}) == {
        "storage.objects.get": 2,
        "storage.objects.insert": 1,
        "storage.objects.insert, a part": 2,
    }


def test_the_tasks_of_a_work_dir_in_a_bucket_are_on_record() -> None:
    """What no task sends whose work dir is a folder: the files of the run are written, read, listed and deleted."""
    for step, files in (("web_to_gcs", 2), ("web_to_postgres", 2)):
        record = json.loads((FOLDER / f"green_{step}.work_dir.json").read_text())
        calls = [request["calls"] for request in record["remove_files"]]
        assert calls == ["storage.objects.list", *["storage.objects.delete"] * files]
        assert [request["calls"] for request in record["download"]][:2] == [
            "storage.objects.list",
            "storage.objects.insert",
        ]
        assert record["to_parquet"][0]["calls"] == "storage.objects.get"
    assert json.loads((FOLDER / "green_web_to_postgres.json").read_text()) == {}


def test_a_body_of_several_parts_is_read() -> None:
    content = (
        b'--=x\r\nContent-Type: application/json\r\n\r\n{"name": "a"}\r\n'
        b"--=x\r\nContent-Type: text/csv\r\n\r\n1,2\r\n--=x--"
    )
    assert _content('multipart/related; boundary="=x"', content) == ({"name": "a"}, ("text/csv",))


def test_the_page_names_every_method_on_record() -> None:
    recorded = {
        request["calls"]
        for dag_id in DAGS
        for requests in json.loads((FOLDER / f"{dag_id}.json").read_text()).values()
        for request in requests
    }
    page = (REPOSITORY / "docs" / "gcp.md").read_text()
    assert set(re.findall(r"\| `((?:storage|bigquery)\.\w+\.\w+)` \| ", page)) == recorded - {"no method: the clock"}
    assert "`HEAD /`" in page
