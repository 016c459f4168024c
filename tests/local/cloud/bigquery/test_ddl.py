"""DDL: what it declares is stored, reported and enforced."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound, PreconditionFailed
from google.cloud import bigquery

from tests.local.cloud.bigquery.support import MONTHLY, PROJECT, TRIP_FIELDS, create_trips, query, reference

COLUMNS = "VendorID INT64 NOT NULL OPTIONS (description = 'who'), at DATETIME, ts TIMESTAMP, source_month DATE"


def partitioning(client: bigquery.Client, table: str) -> tuple[str, str] | None:
    partitioning = client.get_table(table).time_partitioning
    return (partitioning.type_, partitioning.field) if partitioning else None


def test_pipeline_script_can_be_repeated(client: bigquery.Client, dataset: str) -> None:
    script = f"""
        CREATE SCHEMA IF NOT EXISTS {dataset} OPTIONS (description = 'ignored: it exists');
        CREATE SCHEMA IF NOT EXISTS {dataset}_staging
        OPTIONS (description = 'loads', default_table_expiration_days = 1);
        CREATE TABLE IF NOT EXISTS {dataset}.trips ({COLUMNS})
        PARTITION BY DATE_TRUNC(source_month, MONTH)
        CLUSTER BY at, VendorID
        OPTIONS (description = 'trips', labels = [('team', 'data')], friendly_name = 'Trips');
        CREATE TABLE IF NOT EXISTS {dataset}_staging.new (n INT64);
    """
    for _ in range(2):  # safe to repeat
        query(client, script)
        query(client, f"INSERT INTO {dataset}.trips (VendorID, source_month) VALUES (1, '2021-01-01')")
    table = client.get_table(f"{dataset}.trips")
    assert [(f.name, f.field_type, f.mode, f.description) for f in table.schema] == [
        ("VendorID", "INTEGER", "REQUIRED", "who"),
        ("at", "DATETIME", "NULLABLE", None),
        ("ts", "TIMESTAMP", "NULLABLE", None),
        ("source_month", "DATE", "NULLABLE", None),
    ]
    assert partitioning(client, f"{dataset}.trips") == ("MONTH", "source_month")
    assert table.clustering_fields == ["at", "VendorID"]
    assert (table.description, table.labels, table.friendly_name) == ("trips", {"team": "data"}, "Trips")
    assert (table.num_rows, table.expires) == (2, None)
    staging = client.get_dataset(f"{dataset}_staging")
    assert (staging.description, staging.default_table_expiration_ms) == ("loads", 24 * 60 * 60 * 1000)
    expires = client.get_table(f"{dataset}_staging.new").expires
    assert abs(expires - datetime.now(UTC) - timedelta(days=1)) < timedelta(minutes=1)
    client.delete_dataset(f"{dataset}_staging", delete_contents=True)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("source_month", ("DAY", "source_month")),
        ("DATE_TRUNC(source_month, YEAR)", ("YEAR", "source_month")),
        ("DATE(at)", ("DAY", "at")),
        ("DATETIME_TRUNC(at, HOUR)", ("HOUR", "at")),
        ("DATE(ts)", ("DAY", "ts")),
        ("TIMESTAMP_TRUNC(ts, MONTH)", ("MONTH", "ts")),
    ],
)
def test_partition_by_expressions(
    client: bigquery.Client, dataset: str, expression: str, expected: tuple[str, str]
) -> None:
    query(client, f"CREATE TABLE {dataset}.t ({COLUMNS}) PARTITION BY {expression}")
    assert partitioning(client, f"{dataset}.t") == expected


def test_create_table_as_select_keeps_the_partitioning(client: bigquery.Client, dataset: str) -> None:
    select = "SELECT 1 AS n, DATE '2021-01-01' AS month, NUMERIC '1.5' AS amount, 'x' AS s"
    partitioning_sql = "PARTITION BY DATE_TRUNC(month, MONTH) CLUSTER BY s OPTIONS (description = 'made')"
    ctas = f"TABLE {dataset}.t {partitioning_sql} AS {select}"
    query(client, f"CREATE {ctas}")
    table = client.get_table(f"{dataset}.t")
    assert [(f.name, f.field_type) for f in table.schema] == [
        ("n", "INTEGER"),
        ("month", "DATE"),
        ("amount", "NUMERIC"),
        ("s", "STRING"),
    ]
    assert (partitioning(client, f"{dataset}.t"), table.clustering_fields, table.description) == (
        ("MONTH", "month"),
        ["s"],
        "made",
    )
    with pytest.raises(Conflict, match="Already Exists"):
        query(client, f"CREATE {ctas}")
    query(client, f"CREATE OR REPLACE TABLE {dataset}.t (k INT64) AS SELECT n + 1 FROM {dataset}.t")
    assert query(client, f"SELECT k FROM {dataset}.t") == [(2,)]
    assert partitioning(client, f"{dataset}.t") is None


def test_failed_create_or_replace_keeps_the_table(client: bigquery.Client, dataset: str) -> None:
    query(client, f"CREATE TABLE {dataset}.t AS SELECT 1 AS n")
    with pytest.raises(BadRequest):
        query(
            client, f"CREATE OR REPLACE TABLE {dataset}.t AS SELECT CAST(s AS INT64) AS n FROM UNNEST(['1', 'x']) AS s"
        )
    with pytest.raises(BadRequest, match="clustering cannot be found"):
        query(client, f"CREATE OR REPLACE TABLE {dataset}.t CLUSTER BY nope AS SELECT 1 AS n")
    assert query(client, f"SELECT n FROM {dataset}.t") == [(1,)]


def test_expired_table_is_gone(client: bigquery.Client, dataset: str) -> None:
    later = "TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 1 DAY)"
    query(client, f"CREATE TABLE {dataset}.t (n INT64) OPTIONS (expiration_timestamp = {later})")
    assert client.get_table(f"{dataset}.t").expires > datetime.now(UTC)
    query(client, f"ALTER TABLE {dataset}.t SET OPTIONS (expiration_timestamp = CURRENT_TIMESTAMP())")
    with pytest.raises(NotFound):
        query(client, f"SELECT * FROM {dataset}.t")
    assert list(client.list_tables(dataset)) == []


def test_expired_partition_is_gone(client: bigquery.Client, dataset: str) -> None:
    query(
        client,
        f"CREATE TABLE {dataset}.t (day DATE) PARTITION BY day OPTIONS (partition_expiration_days = 10); "
        f"INSERT INTO {dataset}.t VALUES (CURRENT_DATE()), (DATE_SUB(CURRENT_DATE(), INTERVAL 12 DAY))",
    )
    assert client.get_table(f"{dataset}.t").time_partitioning.expiration_ms == 10 * 24 * 60 * 60 * 1000
    assert query(client, f"SELECT COUNT(*) FROM {dataset}.t") == [(1,)]


FILTERED = [
    "SELECT COUNT(*) FROM {t} WHERE source_month = '2021-01-01'",
    "SELECT COUNT(*) FROM {t} AS a WHERE a.source_month BETWEEN '2021-01-01' AND '2021-02-01' AND VendorID > 0",
    "SELECT COUNT(*) FROM {t} WHERE source_month = '2021-01-01' OR source_month IN ('2021-02-01')",
    "WITH x AS (SELECT * FROM {t} WHERE source_month >= '2021-01-01') SELECT COUNT(*) FROM x",
    "DELETE FROM {t} WHERE source_month = '2021-01-01' AND VendorID = 77",
    "SELECT COUNT(*) FROM {t} WHERE DATE_SUB(CURRENT_DATE(), INTERVAL 1 MONTH) < source_month",
    "SELECT COUNT(*) FROM {t} WHERE source_month = (SELECT MAX(m.n) FROM (SELECT DATE '2021-01-01' AS n) AS m)",
    "SELECT COUNT(*) FROM {t} WHERE source_month IN UNNEST([DATE '2021-01-01']) OR source_month IS NULL",
    "DECLARE m DATE DEFAULT '2021-01-01'; SELECT COUNT(*) FROM {t} WHERE source_month = m",
]
UNFILTERED = [
    "SELECT COUNT(*) FROM {t}",
    "SELECT COUNT(*) FROM {t} WHERE VendorID = 1",
    "SELECT COUNT(*) FROM {t} WHERE source_month = '2021-01-01' OR VendorID = 1",
    "SELECT COUNT(*) FROM {t} AS a JOIN {t} AS b USING (VendorID) WHERE a.source_month = '2021-01-01'",
    "SELECT COUNT(*) FROM {t} WHERE VendorID IN (SELECT VendorID FROM {t}) AND source_month = '2021-01-01'",
    "UPDATE {t} SET VendorID = 1 WHERE true",
    "SELECT COUNT(*) FROM {t} WHERE source_month = source_month",
    "SELECT COUNT(*) FROM {t} AS a WHERE source_month >= DATE_TRUNC(a.source_month, MONTH)",
    "SELECT COUNT(*) FROM {t} WHERE source_month = DATE(lpep_pickup_datetime)",
    "SELECT COUNT(*) FROM {t} WHERE source_month BETWEEN source_month AND source_month",
    "SELECT COUNT(*) FROM {t} WHERE source_month IN ('2021-01-01', source_month)",
    "SELECT COUNT(*) FROM {t} WHERE source_month IN UNNEST([source_month])",
    "SELECT COUNT(*) FROM {t} WHERE source_month = (SELECT source_month)",
    "SELECT COUNT(*) FROM {t} AS a WHERE source_month = (SELECT MAX(a.source_month) FROM (SELECT 1 AS n) AS b)",
    "SELECT COUNT(*) FROM {t} AS a JOIN {t} AS b ON a.source_month = b.source_month",
    "SELECT COUNT(*) FROM `{d}.tri*`",
]


def test_partition_filter_is_required(client: bigquery.Client, dataset: str) -> None:
    query(
        client,
        f"CREATE TABLE {dataset}.trips ({COLUMNS}) PARTITION BY source_month OPTIONS (require_partition_filter = true)",
    )
    assert client.get_table(f"{dataset}.trips").require_partition_filter
    query(client, f"INSERT INTO {dataset}.trips (VendorID, source_month) VALUES (1, '2021-01-01')")
    query(client, f"CREATE VIEW {dataset}.seen AS SELECT VendorID FROM {dataset}.trips")
    for sql in FILTERED:
        query(client, sql.format(t=f"{dataset}.trips"))
    for sql in [*UNFILTERED, f"SELECT * FROM {dataset}.seen"]:
        with pytest.raises(
            BadRequest, match=r"without a filter over column\(s\) 'source_month'|requires a partition filter"
        ):
            query(client, sql.format(t=f"{dataset}.trips", d=dataset))
    query(client, f"ALTER TABLE {dataset}.trips SET OPTIONS (require_partition_filter = false)")
    assert query(client, UNFILTERED[0].format(t=f"{dataset}.trips")) == [(1,)]


def test_partition_filter_is_required_through_the_api(client: bigquery.Client, dataset: str) -> None:
    table = bigquery.Table(f"{PROJECT}.{dataset}.trips", schema=TRIP_FIELDS)
    table.time_partitioning = MONTHLY
    table.require_partition_filter = True
    table = client.create_table(table)
    assert table.require_partition_filter
    with pytest.raises(BadRequest, match="without a filter"):
        query(client, f"SELECT * FROM {dataset}.trips")
    with pytest.raises(Conflict):
        client.create_table(table)
    table.require_partition_filter = False
    table.description = "changed"
    table.schema = [*table.schema, bigquery.SchemaField("more", "STRING")]
    table.labels = {"kept": "1", "removed": "1"}
    table = client.update_table(table, ["require_partition_filter", "description", "schema", "labels"])
    table.labels = {"removed": None, "added": "2"}
    assert client.update_table(table, ["labels"]).labels == {"kept": "1", "added": "2"}
    assert (table.description, table.require_partition_filter, table.schema[-1].name) == ("changed", False, "more")
    assert query(client, f"SELECT more FROM {dataset}.trips") == []


def test_stale_and_incompatible_updates_are_refused(client: bigquery.Client, dataset: str) -> None:
    create_trips(client, f"{dataset}.trips")
    table = client.get_table(f"{dataset}.trips")
    stale = client.get_table(f"{dataset}.trips")
    table.description = "first"
    client.update_table(table, ["description"])
    with pytest.raises(PreconditionFailed):
        client.update_table(stale, ["description"])
    changed = client.get_table(f"{dataset}.trips")
    changed.schema = changed.schema[1:]
    with pytest.raises(BadRequest, match="Field VendorID is missing in new schema"):
        client.update_table(changed, ["schema"])
    changed.schema = [bigquery.SchemaField("VendorID", "STRING"), *changed.schema]
    with pytest.raises(BadRequest, match="has changed type from INTEGER to STRING"):
        client.update_table(changed, ["schema"])


def test_alter_table_adds_and_drops_columns(client: bigquery.Client, dataset: str) -> None:
    query(client, f"CREATE TABLE {dataset}.t ({COLUMNS}) PARTITION BY source_month")
    query(client, f"ALTER TABLE {dataset}.t ADD COLUMN more STRING")
    query(client, f"ALTER TABLE {dataset}.t DROP COLUMN ts")
    fields = [(f.name, f.mode, f.description) for f in client.get_table(f"{dataset}.t").schema]
    assert fields == [
        ("VendorID", "REQUIRED", "who"),
        ("at", "NULLABLE", None),
        ("source_month", "NULLABLE", None),
        ("more", "NULLABLE", None),
    ]
    assert partitioning(client, f"{dataset}.t") == ("DAY", "source_month")
    with pytest.raises(BadRequest, match="source_month partitions or clusters"):
        query(client, f"ALTER TABLE {dataset}.t DROP COLUMN source_month")


def test_alter_table_adds_only_missing_columns(client: bigquery.Client, dataset: str) -> None:
    query(client, f"CREATE TABLE {dataset}.t ({COLUMNS}) PARTITION BY source_month")
    query(client, f"INSERT INTO {dataset}.t (VendorID) VALUES (1)")
    before = [(f.name, f.field_type, f.mode, f.description) for f in client.get_table(f"{dataset}.t").schema]
    add = (
        f"ALTER TABLE {dataset}.t ADD COLUMN IF NOT EXISTS `vendorid` INT64,"
        " ADD COLUMN IF NOT EXISTS `Fee` FLOAT64 OPTIONS (description = 'dollars'),"
        " ADD COLUMN IF NOT EXISTS `more` STRING"
    )
    query(client, add)
    altered = client.get_table(f"{dataset}.t")
    fields = [(f.name, f.field_type, f.mode, f.description) for f in altered.schema]
    assert fields == [*before, ("Fee", "FLOAT", "NULLABLE", "dollars"), ("more", "STRING", "NULLABLE", None)]
    assert partitioning(client, f"{dataset}.t") == ("DAY", "source_month")
    assert query(client, f"SELECT VendorID, Fee, more FROM {dataset}.t") == [(1, None, None)]
    query(client, add)
    assert client.get_table(f"{dataset}.t").modified == altered.modified
    with pytest.raises(BadRequest, match="Column already exists: FEE"):
        query(client, f"ALTER TABLE {dataset}.t ADD COLUMN another STRING, ADD COLUMN FEE FLOAT64")
    with pytest.raises(BadRequest, match="Cannot add the required column fee2"):
        query(client, f"ALTER TABLE {dataset}.t ADD COLUMN another STRING, ADD COLUMN fee2 FLOAT64 NOT NULL")
    assert [f.name for f in client.get_table(f"{dataset}.t").schema] == [name for name, *_ in fields]


def test_set_data_type_only_widens(client: bigquery.Client, dataset: str) -> None:
    kinds = ("INT64", "NUMERIC", "FLOAT64", "BOOL", "STRING", "DATE", "DATETIME", "TIMESTAMP", "ARRAY<INT64>")
    allowed = {("INT64", "NUMERIC"), ("INT64", "FLOAT64"), ("NUMERIC", "FLOAT64"), *((kind, kind) for kind in kinds)}
    columns = [f"c{number}_{into} {kind}" for number, kind in enumerate(kinds) for into in range(len(kinds))]
    query(client, f"CREATE TABLE {dataset}.t ({', '.join(columns)})")
    for number, kind in enumerate(kinds):
        for into, wanted in enumerate(kinds):
            alter = f"ALTER TABLE {dataset}.t ALTER COLUMN c{number}_{into} SET DATA TYPE {wanted}"
            if (kind, wanted) in allowed:
                query(client, alter)
                continue
            with pytest.raises(BadRequest, match=rf"\({kind}\) is assignable to the new type \({wanted}\)"):
                query(client, alter)


def test_table_function_is_dropped(client: bigquery.Client, dataset: str) -> None:
    query(client, f"CREATE TABLE FUNCTION {dataset}.f(n INT64) AS SELECT n AS m")
    query(client, f"DROP TABLE FUNCTION {dataset}.f")
    query(client, f"DROP TABLE FUNCTION IF EXISTS {dataset}.f")
    with pytest.raises(BadRequest, match="Table-valued function not found"):
        query(client, f"SELECT m FROM {dataset}.f(1)")


def test_not_null_is_enforced(client: bigquery.Client, dataset: str) -> None:
    query(client, f"CREATE TABLE {dataset}.t ({COLUMNS})")
    with pytest.raises(BadRequest):
        query(client, f"INSERT INTO {dataset}.t (at) VALUES (NULL)")
    with pytest.raises(BadRequest, match="Required field VendorID cannot be null"):
        query(
            client,
            "SELECT CAST(NULL AS INT64) AS VendorID",
            destination=reference(f"{dataset}.t"),
            write_disposition="WRITE_APPEND",
        )


def test_view_is_created_through_the_api(client: bigquery.Client, dataset: str) -> None:
    create_trips(client, f"{dataset}.trips")
    view = bigquery.Table(f"{PROJECT}.{dataset}.seen")
    view.view_query = f"SELECT VendorID FROM `{PROJECT}.{dataset}.trips`"
    client.create_table(view)
    assert [(t.table_id, t.table_type) for t in client.list_tables(dataset)] == [("seen", "VIEW"), ("trips", "TABLE")]
    query(client, f"INSERT INTO {dataset}.trips (VendorID) VALUES (5)")
    assert query(client, f"SELECT * FROM {dataset}.seen") == [(5,)]
    client.delete_table(f"{dataset}.seen")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timePartitioning": {"type": "DAY"}}, "ingestion-time partitioning"),
        ({"timePartitioning": {"type": "DAY", "field": "nope"}}, "cannot be found in the schema"),
        ({"timePartitioning": {"type": "HOUR", "field": "source_month"}}, "HOUR on the DATE column"),
        ({"rangePartitioning": {"field": "VendorID"}}, "does not implement table.rangePartitioning"),
        ({"clustering": {"fields": ["nope"]}}, "clustering cannot be found"),
        ({"requirePartitionFilter": True}, "needs a partitioned table"),
        ({"encryptionConfiguration": {"kmsKeyName": "k"}}, "does not implement table.encryptionConfiguration"),
        ({"schema": {"fields": [{"name": "a", "type": "BIGNUMERIC"}]}}, "does not support the type BIGNUMERIC"),
        ({"schema": {"fields": [{"name": "a", "type": "STRING", "maxLength": "3"}]}}, "maxLength"),
        (
            {"schema": {"fields": [{"name": "a", "type": "STRING"}, {"name": "A", "type": "STRING"}]}},
            "Duplicate field name",
        ),
        ({"schema": {"fields": []}}, "without a schema"),
    ],
)
def test_unsupported_table_properties_are_refused(
    client: bigquery.Client, dataset: str, change: dict[str, Any], message: str
) -> None:
    body = bigquery.Table(f"{PROJECT}.{dataset}.t", schema=TRIP_FIELDS).to_api_repr() | change
    with pytest.raises(BadRequest, match=message):
        client._connection.api_request(method="POST", path=f"/projects/{PROJECT}/datasets/{dataset}/tables", data=body)
    assert list(client.list_tables(dataset)) == []


def test_dataset_lifecycle(client: bigquery.Client, dataset: str) -> None:
    query(client, f"CREATE TABLE {dataset}.t (n INT64)")
    with pytest.raises(BadRequest, match="is still in use"):
        client.delete_dataset(dataset)
    client.delete_dataset(dataset, delete_contents=True)
    with pytest.raises(NotFound):
        client.get_dataset(dataset)
    query(client, f"CREATE SCHEMA {dataset} OPTIONS (location = 'EU', labels = [('a', 'b')])")
    found = client.get_dataset(dataset)
    assert (found.location, found.labels) == ("EU", {"a": "b"})
    with pytest.raises(Conflict):
        query(client, f"CREATE SCHEMA {dataset}")
    query(client, f"DROP SCHEMA {dataset}")
