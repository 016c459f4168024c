"""Load jobs of Parquet, CSV and JSON."""

from __future__ import annotations

import io
from datetime import date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.cloud import bigquery

from tests.local.cloud.bigquery.conftest import Server
from tests.local.cloud.bigquery.corpus.running import own_words
from tests.local.cloud.bigquery.support import BUCKET, PROJECT, TRIP_FIELDS, create_trips, load, query, trips

FIELDS = [
    bigquery.SchemaField("Name", "STRING"),
    bigquery.SchemaField("n", "INTEGER"),
    bigquery.SchemaField("f", "FLOAT"),
]


def put_text(server: Server, name: str, text: str) -> str:
    path = server.gcs_root / BUCKET / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return f"gs://{BUCKET}/{name}"


def test_parquet_columns_bind_by_name(client: bigquery.Client, server: Server, dataset: str) -> None:
    uri = server.put(f"{dataset}/a.parquet", pa.table({"f": [1.5], "n": pa.array([7], pa.int32()), "name": ["x"]}))
    job = load(client, uri, f"{dataset}.t", schema=FIELDS, write_disposition="WRITE_TRUNCATE")
    assert (job.output_rows, job.input_files) == (1, 1)
    assert query(client, f"SELECT * FROM {dataset}.t") == [("x", 7, 1.5)]
    assert [field.name for field in client.get_table(f"{dataset}.t").schema] == ["Name", "n", "f"]


def test_new_table_gets_the_schema_of_the_file(client: bigquery.Client, server: Server, dataset: str) -> None:
    uri = server.put(f"{dataset}/a.parquet", trips(1, 4))
    assert load(client, uri, f"{dataset}.t").output_rows == 4
    assert [(f.name, f.field_type) for f in client.get_table(f"{dataset}.t").schema] == [
        ("source_month", "DATE"),
        ("VendorID", "INTEGER"),
        ("lpep_pickup_datetime", "DATETIME"),
        ("fare_amount", "FLOAT"),
        ("source_file", "STRING"),
    ]


def test_output_rows_count_the_rows_of_the_job(client: bigquery.Client, server: Server, dataset: str) -> None:
    create_trips(client, f"{dataset}.t")
    first = server.put(f"{dataset}/1.parquet", trips(1, 4))
    second = server.put(f"{dataset}/2.parquet", trips(2, 3))
    assert load(client, first, f"{dataset}.t").output_rows == 4
    assert load(client, [first, second], f"{dataset}.t", write_disposition="WRITE_APPEND").output_rows == 7
    assert client.get_table(f"{dataset}.t").num_rows == 11
    assert (
        load(client, f"gs://{BUCKET}/{dataset}/*", f"{dataset}.t", write_disposition="WRITE_TRUNCATE").output_rows == 7
    )
    assert client.get_table(f"{dataset}.t").num_rows == 7


def test_missing_columns_are_null_and_unknown_columns_refused(
    client: bigquery.Client, server: Server, dataset: str
) -> None:
    missing = server.put(f"{dataset}/missing.parquet", pa.table({"n": [1]}))
    load(client, missing, f"{dataset}.t", schema=FIELDS)
    assert query(client, f"SELECT * FROM {dataset}.t") == [(None, 1, None)]
    unknown = server.put(f"{dataset}/unknown.parquet", pa.table({"n": [2], "more": ["x"]}))
    with pytest.raises(BadRequest, match=r"Cannot add fields \(field: more\)"):
        load(client, unknown, f"{dataset}.t")
    load(client, unknown, f"{dataset}.t", ignore_unknown_values=True)
    assert query(client, f"SELECT n FROM {dataset}.t ORDER BY n") == [(1,), (2,)]
    load(client, unknown, f"{dataset}.t", schema_update_options=["ALLOW_FIELD_ADDITION"])
    assert query(client, f"SELECT n, more FROM {dataset}.t ORDER BY n, more") == [(1, None), (2, None), (2, "x")]


def test_required_columns_must_have_values(client: bigquery.Client, server: Server, dataset: str) -> None:
    schema = [bigquery.SchemaField("n", "INTEGER", "REQUIRED"), bigquery.SchemaField("s", "STRING")]
    empty = server.put(f"{dataset}/null.parquet", pa.table({"n": pa.array([1, None], pa.int64()), "s": ["x", "y"]}))
    with pytest.raises(BadRequest, match=r"Required field n cannot be null"):
        load(client, empty, f"{dataset}.t", schema=schema)
    absent = server.put(f"{dataset}/absent.parquet", pa.table({"s": ["x"]}))
    with pytest.raises(BadRequest, match="Required column 'n' is missing"):
        load(client, absent, f"{dataset}.t", schema=schema)
    assert list(client.list_tables(dataset)) == []


