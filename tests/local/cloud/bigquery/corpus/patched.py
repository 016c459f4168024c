"""What each patch of bqemulator and sqlglot mends, with the fewest statements or requests that show it.

``docs/local-cloud-upstream.md`` lists the entries, for the libraries' authors. A test asks bqemulator itself, and the
embedded BigQuery.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from tests.local.cloud.bigquery.support import PROJECT

DATASET = "d"
_LOAD = {
    "configuration": {
        "load": {
            "sourceFormat": "CSV",
            "schema": {"fields": [{"name": "n", "type": "INTEGER"}]},
            "destinationTable": {"projectId": PROJECT, "datasetId": DATASET, "tableId": "uploaded"},
        }
    }
}
_PARTS = [("application/json", json.dumps(_LOAD)), ("*/*", "1\n")]
_MULTIPART = "".join(f"--x\r\nContent-Type: {kind}\r\n\r\n{body}\r\n" for kind, body in _PARTS) + "--x--\r\n"
_JOB = {
    "configuration": {
        "query": {
            "query": "SELECT 1 AS n",
            "useLegacySql": False,
            "destinationTable": {"projectId": PROJECT, "datasetId": DATASET, "tableId": "written"},
        }
    }
}


@dataclass(frozen=True)
class Request:
    """A request of the REST API; ``path`` is below the project."""

    method: str
    path: str
    body: Mapping[str, Any] | str | None = None


@dataclass(frozen=True)
class Entry:
    """A difference that a patch mends.

    Attributes:
        title: the difference.
        steps: SQL statements, or requests.
        here: is in the last answer of bqemulator.
        google: is in the last answer of BigQuery.
        ours: is in the last answer of the embedded BigQuery, if that refuses.
    """

    title: str
    steps: Sequence[str | Request]
    here: str
    google: str
    ours: str = ""


ENTRIES: dict[str, Entry] = {
    "application": Entry(
        "A query job with a destination table is done, and writes nothing",
        [Request("POST", "jobs", _JOB), Request("GET", "datasets/d/tables/written")],
        "404, {",
        '"numRows": "1"',
    ),
    "cast_format": Entry(
        "CAST with FORMAT takes January for a month that is not given, and not the current one",
        ["SELECT CAST('2021' AS DATE FORMAT 'YYYY') AS d"],
        "DATE 2021-01-01",
        "DATE 2021-<current month>-01",
        "does not",
    ),
    "catalog": Entry(
        "A table stays that was made in a transaction before ROLLBACK (BigQuery refuses to make it)",
        [
            "BEGIN TRANSACTION; CREATE TABLE d.rolled (n INT64); ROLLBACK TRANSACTION;",
            Request("GET", "datasets/d/tables/rolled"),
        ],
        "200, {",
        "404, {",
    ),
    "dashed_names": Entry(
        "A project with dashes and without backticks is a syntax error (sqlglot)",
        ["CREATE TABLE d.plain AS SELECT 7 AS n", "SELECT n FROM nyc-taxi-test.d.plain"],
        "error",
        "INTEGER 7",
    ),
    "decimals": Entry(
        "NUMERIC has three decimals (sqlglot writes DECIMAL)",
        ["SELECT CAST('1.23456' AS NUMERIC) AS x"],
        "NUMERIC 1.235",
        "NUMERIC 1.23456",
    ),
    "delete_from": Entry(
        "DELETE without FROM is another database's DELETE (sqlglot)",
        ["CREATE TABLE d.left AS SELECT 1 AS n", "DELETE d.left WHERE n = 1"],
        "error",
        "1 rows changed",
    ),
    "engine": Entry(
        "SQL reads every file of the user",
        ["SELECT COUNT(*) AS files FROM read_text('/etc/hosts')"],
        "INTEGER 1",
        "error",
    ),
    "error_messages": Entry(
        "A division by zero names other numbers",
        ["SELECT a / b AS x FROM (SELECT 5 AS a, 0 AS b)"],
        "division by zero: 1 / 0",
        "division by zero: 5 / 0",
    ),
    "format_strings": Entry(
        "%Y-%m-%d and %F are one (sqlglot)",
        ["SELECT FORMAT_DATE('%F', DATE '0099-01-02') AS s"],
        "STRING 99-01-02",
        "STRING 0099-01-02",
    ),
    "information_schema": Entry(
        "The name of a metadata view is replaced in string literals, too",
        ["SELECT 'e.INFORMATION_SCHEMA.TABLES' AS s"],
        "STRING (SELECT ",
        "STRING e.INFORMATION_SCHEMA.TABLES",
    ),
    "intervals": Entry(
        "The sign of an interval's part stands before the whole interval",
        ["SELECT -INTERVAL 1 DAY AS i"],
        "INTERVAL -0-0 1 0:0:0",
        "INTERVAL 0-0 -1 0:0:0",
    ),
    "json_paths": Entry(
        "A JSONPath without $ is completed (sqlglot)",
        ["""SELECT JSON_VALUE('{"a": 1}', 'a') AS v"""],
        "STRING 1",
        "error",
    ),
    "nested_json": Entry("JSON in an array has the type STRING", ["SELECT [JSON '1'] AS a"], "STRING", "JSON"),
    "number_format": Entry(
        "NUMERIC has zeros at its end", ["SELECT NUMERIC '2.5' AS x"], "NUMERIC 2.500", "NUMERIC 2.5"
    ),
    "routines": Entry(
        "The body of a function rounds halves to even",
        ["CREATE FUNCTION d.whole(x FLOAT64) AS (CAST(x AS INT64))", "SELECT d.whole(2.5) AS n"],
        "INTEGER 2",
        "INTEGER 3",
    ),
    "script_interpreter": Entry(
        "Scripts have no ASSERT",
        ["DECLARE x INT64 DEFAULT 1; ASSERT x = 1; SELECT x AS n;"],
        "error",
        "INTEGER 1",
    ),
    "script_parser": Entry(
        "Scripts have no CASE", ["CASE WHEN TRUE THEN SELECT 1 AS n; END CASE;"], "error", "INTEGER 1"
    ),
    "statement_checks": Entry(
        "DuckDB's own functions run",
        ["SELECT YEAR(DATE '2021-01-01') AS y"],
        "INTEGER 2021",
        "Function not found: YEAR",
    ),
    "table_metadata": Entry(
        "An external table is a table without its configuration",
        [
            Request(
                "POST",
                "datasets/d/tables",
                {
                    "tableReference": {"projectId": PROJECT, "datasetId": DATASET, "tableId": "outside"},
                    "externalDataConfiguration": {
                        "sourceFormat": "PARQUET",
                        "sourceUris": ["gs://lake/none/*.parquet"],
                    },
                    "schema": {"fields": [{"name": "n", "type": "INTEGER"}]},
                },
            ),
            Request("GET", "datasets/d/tables/outside"),
        ],
        '"type": "TABLE"',
        '"type": "EXTERNAL"',
    ),
    "type_names": Entry(
        "The names that other databases have for types are known (sqlglot)",
        ["SELECT CAST(1 AS TEXT) AS s"],
        "STRING 1",
        "Type not found: TEXT",
    ),
    "uploads": Entry(
        "An upload of the type */*, which the official client for Python sends, is refused",
        [Request("POST", "upload", _MULTIPART)],
        "unsupported Content-Type",
        "200",
    ),
    "views": Entry(
        "The query of a view rounds halves to even",
        [
            "CREATE VIEW d.whole_numbers AS SELECT CAST(x AS INT64) AS n FROM (SELECT 2.5 AS x)",
            "SELECT n FROM d.whole_numbers",
        ],
        "INTEGER 2",
        "INTEGER 3",
    ),
}
"""By the name of the patch."""
WITHOUT_ANSWER = {
    "backtracking": "Nested calls such as `DATE(DATE(x))`, `STRUCT(STRUCT(x))` and `SAFE.f(SAFE.f(x))` take twice the "
    "time with each level.",
    "internals": "Functions that every extension of the REST API needs are private: they convert tables and fields.",
    "parse_cache": "Each step of the translation parses the statement's text again: about twenty times a query.",
    "time_travel": "Every change of a table copies the whole table, and nothing can switch that off.",
}
"""Patches for what no single answer shows."""


def ask(url: str, entry: Entry) -> str:
    """Run an entry's steps on a server with an empty dataset ``d``, and return the last answer as the page shows it."""
    answer = ""
    for step in entry.steps:
        answer = _ask_sql(url, step) if isinstance(step, str) else _send(url, step)
    return answer


