"""``make gcp-check``: what it says of projects that Google's answers describe, and that it changes nothing there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
import requests
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import storage
from requests.adapters import HTTPAdapter

from local.airflow.__main__ import _check_google_cloud
from local.airflow.environment import AirflowSettings
from local.airflow.gcp_check import (
    BUCKET_PERMISSIONS,
    NEEDLESS_PERMISSIONS,
    TABLE_PERMISSIONS,
    WORK_PERMISSIONS,
    check,
    check_connection,
    reads,
)
from local.airflow.gcp_finding import Finding
from local.airflow.gcp_quotas import METRIC, PER_PROJECT, PER_USER
from local.airflow.google_key import LOGIN, NEW_KEY, NO_BUCKET
from local.cloud.settings import Settings
from local.cloud.shell import GOOGLE_CONNECTION
from tests.google.conftest import ACCOUNT
from tests.google.discovery import VERSIONS, method_of, problems, problems_of_answer
from tests.google.recording import Request

Findings = Callable[..., list[str]]

PROJECT = "team-project"
BUCKET = "team-lake"
WORK_BUCKET = "team-work"
# What the check calls, beside the server that gives tokens. Two of them change something, but not as they are called.
READS = {
    "bigquery.jobs.insert",
    "bigquery.datasets.get",
    "bigquery.tables.get",
    "bigquery.tables.list",
    "bigquery.tables.testIamPermissions",
    "cloudresourcemanager.projects.testIamPermissions",
    "storage.buckets.get",
    "storage.buckets.testIamPermissions",
    "storage.objects.list",
    "serviceusage.services.consumerQuotaMetrics.get",
}
QUOTA = f"/v1beta1/projects/{PROJECT}/services/bigquery.googleapis.com/consumerQuotaMetrics/{quote(METRIC, safe='')}"


def refusal(code: int, message: str) -> tuple[int, dict[str, Any]]:
    """Return an error as Google's services answer it."""
    return code, {"error": {"code": code, "message": message, "errors": [{"message": message, "reason": "x"}]}}


def dataset(name: str, location: str = "US", **more: Any) -> tuple[int, dict[str, Any]]:
    """Return a dataset as BigQuery answers it."""
    return 200, {"datasetReference": {"projectId": PROJECT, "datasetId": name}, "location": location, **more}


def tables(name: str) -> tuple[int, dict[str, Any]]:
    """Return a list of one table."""
    return 200, {"tables": [{"tableReference": {"projectId": PROJECT, "datasetId": name, "tableId": "green"}}]}


def objects(*names: str) -> list[dict[str, Any]]:
    """Return objects of 10 MB as Cloud Storage lists them."""
    return [{"name": name, "size": "10000000"} for name in names]


def quota_of_queries(project: int, user: int = 2**63 - 1) -> tuple[int, dict[str, Any]]:
    """Return what queries may read in a day, in MiB, as the Service Usage API answers it."""
    limits = [
        {"metric": METRIC, "unit": unit, "quotaBuckets": [{"defaultLimit": "1", "effectiveLimit": str(number)}]}
        for unit, number in ((PER_PROJECT, project), (PER_USER, user))
    ]
    return 200, {"metric": METRIC, "unit": "MiBy", "consumerQuotaLimits": limits}


