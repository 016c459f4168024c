"""SQL reads and writes no file outside of the lake and the server's own data, whatever function names it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from google.api_core.exceptions import BadRequest, GoogleAPIError
from google.cloud import bigquery

from tests.attacks.promises import attack
from tests.local.cloud.bigquery.conftest import Server
from tests.local.cloud.bigquery.support import query, trips

pytestmark = attack("sql-reads-no-files")

CANARY = "canary: not to be read"
_names = itertools.count()
# Functions of DuckDB that read the file of their argument.
READERS = (
    "read_text",
    "read_blob",
    "read_csv",
    "read_csv_auto",
    "read_json",
    "read_json_auto",
    "read_parquet",
    "parquet_metadata",
    "sniff_csv",
    "st_read",
    "st_read_meta",
    "st_readosm",
    "shapefile_meta",
)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that is none of the server's, with a file that each reader could read."""
    (tmp_path / "canary.txt").write_text(f"{CANARY}\n")
    (tmp_path / "canary.csv").write_text(f"a,b\n{CANARY},1\n")
    (tmp_path / "canary.json").write_text(json.dumps({"a": CANARY}))
    return tmp_path


def assert_read_by_none(client: bigquery.Client, statement: str) -> None:
    """Run statements that a semicolon and a new line end; no answer has the canary."""
    for each in statement.split(";\n"):
        try:
            answer = str(query(client, each))
        except GoogleAPIError as error:
            answer = str(error)
        assert CANARY not in answer, each


@pytest.mark.parametrize("reader", READERS)
def test_lateral_join_reads_nothing(client: bigquery.Client, dataset: str, outside: Path, reader: str) -> None:
    query(client, f"CREATE TABLE {dataset}.one AS SELECT 1 AS one")
    paths = [str(path) for path in sorted(outside.iterdir())]
    for name in (*paths, f"/vsisubfile/0_1000,{paths[0]}") if reader == "st_read" else paths:
        assert_read_by_none(client, f"SELECT * FROM {dataset}.one CROSS JOIN LATERAL {reader}('{name}')")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT content FROM read_text('PATH')",
        "SELECT * FROM `PATH`",
        "SELECT * FROM 'PATH'",
        "CREATE FUNCTION SET.NAME() AS ((SELECT content FROM read_text('PATH')));\nSELECT SET.NAME()",
        "CREATE FUNCTION SET.NAME(x STRING) AS ((SELECT content FROM read_text(x)));\nSELECT SET.NAME('PATH')",
        "CREATE TABLE FUNCTION SET.NAME() AS SELECT * FROM read_text('PATH');\nSELECT * FROM SET.NAME()",
        "CREATE TABLE FUNCTION SET.NAME(x STRING) AS (SELECT * FROM read_text(x));\nSELECT * FROM SET.NAME('PATH')",
        "CREATE PROCEDURE SET.NAME() BEGIN SELECT * FROM read_text('PATH'); END;\nCALL SET.NAME()",
        "CREATE VIEW SET.NAME AS SELECT * FROM read_text('PATH');\nSELECT * FROM SET.NAME",
        "CREATE TABLE SET.NAME AS SELECT * FROM read_text('PATH');\nSELECT * FROM SET.NAME",
        "EXECUTE IMMEDIATE CONCAT('SELECT * FROM read_', 'text(\"PATH\")')",
        "DECLARE x STRING DEFAULT (SELECT content FROM read_text('PATH')); SELECT x",
        "CREATE EXTERNAL TABLE SET.NAME OPTIONS(format='PARQUET', uris=['PATH']);\nSELECT * FROM SET.NAME",
        "CREATE EXTERNAL TABLE SET.NAME OPTIONS(format='PARQUET', uris=['gs://lake/../../PATH'])",
        "LOAD DATA INTO SET.NAME FROM FILES (format='CSV', uris=['PATH']);\nSELECT * FROM SET.NAME",
    ],
)
def test_statement_reads_nothing(client: bigquery.Client, dataset: str, outside: Path, statement: str) -> None:
    named = statement.replace("SET", dataset).replace("NAME", f"name{next(_names)}")
    assert_read_by_none(client, named.replace("PATH", str(outside / "canary.txt")))


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1) TO 'PATH'",
        "BEGIN COPY (SELECT 1) TO 'PATH'; END",
        "EXECUTE IMMEDIATE \"COPY (SELECT 1) TO 'PATH'\"",
        "EXPORT DATABASE 'PATH'",
        "EXPORT DATA OPTIONS(uri='PATH*', format='CSV') AS SELECT 1",
        "ATTACH 'PATH'",
        "SET GLOBAL enable_external_access = true",
        "SET allowed_directories = ['/']",
        "PRAGMA enable_profiling",
        "INSTALL httpfs",
        "LOAD 'PATH'",
    ],
)
def test_statement_writes_nothing_and_opens_nothing(client: bigquery.Client, tmp_path: Path, statement: str) -> None:
    with pytest.raises(GoogleAPIError):
        query(client, statement.replace("PATH", str(tmp_path / "written")))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT name FROM {d}.one CROSS JOIN LATERAL duckdb_settings()", 'Unexpected "LATERAL"'),
        ("SELECT name FROM duckdb_settings()", "Table-valued function not found"),
        ("SELECT current_setting('enable_external_access') AS x", "Function not found: current_setting"),
    ],
)
def test_settings_cannot_be_reached(client: bigquery.Client, dataset: str, sql: str, message: str) -> None:
    query(client, f"CREATE TABLE {dataset}.one AS SELECT 1 AS one")
    with pytest.raises(BadRequest, match=message):
        query(client, sql.format(d=dataset))


def test_objects_of_the_lake_can_still_be_read(server: Server, client: bigquery.Client, dataset: str) -> None:
    uri = server.put("file-access/trips.parquet", trips(1, 3))
    query(client, f"CREATE EXTERNAL TABLE {dataset}.trips OPTIONS(format='PARQUET', uris=['{uri}'])")
    assert query(client, f"SELECT COUNT(*) FROM {dataset}.trips") == [(3,)]
