"""The typed translation: functions and operators answer as BigQuery does, or are refused in its words.

Each expected answer comes from BigQuery's documentation or from Google's own implementation of GoogleSQL.
"""

from __future__ import annotations

from datetime import date
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
    ("100000 * 100000", "INTEGER", 10_000_000_000),
    ("-9223372036854775808", "INTEGER", -(2**63)),
    ("SUM(i)", "INTEGER", 3),
    ("DIV(-7, 2)", "INTEGER", -3),
    ("MOD(n, 2)", "NUMERIC", Decimal("0.5")),
    ("SAFE_DIVIDE(i, 0)", "FLOAT", None),
    ("SAFE_DIVIDE(n, 3)", "NUMERIC", Decimal("0.833333333")),
    ("IEEE_DIVIDE(1, 0)", "FLOAT", float("inf")),
    ("SAFE_NEGATE(-9223372036854775807 - 1)", "INTEGER", None),
    ("SAFE.LN(0)", "FLOAT", None),
    ("ROUND(1234, -2)", "FLOAT", 1200.0),
    ("ROUND(2.675, 2)", "FLOAT", 2.67),
    ("ROUND(f)", "FLOAT", 3.0),
    ("ROUND(n, 0, 'ROUND_HALF_EVEN')", "NUMERIC", Decimal(2)),
    ("ROUND(ROUND(ROUND(ROUND(AVG(f) / 3, 4), 3), 2), 1)", "FLOAT", 0.8),
    ("LOG(8, 2)", "FLOAT", 3.0),
    ("SQRT(n)", "NUMERIC", Decimal("1.58113883")),
    ("CEIL(i)", "FLOAT", 3.0),
    ("SIGN(n)", "NUMERIC", Decimal(1)),
    ("CAST('nan' AS FLOAT64) = CAST('nan' AS FLOAT64)", "BOOLEAN", False),
    ("CAST('nan' AS FLOAT64) > 1", "BOOLEAN", False),
    ("NOT CAST('nan' AS FLOAT64) <= f", "BOOLEAN", True),
    ("ARRAY(SELECT x FROM UNNEST([f, CAST('-inf' AS FLOAT64)]) AS x ORDER BY x)", "ARRAY FLOAT", [float("-inf"), 2.5]),
    ("(SELECT x FROM UNNEST([2.5, CAST('nan' AS FLOAT64)]) AS x ORDER BY x DESC LIMIT 1)", "FLOAT", 2.5),
    (
        "(SELECT MIN(IS_NAN(x)) FROM (SELECT MIN(y) AS x FROM UNNEST([f, CAST('nan' AS FLOAT64)]) AS y))",
        "BOOLEAN",
        True,
    ),
    ("DATE '2021-01-01' = DATETIME '2021-01-01'", "BOOLEAN", True),
    ("DATE '2021-01-01' = '2021-01-01'", "BOOLEAN", True),
    ("a[OFFSET(1)]", "INTEGER", 2),
    ("a[SAFE_OFFSET(9)]", "INTEGER", None),
    ("a[ORDINAL(i)]", "INTEGER", 3),
    (
        "(SELECT ARRAY_AGG(DISTINCT x IGNORE NULLS ORDER BY x LIMIT 2) FROM UNNEST([3, 1, NULL, 2, 1]) AS x)",
        "ARRAY INTEGER",
        [1, 2],
    ),
    (
        "(SELECT APPROX_TOP_COUNT(x, 1) FROM UNNEST(['a', 'b', 'b']) AS x)",
        "ARRAY RECORD",
        [{"value": "b", "count": 2}],
    ),
    (r"'a%b' LIKE r'a\%b'", "BOOLEAN", True),
    (r"'axb' LIKE 'a\\_b'", "BOOLEAN", False),
    ("CONCAT('a', n, 1.0, TRUE)", "STRING", "a2.51true"),
    ("CONCAT(i, '/', n)", "STRING", "3/2.5"),
    (r"'\x41\u00e9\101'", "STRING", "AéA"),
    (r"b'\xff\x00a'", "BYTES", b"\xff\x00a"),
    ("CAST(STRUCT(1 AS x) AS STRUCT<y STRING>)", "RECORD", {"y": "1"}),
    ("TO_JSON_STRING(TIMESTAMP '2021-01-01 00:00:00.5+00')", "STRING", '"2021-01-01T00:00:00.500Z"'),
    (
        "TO_JSON_STRING(STRUCT(n AS n, [1.5] AS f, 9007199254740993 AS i))",
        "STRING",
        '{"n":"2.5","f":[1.5],"i":"9007199254740993"}',
    ),
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
    ("i / 0", "division by zero: 3 / 0"),
    ("MOD(i, 0)", r"division by zero: MOD\(3, 0\)"),
    ("9223372036854775807 + i", r"int64 overflow: 9223372036854775807 \+ 3"),
    ("9223372036854775808", "Invalid integer literal: 9223372036854775808"),
    ("(SELECT SUM(x) FROM UNNEST([9223372036854775807, 1]) AS x)", "int64 overflow"),
    ("f * 1e308", r"double overflow: 2.5 \* 1e\+308"),
    ("1 / (f * 1e308)", "double overflow"),
    ("EXP(f * 1000)", r"Floating point error in function: EXP\(2500\)"),
    ("SAFE.LN(1 / 0)", "division by zero"),
    ("'1' = 1", "No matching signature for operator = for argument types: STRING, INT64"),
    ("s < i", "No matching signature for operator < for argument types: STRING, INT64"),
    ("DATE '2021-01-01' > TIMESTAMP '2021-01-01'", "for operator > for argument types: DATE, TIMESTAMP"),
    ("i IN ('a')", "No matching signature for operator IN"),
    ("a = a", "Equality is not defined for arguments of type ARRAY<INT64>"),
    ("CASE WHEN b THEN i ELSE s END", "No matching signature for operator CASE"),
    ("COALESCE(i, s)", "No matching signature for function COALESCE for argument types: INT64, STRING"),
    ("NOT i", "No matching signature for operator NOT"),
    ("i + b", r"No matching signature for operator \+ for argument types: INT64, BOOL"),
    ("UPPER(i)", "No matching signature for function UPPER for argument types: INT64"),
    ("SUM(s)", "No matching signature for aggregate function SUM for argument types: STRING"),
    ("DATE '2021-01-01' = 'tomorrow'", 'Could not cast literal "tomorrow" to type DATE'),
    ("(SELECT 1 FROM UNNEST([1]) AS x WHERE x)", "WHERE clause should return type BOOL, but returns INT64"),
    ("(SELECT 1 UNION ALL SELECT 'a')", "Column 1 in UNION ALL has incompatible types: INT64, STRING"),
    ("a[OFFSET(5)]", "Array index 5 is out of bounds"),
    ("a[ORDINAL(0)]", "Array index 0 is out of bounds"),
    ("[1, NULL]", "Array cannot have a null element; error in writing field x"),
    (r"s LIKE 'a\\'", "LIKE pattern ends with a backslash"),
    (r"'\q'", r"Illegal escape sequence: \\q"),
    ("CAST(i AS FOO)", "Type not found: FOO"),
    ("CAST(i AS VARCHAR)", "Type not found: VARCHAR"),
    ("nothing", "Unrecognized name: nothing"),
    ("1::STRING", "Syntax error"),
    ("BIGNUMERIC '1.00000000000000000000000000000000000001'", "does not have the type BIGNUMERIC"),
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