class Google:
    """Answers the requests of Google's clients; a project in which all is well, but for what a test changes.

    Attributes:
        answers: status and body by host and path.
        sent: the requests that were sent, other than those for credentials.
    """

    def __init__(self) -> None:
        project, bucket = f"/bigquery/v2/projects/{PROJECT}", f"/storage/v1/b/{BUCKET}"
        job = {"jobReference": {"jobId": "1", "projectId": PROJECT}, "status": {"state": "DONE"}, "configuration": {}}
        self.answers: dict[str, tuple[int, Any]] = {
            "/token": (200, {"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}),
            f"{project}/jobs": (200, job),
            f"/v3/projects/{PROJECT}:testIamPermissions": (200, {"permissions": ["bigquery.datasets.create"]}),
            f"{bucket}/iam/testPermissions": (200, {"permissions": [*BUCKET_PERMISSIONS]}),
            bucket: (200, {"name": BUCKET, "location": "US", "locationType": "multi-region"}),
            f"{bucket}/o?prefix=green/": (200, {"items": objects("green/1.parquet", "green/2.parquet", "green/x")}),
            QUOTA: quota_of_queries(200 * 2**20),
        }
        for name in ("trips", "trips_staging"):
            self.answers[f"{project}/datasets/{name}"] = dataset(name)
            self.answers[f"{project}/datasets/{name}/tables"] = tables(name)
            asked = f"{project}/datasets/{name}/tables/green:testIamPermissions"
            self.answers[asked] = (200, {"permissions": [*TABLE_PERMISSIONS]})
        held = {"numRows": "2000000", "numBytes": "340000000", "numPartitions": "4"}
        reference = {"projectId": PROJECT, "datasetId": "trips", "tableId": "green"}
        self.answers[f"{project}/datasets/trips/tables/green"] = (200, {"tableReference": reference, **held})
        self.sent: list[Request] = []

    def says(self, end: str, code: int, body: Any) -> None:
        """Change the answer to the one path that ends so."""
        [path] = [path for path in self.answers if path.endswith(end)]
        self.answers[path] = (code, body)

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        url = urlsplit(str(request.url))
        response = requests.Response()
        response.request, response.url = request, str(request.url)
        asked = url.path + "".join(f"?prefix={value}" for name, value in parse_qsl(url.query) if name == "prefix")
        response.status_code, body = self.answers.get(asked) or refusal(404, f"Not found: {url.path}")
        response.headers["Content-Type"] = "application/json"
        response._content = json.dumps(body).encode()
        service = url.netloc.split(".")[0]
        # $alt is a parameter of all of Google's services: https://docs.cloud.google.com/apis/docs/system-parameters
        query = tuple((name, value) for name, value in parse_qsl(url.query) if name != "$alt")
        if service in VERSIONS:
            content = json.loads(request.body) if request.body else None
            self.sent.append(Request(service, str(request.method), url.path, query, content))
            if response.ok:
                assert problems_of_answer(self.sent[-1], body) == []
        return response


def _words(finding: Finding) -> str:
    """Return the line of a finding, without the spaces of its columns."""
    return re.sub(" +", " ", str(finding))


@pytest.fixture
def google(no_emulators: None, monkeypatch: pytest.MonkeyPatch) -> Google:
    """Google, as Google's clients meet it: all of them send by requests."""
    google = Google()
    monkeypatch.setattr(HTTPAdapter, "send", lambda _, request, **options: google.send(request, **options))
    return google


@pytest.fixture
def findings(google: Google, key: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Findings:
    """The lines of a check with a connection of that extra."""

    def run(wanted: str = "", **extra: Any) -> list[str]:
        given = {"project": PROJECT, "keyfile_dict": key, **extra}
        connection = {"conn_type": "google_cloud_platform", "extra": {k: v for k, v in given.items() if v is not None}}
        monkeypatch.setenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", json.dumps(connection))
        return [_words(finding) for finding in check_connection(wanted, BUCKET)]

    return run


KEPT = "stored in the bucket and loaded for free,"
READ = "read by queries:"
WELL = [
    f"ok project {PROJECT} runs queries of {ACCOUNT}",
    f"ok gs://{BUCKET} in US; the account may read and write objects",
    "ok trips in US; the account may read and write tables",
    "ok trips_staging in US; the account may read and write tables",
    f"note yellow a month of 8 million trips (an assumption): 161 MB {KEPT} 1.54 GB in tables, 4.64 GB "
    f"{READ} $0.026 once, and $0.033 a month to keep",
    "note green 2,000,000 trips hold 340 MB, 170 MB a million",
    f"note green a month of 0.5 million trips (as the 4 in the table): 10 MB {KEPT} 85 MB in tables, 455 MB "
    f"{READ} $0.0026 once, and $0.0018 a month to keep",
    f"note fhv a month of 5 million trips (an assumption): 77 MB {KEPT} 440 MB in tables, 2.17 GB "
    f"{READ} $0.012 once, and $0.01 a month to keep",
    f"note fhvhv a month of 18 million trips (an assumption): 659 MB {KEPT} 3.8 GB in tables, 10.1 GB "
    f"{READ} $0.057 once, and $0.087 a month to keep",
    f"note 15 years of all datasets: 163 GB {KEPT} 1.06 TB in tables, 3.13 TB "
    f"{READ} $17.78 once, and $23.62 a month to keep; docs/gcp.md#costs",
    "ok billing a query that would bill more than 100 GiB is refused: maximum_bytes_billed",
    "ok limits 15 years of 4 datasets in one day are 720 of 100,000 load jobs, 1 of 1,500 into one table, and at most "
    "720 of 30,000 changes of the partitions of one table",
    "ok quota queries may read 200 TiB a day by the quota Query usage per day; 15 years read 3.13 TB",
]
BILLING = WELL.index("ok billing a query that would bill more than 100 GiB is refused: maximum_bytes_billed")


def test_a_project_in_which_all_is_well(findings: Findings) -> None:
    assert findings() == WELL


def test_it_changes_nothing(findings: Findings, google: Google) -> None:
    findings()
    assert {method_of(request) for request in google.sent} == READS
    assert [found for request in google.sent for found in problems(request)] == []
    [job] = [request.body for request in google.sent if request.path.endswith("/jobs")]
    assert job["configuration"]["dryRun"] is True


@pytest.mark.parametrize(
    ("end", "answer", "line"),
    [
        (
            f"/{PROJECT}/jobs",
            refusal(403, "Access Denied: User does not have bigquery.jobs.create permission in project team-project."),
            "wrong project Access Denied: User does not have bigquery.jobs.create permission in project team-project; "
            "grant roles/bigquery.jobUser on team-project, unless this names another cause",
        ),
        (
            f"/{PROJECT}/jobs",
            refusal(404, "Not found: Project team-project"),
            "wrong project Not found: Project team-project; set the right project in the connection's extra",
        ),
        (
            "/token",
            (400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}),
            "wrong credentials Google does not accept them: invalid_grant: Invalid JWT Signature.; set another "
            "key_path in the connection's extra, or none and run gcloud auth application-default login",
        ),
    ],
)
def test_without_a_project_or_credentials_nothing_else_is_asked(
    findings: Findings, google: Google, end: str, answer: tuple[int, Any], line: str
) -> None:
    google.says(end, *answer)
    assert findings() == [line]


APART = 'create the dataset where the bucket is, and set its location as "location" in the connection\'s extra'


@pytest.mark.parametrize(
    ("end", "answer", "line"),
    [
        (
            f"/b/{BUCKET}",
            (200, {"name": BUCKET, "location": "ASIA-EAST1", "locationType": "region"}),
            f"wrong trips the bucket is in ASIA-EAST1, and external tables in US cannot read it there; {APART}",
        ),
        (
            "/iam/testPermissions",
            (200, {"permissions": [*BUCKET_PERMISSIONS[:-1]]}),
            f"wrong gs://{BUCKET} the account lacks storage.objects.update; if the bucket is yours, grant "
            "roles/storage.objectUser and roles/storage.legacyBucketReader on it",
        ),
        (
            "/iam/testPermissions",
            refusal(404, "The specified bucket does not exist."),
            f"wrong gs://{BUCKET} The specified bucket does not exist; create the bucket where the datasets are, or "
            "set LAKE_BUCKET",
        ),
        (
            f"/b/{BUCKET}",
            (200, {"name": BUCKET, "location": "US", "retentionPolicy": {"retentionPeriod": "86400"}}),
            f"wrong gs://{BUCKET} its retention policy keeps months from being replaced; remove the policy",
        ),
        (
            "/datasets/trips",
            dataset("trips", defaultPartitionExpirationMs="5184000000"),
            "wrong trips its tables or partitions expire by default; set both defaults to never",
        ),
        (
            "/datasets/trips_staging",
            refusal(403, "Access Denied: Permission bigquery.datasets.get denied"),
            "wrong trips_staging Access Denied: Permission bigquery.datasets.get denied; grant "
            "roles/bigquery.dataEditor on the dataset",
        ),
        (
            f"/b/{BUCKET}",
            refusal(400, "Bad Request"),
            f"wrong gs://{BUCKET} Bad Request; mend that, and check again",
        ),
        (
            "/datasets/trips",
            refusal(400, "Invalid dataset"),
            "wrong trips Invalid dataset; mend that, and check again",
        ),
        (
            "/trips/tables/green:testIamPermissions",
            (200, {"permissions": ["bigquery.tables.get", "bigquery.tables.getData"]}),
            "wrong trips the account lacks bigquery.tables.delete, bigquery.tables.update, bigquery.tables.updateData; "
            "grant roles/bigquery.dataEditor on the dataset",
        ),
        (
            "/datasets/trips/tables",
            (200, {}),
            "note trips has no table yet, so that Google does not tell whether the account may write it",
        ),
        (
            "/datasets/trips",
            refusal(404, "Not found: Dataset team-project:trips"),
            "ok trips is missing; create_table makes it in US",
        ),
        (
            f"/v3/projects/{PROJECT}:testIamPermissions",
            refusal(403, "Cloud Resource Manager API has not been used in project 1 before or it is disabled."),
            "note roles those on the whole project are not known: Cloud Resource Manager API has not been used in "
            "project 1 before or it is disabled",
        ),
        (
            f"/v3/projects/{PROJECT}:testIamPermissions",
            (200, {"permissions": [*NEEDLESS_PERMISSIONS]}),
            "note roles the account may do more than it needs: bigquery.datasets.delete, "
            "resourcemanager.projects.setIamPolicy, storage.buckets.delete; see docs/gcp.md",
        ),
    ],
)
def test_each_fault_has_its_line(
    findings: Findings, google: Google, end: str, answer: tuple[int, Any], line: str
) -> None:
    google.says(end, *answer)
    lines = findings()
    assert line in lines
    subject = line.split()[1]
    assert [other for other in lines if other.split()[1] == subject] == [line]


WORK = f"/storage/v1/b/{WORK_BUCKET}"
ASKED = f"{WORK}/iam/testPermissions"
WORK_IS_WELL = f"ok gs://{WORK_BUCKET} in US; the account may read and write objects"


@pytest.mark.parametrize(
    ("answers", "line"),
    [
        ({}, WORK_IS_WELL),
        (
            {ASKED: (200, {"permissions": [*WORK_PERMISSIONS[:-1]]})},
            f"wrong gs://{WORK_BUCKET} the account lacks storage.objects.list; if the bucket is yours, grant "
            "roles/storage.objectUser and roles/storage.legacyBucketReader on it",
        ),
        (
            {ASKED: refusal(404, "The specified bucket does not exist.")},
            f"wrong gs://{WORK_BUCKET} The specified bucket does not exist; create the bucket in the region of the "
            "workers, or set AIRFLOW_VAR_WORK_DIR",
        ),
        (
            {WORK: (200, {"name": WORK_BUCKET, "location": "US", "retentionPolicy": {"retentionPeriod": "86400"}})},
            f"wrong gs://{WORK_BUCKET} its retention policy keeps files from being deleted when their run has ended; "
            "remove the policy",
        ),
        (
            {WORK: (200, {"name": WORK_BUCKET, "location": "US-CENTRAL1"})},
            f"ok gs://{WORK_BUCKET} in US-CENTRAL1; the account may read and write objects",
        ),
        (
            {WORK: (200, {"name": WORK_BUCKET, "location": "EUROPE-WEST4"})},
            f"note gs://{WORK_BUCKET} in EUROPE-WEST4, far from the lake in US; have both where the workers are",
        ),
    ],
    ids=["well", "permissions", "missing", "retention", "near", "far"],
)
def test_the_bucket_of_the_work_dir_has_a_line_too(
    findings: Findings,
    google: Google,
    monkeypatch: pytest.MonkeyPatch,
    answers: dict[str, tuple[int, Any]],
    line: str,
) -> None:
    google.answers[ASKED] = (200, {"permissions": [*WORK_PERMISSIONS]})
    google.answers[WORK] = (200, {"name": WORK_BUCKET, "location": "US", "locationType": "multi-region"})
    google.answers |= answers
    monkeypatch.setenv("AIRFLOW_VAR_WORK_DIR", f"gs://{WORK_BUCKET}/work")
    assert findings() == [*WELL[:2], line, *WELL[2:]]
    assert [found for request in google.sent for found in problems(request)] == []


@pytest.mark.parametrize("work_dir", ["/tmp/work", f"gs://{BUCKET}/work", ""])
def test_a_work_dir_without_a_bucket_of_its_own_has_no_line(
    findings: Findings, monkeypatch: pytest.MonkeyPatch, work_dir: str
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_WORK_DIR", work_dir)
    assert findings() == WELL


def test_a_wrong_work_dir_is_found(findings: Findings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_WORK_DIR", "gs://Team_Work/")
    [_, _, line, *_] = findings()
    assert line.startswith("wrong work dir the variable work_dir is 'gs://Team_Work/'; set it to")


@pytest.mark.parametrize(
    ("granted", "line"),
    [
        (
            [],
            "wrong trips is missing, and the account may not make it; create it in US, or grant roles/bigquery.user on",
        ),
        (None, "note trips is missing; create_table makes it in US, if the account may"),
    ],
)
def test_a_missing_dataset_needs_somebody_who_may_make_it(
    findings: Findings, google: Google, granted: list[str] | None, line: str
) -> None:
    google.says("/datasets/trips", *refusal(404, "Not found: Dataset"))
    answer = refusal(403, "disabled") if granted is None else (200, {"permissions": granted})
    google.says(f"/v3/projects/{PROJECT}:testIamPermissions", *answer)
    assert any(found.startswith(line) for found in findings())


def test_jobs_run_where_the_datasets_are(findings: Findings, google: Google) -> None:
    google.says(f"/b/{BUCKET}", 200, {"name": BUCKET, "location": "EU", "locationType": "multi-region"})
    for name in ("trips", "trips_staging"):
        google.says(f"/datasets/{name}", *dataset(name, "EU"))
    do = """set "location": "EU" in the connection's extra"""
    assert findings()[2:4] == [
        f"wrong {name} is in EU, and the jobs that create tables run in US; {do}" for name in ("trips", "trips_staging")
    ]
    assert findings(location="EU") == [line.replace("US", "EU") for line in WELL]


def test_a_role_on_the_project_covers_a_dataset_without_tables(findings: Findings, google: Google) -> None:
    google.says("/datasets/trips/tables", 200, {})
    google.says(f"/v3/projects/{PROJECT}:testIamPermissions", 200, {"permissions": [*TABLE_PERMISSIONS]})
    assert findings() == WELL


@pytest.mark.parametrize(
    ("location", "bucket", "fits"),
    [
        ("US", {"location": "US"}, True),
        ("US", {"location": "US-CENTRAL1"}, True),
        ("US", {"location": "NAM4"}, True),
        ("US", {"location": "US-EAST1"}, False),
        ("US", {"location": "US", "customPlacementConfig": {"dataLocations": ["US-EAST1", "US-WEST1"]}}, False),
        ("EU", {"location": "EUROPE-WEST4"}, True),
        ("EU", {"location": "EU", "customPlacementConfig": {"dataLocations": ["EUROPE-WEST1", "EUROPE-WEST4"]}}, True),
        ("EU", {"location": "US"}, False),
        ("asia-northeast1", {"location": "ASIA1"}, True),
        ("asia-northeast1", {"location": "ASIA-NORTHEAST1"}, True),
        ("europe-west1", {"location": "EU"}, False),
    ],
)
def test_where_the_bucket_must_be(location: str, bucket: dict[str, Any], fits: bool) -> None:
    named = storage.Bucket(None, BUCKET)
    named._set_properties(bucket)
    assert reads(location, named) is fits


def test_a_dataset_is_not_made_where_it_cannot_read_the_bucket(findings: Findings, google: Google) -> None:
    google.says("/datasets/trips", *refusal(404, "Not found: Dataset"))
    assert "ok trips is missing; create_table makes it in US" in findings()
    apart = "the bucket is in US, and external tables in EU cannot read it there"
    assert f"wrong trips is missing, and create_table makes it: {apart}; {APART}" in findings(location="EU")


@pytest.mark.parametrize(
    ("extra", "line"),
    [
        (
            {"project": None},
            """wrong connection names the project ''; set "project": "my-project" in its extra, in .env""",
        ),
        (
            {"keyfile_dict": None, "key_path": "/no/such/key.json"},
            f"wrong credentials the key_path /no/such/key.json cannot be read: No such file or directory; {NEW_KEY}",
        ),
        (
            {"keyfile_dict": "{"},
            "wrong credentials the keyfile_dict is not JSON: Expecting property name enclosed in double quotes: ",
        ),
    ],
)
def test_a_wrong_connection_is_found_without_a_request(
    findings: Findings, google: Google, extra: dict[str, Any], line: str
) -> None:
    [found] = findings(**extra)
    assert found.startswith(line)
    assert len(found) < 300
    assert google.sent == []


def test_a_wrong_limit_is_found(findings: Findings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_MAXIMUM_BYTES_BILLED", "10 GB")
    line = "wrong billing the variable maximum_bytes_billed is '10 GB'; set it to a number of bytes, or delete it"
    assert findings() == [*WELL[:BILLING], line, *WELL[BILLING + 1 :]]


def test_a_limit_below_what_the_publish_reads_is_found(findings: Findings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_MAXIMUM_BYTES_BILLED", str(2**30))
    assert findings()[BILLING] == (
        "wrong billing a query that would bill more than 1 GiB is refused: maximum_bytes_billed; the publish of a "
        "month reads 3.8 GB, so raise it"
    )


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (
            quota_of_queries(100 * 1024),
            "note quota queries may read 100 GiB a day by the quota Query usage per day; 15 years read 3.13 TB, "
            "which takes 30 days",
        ),
        (
            quota_of_queries(100 * 1024, user=1024),
            "wrong quota queries may read 1 GiB a day by the quota Query usage per day per user, and the load "
            "of one month reads 10.1 GB; raise it",
        ),
        (
            quota_of_queries(2**63 - 1),
            "note quota queries may read any amount in a day; docs/gcp.md#costs says how to bound it",
        ),
        (
            quota_of_queries(-1, user=10 * 2**20),
            "ok quota queries may read 10 TiB a day by the quota Query usage per day per user; 15 years read 3.13 TB",
        ),
        (
            (200, {"metric": METRIC, "unit": "1"}),
            "note quota what queries may read in a day is not known: Google tells it in '1'",
        ),
        (
            (
                403,
                {
                    "error": {
                        "code": 403,
                        "message": "Service Usage API has not been used in project 1 before or it is disabled.",
                        "status": "PERMISSION_DENIED",
                        "details": [
                            {
                                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                                "reason": "SERVICE_DISABLED",
                                "domain": "googleapis.com",
                            }
                        ],
                    }
                },
            ),
            "note quota what queries may read in a day is not known: Service Usage API has not been used in project 1 "
            "before or it is disabled; gcloud services enable serviceusage.googleapis.com --project team-project",
        ),
        (
            refusal(403, "Permission denied to get quota metric"),
            "note quota what queries may read in a day is not known: Permission denied to get quota metric; grant "
            "roles/servicemanagement.quotaViewer on team-project",
        ),
    ],
    ids=["low", "too low", "none", "of the user", "another unit", "disabled", "denied"],
)
def test_the_quota_of_queries_is_told(findings: Findings, google: Google, answer: tuple[int, Any], line: str) -> None:
    google.says(QUOTA, *answer)
    assert findings() == [*WELL[:-1], line]


@pytest.mark.parametrize("end", [f"/b/{BUCKET}/o?prefix=green/", "/trips/tables/green"])
def test_what_cannot_be_listed_is_assumed(findings: Findings, google: Google, end: str) -> None:
    google.says(end, *refusal(403, "Access Denied"))
    [line] = [line for line in findings() if line.startswith("note green a month")]
    based_on = "as the 4 in the table" if "prefix" in end else "as the 2 in the bucket"
    assert f"({based_on})" in line


def test_another_project_than_the_connections_is_refused(findings: Findings) -> None:
    assert findings("other") == [
        f"""wrong connection names the project '{PROJECT}'; set "project": "other" in its extra, in .env"""
    ]
    assert findings(PROJECT) == WELL
    assert findings("\x1b[2J\nok")[0].isprintable()


@pytest.fixture
def settings(tmp_path: Path, google: Google, monkeypatch: pytest.MonkeyPatch) -> AirflowSettings:
    """Settings of a stack with no connection to Google Cloud."""
    monkeypatch.setenv(GOOGLE_CONNECTION, "")
    return AirflowSettings(cloud=Settings(state_dir=tmp_path))


@pytest.mark.parametrize("given", [("", BUCKET), (PROJECT, "")], ids=["bucket", "project"])
def test_without_a_connection_project_and_bucket_must_be_given(
    settings: AirflowSettings, google: Google, given: tuple[str, str]
) -> None:
    [found] = check(settings, *given)
    assert found.state == "wrong"
    assert found.text == f"there is no {GOOGLE_CONNECTION} in .env; set it, or give PROJECT= and BUCKET="
    assert google.sent == []


def test_the_emulators_bucket_is_not_looked_for(
    findings: Findings, settings: AirflowSettings, google: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings()  # sets the connection
    google.sent.clear()
    for name in ("LAKE_BUCKET", "AIRFLOW_VAR_LAKE_BUCKET"):
        monkeypatch.delenv(name, raising=False)
    assert [_words(found) for found in check(settings, "", "")] == [f"wrong bucket {NO_BUCKET}"]
    assert google.sent == []


def test_without_any_credentials_it_says_how_to_get_some(
    settings: AirflowSettings, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("google.auth.default", refuse)
    [found] = check(settings, "p", BUCKET)  # so short that Airflow would say that it does not mask it
    assert _words(found) == f"wrong credentials Your default credentials were not found. See there for more; {LOGIN}"
    assert capfd.readouterr() == ("", "")


def refuse(*_: object, **__: object) -> None:
    raise DefaultCredentialsError("Your default credentials were not found. See there for more.")


def test_a_given_project_is_checked_with_the_credentials_of_the_machine(
    settings: AirflowSettings, key: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key.json").write_text(json.dumps(key))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    assert [_words(finding) for finding in check(settings, PROJECT, BUCKET)] == WELL


@pytest.mark.parametrize(("wanted", "code", "lines"), [(PROJECT, 0, len(WELL)), ("other", 1, 1)])
def test_the_command_fails_if_something_is_wrong(
    findings: Findings,
    settings: AirflowSettings,
    capsys: pytest.CaptureFixture[str],
    wanted: str,
    code: int,
    lines: int,
) -> None:
    findings()  # sets the connection
    assert _check_google_cloud(settings, wanted, BUCKET) == code
    assert len(capsys.readouterr().out.splitlines()) == lines
