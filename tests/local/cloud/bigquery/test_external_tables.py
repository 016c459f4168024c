"""External tables over Parquet objects in the lake."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from google.api_core.exceptions import BadRequest, NotFound
from google.cloud import bigquery

from tests.local.cloud.bigquery.conftest import Server
from tests.local.cloud.bigquery.support import BUCKET, PROJECT, create_trips, load, query, trips


@pytest.fixture
def folder(server: Server, dataset: str) -> str:
    """Write two months, with 3 and 2 trips, to a folder of the lake."""
    server.put(f"{dataset}/year=2021/month=01/trips.parquet", trips(1, 3))
    server.put(f"{dataset}/year=2021/month=02/trips.parquet", trips(2, 2, first=10))
    return dataset


def resource(
    dataset: str, folder: str, *, table: str = "external", pattern: str = "*.parquet", **more: Any
) -> dict[str, Any]:
    """Return a table resource as BigQueryCreateTableOperator sends it."""
    configuration = {
        "sourceFormat": "PARQUET",
        "autodetect": True,
        "sourceUris": [f"gs://{BUCKET}/{folder}/{pattern}"],
        "hivePartitioningOptions": {"mode": "AUTO", "sourceUriPrefix": f"gs://{BUCKET}/{folder}"},
        **more,
    }
    reference = {"projectId": PROJECT, "datasetId": dataset, "tableId": table}
    return {"tableReference": reference, "externalDataConfiguration": configuration}


def create(client: bigquery.Client, body: dict[str, Any]) -> bigquery.Table:
    return client.create_table(bigquery.Table.from_api_repr(body))


def test_partition_columns_are_typed(client: bigquery.Client, dataset: str, folder: str) -> None:
    table = create(client, resource(dataset, folder))
    assert [(f.name, f.field_type) for f in table.schema] == [
        ("source_month", "DATE"),
        ("VendorID", "INTEGER"),
        ("lpep_pickup_datetime", "DATETIME"),
        ("fare_amount", "FLOAT"),
        ("source_file", "STRING"),
        ("year", "INTEGER"),
        ("month", "INTEGER"),
    ]
    sql = f"SELECT year, month, COUNT(*), SUM(VendorID) FROM {dataset}.external GROUP BY 1, 2 ORDER BY 2"
    assert query(client, sql) == [(2021, 1, 3, 3), (2021, 2, 2, 21)]
    assert query(client, f"SELECT COUNT(*) FROM {dataset}.external WHERE month = 2") == [(2,)]


@pytest.mark.parametrize("pattern", ["*", "*.parquet", "year=2021/*", "year=2021/month=0*"])
def test_wildcard_matches_across_folders(client: bigquery.Client, dataset: str, folder: str, pattern: str) -> None:
    create(client, resource(dataset, folder, pattern=pattern))
    assert query(client, f"SELECT COUNT(*) FROM {dataset}.external") == [(5,)]


def test_bytes_that_a_query_may_bill_are_bounded_without_those_of_external_tables(
    client: bigquery.Client, dataset: str, folder: str
) -> None:
    create(client, resource(dataset, folder))
    sql = f"SELECT COUNT(VendorID) FROM {dataset}.external"
    assert query(client, sql, maximum_bytes_billed=1) == [(5,)]


def test_table_is_reported_as_external(client: bigquery.Client, dataset: str, folder: str) -> None:
    body = resource(dataset, folder)
    create(client, body)
    table = client.get_table(f"{dataset}.external")
    assert table.table_type == "EXTERNAL"
    configuration = table.external_data_configuration.to_api_repr()
    assert configuration["sourceUris"] == body["externalDataConfiguration"]["sourceUris"]
    assert configuration["hivePartitioningOptions"]["fields"] == ["year", "month"]
    assert [(t.table_id, t.table_type) for t in client.list_tables(dataset)] == [("external", "EXTERNAL")]
    sql = f"SELECT table_name, table_type FROM {dataset}.INFORMATION_SCHEMA.TABLES"
    assert query(client, sql) == [("external", "EXTERNAL")]


def test_new_and_deleted_objects_are_visible_at_once(
    client: bigquery.Client, server: Server, dataset: str, folder: str
) -> None:
    create(client, resource(dataset, folder))
    count = f"SELECT COUNT(*) FROM {dataset}.external"
    server.put(f"{folder}/year=2021/month=03/trips.parquet", trips(3, 10))
    assert query(client, count) == [(15,)]
    server.put(f"{folder}/year=2021/month=03/trips.parquet", trips(3, 1))
    assert query(client, count) == [(6,)]
    server.remove(f"{folder}/year=2021/month=03/trips.parquet")
    assert query(client, count) == [(5,)]


def test_unfinished_upload_is_not_read(client: bigquery.Client, server: Server, dataset: str, folder: str) -> None:
    create(client, resource(dataset, folder, pattern="*"))
    partial = server.gcs_root / BUCKET / folder / "year=2021/month=02/.trips.parquet2426075269"
    partial.write_bytes(b"PAR1 half of it")
    assert query(client, f"SELECT COUNT(*) FROM {dataset}.external") == [(5,)]


def test_columns_bind_by_name_and_missing_ones_are_null(client: bigquery.Client, server: Server, dataset: str) -> None:
    server.put(f"{dataset}/a.parquet", pa.table({"n": pa.array([1], pa.int32()), "s": ["x"]}))
    server.put(f"{dataset}/b.parquet", pa.table({"t": ["new"], "s": ["y"], "N": pa.array([2], pa.int64())}))
    body = resource(dataset, dataset, hivePartitioningOptions=None)
    body["schema"] = {
        "fields": [
            {"name": name, "type": kind}
            for name, kind in (("n", "INTEGER"), ("s", "STRING"), ("t", "STRING"), ("u", "FLOAT"))
        ]
    }
    create(client, body)
    assert query(client, f"SELECT * FROM {dataset}.external ORDER BY n") == [
        (1, "x", None, None),
        (2, "y", "new", None),
    ]


def test_wrong_type_is_an_error_that_names_the_column(client: bigquery.Client, server: Server, dataset: str) -> None:
    server.put(f"{dataset}/a.parquet", pa.table({"passenger_count": [1]}))
    create(client, resource(dataset, dataset, hivePartitioningOptions=None))
    server.put(f"{dataset}/b.parquet", pa.table({"passenger_count": [1.0]}))
    with pytest.raises(BadRequest, match=r"Parquet column 'passenger_count' has type DOUBLE.* INTEGER.*b.parquet"):
        query(client, f"SELECT COUNT(*) FROM {dataset}.external")


def test_table_can_be_joined_and_used_in_views(client: bigquery.Client, dataset: str, folder: str) -> None:
    create(client, resource(dataset, folder))
    create_trips(client, f"{dataset}.native")
    load(client, f"gs://{BUCKET}/{folder}/year=2021/month=01/*", f"{dataset}.native")
    sql = f"SELECT COUNT(*) FROM {dataset}.native JOIN {dataset}.external USING (VendorID, source_month)"
    assert query(client, sql) == [(3,)]
    query(client, f"CREATE VIEW {dataset}.seen AS SELECT VendorID FROM {dataset}.external WHERE month = 2")
    assert query(client, f"SELECT * FROM {dataset}.seen ORDER BY 1") == [(10,), (11,)]


def test_partition_columns_can_be_declared_or_strings(client: bigquery.Client, dataset: str, folder: str) -> None:
    prefix = f"gs://{BUCKET}/{folder}"
    custom = {"mode": "CUSTOM", "sourceUriPrefix": prefix + "/{year:INTEGER}/{month:STRING}"}
    create(client, resource(dataset, folder, table="custom", hivePartitioningOptions=custom))
    assert query(client, f"SELECT DISTINCT year, month FROM {dataset}.custom ORDER BY 2") == [
        (2021, "01"),
        (2021, "02"),
    ]
    strings = {"mode": "STRINGS", "sourceUriPrefix": prefix}
    create(client, resource(dataset, folder, table="strings", hivePartitioningOptions=strings))
    assert query(client, f"SELECT DISTINCT year FROM {dataset}.strings") == [("2021",)]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("INTEGER", "01", "xx"),
        ("INTEGER", "-5", "1.5"),
        ("INT64", "1", "9223372036854775808"),
        ("INTEGER", "1", ""),
        ("DATE", "2021-02-28", "2021-02-30"),
        ("DATE", "2021-02-28", "20210228"),
        ("TIMESTAMP", "2021-02-28 10:00:00", "yesterday"),
        ("FLOAT64", "1.5", "1,5"),
        ("BOOL", "true", "maybe"),
        ("STRING", "xx", "NULL"),
    ],
)
def test_wrong_partition_value_is_an_error_that_names_the_object(
    client: bigquery.Client, server: Server, dataset: str, kind: str, good: str, bad: str
) -> None:
    server.put(f"{dataset}/key={good}/a.parquet", trips(1, 3))
    hive = {"mode": "CUSTOM", "sourceUriPrefix": f"gs://{BUCKET}/{dataset}/{{key:{kind}}}"}
    create(client, resource(dataset, dataset, hivePartitioningOptions=hive))
    assert query(client, f"SELECT COUNT(*), COUNT(key) FROM {dataset}.external") == [(3, 3)]
    server.put(f"{dataset}/key={bad}/b.parquet", trips(1, 1))
    message = rf"partition (key|value) .*{dataset}/key={bad}/b.parquet"
    with pytest.raises(BadRequest, match=message):
        query(client, f"SELECT COUNT(*) FROM {dataset}.external")
    with pytest.raises(BadRequest, match=message):
        create(client, resource(dataset, dataset, table="other", hivePartitioningOptions=hive))
    assert [table.table_id for table in client.list_tables(dataset)] == ["external"]


def test_partition_types_are_detected_despite_missing_values(
    client: bigquery.Client, server: Server, dataset: str
) -> None:
    server.put(f"{dataset}/key=2021-02-28/a.parquet", trips(1, 3))
    server.put(f"{dataset}/key=__HIVE_DEFAULT_PARTITION__/a.parquet", trips(1, 1))
    hive = {"mode": "AUTO", "sourceUriPrefix": f"gs://{BUCKET}/{dataset}"}
    table = create(client, resource(dataset, dataset, hivePartitioningOptions=hive))
    assert (table.schema[-1].name, table.schema[-1].field_type) == ("key", "DATE")
    assert query(client, f"SELECT COUNT(*), COUNT(key) FROM {dataset}.external") == [(4, 3)]
    server.put(f"{dataset}/key=later/a.parquet", trips(1, 1))
    with pytest.raises(BadRequest, match=r"'later'.*'key' to type DATE"):
        query(client, f"SELECT COUNT(*) FROM {dataset}.external")


def test_table_without_objects_can_be_created_but_not_read(
    client: bigquery.Client, server: Server, dataset: str
) -> None:
    with pytest.raises(BadRequest, match=r"no object matches gs://lake-bucket/.*/nothing/\*.parquet"):
        create(client, resource(dataset, f"{dataset}/nothing"))
    assert list(client.list_tables(dataset)) == []
    body = resource(dataset, f"{dataset}/later", hivePartitioningOptions=None)
    body["schema"] = {"fields": [{"name": "n", "type": "INTEGER"}]}
    create(client, body)
    with pytest.raises(BadRequest, match="no object matches"):
        query(client, f"SELECT * FROM {dataset}.external")
    server.put(f"{dataset}/later/a.parquet", pa.table({"n": [7]}))
    assert query(client, f"SELECT * FROM {dataset}.external") == [(7,)]


def test_table_can_be_updated_and_deleted(client: bigquery.Client, dataset: str, folder: str) -> None:
    table = create(client, resource(dataset, folder))
    table.description = "the lake"
    table = client.update_table(table, ["description"])
    configuration = table.external_data_configuration
    configuration.source_uris = [f"gs://{BUCKET}/{folder}/year=2021/month=01/*"]
    table.external_data_configuration = configuration
    table = client.update_table(table, ["external_data_configuration"])
    assert (table.description, table.table_type) == ("the lake", "EXTERNAL")
    assert query(client, f"SELECT COUNT(*) FROM {dataset}.external") == [(3,)]
    client.delete_table(table)
    with pytest.raises(NotFound):
        client.get_table(table)
    with pytest.raises(NotFound):
        query(client, f"SELECT COUNT(*) FROM {dataset}.external")


def test_table_can_be_created_and_dropped_by_ddl(client: bigquery.Client, dataset: str, folder: str) -> None:
    options = (
        f"format = 'PARQUET', uris = ['gs://{BUCKET}/{folder}/*'], hive_partition_uri_prefix = 'gs://{BUCKET}/{folder}'"
    )
    create_sql = (
        f"EXTERNAL TABLE {{}} {dataset}.external WITH PARTITION COLUMNS {{}} OPTIONS ({options}, description = 'x')"
    )
    query(client, "CREATE " + create_sql.format("", ""))
    with pytest.raises(Exception, match="Already Exists"):
        query(client, "CREATE " + create_sql.format("", ""))
    query(client, "SELECT 1; CREATE " + create_sql.format("IF NOT EXISTS", ""))
    query(client, "CREATE OR REPLACE " + create_sql.format("", "(year INT64, month STRING)"))
    assert query(client, f"SELECT DISTINCT month FROM {dataset}.external ORDER BY 1") == [("01",), ("02",)]
    assert client.get_table(f"{dataset}.external").description == "x"
    with pytest.raises(BadRequest, match="has type EXTERNAL"):
        query(client, f"DROP TABLE {dataset}.external")
    query(client, f"DROP EXTERNAL TABLE {dataset}.external")
    assert list(client.list_tables(dataset)) == []


def test_partition_filter_is_required(client: bigquery.Client, dataset: str, folder: str) -> None:
    options = {"mode": "AUTO", "sourceUriPrefix": f"gs://{BUCKET}/{folder}", "requirePartitionFilter": True}
    create(client, resource(dataset, folder, hivePartitioningOptions=options))
    with pytest.raises(BadRequest, match="without a filter over column"):
        query(client, f"SELECT COUNT(*) FROM {dataset}.external")
    assert query(client, f"SELECT COUNT(*) FROM {dataset}.external WHERE month = 1 AND VendorID > 0") == [(2,)]


def test_writing_is_refused(client: bigquery.Client, dataset: str, folder: str) -> None:
    create(client, resource(dataset, folder))
    for sql in ("INSERT INTO {} (VendorID) VALUES (1)", "DELETE FROM {} WHERE true", "TRUNCATE TABLE {}"):
        with pytest.raises(BadRequest, match="is currently a EXTERNAL"):
            query(client, sql.format(f"{dataset}.external"))
    with pytest.raises(BadRequest, match="is currently a EXTERNAL"):
        load(client, f"gs://{BUCKET}/{folder}/*", f"{dataset}.external")
    with pytest.raises(BadRequest, match="Cannot list a table of type EXTERNAL"):
        list(client.list_rows(f"{dataset}.external", selected_fields=[bigquery.SchemaField("VendorID", "INTEGER")]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sourceFormat": "CSV"}, "does not read external tables of format 'CSV'"),
        ({"sourceUris": ["gs://lake-bucket/*/x/*"]}, "one wildcard"),
        ({"sourceUris": ["gs://lake-*/x"]}, "gs://bucket/object"),
        ({"sourceUris": ["gs://lake-bucket/../../etc/*"]}, r"has '\.\.'"),
        ({"connectionId": "c"}, "does not implement externalDataConfiguration.connectionId"),
        ({"hivePartitioningOptions": {"mode": "AUTO", "sourceUriPrefix": "gs://other/x"}}, "does not start with"),
    ],
)
def test_unsupported_configurations_are_refused(
    client: bigquery.Client, dataset: str, folder: str, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadRequest, match=message):
        create(client, resource(dataset, folder, **{"hivePartitioningOptions": None, **change}))