@pytest.mark.parametrize("disposition", ["WRITE_TRUNCATE", "WRITE_APPEND", "WRITE_EMPTY"])
def test_failed_load_changes_nothing(client: bigquery.Client, server: Server, dataset: str, disposition: str) -> None:
    good = server.put(f"{dataset}/1.parquet", trips(1, 4))
    wrong = trips(2, 3).set_column(3, "fare_amount", pa.array(["free"] * 3))
    bad = server.put(f"{dataset}/2.parquet", wrong)
    with pytest.raises(BadRequest, match=r"'fare_amount' has type BYTE_ARRAY\(STRING\).*FLOAT.*2.parquet"):
        load(client, [good, bad], f"{dataset}.new", schema=TRIP_FIELDS, write_disposition=disposition)
    assert list(client.list_tables(dataset)) == []
    create_trips(client, f"{dataset}.t")
    load(client, good, f"{dataset}.t")
    before = client.get_table(f"{dataset}.t")
    for uris in ([good, bad], [good, f"gs://{BUCKET}/{dataset}/none*"]):
        with pytest.raises((BadRequest, NotFound, Conflict)):
            load(client, uris, f"{dataset}.t", write_disposition=disposition)
    after = client.get_table(f"{dataset}.t")
    assert (after.num_rows, after.schema, after.etag) == (4, before.schema, before.etag)


def test_truncated_file_is_an_error(client: bigquery.Client, server: Server, dataset: str) -> None:
    uri = server.put(f"{dataset}/1.parquet", trips(1, 4))
    path = server.gcs_root / BUCKET / dataset / "1.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadRequest, match=r"not in Parquet format"):
        load(client, uri, f"{dataset}.t")


def test_missing_object_is_an_error(client: bigquery.Client, dataset: str) -> None:
    with pytest.raises(NotFound, match=r"Not found: URI gs://lake-bucket/nothing\*"):
        load(client, "gs://lake-bucket/nothing*", f"{dataset}.t")


def test_write_empty_and_create_never_are_enforced(client: bigquery.Client, server: Server, dataset: str) -> None:
    uri = server.put(f"{dataset}/1.parquet", trips(1, 4))
    with pytest.raises(NotFound, match=f"Not found: Table {PROJECT}:{dataset}.t"):
        load(client, uri, f"{dataset}.t", create_disposition="CREATE_NEVER")
    load(client, uri, f"{dataset}.t", write_disposition="WRITE_EMPTY")
    with pytest.raises(Conflict, match="Already Exists"):
        load(client, uri, f"{dataset}.t", write_disposition="WRITE_EMPTY")
    with pytest.raises(NotFound, match=f"Not found: Dataset {PROJECT}:nowhere"):
        load(client, uri, "nowhere.t")


def test_truncate_replaces_the_schema_and_keeps_the_partitioning(
    client: bigquery.Client, server: Server, dataset: str
) -> None:
    create_trips(client, f"{dataset}.t")
    uri = server.put(f"{dataset}/1.parquet", trips(1, 2).append_column("more", pa.array([1, 2])))
    load(client, uri, f"{dataset}.t", write_disposition="WRITE_TRUNCATE")
    table = client.get_table(f"{dataset}.t")
    assert [field.name for field in table.schema][-1] == "more"
    assert (table.time_partitioning.type_, table.time_partitioning.field) == ("MONTH", "source_month")


def test_uploaded_files_are_loaded(client: bigquery.Client, dataset: str) -> None:
    at = pa.array([datetime(2021, 1, 1, 3)] * 2, pa.timestamp("us"))
    parquet = io.BytesIO()
    pq.write_table(pa.table({"at": at, "n": [1, 2], "s": ["x", None]}), parquet)
    schema = [
        bigquery.SchemaField("n", "INTEGER"),
        bigquery.SchemaField("s", "STRING"),
        bigquery.SchemaField("at", "DATETIME"),
    ]
    config = bigquery.LoadJobConfig(source_format="PARQUET", schema=schema)
    job = client.load_table_from_file(parquet, f"{PROJECT}.{dataset}.t", rewind=True, job_config=config)
    job.result()
    assert job.output_rows == 2
    expected = [(1, "x", datetime(2021, 1, 1, 3)), (2, None, datetime(2021, 1, 1, 3))]
    assert query(client, f"SELECT * FROM {dataset}.t ORDER BY n") == expected
    config = bigquery.LoadJobConfig(source_format="CSV", skip_leading_rows=1)
    client.load_table_from_file(
        io.BytesIO(b"n,s,at\r\n3,z,2022-02-02 00:00:00\r\n"), f"{PROJECT}.{dataset}.t", job_config=config
    ).result()
    assert query(client, f"SELECT * FROM {dataset}.t WHERE n = 3") == [(3, "z", datetime(2022, 2, 2))]


