"""Limits of the emulator: unsupported requests are refused with HTTP 400 and a message that names the limit."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, NotFound
from google.cloud import bigquery

from tests.local.cloud.bigquery.conftest import Server
from tests.local.cloud.bigquery.support import PROJECT, create_trips, query

STATEMENTS = [
    (
        "SELECT * FROM {d}.trips FOR SYSTEM_TIME AS OF TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1 HOUR)",
        "old versions",
    ),
    ("SELECT _PARTITIONTIME FROM {d}.trips", "pseudo column _PARTITIONTIME"),
    ("CREATE TABLE {d}.x (n INT64) PARTITION BY _PARTITIONDATE", "ingestion-time partitioning"),
    (
        "CREATE TABLE {d}.x (n INT64) PARTITION BY RANGE_BUCKET(n, GENERATE_ARRAY(0, 9, 1))",
        "integer-range partitioning",
    ),
    ("CREATE TABLE {d}.x (s STRING(10))", "parameterized types"),
    ("CREATE TABLE {d}.x (n INT64 DEFAULT 1)", "DEFAULT 1"),
    ("CREATE TABLE {d}.x (n INT64, PRIMARY KEY (n) NOT ENFORCED)", "table constraints"),
    ("CREATE TABLE {d}.x (n INT64) OPTIONS (kms_key_name = 'k')", "the option kms_key_name"),
    ("CREATE TABLE {d}.x LIKE {d}.trips", "LIKE"),
    ("CREATE TABLE {d}.x CLONE {d}.trips", "CLONE"),
    ("CREATE SNAPSHOT TABLE {d}.x CLONE {d}.trips", "CREATE SNAPSHOT"),
    ("CREATE SCHEMA x OPTIONS (max_time_travel_hours = 48)", "the option max_time_travel_hours"),
    ("ALTER TABLE {d}.trips RENAME TO x", "ALTER TABLE ... RENAME TO"),
    ("ALTER VIEW {d}.v SET OPTIONS (description = 'x')", "does not run ALTER VIEW"),
    ("ALTER SCHEMA {d} SET OPTIONS (description = 'x')", "ALTER SCHEMA"),
    ("LOAD DATA INTO {d}.x FROM FILES (format = 'PARQUET', uris = ['gs://b/x'])", "LOAD DATA"),
    ("EXPORT DATA OPTIONS (uri = 'gs://b/*.csv', format = 'CSV') AS SELECT 1", "EXPORT DATA"),
    ("BEGIN TRANSACTION", "transactions are for scripts"),
    ("SELECT * FROM read_csv('/etc/passwd')", "Table-valued function not found"),
    ("SELECT * FROM `/etc/passwd`", "must be qualified with a dataset"),
    ("SELECT * FROM '/tmp/x.parquet'", "Unexpected string literal '/tmp/x.parquet'"),
    ("DELETE FROM {d}.trips", "DELETE must have a WHERE clause"),
    ("DELETE {d}.trips", "DELETE must have a WHERE clause"),
    ("UPDATE {d}.trips SET VendorID = 1", "UPDATE must have a WHERE clause"),
    ("UPDATE {d}.trips SET VendorID = (SELECT 1 AS n WHERE true)", "UPDATE must have a WHERE clause"),
    ("SELECT 1; DELETE FROM {d}.trips", "DELETE must have a WHERE clause"),
    (
        "MERGE {d}.trips AS a USING {d}.trips AS b ON a.VendorID = b.VendorID WHEN NOT MATCHED THEN INSERT ROW",
        "does not run MERGE ... INSERT ROW",
    ),
    ("DROP TABLE other.{d}.trips", "does not serve the project 'other'"),
    ("DROP VIEW `other`.{d}.trips", "does not serve the project 'other'"),
    ("CREATE SCHEMA other.{d}", "does not serve the project 'other'"),
    ("DELETE FROM other.{d}.trips WHERE true", "does not serve the project 'other'"),
    ("SELECT 1; DROP TABLE other.{d}.trips", "does not serve the project 'other'"),
    ("COPY {d}.trips TO '/tmp/x'", "Syntax error: Unexpected keyword COPY"),
    ("PRAGMA database_list", "Syntax error: Unexpected keyword PRAGMA"),
    ("/* a */ CREATE OR REPLACE MODEL {d}.x OPTIONS (model_type = 'kmeans') AS SELECT 1 AS n", "run CREATE MODEL"),
    ("SELECT * FROM ML.PREDICT(MODEL {d}.x, (SELECT 1 AS n))", r"BigQuery ML and its functions \(ML.PREDICT\)"),
    (
        "SELECT * FROM ml.forecast(MODEL `{d}.x`, STRUCT(3 AS horizon))",
        r"BigQuery ML and its functions \(ML.FORECAST\)",
    ),
    ("SELECT ML.STANDARD_SCALER(n) OVER () FROM UNNEST([1]) AS n", r"BigQuery ML and its functions"),
    ("SELECT * FROM GAP_FILL(TABLE {d}.trips, ts_column => 'at')", "have the table function GAP_FILL"),
    ("SELECT * FROM VECTOR_SEARCH(TABLE {d}.trips, 'a', TABLE {d}.trips)", "have the table function VECTOR_SEARCH"),
    ("SELECT * FROM EXTERNAL_QUERY('c', 'SELECT 1')", "have the table function EXTERNAL_QUERY"),
    ("SELECT * FROM APPENDS(TABLE {d}.trips, NULL, NULL)", "have the table function APPENDS"),
    ("SELECT * FROM CHANGES(TABLE {d}.trips, NULL, NULL)", "have the table function CHANGES"),
    ("SELECT * FROM `{d}.trips@-3600`", "keep old versions of tables; leave out the decorator @-3600"),
    ("SELECT t.s.* FROM (SELECT STRUCT(1 AS a) AS s) AS t", r"does not expand an expression by"),
    ("DROP MODEL IF EXISTS {d}.x", "run DROP MODEL"),
    ("SELECT 1; CREATE MODEL {d}.x AS SELECT 1 AS n", "run CREATE MODEL"),
    ("EXECUTE IMMEDIATE 'CREATE MODEL {d}.x AS SELECT 1 AS n'", "run CREATE MODEL"),
    ("CREATE ROW ACCESS POLICY p ON {d}.trips GRANT TO ('user:a@b.c') FILTER USING (true)", "run CREATE ROW ACCESS"),
    ("DROP ALL ROW ACCESS POLICIES ON {d}.trips", "run DROP ALL ROW ACCESS POLICIES"),
    ("CREATE SEARCH INDEX i ON {d}.trips (ALL COLUMNS)", "run CREATE SEARCH INDEX"),
    ("CREATE AGGREGATE FUNCTION {d}.f(x FLOAT64) RETURNS FLOAT64 AS (SUM(x))", "run CREATE AGGREGATE FUNCTION"),
    ("CREATE RESERVATION `admin.region-us.prod` OPTIONS (slot_capacity = 100)", "run CREATE RESERVATION"),
    ("ALTER TABLE {d}.trips ALTER COLUMN VendorID SET DEFAULT 5", "ALTER COLUMN ... SET DEFAULT"),
    ("ALTER TABLE {d}.trips ALTER COLUMN VendorID DROP DEFAULT", "ALTER COLUMN ... DROP DEFAULT"),
    ("ALTER TABLE {d}.trips ALTER COLUMN VendorID SET OPTIONS (description = 'x')", "ALTER COLUMN ... SET OPTIONS"),
    ("ALTER TABLE {d}.trips ADD PRIMARY KEY (VendorID) NOT ENFORCED", "ADD PRIMARY KEY"),
    ("ALTER TABLE {d}.trips SET DEFAULT COLLATE 'und:ci'", "SET DEFAULT COLLATE"),
    ("ALTER TABLE {d}.trips ADD more INT64", "Syntax error: ALTER TABLE has no action ADD MORE INT64"),
    ("ALTER TABLE {d}.trips DROP COLUMN VendorID CASCADE", "Syntax error: ALTER TABLE has no action DROP COLUMN"),
    ("CREATE TEMP VIEW x AS SELECT 1 AS n", "Statement not supported: CREATE TEMP"),
    ("CREATE OR REPLACE SCHEMA {d}", "Statement not supported: CREATE OR REPLACE SCHEMA"),
    ("DROP DATABASE {d}", "Statement not supported: DROP DATABASE"),
    ("EXECUTE IMMEDIATE 'CREATE SEQUENCE {d}.s'", "Statement not supported: CREATE SEQUENCE"),
    ("EXECUTE IMMEDIATE 'DROP TABLE {d}.trips; SELECT 1'", "EXECUTE IMMEDIATE runs one statement"),
    ("BEGIN TRANSACTION; EXECUTE IMMEDIATE 'DROP TABLE {d}.trips'; COMMIT TRANSACTION", "inside a transaction"),
]


@pytest.mark.parametrize(("sql", "message"), STATEMENTS, ids=[sql[:40] for sql, _ in STATEMENTS])
def test_unsupported_statement_is_refused(client: bigquery.Client, dataset: str, sql: str, message: str) -> None:
    create_trips(client, f"{dataset}.trips")
    with pytest.raises(BadRequest, match=message):
        query(client, sql.format(d=dataset))
    assert [table.table_id for table in client.list_tables(dataset)] == ["trips"]


TABLE = {"projectId": PROJECT, "datasetId": "d", "tableId": "t"}
LOAD = {"destinationTable": TABLE, "sourceUris": ["gs://b/x"], "sourceFormat": "PARQUET"}
_NESTED_ARRAY = {"type": "ARRAY", "arrayType": {"type": "ARRAY", "arrayType": {"type": "INT64"}}}
CONFIGURATIONS: list[tuple[dict[str, Any], str]] = [
    ({"query": {"query": "SELECT 1", "useLegacySql": True}}, "does not run legacy SQL"),
    ({"query": {"query": "SELECT 1", "createSession": True}}, "configuration.query.createSession"),
    ({"query": {"query": "SELECT 1", "tableDefinitions": {"x": {}}}}, "configuration.query.tableDefinitions"),
    ({"query": {"query": "SELECT 1", "rangePartitioning": {"field": "x"}}}, "configuration.query.rangePartitioning"),
    (
        {"query": {"query": "SELECT @p", "queryParameters": [{"name": "p", "parameterType": {"type": "RANGE"}}]}},
        "query parameters of type RANGE",
    ),
    ({"query": {"query": "SELECT @p; SELECT 1", "queryParameters": [{"name": "p"}]}}, "query parameters in scripts"),
    ({"query": {"query": "SELECT 1"}, "reservation": "r"}, "configuration.reservation"),
    ({"load": {**LOAD, "sourceFormat": "AVRO"}}, "does not load AVRO"),
    ({"load": {**LOAD, "maxBadRecords": 3}}, "configuration.load.maxBadRecords"),
    ({"load": {**LOAD, "decimalTargetTypes": ["STRING"]}}, "configuration.load.decimalTargetTypes"),
    ({"load": {**LOAD, "hivePartitioningOptions": {"mode": "AUTO"}}}, "configuration.load.hivePartitioningOptions"),
    ({"load": {**LOAD, "encoding": "ISO-8859-1"}}, "ISO-8859-1"),
    ({"load": {**LOAD, "writeDisposition": "WRITE_SOMETIMES"}}, "Invalid writeDisposition"),
    ({"load": {**LOAD, "destinationTable": {**TABLE, "projectId": "other"}}}, "does not serve the project 'other'"),
    (
        {"load": {**LOAD, "writeDisposition": "WRITE_TRUNCATE", "schemaUpdateOptions": ["ALLOW_FIELD_ADDITION"]}},
        "Schema update options",
    ),
    ({"load": LOAD, "dryRun": True}, "does not dry-run load jobs"),
    (
        {"copy": {"sourceTable": TABLE, "destinationTable": TABLE, "operationType": "SNAPSHOT"}},
        "copy jobs of type SNAPSHOT",
    ),
    ({"extract": {"sourceTable": TABLE, "destinationUris": ["gs://b/x"]}}, "does not run extract jobs"),
    ({}, "exactly one of"),
    (
        {"query": {"query": "SELECT @a", "queryParameters": [{"name": "a", "parameterType": _NESTED_ARRAY}]}},
        "'a' has an array of arrays",
    ),
    ({"query": {"query": 5}}, "job.configuration.query.query: '5' is not a string"),
    ({"query": {"query": "SELECT 1", "maximumBytesBilled": "x"}}, "maximumBytesBilled: 'x' is not an integer"),
    *(
        (
            {"query": {"query": script, "maximumBytesBilled": "1"}},
            "apply maximumBytesBilled to scripts that read tables",
        )
        for script in (
            "SELECT 1; SELECT 2",
            "DROP TABLE t; CREATE TABLE t AS SELECT 1 AS a",
            "DECLARE a INT64; DROP TABLE t",
        )
    ),
    ({"load": {**LOAD, "sourceUris": 5}}, "load.sourceUris: it is not a list"),
    ({"query": {"query": "SELECT 1"}, "jobTimeoutMs": "x"}, "jobTimeoutMs: 'x' is not an integer"),
]


@pytest.mark.parametrize(("configuration", "message"), CONFIGURATIONS, ids=[message for _, message in CONFIGURATIONS])
def test_unsupported_job_configuration_is_refused(
    client: bigquery.Client, configuration: dict[str, Any], message: str
) -> None:
    body = {"configuration": configuration}
    with pytest.raises(BadRequest, match=message):
        client._connection.api_request(method="POST", path=f"/projects/{PROJECT}/jobs", data=body)


def test_other_project_is_refused(server: Server, client: bigquery.Client) -> None:
    client.project = "other"
    with pytest.raises(BadRequest, match=f"does not serve the project 'other'; only '{PROJECT}'"):
        client.create_dataset("d")


def test_unsupported_dataset_option_is_refused(client: bigquery.Client) -> None:
    body = {"datasetReference": {"projectId": PROJECT, "datasetId": "never"}, "defaultCollation": "und:ci"}
    with pytest.raises(BadRequest, match=r"does not implement dataset.defaultCollation"):
        client._connection.api_request(method="POST", path=f"/projects/{PROJECT}/datasets", data=body)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"defaultTableExpirationMs": "x"}, "dataset.defaultTableExpirationMs: 'x' is not an integer"),
        ({"defaultTableExpirationMs": 1}, "dataset.defaultTableExpirationMs: 1 is less than an hour"),
        ({"access": ["x"]}, r"dataset.access\[0\]: it is not an object"),
        ({"datasetReference": {"datasetId": "a-b"}}, 'Invalid dataset ID "a-b"'),
        ({"location": 5}, "dataset.location: '5' is not a string"),
    ],
)
def test_a_dataset_of_wrong_types_is_refused(client: bigquery.Client, change: dict[str, Any], message: str) -> None:
    body = {"datasetReference": {"projectId": PROJECT, "datasetId": "never"}, **change}
    with pytest.raises(BadRequest, match=message):
        client._connection.api_request(method="POST", path=f"/projects/{PROJECT}/datasets", data=body)


def test_a_body_that_is_no_object_is_refused(client: bigquery.Client) -> None:
    for path in ("datasets", "jobs", "queries"):
        with pytest.raises(BadRequest, match="it is not an object"):
            client._connection.api_request(method="POST", path=f"/projects/{PROJECT}/{path}", data='["x"]')


def test_streaming_is_refused(client: bigquery.Client, dataset: str) -> None:
    create_trips(client, f"{dataset}.trips")
    with pytest.raises(BadRequest, match="does not stream rows"):
        client.insert_rows_json(f"{dataset}.trips", [{"VendorID": 1}])


def test_a_table_that_is_missing_is_named_even_if_its_rows_are_written_as_json(
    client: bigquery.Client, dataset: str
) -> None:
    with pytest.raises(NotFound, match="Not found: Table"):
        query(client, f"SELECT TO_JSON_STRING(row) FROM (SELECT a, b FROM {dataset}.missing) AS row")


def test_a_row_of_a_wide_table_is_written_as_json(client: bigquery.Client, dataset: str) -> None:
    names = [f"column_{number}" for number in range(100)]
    columns = ", ".join(f"{name} FLOAT64" for name in names)
    query(client, f"CREATE TABLE {dataset}.wide ({columns})")
    query(client, f"INSERT INTO {dataset}.wide VALUES ({', '.join(['1.5'] * len(names))})")
    [(text,)] = query(client, f"SELECT TO_JSON_STRING(row) FROM {dataset}.wide AS row")
    assert json.loads(text) == dict.fromkeys(names, 1.5)


def test_table_names_are_case_sensitive(client: bigquery.Client, dataset: str) -> None:
    create_trips(client, f"{dataset}.trips")
    with pytest.raises(Exception, match="Not found: Table"):
        query(client, f"SELECT * FROM {dataset}.TRIPS")
    with pytest.raises(BadRequest, match="differ by case only"):
        create_trips(client, f"{dataset}.Trips")
