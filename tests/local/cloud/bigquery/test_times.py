"""Dates and times where the corpus does not reach: bodies of views and functions, parameters, files with odd years."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from google.api_core.exceptions import BadRequest
from google.cloud import bigquery

from tests.local.cloud.bigquery.conftest import Server
from tests.local.cloud.bigquery.support import NO_RETRY, load, query

_DAY = "DATE '2021-01-13'"
_BODIES = [
    ("CREATE VIEW {d}.v AS SELECT DATE_TRUNC(day, WEEK(MONDAY)) AS x FROM {d}.t", "SELECT x FROM {d}.v"),
    (
        "CREATE FUNCTION {d}.week(x DATE) RETURNS DATE AS (DATE_TRUNC(x, WEEK(MONDAY)))",
        "SELECT {d}.week(day) FROM {d}.t",
    ),
    (
        "CREATE TABLE FUNCTION {d}.weeks(since DATE) AS"
        " (SELECT DATE_TRUNC(day, WEEK(MONDAY)) AS x FROM {d}.t WHERE day >= DATE_TRUNC(since, MONTH))",
        "SELECT x FROM {d}.weeks(DATE '2021-01-20')",
    ),
    (
        "CREATE MATERIALIZED VIEW {d}.m AS SELECT DATE_TRUNC(day, WEEK(MONDAY)) AS x FROM {d}.t",
        "SELECT x FROM {d}.m",
    ),
]


@pytest.mark.parametrize(("statement", "select"), _BODIES, ids=["view", "function", "table function", "materialized"])
def test_stored_queries_are_typed(client: bigquery.Client, dataset: str, statement: str, select: str) -> None:
    query(client, f"CREATE TABLE {dataset}.t AS SELECT {_DAY} AS day")
    query(client, statement.format(d=dataset))
    rows = client.query_and_wait(select.format(d=dataset))
    assert (rows.schema[0].field_type, [tuple(row) for row in rows]) == ("DATE", [(date(2021, 1, 11),)])


def test_a_view_of_a_view_is_typed(client: bigquery.Client, dataset: str) -> None:
    query(client, f"CREATE TABLE {dataset}.t AS SELECT {_DAY} AS day")
    query(client, f"CREATE VIEW {dataset}.v AS SELECT DATE_TRUNC(day, WEEK) AS x FROM {dataset}.t")
    query(client, f"CREATE VIEW {dataset}.w AS SELECT DATE_ADD(x, INTERVAL 1 MONTH) AS y FROM {dataset}.v")
    rows = client.query_and_wait(f"SELECT y FROM {dataset}.w")
    assert (rows.schema[0].field_type, [tuple(row) for row in rows]) == ("DATE", [(date(2021, 2, 10),)])


def test_script_variables_and_parameters(client: bigquery.Client) -> None:
    script = (
        f"DECLARE x DATE DEFAULT {_DAY}; SET x = DATE_ADD(x, INTERVAL 18 DAY); SELECT LAST_DAY(x), EXTRACT(WEEK FROM x)"
    )
    assert query(client, script) == [(date(2021, 1, 31), 5)]
    moment = datetime(2021, 1, 13, 5, 6, 7, 500_000, UTC)
    parameters = [
        bigquery.ScalarQueryParameter("t", "TIMESTAMP", moment),
        bigquery.ScalarQueryParameter("zone", "STRING", "America/New_York"),
        bigquery.ScalarQueryParameter("n", "INT64", 2),
    ]
    sql = (
        "SELECT TIMESTAMP_TRUNC(@t, DAY, @zone), TIMESTAMP_ADD(@t, INTERVAL @n HOUR), STRING(@t, @zone),"
        " CAST(@t AS STRING), TIMESTAMP_DIFF(@t, TIMESTAMP '2021-01-13 05:05:08+00', MINUTE)"
    )
    assert query(client, sql, query_parameters=parameters) == [
        (
            datetime(2021, 1, 13, 5, tzinfo=UTC),
            datetime(2021, 1, 13, 7, 6, 7, 500_000, UTC),
            "2021-01-13 00:06:07.500-05",
            "2021-01-13 05:06:07.500+00",
            0,
        )
    ]


@pytest.mark.parametrize("days", [2_932_897, -719_163], ids=["year 10000", "year 0"])
def test_years_that_bigquery_does_not_have(server: Server, client: bigquery.Client, dataset: str, days: int) -> None:
    table = pa.table(
        {
            "d": pa.array([0, days], pa.int32()).cast(pa.date32()),
            "t": pa.array([0, days * 86_400_000_000], pa.timestamp("us")),
        }
    )
    load(client, server.put(f"{dataset}/odd.parquet", table), f"{dataset}.odd")
    for column in ("d", "t"):
        with pytest.raises(BadRequest, match=r"range of valid values is \[0001-01-01, 9999-12-31\]"):
            client.query_and_wait(f"SELECT {column} FROM {dataset}.odd", **NO_RETRY)
    with pytest.raises(BadRequest, match="range of valid values"):
        list(client.list_rows(f"{dataset}.odd", retry=None))  # type: ignore[arg-type]
    assert query(client, f"SELECT d FROM {dataset}.odd WHERE EXTRACT(YEAR FROM d) = 1970") == [(date(1970, 1, 1),)]
