"""Long and deeply nested statements: right, or refused in BigQuery's words."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest
from google.cloud import bigquery

from tests.local.cloud.bigquery.support import NO_RETRY, PROJECT, query

STACK = "Out of stack space due to deeply nested query expression"
"""https://cloud.google.com/bigquery/docs/troubleshoot-queries, "Out of stack space"."""


def _nested(before: str, inner: str, after: str, levels: int) -> str:
    return "SELECT " + before * levels + inner + after * levels


ANSWERED: list[tuple[str, Any]] = [
    (f"SELECT {' + '.join(['x'] * 300)} FROM (SELECT 2 AS x)", 600),
    (f"SELECT {' * '.join(['x'] * 100)} FROM (SELECT 1 AS x)", 1),
    (f"SELECT {' + '.join(['x'] * 100)} FROM (SELECT 0.5 AS x)", 50.0),
    (f"SELECT LENGTH({' || '.join(['x'] * 100)}) FROM (SELECT 'ab' AS x)", 200),
    (f"SELECT COUNT(*) FROM (SELECT 7 AS x) WHERE {' OR '.join(f'x = {n}' for n in range(300))}", 1),
    (f"SELECT COUNT(*) FROM (SELECT 7 AS x) WHERE {' AND '.join(f'x != {n}' for n in range(300))}", 0),
    (f"SELECT CASE x {' '.join(f'WHEN {n} THEN {n + 1}' for n in range(300))} END FROM (SELECT 299 AS x)", 300),
    (f"SELECT SUM(x) FROM ({' UNION ALL '.join(f'SELECT {n} AS x' for n in range(100))})", 4950),
    (_nested("(", "1", ")", 200), 1),
    (_nested("ABS(", "-1", ")", 50), 1),
    (_nested("CASE WHEN x THEN 1 ELSE ", "2", " END", 60) + " FROM (SELECT FALSE AS x)", 2),
    ("SELECT CAST(" + "DATE(" * 30 + "DATE '2021-01-01'" + ")" * 30 + " AS STRING)", "2021-01-01"),
    (_nested("SAFE.ABS(", "-1", ")", 25), 1),
    (_nested("GREATEST(x, ", "1", ")", 40) + " FROM (SELECT 2 AS x)", 2),
    (_nested("LEAST(x, 7.5, ", "1.5", ")", 30) + " FROM (SELECT 2.5 AS x)", 1.5),
    (
        "SELECT STRING("
        + _nested("DATE_ADD(", "x", ", INTERVAL 1 MONTH)", 20)[7:]
        + ") FROM (SELECT DATE '2021-01-13' AS x)",
        "2022-09-13",
    ),
    (_nested("PARSE_DATE('%F', STRING(", "x", "))", 15) + " FROM (SELECT DATE '2021-01-13' AS x)", date(2021, 1, 13)),
    (
        _nested("FORMAT_DATE('%F', DATE_TRUNC(PARSE_DATE('%F', ", "x", "), MONTH))", 5)
        + " FROM (SELECT '2021-01-13' AS x)",
        "2021-01-01",
    ),
    (_nested("REGEXP_EXTRACT(", "x", ", '(.*)')", 20) + " FROM (SELECT 'ab' AS x)", "ab"),
    (_nested("ROUND(2 / (1 + ", "x", "), 2)", 15) + " FROM (SELECT 1.0 AS x)", 1.0),
    (_nested("IF(", "x", " > 1.5, 3.5, 4.5)", 15) + " FROM (SELECT 5.5 AS x)", 3.5),
    (_nested("(SELECT 1 + ", "1", ")", 12), 13),
    ("SELECT 1 WHERE " + "EXISTS(SELECT 1 FROM (SELECT 1) WHERE " * 10 + "TRUE" + ")" * 10, 1),
    ("SELECT * FROM " + "(SELECT * FROM " * 40 + "(SELECT 1 AS x)" + ")" * 40, 1),
]


@pytest.mark.parametrize(("sql", "answer"), ANSWERED, ids=[sql[:40] for sql, _ in ANSWERED])
def test_a_long_statement_is_answered(client: bigquery.Client, sql: str, answer: object) -> None:
    assert query(client, sql) == [(answer,)]


REFUSED = [
    _nested("(", "1", ")", 5_000),
    _nested("ABS(", "1", ")", 600),
    _nested("ABS(", "1", ")", 50_000),
    _nested("-(", "1", ")", 900),
    "SELECT * FROM " + "(SELECT * FROM " * 1_000 + "t" + ")" * 1_000,
    f"CREATE TABLE d.t AS {_nested('ABS(', '1', ')', 600)}",
    _nested("(SELECT 1 + ", "1", ")", 13),
    "SELECT 1 WHERE " + "EXISTS(SELECT 1 WHERE " * 14 + "TRUE" + ")" * 14,
    "SELECT 1 WHERE 1 IN (" + "SELECT 1 WHERE 1 IN (" * 14 + "1" + ")" * 15,
    _nested("ARRAY_LENGTH(ARRAY(SELECT ", "1", "))", 14),
    "SELECT " + " + ".join(["x"] * 1_001) + " FROM (SELECT 1 AS x)",
    f"SELECT 1; {_nested('ABS(', '1', ')', 600)}",
]


@pytest.mark.parametrize("sql", REFUSED, ids=[sql[:20] + sql[-20:] for sql in REFUSED])
def test_what_is_nested_too_deeply_is_refused(client: bigquery.Client, sql: str) -> None:
    with pytest.raises(BadRequest, match=STACK):
        client.query(sql, **NO_RETRY).result(**NO_RETRY)


@pytest.mark.parametrize("levels", [5_000, 200_000])
@pytest.mark.parametrize(
    "body",
    [
        lambda deep: f'{{"query": {deep}}}',
        lambda deep: f'{{"query": "SELECT 1", "queryParameters": {deep}}}',
    ],
)
def test_a_deep_request_is_refused(client: bigquery.Client, levels: int, body: Callable[[str], str]) -> None:
    text = body("[" * levels + "]" * levels)
    response = client._http.post(
        f"{client._connection.API_BASE_URL}/bigquery/v2/projects/{PROJECT}/queries",
        data=text.encode(),
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == 400
    assert json.loads(response.content)["error"]["message"]
