"""What a dataset says of itself: the views of INFORMATION_SCHEMA, __TABLES__, and the table that a query has made."""

from __future__ import annotations

import pytest
from google.api_core.exceptions import BadRequest, NotFound
from google.cloud import bigquery

from tests.local.cloud.bigquery.support import PROJECT, create_trips, load, query, trips


@pytest.fixture
def described(client: bigquery.Client, dataset: str, server) -> str:  # type: ignore[no-untyped-def]
    """A dataset with a partitioned table of 3 rows, a nested one, a view and an external table."""
    create_trips(client, f"{dataset}.trips")
    uri = server.put(f"{dataset}/trips.parquet", trips(1, 3))
    load(client, uri, f"{dataset}.trips", write_disposition="WRITE_APPEND")
    query(
        client,
        f'CREATE TABLE {dataset}.nested (a STRUCT<b INT64 OPTIONS (description = "it\'s b"), c ARRAY<STRING>>, d DATE)',
    )
    query(client, f"CREATE VIEW {dataset}.months AS SELECT source_month FROM {dataset}.trips")
    query(client, f"CREATE EXTERNAL TABLE {dataset}.outside OPTIONS (format = 'PARQUET', uris = ['{uri}'])")
    return dataset


def test_tables_view_has_sizes_and_types(client: bigquery.Client, described: str) -> None:
    sql = f"SELECT * EXCEPT (creation_time, last_modified_time, size_bytes) FROM `{PROJECT}.{described}.__TABLES__`"
    assert sorted(query(client, sql)) == [
        (PROJECT, described, "months", 0, 2),
        (PROJECT, described, "nested", 0, 1),
        (PROJECT, described, "outside", 0, 3),
        (PROJECT, described, "trips", 3, 1),
    ]
    sql = (
        f"SELECT size_bytes, creation_time, last_modified_time FROM {described}.__TABLES__ t WHERE t.table_id = 'trips'"
    )
    [(size, created, modified)] = query(client, sql)
    table = client.get_table(f"{described}.trips")
    assert size == table.num_bytes > 0
    assert (created, modified) == (_milliseconds(table.created), _milliseconds(table.modified))


def _milliseconds(time: object) -> int:
    return int(time.timestamp() * 1000)  # type: ignore[attr-defined]


def test_field_paths_of_nested_columns(client: bigquery.Client, described: str) -> None:
    sql = (
        f"SELECT column_name, field_path, data_type, description FROM {described}.INFORMATION_SCHEMA.COLUMN_FIELD_PATHS"
    )
    assert query(client, f"{sql} WHERE table_name = 'nested'") == [
        ("a", "a", "STRUCT<b INT64, c ARRAY<STRING>>", None),
        ("a", "a.b", "INT64", "it's b"),
        ("a", "a.c", "ARRAY<STRING>", None),
        ("d", "d", "DATE", None),
    ]
    listed = {
        table
        for (table,) in query(client, sql.replace("column_name, field_path, data_type, description", "table_name"))
    }
    assert listed == {"trips", "nested", "months"}, "not external tables, as in BigQuery"


@pytest.mark.parametrize(
    "view",
    [
        *("__TABLES__", "INFORMATION_SCHEMA.TABLES", "INFORMATION_SCHEMA.COLUMNS", "INFORMATION_SCHEMA.TABLE_OPTIONS"),
        *("INFORMATION_SCHEMA.PARTITIONS", "INFORMATION_SCHEMA.VIEWS", "INFORMATION_SCHEMA.COLUMN_FIELD_PATHS"),
        *("INFORMATION_SCHEMA.ROUTINES", "INFORMATION_SCHEMA.MATERIALIZED_VIEWS", "information_schema.tables"),
    ],
)
def test_a_view_has_the_same_types_with_and_without_rows(
    client: bigquery.Client, described: str, dataset: str, view: str
) -> None:
    client.create_dataset(f"empty_{dataset}")
    empty = client.query(f"SELECT * FROM empty_{dataset}.{view}").result()
    full = client.query(f"SELECT * FROM `{PROJECT}`.`{described}`.{view}").result()
    assert [(field.name, field.field_type) for field in empty.schema] == [
        (field.name, field.field_type) for field in full.schema
    ]
    assert list(empty) == []
    assert len(list(full)) == full.total_rows