def test_the_columns_of_a_table_function_have_types(client: bigquery.Client, dataset: str) -> None:
    nan = "CAST('nan' AS FLOAT64)"
    query(
        client, f"CREATE TABLE {dataset}.t AS SELECT NUMERIC '1' AS n, 9223372036854775807 AS i, {nan} AS f, '1' AS s"
    )
    query(client, f"INSERT INTO {dataset}.t VALUES (NUMERIC '1.5', 1, 2.5, '1')")
    client.query_and_wait(f"CREATE TABLE FUNCTION {dataset}.g(m INT64) AS SELECT *, n * m AS product FROM {dataset}.t")
    rows = client.query_and_wait(f"SELECT AVG(n), SUM(product), IS_NAN(MIN(f)) FROM {dataset}.g(2)")
    assert [field.field_type for field in rows.schema] == ["NUMERIC", "NUMERIC", "BOOLEAN"]
    assert [tuple(row) for row in rows] == [(Decimal("1.25"), Decimal(5), True)]
    for expression, message in {
        "SUM(i)": "int64 overflow",
        "LOGICAL_AND(s = 1)": "No matching signature for operator = for argument types: STRING, INT64",
    }.items():
        with pytest.raises(BadRequest, match=message):
            query(client, f"SELECT {expression} FROM {dataset}.g(2)")


