"""Long and deeply nested statements: right, or refused in BigQuery's words."""

from __future__ import annotations

import json
from collections.abc import Callable
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