def test_an_empty_file_of_unknown_size_has_no_rows(client: bigquery.Client, dataset: str) -> None:
    """Clients end its upload with a range that has no bytes."""
    schema = [bigquery.SchemaField("n", "INTEGER")]
    config = bigquery.LoadJobConfig(source_format="CSV", schema=schema)
    job = client.load_table_from_file(io.BytesIO(), f"{PROJECT}.{dataset}.t", job_config=config)
    assert job.result().output_rows == 0
    assert query(client, f"SELECT * FROM {dataset}.t") == []


def test_csv_is_loaded(client: bigquery.Client, server: Server, dataset: str) -> None:
    uri = put_text(server, f"{dataset}/a.csv", 'Name|n|f\n"a|b"|1|\n||2.5\n')
    config = bigquery.LoadJobConfig(source_format="CSV", schema=FIELDS, skip_leading_rows=1, field_delimiter="|")
    client.load_table_from_uri(uri, f"{PROJECT}.{dataset}.t", job_config=config).result()
    assert query(client, f"SELECT * FROM {dataset}.t ORDER BY n NULLS LAST") == [("a|b", 1, None), ("", None, 2.5)]
    config.skip_leading_rows = 0
    with pytest.raises(BadRequest, match="Error while reading data"):
        client.load_table_from_uri(uri, f"{PROJECT}.{dataset}.t", job_config=config).result()
    assert client.get_table(f"{dataset}.t").num_rows == 2
    detect = bigquery.LoadJobConfig(source_format="CSV", autodetect=True, field_delimiter="|")
    client.load_table_from_uri(uri, f"{PROJECT}.{dataset}.detected", job_config=detect).result()
    assert [(f.name, f.field_type) for f in client.get_table(f"{dataset}.detected").schema] == [
        ("Name", "STRING"),
        ("n", "INTEGER"),
        ("f", "FLOAT"),
    ]


# Texts that are no values of their column, and what the job says of them.
WRONG_TEXTS = [
    ("abc", "INTEGER", r"Could not parse 'abc' as INT64 for field x \(position 0\)"),
    ("1.5", "INTEGER", "Could not parse '1.5' as INT64"),
    ("x", "FLOAT", "Could not parse 'x' as FLOAT64"),
    ("x", "NUMERIC", "Could not parse 'x' as NUMERIC"),
    ("maybe", "BOOLEAN", "Could not parse 'maybe' as BOOL"),
    ("2021-13-01", "DATE", "Could not parse '2021-13-01' as DATE"),
    ("2021-01-01T10:00:00+05:00", "DATETIME", r"Could not parse '2021-01-01T10:00:00\+05:00' as DATETIME"),
    ("2021-01-01 10:00:00Z", "DATETIME", "Could not parse '2021-01-01 10:00:00Z' as DATETIME"),
    ("2021-01-01 99:00:00", "TIMESTAMP", "Could not parse '2021-01-01 99:00:00' as TIMESTAMP"),
    ("1,2", "INTEGER", "Line 1 has 2 columns, expected 1"),
    ('"x', "STRING", "Missing close quote character"),
    ('"a\nb"', "STRING", "Missing close quote character"),
]


@pytest.mark.parametrize(("text", "kind", "message"), WRONG_TEXTS)
def test_csv_that_does_not_fit_is_an_error_in_the_words_of_bigquery(
    client: bigquery.Client, dataset: str, text: str, kind: str, message: str
) -> None:
    config = bigquery.LoadJobConfig(source_format="CSV", schema=[bigquery.SchemaField("x", kind)])
    with pytest.raises(BadRequest, match=f"Error while reading data, error message: {message}") as error:
        client.load_table_from_file(io.BytesIO(f"{text}\n".encode()), f"{dataset}.t", job_config=config).result()
    assert own_words(str(error.value), "") is None
    assert list(client.list_tables(dataset)) == []


def test_csv_may_have_quoted_newlines_where_they_are_allowed(client: bigquery.Client, dataset: str) -> None:
    schema = [bigquery.SchemaField("x", "STRING")]
    config = bigquery.LoadJobConfig(source_format="CSV", schema=schema, allow_quoted_newlines=True)
    client.load_table_from_file(io.BytesIO(b'"a\nb"\n'), f"{dataset}.t", job_config=config).result()
    assert query(client, f"SELECT x FROM {dataset}.t") == [("a\nb",)]


