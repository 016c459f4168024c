"""Scripts: how variables are set, and the script by which dbt replaces the partitions of a table."""

from __future__ import annotations

import pytest
from google.api_core.exceptions import BadRequest
from google.cloud import bigquery

from tests.local.cloud.bigquery.support import query

# insert_overwrite as dbt-bigquery sends it, with the rows of the model in place of its query.
INSERT_OVERWRITE = """
declare dbt_partitions_for_replacement array<date>;
create or replace table {dataset}.new partition by date_trunc(m, month) as ({rows});
set (dbt_partitions_for_replacement) = (
    select as struct
        array_agg(distinct date_trunc(m, month) IGNORE NULLS)
    from {dataset}.new
);
merge into {dataset}.t as DBT_INTERNAL_DEST
    using (select * from {dataset}.new) as DBT_INTERNAL_SOURCE
    on FALSE
when not matched by source
     and date_trunc(DBT_INTERNAL_DEST.m, month) in unnest(dbt_partitions_for_replacement)
    then delete
when not matched then insert
    (`m`, `x`)
values
    (`m`, `x`);
drop table if exists {dataset}.new
"""


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("SELECT DATE '2021-02-05' AS m, 7 AS x UNION ALL SELECT DATE '2021-02-06', NULL", {1: 3, 2: 7}),
        ("SELECT DATE '2021-03-05' AS m, 7 AS x", {1: 3, 2: 30, 3: 7}),
        ("SELECT DATE '2021-02-05' AS m, 7 AS x FROM UNNEST([1]) WHERE FALSE", {1: 3, 2: 30}),
    ],
    ids=["replaces a partition", "adds a partition", "has no rows"],
)
def test_partitions_are_overwritten(client: bigquery.Client, dataset: str, rows: str, expected: dict[int, int]) -> None:
    query(
        client,
        f"CREATE TABLE {dataset}.t PARTITION BY DATE_TRUNC(m, MONTH) AS SELECT DATE '2021-01-31' AS m, 1 AS x "
        "UNION ALL SELECT DATE '2021-01-01', 2 UNION ALL SELECT DATE '2021-02-01', 30",
    )
    query(client, INSERT_OVERWRITE.format(dataset=dataset, rows=rows))
    found = query(client, f"SELECT EXTRACT(MONTH FROM m), SUM(x) FROM {dataset}.t GROUP BY 1")
    assert sorted(found) == sorted(expected.items())
    assert [table.table_id for table in client.list_tables(dataset)] == ["t"]


def test_merge_on_false_takes_a_table_and_its_values_by_name(client: bigquery.Client, dataset: str) -> None:
    query(client, f"CREATE TABLE {dataset}.t AS SELECT 1 AS x, 'old' AS y")
    query(client, f"CREATE TABLE {dataset}.s AS SELECT 1 AS x, 'new' AS y UNION ALL SELECT NULL, 'null'")
    query(client, f"MERGE {dataset}.t USING {dataset}.s ON FALSE WHEN NOT MATCHED THEN INSERT (y, x) VALUES (s.y, s.x)")
    query(client, f"MERGE {dataset}.t USING {dataset}.s ON FALSE WHEN MATCHED THEN DELETE")
    expected = {(1, "old"), (1, "new"), (None, "null")}
    assert set(query(client, f"SELECT x, y FROM {dataset}.t")) == expected
    query(client, f"MERGE {dataset}.t USING {dataset}.s ON FALSE WHEN NOT MATCHED BY SOURCE AND x IS NULL THEN DELETE")
    assert set(query(client, f"SELECT x, y FROM {dataset}.t")) == expected - {(None, "null")}


def test_merge_on_false_compares_no_pairs_of_rows(client: bigquery.Client, dataset: str) -> None:
    """These 10 ** 10 pairs would take minutes."""
    numbers = "SELECT x FROM UNNEST(GENERATE_ARRAY(1, 100000)) AS x"
    query(client, f"CREATE TABLE {dataset}.t AS {numbers}")
    query(
        client,
        f"MERGE {dataset}.t USING ({numbers}) AS s ON FALSE WHEN NOT MATCHED BY SOURCE THEN DELETE "
        "WHEN NOT MATCHED THEN INSERT (x) VALUES (x + 1)",
    )
    assert query(client, f"SELECT COUNT(*), MIN(x), MAX(x) FROM {dataset}.t") == [(100_000, 2, 100_001)]


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("SET (a) = (SELECT AS STRUCT [1, 2])", ([1, 2], None)),
        ("SET (a, b) = (SELECT AS STRUCT [3], 'x')", ([3], "x")),
        ("SET (a, b) = (SELECT [4], 'y')", ([4], "y")),
        ("SET a = (SELECT [5])", ([5], None)),
    ],
)
def test_variables_are_set_from_a_query(
    client: bigquery.Client, assignment: str, expected: tuple[list[int], str | None]
) -> None:
    script = f"DECLARE a ARRAY<INT64>; DECLARE b STRING; {assignment}; SELECT (SELECT SUM(x) FROM UNNEST(a) AS x), b"
    assert query(client, script) == [(sum(expected[0]), expected[1])]


def test_as_many_values_as_variables(client: bigquery.Client) -> None:
    with pytest.raises(BadRequest, match="SET assigns 1 values to 2 variables"):
        query(client, "DECLARE a, b INT64; SET (a, b) = (SELECT AS STRUCT 1); SELECT a")


def test_a_struct_is_set_whole(client: bigquery.Client) -> None:
    script = "DECLARE s STRUCT<a INT64, b INT64>; SET s = (SELECT AS STRUCT 1 AS a, 2 AS b); SELECT s.a + s.b"
    assert query(client, script) == [(3,)]