def test_views_are_joined_under_their_own_names(client: bigquery.Client, described: str) -> None:
    sql = (
        "SELECT TABLES.table_name, COLUMNS.column_name, 'd.INFORMATION_SCHEMA.TABLES' "
        f"FROM {described}.INFORMATION_SCHEMA.TABLES JOIN {described}.INFORMATION_SCHEMA.COLUMNS USING (table_name) "
        "WHERE is_partitioning_column = 'YES'"
    )
    assert query(client, sql) == [("trips", "source_month", "d.INFORMATION_SCHEMA.TABLES")]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("nowhere.INFORMATION_SCHEMA.TABLES", NotFound, "Not found: Dataset"),
        ("nowhere.__TABLES__", NotFound, "Not found: Dataset"),
        ("INFORMATION_SCHEMA.TABLES", BadRequest, "must be qualified with a dataset"),
        ("`region-us`.INFORMATION_SCHEMA.TABLES", BadRequest, "does not have the views of a region"),
        ("{dataset}.INFORMATION_SCHEMA.KEY_COLUMN_USAGE", BadRequest, "does not have the view"),
        ("`region-us`.INFORMATION_SCHEMA.JOBS", BadRequest, "does not have the view"),
    ],
)
def test_views_that_are_not_there(
    client: bigquery.Client, dataset: str, name: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        query(client, f"SELECT * FROM {name.format(dataset=dataset)}")


def test_a_view_over_metadata_is_refused(client: bigquery.Client, dataset: str) -> None:
    with pytest.raises(BadRequest, match="does not have views over INFORMATION_SCHEMA"):
        query(client, f"CREATE VIEW {dataset}.v AS SELECT table_name FROM {dataset}.INFORMATION_SCHEMA.TABLES")


def test_schemata_lists_the_datasets(client: bigquery.Client, dataset: str) -> None:
    sql = f"SELECT catalog_name FROM INFORMATION_SCHEMA.SCHEMATA WHERE schema_name = '{dataset}'"
    assert query(client, sql) == [(PROJECT,)]
    assert query(client, sql.replace("INFORMATION", "`region-us`.INFORMATION")) == [(PROJECT,)]


def test_a_query_that_makes_a_table_reports_it(client: bigquery.Client, dataset: str) -> None:
    job = client.query(f"CREATE TABLE {dataset}.made AS SELECT 1 AS a UNION ALL SELECT 2")
    assert list(job.result()) == []
    assert job.destination == bigquery.TableReference.from_string(f"{PROJECT}.{dataset}.made")
    assert client.get_table(job.destination).num_rows == 2
    assert client.get_job(job.job_id).destination == job.destination


def test_descriptions_are_updated_as_clients_send_them(client: bigquery.Client, dataset: str) -> None:
    """With an empty list of policy tags, as dbt does."""
    query(client, f"CREATE TABLE {dataset}.described (a INT64)")
    table = client.get_table(f"{dataset}.described")
    field = {"name": "a", "type": "INTEGER", "mode": "NULLABLE", "description": "an a", "policyTags": {"names": []}}
    table.schema = [bigquery.SchemaField.from_api_repr(field)]
    table = client.update_table(table, ["schema"])
    assert table.schema[0].description == "an a"
    field["policyTags"] = {"names": ["projects/p/locations/us/taxonomies/1/policyTags/2"]}
    table.schema = [bigquery.SchemaField.from_api_repr(field)]
    with pytest.raises(BadRequest, match="policyTags"):
        client.update_table(table, ["schema"])


_RECORD: dict[str, object] = {"name": "leaf", "type": "STRING"}
for _level in range(16):
    _RECORD = {"name": f"level_{_level}", "type": "RECORD", "fields": [_RECORD]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {"a": {"b": "c"}}}, "table.labels.a: it is not a string"),
        ({"labels": {"BAD KEY": "x"}}, "Invalid label 'BAD KEY'"),
        ({"labels": {"1st": "x"}}, "Keys begin with a lowercase letter"),
        ({"labels": {"a": "x" * 64}}, "at most 63"),
        ({"labels": ["a"]}, "table.labels: it is not an object"),
        ({"description": ["a"]}, "table.description: it is not a string"),
        ({"friendlyName": {"a": 1}}, "table.friendlyName: it is not a string"),
        ({"schema": {"fields": [_RECORD]}}, "more than 15 levels"),
    ],
    ids=["nested label", "characters", "digit first", "long", "list", "description", "friendly name", "deep"],
)
def test_what_describes_a_table_has_its_types(
    client: bigquery.Client, dataset: str, change: dict[str, object], message: str
) -> None:
    """Also as the client sends it: it checks none of this."""
    body = {"tableReference": {"projectId": PROJECT, "datasetId": dataset, "tableId": "t"}, **change}
    path = f"/projects/{PROJECT}/datasets/{dataset}/tables"
    with pytest.raises(BadRequest, match=message):
        client._connection.api_request("POST", path, data=body)
    assert list(client.list_tables(dataset)) == []
    labelled = {**body, "labels": {"ok": "", "größe-1": "m_2"}, "description": None}
    labelled.pop("friendlyName", None)
    labelled["schema"] = {"fields": [{"name": "n", "type": "INT64"}]}
    assert client._connection.api_request("POST", path, data=labelled)["labels"] == labelled["labels"]