def create_dataset(url: str) -> None:
    """Create the dataset of the entries."""
    body = {"datasetReference": {"projectId": PROJECT, "datasetId": DATASET}}
    requests.post(f"{url}/bigquery/v2/projects/{PROJECT}/datasets", json=body, timeout=120).raise_for_status()


def _ask_sql(url: str, sql: str) -> str:
    body = {"query": sql, "useLegacySql": False, "timeoutMs": 100_000}
    answer = requests.post(f"{url}/bigquery/v2/projects/{PROJECT}/queries", json=body, timeout=120).json()
    errors = answer.get("errors") or ([answer["error"]] if "error" in answer else [])
    if errors:
        return f"error: {errors[0]['message']}"
    if answer.get("numDmlAffectedRows"):
        return f"{answer['numDmlAffectedRows']} rows changed"
    fields = answer.get("schema", {}).get("fields", ())
    cells = [cell["v"] for row in answer.get("rows", ()) for cell in row["f"]]
    return ", ".join(f"{field['type']} {cell}" for field, cell in zip(fields, cells, strict=False))


def _send(url: str, request: Request) -> str:
    if isinstance(request.body, str):
        address = f"{url}/upload/bigquery/v2/projects/{PROJECT}/jobs?uploadType=multipart"
        headers = {"Content-Type": "multipart/related; boundary=x"}
        answer = requests.post(address, data=request.body, headers=headers, timeout=120)
    else:
        address = f"{url}/bigquery/v2/projects/{PROJECT}/{request.path}"
        answer = requests.request(request.method, address, json=request.body, timeout=120)
    return f"{answer.status_code}, {json.dumps(answer.json())}"


def section() -> str:
    """Return the section of ``docs/local-cloud-upstream.md`` about bqemulator and sqlglot."""
    lines = []
    for patch, entry in ENTRIES.items():
        lines += ["", f"### {entry.title}", "", "```"]
        lines += [step if isinstance(step, str) else _shown(step) for step in entry.steps]
        lines += ["```", "", f"- bqemulator: `{entry.here}`", f"- BigQuery: `{entry.google}`"]
        lines += [f"- patch: [{patch}](../local/cloud/bigquery/patches/{patch}.py)"]
    lines += ["", "### Without an answer that shows it", ""]
    lines += [
        f"- {text} ([{patch}](../local/cloud/bigquery/patches/{patch}.py))" for patch, text in WITHOUT_ANSWER.items()
    ]
    return "\n".join(lines) + "\n"


def _shown(request: Request) -> str:
    if isinstance(request.body, str):
        parts = [line for line in request.body.split("\r\n") if line.startswith("Content-Type")]
        return f"POST /upload/bigquery/v2/projects/p/jobs?uploadType=multipart, with the parts {' and '.join(parts)}"
    body = f" {json.dumps(request.body)}" if request.body else ""
    return f"{request.method} /bigquery/v2/projects/p/{request.path}{body}"
