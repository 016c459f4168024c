"""Jobs that write one partition of a table."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.cloud import bigquery

from tests.local.cloud.bigquery.conftest import Server
from tests.local.cloud.bigquery.support import (
    BUCKET,
    MONTHLY,
    PROJECT,
    create_trips,
    load,
    months,
    query,
    reference,
    trips,
)


@pytest.fixture
def table(client: bigquery.Client, server: Server, dataset: str) -> str:
    """Load January (3 rows) and February (2 rows) into a table and into ``<dataset>.staging``."""
    for month, rows in ((1, 3), (2, 2)):
        server.put(f"{dataset}/{month:02d}.parquet", trips(month, rows, first=month * 100))
    create_trips(client, f"{dataset}.trips")
    load(client, f"gs://{BUCKET}/{dataset}/*", f"{dataset}.trips")
    load(client, f"gs://{BUCKET}/{dataset}/*", f"{dataset}.staging")
    return f"{dataset}.trips"


def publish(client: bigquery.Client, sql: str, table: str, **options: Any) -> bigquery.QueryJob:
    """Run a query job into a table or partition, as the pipeline publishes a month."""
    config = bigquery.QueryJobConfig(destination=reference(table), **options)
    job = client.query(sql, job_config=config)
    job.result()
    return job


def test_query_job_replaces_its_partition(client: bigquery.Client, dataset: str, table: str) -> None:
    sql = f"SELECT * FROM {dataset}.staging WHERE source_month = '2021-01-01' LIMIT 1"
    rows = publish(
        client, sql, f"{table}$202101", write_disposition="WRITE_TRUNCATE", time_partitioning=MONTHLY
    ).result()
    assert rows.total_rows == 1
    assert months(client, table) == {"202101": 1, "202102": 2}
    publish(
        client, f"SELECT * FROM {dataset}.staging WHERE false", f"{table}$202101", write_disposition="WRITE_TRUNCATE"
    )
    assert months(client, table) == {"202102": 2}


def test_append_and_write_empty_apply_to_the_partition(client: bigquery.Client, dataset: str, table: str) -> None:
    sql = f"SELECT * FROM {dataset}.staging WHERE source_month = '2021-01-01'"
    publish(client, sql, f"{table}$202101", write_disposition="WRITE_APPEND")
    assert months(client, table) == {"202101": 6, "202102": 2}
    with pytest.raises(Conflict, match="Already Exists"):
        publish(client, sql, f"{table}$202101", write_disposition="WRITE_EMPTY")
    client.delete_table(reference(f"{table}$202101"))
    publish(client, sql, f"{table}$202101", write_disposition="WRITE_EMPTY")
    assert months(client, table) == {"202101": 3, "202102": 2}


def test_columns_bind_by_name(client: bigquery.Client, table: str) -> None:
    sql = "SELECT DATE '2021-01-01' AS source_month, 2.5 AS fare_amount, 9 AS vendorid"
    publish(client, sql, f"{table}$202101", write_disposition="WRITE_TRUNCATE")
    rows = query(client, f"SELECT VendorID, fare_amount, source_file FROM {table} WHERE source_month = '2021-01-01'")
    assert rows == [(9, 2.5, None)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM {staging}",
        "SELECT * REPLACE (CAST(NULL AS DATE) AS source_month) FROM {staging} WHERE source_month = '2021-01-01'",
        "SELECT * EXCEPT (source_month) FROM {staging}",
        "SELECT *, 1 AS more FROM {staging} WHERE source_month = '2021-01-01'",
        "SELECT DATE '2021-01-01' AS source_month, 'text' AS fare_amount",
    ],
)
def test_rows_of_another_partition_or_schema_change_nothing(
    client: bigquery.Client, dataset: str, table: str, sql: str
) -> None:
    for disposition in ("WRITE_TRUNCATE", "WRITE_APPEND"):
        with pytest.raises(BadRequest):
            publish(client, sql.format(staging=f"{dataset}.staging"), f"{table}$202101", write_disposition=disposition)
    assert months(client, table) == {"202101": 3, "202102": 2}


def test_load_job_replaces_its_partition(client: bigquery.Client, server: Server, dataset: str, table: str) -> None:
    uri = server.put(f"{dataset}/again/01.parquet", trips(1, 7))
    job = load(client, uri, f"{table}$202101", write_disposition="WRITE_TRUNCATE")
    assert job.output_rows == 7
    assert months(client, table) == {"202101": 7, "202102": 2}
    with pytest.raises(BadRequest, match="2 of 5 rows, by source_month"):
        load(client, f"gs://{BUCKET}/{dataset}/0*", f"{table}$202101", write_disposition="WRITE_TRUNCATE")
    assert months(client, table) == {"202101": 7, "202102": 2}


def test_copy_job_replaces_its_partition(client: bigquery.Client, dataset: str, table: str) -> None:
    create_trips(client, f"{dataset}.copy")
    truncate = bigquery.CopyJobConfig(write_disposition="WRITE_TRUNCATE")
    for _ in range(2):
        client.copy_table(
            reference(f"{table}$202102"), reference(f"{dataset}.copy$202102"), job_config=truncate
        ).result()
    assert months(client, f"{dataset}.copy") == {"202102": 2}
    with pytest.raises(BadRequest, match="different partitions"):
        client.copy_table(reference(table), reference(f"{dataset}.copy$202102"), job_config=truncate).result()
    assert months(client, f"{dataset}.copy") == {"202102": 2}
    client.copy_table(reference(f"{table}$202101"), reference(f"{table}$202101"), job_config=truncate).result()
    assert months(client, table) == {"202101": 3, "202102": 2}
    client.copy_table(reference(table), reference(f"{dataset}.whole")).result()
    whole = client.get_table(f"{dataset}.whole")
    assert (whole.num_rows, whole.time_partitioning.field) == (5, "source_month")


def test_copy_job_between_different_columns_is_refused(client: bigquery.Client, dataset: str) -> None:
    query(client, f"CREATE TABLE {dataset}.a AS SELECT 1 AS x, 'a' AS y")
    query(client, f"CREATE TABLE {dataset}.b AS SELECT 2 AS x, 'b' AS z")
    query(client, f"CREATE TABLE {dataset}.c AS SELECT '3' AS x, 'c' AS y")
    query(client, f"CREATE TABLE {dataset}.d AS SELECT 'd' AS Y, 4 AS X")
    query(client, f"CREATE TABLE {dataset}.few AS SELECT 5 AS x")

    def copy(sources: str, destination: str, **options: Any) -> None:
        config = bigquery.CopyJobConfig(**options)
        tables = [reference(f"{dataset}.{source}") for source in sources.split()]
        client.copy_table(tables, reference(f"{dataset}.{destination}"), job_config=config).result()

    refused = f"{dataset}.b does not match Table {PROJECT}:{dataset}.a. .*field: z.*Field y is missing"
    with pytest.raises(BadRequest, match=refused):
        copy("a b", "new")
    with pytest.raises(BadRequest, match="Field x has changed type from INTEGER to STRING"):
        copy("a c", "new")
    with pytest.raises(NotFound):
        client.get_table(f"{dataset}.new")
    for disposition in ("WRITE_APPEND", "WRITE_TRUNCATE_DATA"):
        with pytest.raises(BadRequest, match=refused):
            copy("b", "a", write_disposition=disposition)
        with pytest.raises(BadRequest, match="Field y is missing"):
            copy("few", "a", write_disposition=disposition)
    assert query(client, f"SELECT * FROM {dataset}.a") == [(1, "a")]
    copy("d a", "new")
    copy("a d", "a", write_disposition="WRITE_APPEND")
    rows = f"SELECT x, y FROM {dataset}.{{}} ORDER BY x"
    assert query(client, rows.format("new")) == [(1, "a"), (4, "d")]
    assert query(client, rows.format("a")) == [(1, "a"), (1, "a"), (4, "d")]
    copy("b", "a", write_disposition="WRITE_TRUNCATE")
    assert query(client, f"SELECT x, z FROM {dataset}.a") == [(2, "b")]


def test_query_can_read_its_own_destination(client: bigquery.Client, table: str) -> None:
    sql = f"SELECT * FROM {table} WHERE source_month = '2021-01-01' AND VendorID > 100"
    publish(client, sql, f"{table}$202101", write_disposition="WRITE_TRUNCATE")
    assert months(client, table) == {"202101": 2, "202102": 2}
    publish(client, f"SELECT * FROM {table} WHERE VendorID > 101", table, write_disposition="WRITE_TRUNCATE")
    assert months(client, table) == {"202101": 1, "202102": 2}


def test_destination_is_created_if_its_partitioning_is_given(client: bigquery.Client, dataset: str, table: str) -> None:
    sql = f"SELECT * FROM {dataset}.staging WHERE source_month = '2021-01-01'"
    with pytest.raises(BadRequest, match="must give timePartitioning"):
        publish(client, sql, f"{dataset}.new$202101", write_disposition="WRITE_TRUNCATE")
    with pytest.raises(NotFound):
        publish(client, sql, f"{dataset}.new$202101", create_disposition="CREATE_NEVER", time_partitioning=MONTHLY)
    options = {"time_partitioning": MONTHLY, "clustering_fields": ["VendorID"], "write_disposition": "WRITE_TRUNCATE"}
    publish(client, sql, f"{dataset}.new$202101", **options)
    new = client.get_table(f"{dataset}.new")
    assert (new.num_rows, new.time_partitioning.type_, new.clustering_fields) == (3, "MONTH", ["VendorID"])


@pytest.mark.parametrize(
    ("decorator", "message"),
    [
        ("$2021", "Invalid partition id"),
        ("$20210101", "Invalid partition id"),
        ("$202113", "Invalid partition id"),
        ("$", "Invalid partition id"),
        ("$__NULL__", "does not address the partition"),
    ],
)
def test_invalid_decorator_is_refused(
    client: bigquery.Client, dataset: str, table: str, decorator: str, message: str
) -> None:
    with pytest.raises(BadRequest, match=message):
        publish(client, f"SELECT * FROM {dataset}.staging", table + decorator, write_disposition="WRITE_TRUNCATE")
    with pytest.raises(BadRequest, match=message):
        client.get_table(table + decorator)


def test_unsuitable_destination_is_refused(client: bigquery.Client, dataset: str, table: str) -> None:
    sql = f"SELECT * FROM {dataset}.staging WHERE source_month = '2021-01-01'"
    with pytest.raises(BadRequest, match="is not partitioned"):
        publish(client, sql, f"{dataset}.staging$202101", write_disposition="WRITE_APPEND")
    daily = bigquery.TimePartitioning(type_="DAY", field="source_month")
    with pytest.raises(BadRequest, match="Incompatible table partitioning specification"):
        publish(client, sql, f"{table}$202101", write_disposition="WRITE_TRUNCATE", time_partitioning=daily)
    with pytest.raises(BadRequest, match="Incompatible table clustering specification"):
        publish(client, sql, f"{table}$202101", write_disposition="WRITE_TRUNCATE", clustering_fields=["VendorID"])
    with pytest.raises(BadRequest, match="Partition decorators cannot be used in standard SQL"):
        query(client, f"SELECT * FROM `{PROJECT}.{table}$202101`")
    with pytest.raises(BadRequest, match="cannot be set for jobs with DDL or DML"):
        publish(client, f"DELETE FROM {table} WHERE true", f"{table}$202101")
    assert months(client, table) == {"202101": 3, "202102": 2}


def test_partition_is_read_and_deleted_through_the_api(client: bigquery.Client, table: str) -> None:
    assert client.get_table(f"{table}$202101").num_rows == 3
    assert client.get_table(f"{table}$203001").num_rows == 0
    partition = client.get_table(f"{table}$202102")
    assert [row["VendorID"] for row in client.list_rows(partition)] == [200, 201]
    client.delete_table(reference(f"{table}$202102"))
    assert months(client, table) == {"202101": 3}


def test_row_counts_follow_every_change(client: bigquery.Client, dataset: str, table: str) -> None:
    publish(
        client,
        f"SELECT * FROM {dataset}.staging WHERE VendorID = 100",
        f"{table}$202101",
        write_disposition="WRITE_TRUNCATE",
    )
    assert client.get_table(table).num_rows == 3
    partitions = (
        f"SELECT partition_id, total_rows FROM {dataset}.INFORMATION_SCHEMA.PARTITIONS WHERE table_name = 'trips'"
    )
    assert query(client, f"{partitions} ORDER BY 1") == [("202101", 1), ("202102", 2)]
    query(client, f"DELETE FROM {table} WHERE source_month = '2021-02-01'")
    assert client.get_table(table).num_rows == 1
    assert query(client, partitions) == [("202101", 1)]


def test_partitions_are_listed_of_a_table_with_any_column(client: bigquery.Client, dataset: str) -> None:
    sql = "SELECT DATE '2021-01-01' AS day, n AS id, 'x' AS partition_id FROM UNNEST([1, 2]) AS n"
    query(client, f"CREATE TABLE {dataset}.days PARTITION BY day AS {sql}")
    listed = f"SELECT partition_id, total_rows FROM {dataset}.INFORMATION_SCHEMA.PARTITIONS"
    assert query(client, listed) == [("20210101", 2)]


@pytest.mark.parametrize(
    ("granularity", "kind", "value", "inside", "outside"),
    [
        ("YEAR", "DATE", "DATE '2021-05-06'", "2021", "2022"),
        ("DAY", "DATE", "DATE '2021-12-31'", "20211231", "20220101"),
        ("DAY", "DATETIME", "DATETIME '2021-12-31 23:59:59'", "20211231", "20220101"),
        ("HOUR", "TIMESTAMP", "TIMESTAMP '2021-12-31 23:59:59+00'", "2021123123", "2022010100"),
        ("MONTH", "TIMESTAMP", "TIMESTAMP '2021-12-31 23:59:59+00'", "202112", "202201"),
    ],
)
def test_all_granularities(
    client: bigquery.Client, dataset: str, granularity: str, kind: str, value: str, inside: str, outside: str
) -> None:
    resource = bigquery.Table(f"{PROJECT}.{dataset}.t", schema=[bigquery.SchemaField("at", kind)])
    resource.time_partitioning = bigquery.TimePartitioning(type_=granularity, field="at")
    client.create_table(resource)
    for _ in range(2):
        publish(client, f"SELECT {value} AS at", f"{dataset}.t${inside}", write_disposition="WRITE_TRUNCATE")
    with pytest.raises(BadRequest, match="different partitions"):
        publish(client, f"SELECT {value} AS at", f"{dataset}.t${outside}", write_disposition="WRITE_TRUNCATE")
    assert client.get_table(f"{dataset}.t${inside}").num_rows == 1


def test_concurrent_jobs_publish_their_months(client: bigquery.Client, dataset: str) -> None:
    create_trips(client, f"{dataset}.trips")

    def run(month: int) -> None:
        numbers = "UNNEST(GENERATE_ARRAY(1, 1000)) AS n"
        sql = f"SELECT DATE '2021-{month:02d}-01' AS source_month, n AS VendorID FROM {numbers}"
        for _ in range(2):
            publish(client, sql, f"{dataset}.trips$2021{month:02d}", write_disposition="WRITE_TRUNCATE")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(1, 9)))
    assert months(client, f"{dataset}.trips") == {f"2021{month:02d}": 1000 for month in range(1, 9)}
