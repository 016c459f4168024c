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


_VIEW = "SELECT  VendorID, -- who\n  IF(VendorID > 1, 'a;b', ' AS ') AS kind\nFROM "


def test_a_view_is_told_as_it_was_written(client: bigquery.Client, dataset: str) -> None:
    create_trips(client, f"{dataset}.trips")
    text = f"{_VIEW}{dataset}.trips"
    through_api = bigquery.Table(f"{PROJECT}.{dataset}.api")
    through_api.view_query = text
    assert client.create_table(through_api).view_query == text
    query(client, f"CREATE VIEW {dataset}.ddl OPTIONS (description = 'AS (') AS\n {text} ;")
    query(client, f"SELECT 1; CREATE OR REPLACE VIEW {dataset}.script (v, k) AS {text}; SELECT 2")
    assert [client.get_table(f"{dataset}.{name}").view_query for name in ("ddl", "script")] == [text, text]
    seen = query(client, f"SELECT view_definition FROM {dataset}.INFORMATION_SCHEMA.VIEWS")
    assert seen == [(text,)] * 3
    shown = query(client, f"SELECT ddl FROM {dataset}.INFORMATION_SCHEMA.TABLES WHERE table_name = 'ddl'")
    assert shown[0][0].endswith(f"AS {text};")
    assert query(client, f"SELECT COUNT(k) FROM {dataset}.script") == [(0,)]


def test_a_job_tells_its_tables_and_changed_rows(client: bigquery.Client, dataset: str) -> None:
    def run(sql: str) -> bigquery.QueryJob:
        job = client.query(sql.replace("d.", f"{dataset}."))
        job.result()
        return client.get_job(job.job_id)

    def changed(sql: str) -> tuple[int, int, int] | None:
        stats = run(sql).dml_stats
        return stats and (stats.inserted_row_count, stats.updated_row_count, stats.deleted_row_count)

    def tables(sql: str) -> list[str]:
        return [table.table_id for table in run(sql).referenced_tables]

    assert run("CREATE TABLE d.t (n INT64)").ddl_target_table.table_id == "t"
    assert changed("INSERT d.t SELECT * FROM UNNEST([1, 2, 3])") == (3, 0, 0)
    assert changed("UPDATE d.t SET n = n + 10 WHERE n > 1") == (0, 2, 0)
    merge = "MERGE d.t USING (SELECT 1 AS m UNION ALL SELECT 5) ON n = m WHEN MATCHED THEN"
    insert = "WHEN NOT MATCHED THEN INSERT (n) VALUES (m)"
    assert changed(f"{merge} UPDATE SET n = 4 {insert}") == (1, 1, 0)
    assert changed(f"{merge} DELETE {insert}") == (1, 0, 1)
    assert changed(f"{merge} UPDATE SET n = 6 WHEN NOT MATCHED BY SOURCE THEN DELETE") == (0, 1, 3)
    assert changed(f"{merge} DELETE {insert} WHEN NOT MATCHED BY SOURCE THEN UPDATE SET n = 0") is None
    assert changed("DELETE FROM d.t WHERE n = 0") == (0, 0, 1)
    assert changed("SELECT n FROM d.t") is None
    assert run("CREATE VIEW d.v AS SELECT n FROM d.t").ddl_target_table.table_id == "v"
    assert tables("SELECT * FROM d.v JOIN d.t USING (n)") == ["t"]
    assert tables("INSERT d.t SELECT n FROM d.v WHERE n < 0") == ["t"]
    assert tables("INSERT d.t VALUES (1)") == []
    assert tables("CREATE TABLE d.u_1 AS SELECT * FROM d.t") == ["t"]
    assert tables("SELECT n FROM `d.u_*`") == ["u_1"]
    assert changed("TRUNCATE TABLE d.u_1") == (0, 0, 3)


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
        ({"schema": {"fields": ["x"]}}, r"table.schema.fields\[0\]: it is not an object"),
        (
            {"schema": {"fields": [{"name": 1, "type": "STRING"}]}},
            "name: .1. is not a string",
        ),
        ({"expirationTime": "soon"}, "table.expirationTime: 'soon' is not an integer"),
        ({"expirationTime": str(2**62)}, "table.expirationTime: .* is no time before the year 10000"),
        (
            {"timePartitioning": {"type": "DAY", "expirationMs": True}},
            "expirationMs: .True. is not an integer",
        ),
        ({"clustering": {"fields": "n"}}, "table.clustering.fields: it is not a list"),
        ({"requirePartitionFilter": "no"}, "table.requirePartitionFilter: 'no' is not a boolean"),
        ({"view": {}}, "Required parameter is missing: view.query"),
    ],
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
    described = {"labels": {"ok": "", "größe-1": "m_2"}, "description": None}
    labelled = {**described, "tableReference": body["tableReference"]}
    labelled["schema"] = {"fields": [{"name": "n", "type": "INT64"}]}
    assert client._connection.api_request("POST", path, data=labelled)["labels"] == labelled["labels"]