def parameter(name: str | None, kind: str, value: Any) -> bigquery.ScalarQueryParameter:
    return bigquery.ScalarQueryParameter(name, kind, value)


def test_parameters_are_found_by_name_in_any_case_and_not_in_literals(client: bigquery.Client) -> None:
    parameters = [parameter("a", "INT64", 5), parameter("n", "NUMERIC", Decimal("1.5"))]
    sql = "SELECT @A, @`a`, 'x@a', @n / 4 -- @b"
    assert query(client, sql, query_parameters=parameters) == [(5, 5, "x@a", Decimal("0.375"))]
    assert query(client, "SELECT ?, '?'", query_parameters=[parameter(None, "FLOAT64", 1.5)]) == [(1.5, "?")]
    with pytest.raises(BadRequest, match="Query parameter 'b' not found"):
        query(client, "SELECT @b", query_parameters=parameters)


def test_parameters_have_types(client: bigquery.Client) -> None:
    given = [parameter("s", "STRING", "2021-01-02"), parameter("i", "INT64", None)]
    rows = client.query_and_wait(
        "SELECT DATE '2021-01-02' = @s, @i", job_config=bigquery.QueryJobConfig(query_parameters=given)
    )
    assert ([field.field_type for field in rows.schema], [tuple(row) for row in rows]) == (
        ["BOOLEAN", "INTEGER"],
        [(True, None)],
    )
    with pytest.raises(BadRequest, match="No matching signature for operator = for argument types: INT64, STRING"):
        query(client, "SELECT 1 = @s", query_parameters=given)


ASSIGNMENTS = [
    ("INSERT INTO {d}.t (i) VALUES ('a')", "Value has type STRING which cannot be inserted into column i"),
    ("INSERT INTO {d}.t (n) SELECT f FROM {d}.t", "Query column 1 has type FLOAT64 which cannot be inserted"),
    ("UPDATE {d}.t SET i = 1.5 WHERE true", "Value of type FLOAT64 cannot be assigned to i, which has type INT64"),
    (
        "MERGE {d}.t AS a USING (SELECT 1 AS i) AS b ON a.i = b.i WHEN MATCHED THEN UPDATE SET s = b.i",
        "Value of type INT64 cannot be assigned to s, which has type STRING",
    ),
]


@pytest.mark.parametrize(("sql", "message"), ASSIGNMENTS, ids=[sql[:20] for sql, _ in ASSIGNMENTS])
def test_values_must_fit_their_columns(client: bigquery.Client, dataset: str, sql: str, message: str) -> None:
    query(client, f"CREATE TABLE {dataset}.t (i INT64, f FLOAT64, n NUMERIC, s STRING, d DATE)")
    query(client, f"INSERT INTO {dataset}.t (i, f, n, d) VALUES (1, 1, 1e15, '2021-01-01')")
    with pytest.raises(BadRequest, match=message):
        query(client, sql.format(d=dataset))
    assert query(client, f"SELECT * FROM {dataset}.t") == [(1, 1.0, Decimal(10**15), None, date(2021, 1, 1))]