def test_json_is_loaded(client: bigquery.Client, server: Server, dataset: str) -> None:
    uri = put_text(server, f"{dataset}/a.json", '{"n": 1, "Name": "x"}\n{"f": 2.5}\n')
    config = bigquery.LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON", schema=FIELDS)
    client.load_table_from_uri(uri, f"{PROJECT}.{dataset}.t", job_config=config).result()
    assert query(client, f"SELECT * FROM {dataset}.t ORDER BY n NULLS LAST") == [("x", 1, None), (None, None, 2.5)]
    unknown = put_text(server, f"{dataset}/b.json", '{"n": 1, "other": 2}\n')
    with pytest.raises(BadRequest, match="No such field: other"):
        client.load_table_from_uri(unknown, f"{PROJECT}.{dataset}.t", job_config=config).result()
    config.ignore_unknown_values = True
    assert client.load_table_from_uri(unknown, f"{PROJECT}.{dataset}.t", job_config=config).result().output_rows == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"n": "x"}', "JSON parsing error in line 1: "),
        ('{"n": ', "JSON parsing error in line 2: "),
        ('{"n": 1}\n{"N": 1.5}', "JSON parsing error: Could not convert value to integer. Field: n; Value: 1.5"),
        ('{"n": "1.5"}', "JSON parsing error: Could not convert value to integer. Field: n; Value: 1.5"),
        ('{"Name": {"q": 1}}', "JSON parsing error: JSON object specified for non-record field: Name"),
        ('{"f": [1]}', "JSON parsing error: Array specified for non-repeated field: f"),
    ],
)
def test_json_that_does_not_fit_is_an_error_without_paths(
    client: bigquery.Client, dataset: str, text: str, message: str
) -> None:
    config = bigquery.LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON", schema=FIELDS)
    with pytest.raises(BadRequest, match=f"Error while reading data, error message: {message}") as error:
        client.load_table_from_file(io.BytesIO(f"{text}\n".encode()), f"{dataset}.t", job_config=config).result()
    assert own_words(str(error.value), "") is None
    assert "/" not in error.value.errors[0]["message"]


def test_parquet_types_are_kept(client: bigquery.Client, server: Server, dataset: str) -> None:
    table = pa.table(
        {
            "b": pa.array([True, None]),
            "i": pa.array([2**62, None]),
            "d": pa.array([date(2021, 2, 3), None]),
            "dt": pa.array([datetime(3019, 1, 2, 3, 4, 5, 678901), None], pa.timestamp("us")),
            "ts": pa.array([datetime(2021, 1, 2, 3, 4, 5), None], pa.timestamp("us", tz="UTC")),
            "raw": pa.array([b"\x00\xa0", None]),
            "dec": pa.array([None, None], pa.decimal128(10, 2)),
            "nothing": pa.nulls(2),
        }
    )
    uri = server.put(f"{dataset}/types.parquet", table)
    load(client, uri, f"{dataset}.t")
    kinds = {f.name: f.field_type for f in client.get_table(f"{dataset}.t").schema}
    assert kinds == {
        **{"b": "BOOLEAN", "i": "INTEGER", "d": "DATE", "dt": "DATETIME"},
        **{"ts": "TIMESTAMP", "raw": "BYTES", "dec": "NUMERIC", "nothing": "INTEGER"},
    }
    row = next(iter(client.query(f"SELECT * FROM {dataset}.t WHERE b").result()))
    assert (row["i"], row["d"], row["dt"]) == (2**62, date(2021, 2, 3), datetime(3019, 1, 2, 3, 4, 5, 678901))
    assert (row["ts"].isoformat(), row["raw"]) == ("2021-01-02T03:04:05+00:00", b"\x00\xa0")
    assert query(client, f"SELECT i, dt, nothing FROM {dataset}.t WHERE b IS NULL") == [(None, None, None)]


@pytest.mark.parametrize(
    "uri",
    [
        "gs://{bucket}/../outside.parquet",
        "gs://{bucket}/%2e%2e/outside.parquet",
        "gs://../outside.parquet",
        "gs://{bucket}/{outside}",
        "gs://{bucket}/{folder}/*",
        "gs://{bucket}/link.parquet",
        "gs://{bucket}/linked-folder/outside.parquet",
        "gs://{bucket}/linked-folder/*",
    ],
)
def test_uri_reads_nothing_outside_of_its_bucket(
    server: Server, client: bigquery.Client, dataset: str, uri: str
) -> None:
    bucket = server.gcs_root / BUCKET
    server.put("inside.parquet", trips(1, 1))
    outside = server.folder / "outside.parquet"
    if not outside.exists():
        outside.write_bytes((bucket / "inside.parquet").read_bytes())
        (bucket / "link.parquet").symlink_to(outside)
        (bucket / "linked-folder").symlink_to(server.folder)
    given = uri.format(bucket=BUCKET, outside=outside, folder=server.folder)
    with pytest.raises((BadRequest, NotFound)):
        load(client, given, f"{dataset}.stolen")
