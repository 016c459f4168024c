"""The typed translation: functions and operators answer as BigQuery does, or are refused in its words.

Each expected answer comes from BigQuery's documentation or from Google's own implementation of GoogleSQL.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest
from google.cloud import bigquery

from tests.local.cloud.bigquery.conftest import Server
from tests.local.cloud.bigquery.support import query


@pytest.fixture(scope="module")
def values(server: Server) -> tuple[bigquery.Client, str]:
    """Create a table with a column of each type, and return a client and the table's dataset."""
    client = server.client()
    client.create_dataset("translation")
    client.query_and_wait(
        "CREATE TABLE translation.v (i INT64, f FLOAT64, n NUMERIC, s STRING, b BOOL, a ARRAY<INT64>,"
        " st STRUCT<x INT64, y NUMERIC>)"
    )
    client.query_and_wait(
        "INSERT INTO translation.v VALUES (3, 2.5, NUMERIC '2.5', '12', true, [1, 2, 3], STRUCT(1, NUMERIC '2.5'))"
    )
    return client, "translation"


def answer(values: tuple[bigquery.Client, str], expression: str) -> tuple[str, Any]:
    """Return the type and the value of an expression over the table."""
    client, dataset = values
    rows = client.query_and_wait(f"SELECT {expression} AS x FROM {dataset}.v")
    field = rows.schema[0]
    return ("ARRAY " if field.mode == "REPEATED" else "") + field.field_type, next(iter(rows))[0]


ANSWERS: list[tuple[str, str, Any]] = [
    ("CAST(1.23456 AS NUMERIC)", "NUMERIC", Decimal("1.23456")),
    ("CAST(1e15 AS NUMERIC)", "NUMERIC", Decimal("1000000000000000")),
    ("CAST(f * 4e14 AS NUMERIC)", "NUMERIC", Decimal("1000000000000000")),
    ("CAST(1.239 AS NUMERIC(5, 2))", "NUMERIC", Decimal("1.24")),
    ("CAST(-1.235 AS NUMERIC(5, 2))", "NUMERIC", Decimal("-1.24")),
    ("CAST('1e3' AS NUMERIC)", "NUMERIC", Decimal("1000")),
    ("CAST(NUMERIC '2' AS STRING)", "STRING", "2"),
    ("CAST(n AS STRING)", "STRING", "2.5"),
    ("n + 1", "NUMERIC", Decimal("3.5")),
    ("n * n", "NUMERIC", Decimal("6.25")),
    ("n * 1.5", "NUMERIC", Decimal("3.75")),
    ("n * f", "FLOAT", 6.25),
    ("n / 3", "NUMERIC", Decimal("0.833333333")),
    ("-n / 1.5", "NUMERIC", Decimal("-1.666666667")),
    ("AVG(n)", "NUMERIC", Decimal("2.5")),
    ("AVG(DISTINCT n) OVER ()", "NUMERIC", Decimal("2.5")),
    ("SUM(CAST(f AS NUMERIC))", "NUMERIC", Decimal("2.5")),
    ("AVG(i)", "FLOAT", 3.0),
    ("st.y * 2", "NUMERIC", Decimal("5")),
    ("(SELECT SUM(y) FROM UNNEST([n, 2.5]) AS y)", "NUMERIC", Decimal("5")),
    ("ARRAY<NUMERIC>[1.23456]", "ARRAY NUMERIC", [Decimal("1.23456")]),
    ("CASE WHEN b THEN n ELSE 0.5 END", "NUMERIC", Decimal("2.5")),
    ("COALESCE(NULL, 0.5, n)", "NUMERIC", Decimal("0.5")),
    ("CAST(2.5 AS INT64)", "INTEGER", 3),
    ("CAST(-f AS INT64)", "INTEGER", -3),
    ("CAST(n AS INT64)", "INTEGER", 3),
    ("CAST(' 0x1F ' AS INT64)", "INTEGER", 31),
    ("SAFE_CAST('2.5' AS INT64)", "INTEGER", None),
    ("SAFE_CAST('x' AS NUMERIC)", "NUMERIC", None),
    ("CAST(1.0 AS STRING)", "STRING", "1"),
    ("CAST(0.1 + 0.2 AS STRING)", "STRING", "0.30000000000000004"),
    ("CAST(f * 1e20 AS STRING)", "STRING", "2.5e+20"),
]


@pytest.mark.parametrize(("expression", "kind", "value"), ANSWERS, ids=[case[0] for case in ANSWERS])
def test_answer(values: tuple[bigquery.Client, str], expression: str, kind: str, value: Any) -> None:
    assert answer(values, expression) == (kind, value)


REFUSALS = [
    ("CAST('2.5' AS INT64)", "Bad int64 value: 2.5"),
    ("CAST(s || 'x' AS FLOAT64)", "Bad double value: 12x"),
    ("CAST(12345.678 AS NUMERIC(5, 2))", r"NUMERIC\(5, 2\) has precision 5 and scale 2 but got a value"),
    ("CAST(1e40 AS NUMERIC)", "Invalid NUMERIC value|numeric out of range"),
    ("CAST(f * 1e40 AS NUMERIC)", r"numeric out of range: 2.5e\+40"),
    ("CAST(CAST('nan' AS FLOAT64) AS INT64)", "Illegal conversion of non-finite floating point number"),
    ("CAST(b AS FLOAT64)", "Invalid cast from BOOL to FLOAT64"),
    ("CAST('1' AS BOOL)", "Bad bool value: 1"),
    ("n * NUMERIC '99999999999999999999999999999'", "numeric overflow"),
    ("n / (n - 2.5)", "division by zero: 2.5 / 0"),
]


@pytest.mark.parametrize(("expression", "message"), REFUSALS, ids=[case[0] for case in REFUSALS])
def test_refusal(values: tuple[bigquery.Client, str], expression: str, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        answer(values, expression)


def test_numeric_is_stored_with_nine_decimals(client: bigquery.Client, dataset: str) -> None:
    query(client, f"CREATE TABLE {dataset}.t AS SELECT 1 AS k, CAST(1.23456 AS NUMERIC) AS n")
    query(client, f"INSERT INTO {dataset}.t (k, n) SELECT 2, CAST(x AS NUMERIC) FROM UNNEST([0.123456789]) AS x")
    query(
        client,
        f"MERGE {dataset}.t AS t USING (SELECT 1 AS k) AS s ON t.k = s.k"
        " WHEN MATCHED THEN UPDATE SET n = t.n * CAST('0.5' AS NUMERIC)",
    )
    assert query(client, f"SELECT n FROM {dataset}.t ORDER BY k") == [(Decimal("0.61728"),), (Decimal("0.123456789"),)]


def test_view_and_script_know_the_types_of_columns(client: bigquery.Client, dataset: str) -> None:
    query(client, f"CREATE TABLE {dataset}.t AS SELECT CAST(1 AS NUMERIC) AS n")
    query(client, f"CREATE VIEW {dataset}.v AS SELECT n / 3 AS third FROM {dataset}.t")
    rows = client.query_and_wait(f"SELECT third * 3 FROM {dataset}.v")
    assert (rows.schema[0].field_type, [tuple(row) for row in rows]) == ("NUMERIC", [(Decimal("0.999999999"),)])
    script = f"BEGIN TRANSACTION; UPDATE {dataset}.t SET n = n / 3 WHERE true; COMMIT; SELECT AVG(n) FROM {dataset}.t"
    assert query(client, script) == [(Decimal("0.333333333"),)]
