"""Jobs: ids, states, errors, results, scripts and transactions."""

from __future__ import annotations

import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Conflict, GoogleAPICallError, NotFound
from google.cloud import bigquery

from tests.local.cloud.bigquery.conftest import Server
from tests.local.cloud.bigquery.support import LONG_QUERY, PROJECT, create_trips, query, reference, running_job


def test_job_id_can_be_used_only_once(client: bigquery.Client, dataset: str) -> None:
    job_id = f"once_{dataset}"
    client.query("SELECT 1", job_id=job_id, job_retry=None).result()
    for sql in ("SELECT 1", f"CREATE TABLE {dataset}.t (n INT64)"):
        with pytest.raises(Conflict, match=f"Already Exists: Job {PROJECT}:US.{job_id}"):
            client.query(sql, job_id=job_id, job_retry=None)
    assert list(client.list_tables(dataset)) == []
    job = client.get_job(job_id)
    assert (job.state, job.job_type, job.query) == ("DONE", "query", "SELECT 1")
    with pytest.raises(NotFound):
        client.get_job("never_seen")


def test_concurrent_jobs_with_one_id_run_once(client: bigquery.Client, dataset: str) -> None:
    create_trips(client, f"{dataset}.t")

    def run(_: int) -> str:
        sql = f"INSERT INTO {dataset}.t (VendorID) VALUES (1)"
        try:
            client.query(sql, job_id=f"race_{dataset}", job_retry=None).result()
        except Conflict:
            return "conflict"
        return "ran"

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(run, range(4))) == ["conflict", "conflict", "conflict", "ran"]
    assert client.get_table(f"{dataset}.t").num_rows == 1


def test_lists_are_paged(client: bigquery.Client, dataset: str) -> None:
    for name in ("c", "a", "b"):
        create_trips(client, f"{dataset}.{name}")
    pages = [[table.table_id for table in page] for page in client.list_tables(dataset, page_size=2).pages]
    assert pages == [["a", "b"], ["c"]]
    ids = [client.query(f"SELECT {number}", job_id=f"{dataset}_{number}", job_retry=None).job_id for number in range(3)]
    assert [job.job_id for job in client.list_jobs(max_results=3)] == ids[::-1]
    assert [job.job_id for job in client.list_jobs(max_results=3, page_size=1, state_filter="done")] == ids[::-1]
    everything = [found.dataset_id for found in client.list_datasets()]
    assert [found.dataset_id for found in client.list_datasets(page_size=1)] == everything
    assert dataset in everything


def test_job_timeout_stops_the_job(client: bigquery.Client) -> None:
    config = bigquery.QueryJobConfig(job_timeout_ms=300)
    job = client.query(LONG_QUERY, job_config=config)
    with pytest.raises(GoogleAPICallError, match="timed out"):
        job.result()


def test_failed_job_keeps_its_error(client: bigquery.Client, dataset: str) -> None:
    job = client.query(f"SELECT * FROM {dataset}.nope")
    with pytest.raises(NotFound, match="nope"):
        job.result()
    again = client.get_job(job.job_id)
    assert (again.state, again.error_result["reason"]) == ("DONE", "notFound")


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("SELEC 1", BadRequest),
        ("SELECT nope", BadRequest),
        ("SELECT 1 / 0", BadRequest),
        ("SELECT no_such_function(1)", BadRequest),
        ("SELECT * FROM nowhere.t", NotFound),
        ("", BadRequest),
    ],
)
def test_errors_are_not_retried(client: bigquery.Client, sql: str, error: type[GoogleAPICallError]) -> None:
    posted = []
    client._http.hooks["response"].append(lambda response, **_: posted.append(response.request.method))
    with pytest.raises(error):
        client.query(sql).result()
    with pytest.raises(error):
        client.query_and_wait(sql)
    assert posted.count("POST") == 2


def test_values_round_trip(client: bigquery.Client) -> None:
    moment = datetime(2021, 1, 2, 3, 4, 5, 678901)
    values: list[tuple[str, Any]] = [
        ("INT64", 2**62),
        ("FLOAT64", 0.1),
        ("NUMERIC", Decimal("1.5")),
        ("BOOL", True),
        ("STRING", "naïve 'quote'"),
        ("DATE", date(2021, 1, 2)),
        ("TIME", moment.time()),
        ("DATETIME", moment),
        ("TIMESTAMP", moment.replace(tzinfo=UTC)),
    ]
    for kind, value in values:
        for given in (value, None):
            rows = query(client, "SELECT @p", query_parameters=[bigquery.ScalarQueryParameter("p", kind, given)])
            assert rows == [(given,)], kind
    assert query(client, "SELECT b'ab'") == [(b"ab",)]
    array = bigquery.ArrayQueryParameter("p", "INT64", [1, 2])
    assert query(client, "SELECT n FROM UNNEST(@p) AS n ORDER BY n", query_parameters=[array]) == [(1,), (2,)]


def test_unnamed_columns_are_named_and_case_is_kept(client: bigquery.Client, dataset: str) -> None:
    create_trips(client, f"{dataset}.t")
    result = client.query(f"SELECT COUNT(*), VendorID AS vendorId, 1 + 1 FROM {dataset}.t GROUP BY VendorID").result()
    assert [field.name for field in result.schema] == ["f0_", "vendorId", "f1_"]


def test_frames_and_arrow_work_without_the_storage_api(
    client: bigquery.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(self: bigquery.Client, *_: object, **__: object) -> None:
        raise AssertionError("a client of the Storage API")

    monkeypatch.setattr(bigquery.Client, "_ensure_bqstorage_client", ask)
    job = client.query("SELECT n, CAST(NULL AS STRING) AS s FROM UNNEST(GENERATE_ARRAY(1, 5)) AS n")
    with pytest.warns(PendingDeprecationWarning, match="pandas_gbq"):  # the check operators of Airflow use it
        assert job.to_dataframe()["n"].sum() == 15
    large = client.query("SELECT n FROM UNNEST(GENERATE_ARRAY(1, 25000)) AS n")
    assert large.to_arrow().num_rows == 25_000
    assert client.get_table(large.destination).num_rows == 25_000
    # More than 10 MB, in rows that are many and few.
    for rows, size in ((12_000, 1000), (100, 110_000)):
        largest = client.query(f"SELECT REPEAT('x', {size}) AS s FROM UNNEST(GENERATE_ARRAY(1, {rows})) AS n")
        found = largest.to_arrow(create_bqstorage_client=False)
        assert (found.num_rows, len(found["s"][rows - 1].as_py())) == (rows, size)


def test_query_writes_its_destination(client: bigquery.Client, dataset: str) -> None:
    target = reference(f"{dataset}.t")
    rows = query(client, "SELECT 1 AS n", destination=target)
    assert rows == [(1,)]
    with pytest.raises(Conflict):
        query(client, "SELECT 2 AS n", destination=target)
    query(client, "SELECT 2 AS n", destination=target, write_disposition="WRITE_APPEND")
    assert query(client, f"SELECT n FROM {dataset}.t ORDER BY n") == [(1,), (2,)]
    with pytest.raises(BadRequest, match="changed type from INTEGER to STRING"):
        query(client, "SELECT 'x' AS n", destination=target, write_disposition="WRITE_APPEND")
    query(client, "SELECT 'x' AS s", destination=target, write_disposition="WRITE_TRUNCATE")
    assert query(client, f"SELECT * FROM {dataset}.t") == [("x",)]
    with pytest.raises(BadRequest, match="cannot be set for scripts"):
        query(client, "SELECT 1; SELECT 2", destination=target)


def test_dml_reports_affected_rows(client: bigquery.Client, dataset: str) -> None:
    create_trips(client, f"{dataset}.t")
    merge = (
        f"MERGE {dataset}.t AS t USING (SELECT * FROM UNNEST([2, 3]) AS n) AS s ON t.VendorID = s.n "
        "WHEN MATCHED THEN UPDATE SET fare_amount = 1 WHEN NOT MATCHED THEN INSERT (VendorID) VALUES (n)"
    )
    statements = {
        f"INSERT INTO {dataset}.t (VendorID) VALUES (1), (2)": 2,
        f"UPDATE {dataset}.t SET fare_amount = 2 WHERE VendorID = 1": 1,
        merge: 2,
        f"DELETE FROM {dataset}.t WHERE true": 3,
    }
    for sql, rows in statements.items():
        job = client.query(sql)
        job.result()
        assert job.num_dml_affected_rows == rows, sql


def test_merge_that_matches_a_row_twice_is_refused(client: bigquery.Client, dataset: str) -> None:
    query(client, f"CREATE TABLE {dataset}.t AS SELECT 1 AS k, 0 AS v UNION ALL SELECT 1, 0")
    query(client, f"CREATE TABLE {dataset}.s AS SELECT 1 AS k, 5 AS v UNION ALL SELECT 1, 6 UNION ALL SELECT 2, 7")
    merge = (
        f"MERGE INTO {dataset}.t USING {dataset}.s AS s ON t.k = s.k WHEN MATCHED{{}} THEN UPDATE SET v = s.v "
        "WHEN NOT MATCHED THEN INSERT (k, v) VALUES (s.k, s.v)"
    )
    rows = f"SELECT k, v FROM {dataset}.t ORDER BY 1, 2"
    for sql in (merge.format(""), "SELECT 1; " + merge.format(""), merge.format(" AND s.v > 4")):
        with pytest.raises(BadRequest, match="must match at most one source row"):
            query(client, sql)
    parameter = bigquery.ScalarQueryParameter("least", "INT64", 4)
    with pytest.raises(BadRequest, match="must match at most one source row"):
        query(client, merge.format(" AND s.v > @least"), query_parameters=[parameter])
    with pytest.raises(BadRequest, match="must match at most one source row"):
        query(client, "DECLARE least INT64 DEFAULT 4; " + merge.format(" AND s.v > least"))
    assert query(client, rows) == [(1, 0), (1, 0)]
    query(client, "DECLARE least INT64 DEFAULT 5; " + merge.format(" AND s.v > least"))
    assert query(client, rows) == [(1, 6), (1, 6), (2, 7)]
    parameter = bigquery.ScalarQueryParameter("least", "INT64", 5)
    query(client, merge.format(" AND s.v > @least"), query_parameters=[parameter])
    assert query(client, rows) == [(1, 6), (1, 6), (2, 7)]


@pytest.mark.parametrize("name", ["{d}.t", "`{p}.{d}.t`", "`{p}`.{d}.t", "`{d}`.`t`"])
def test_update_that_matches_a_row_twice_is_refused(client: bigquery.Client, dataset: str, name: str) -> None:
    query(client, f"CREATE TABLE {dataset}.t AS SELECT 1 AS k, 0 AS v UNION ALL SELECT 2, 0")
    query(client, f"CREATE TABLE {dataset}.s AS SELECT 1 AS k, 5 AS v UNION ALL SELECT 1, 6")
    table = name.format(p=PROJECT, d=dataset)
    twice = f"UPDATE {table} SET v = s.v FROM {dataset}.s AS s WHERE t.k = s.k"
    joined = f"UPDATE {table} AS t SET v = s.v FROM {dataset}.s AS s JOIN {dataset}.s AS r ON s.v = r.v WHERE t.k = s.k"
    merge = f"MERGE {table} USING {dataset}.s AS s ON t.k = s.k WHEN MATCHED {{}} THEN DELETE"
    for sql in (twice, "SELECT 1; " + twice, joined, merge.format("")):
        with pytest.raises(BadRequest, match="must match at most one source row"):
            query(client, sql)
    assert query(client, f"SELECT v FROM {dataset}.t") == [(0,), (0,)]
    query(client, twice + " AND s.v = 5")
    assert query(client, f"SELECT v FROM {dataset}.t ORDER BY k") == [(5,), (0,)]
    query(client, joined + " AND s.v = 6")
    assert query(client, f"SELECT v FROM {dataset}.t ORDER BY k") == [(6,), (0,)]
    query(client, merge.format("AND s.v = 5"))
    assert query(client, f"SELECT k FROM {dataset}.t") == [(2,)]


def test_dry_run_estimates_bytes_and_checks_the_query(client: bigquery.Client, dataset: str) -> None:
    create_trips(client, f"{dataset}.t")
    query(client, f"INSERT INTO {dataset}.t (VendorID, source_file) VALUES (1, 'abc'), (2, NULL)")
    config = bigquery.QueryJobConfig(dry_run=True)
    job = client.query(f"SELECT VendorID, source_file AS f FROM {dataset}.t WHERE VendorID > 1", job_config=config)
    assert (job.total_bytes_processed, [field.name for field in job.schema]) == (2 * 8 + 5, ["VendorID", "f"])
    assert client.get_table(f"{dataset}.t").num_bytes == 2 * 8 + 5
    for sql in (f"SELECT nope FROM {dataset}.t", f"DELETE FROM {dataset}.t WHERE true"):
        with pytest.raises(BadRequest):
            client.query(sql, job_config=config)
    with pytest.raises(BadRequest, match="exceeded limit for bytes billed"):
        query(client, f"SELECT VendorID FROM {dataset}.t", maximum_bytes_billed=10)


def test_bytes_through_views_and_of_new_tables_are_estimated(client: bigquery.Client, dataset: str) -> None:
    query(client, f"CREATE TABLE {dataset}.t AS SELECT 1 AS a, 2 AS b UNION ALL SELECT 3, NULL")
    query(client, f"CREATE VIEW {dataset}.v AS SELECT a, b FROM {dataset}.t")
    query(client, f"CREATE VIEW {dataset}.w AS SELECT v.a FROM {dataset}.v AS v")
    job = client.query(f"SELECT w.a FROM {dataset}.w AS w", job_config=bigquery.QueryJobConfig(dry_run=True))
    assert job.total_bytes_processed == 3 * 8, "the columns that the views name"
    for _ in range(2):  # the second replaces the table that it reads
        job = client.query(f"CREATE OR REPLACE TABLE {dataset}.t AS SELECT a, b FROM {dataset}.t")
        job.result()
        assert job.total_bytes_processed == 3 * 8


def test_failed_assert_fails_the_job(client: bigquery.Client) -> None:
    query(client, "ASSERT 1 = 1 AS 'holds'")
    query(client, "ASSERT (SELECT COUNT(*) FROM UNNEST([1, 2])) = 2")
    for sql in ("ASSERT 1 = 2 AS 'does not hold'", "SELECT 1; ASSERT NULL AS 'does not hold'"):
        with pytest.raises(BadRequest, match="does not hold"):
            query(client, sql)


def test_script_runs_up_to_its_failing_statement(client: bigquery.Client, dataset: str) -> None:
    script = f"""
        DECLARE n INT64 DEFAULT 5;
        CREATE TEMP TABLE doubled AS SELECT n * 2 AS v;
        CREATE TABLE {dataset}.kept AS SELECT v + n AS v FROM doubled;
        SELECT v, n FROM {dataset}.kept;
    """
    assert query(client, script) == [(15, 5)]
    with pytest.raises(BadRequest):
        query(client, f"INSERT INTO {dataset}.kept VALUES (1); SELECT 1 / 0")
    assert query(client, f"SELECT COUNT(*) FROM {dataset}.kept") == [(2,)]  # a script keeps what it did before


def test_transactions_commit_or_roll_back(client: bigquery.Client, dataset: str) -> None:
    table = f"{dataset}.t"
    query(client, f"CREATE TABLE {table} AS SELECT 1 AS n")
    count = f"SELECT COUNT(*) FROM {table}"
    replace = f"BEGIN TRANSACTION; DELETE FROM {table} WHERE true; INSERT INTO {table} VALUES (1), (2);"
    assert query(client, f"{replace} COMMIT TRANSACTION; {count}") == [(2,)]
    assert query(client, f"{replace} DELETE FROM {table} WHERE true; ROLLBACK TRANSACTION; {count}") == [(2,)]
    with pytest.raises(BadRequest):
        query(client, f"{replace} DELETE FROM {table} WHERE true; SELECT 1 / 0; COMMIT TRANSACTION")
    query(client, f"BEGIN TRANSACTION; DELETE FROM {table} WHERE true")  # rolled back at the end of the script
    failing = f"BEGIN TRANSACTION; DELETE FROM {table} WHERE true; SELECT 1 / 0;"
    handled = f"BEGIN {failing} EXCEPTION WHEN ERROR THEN ROLLBACK TRANSACTION; END;"
    assert query(client, f"{handled} {count}") == [(2,)]
    with pytest.raises(BadRequest, match="supported inside a transaction"):
        query(client, f"BEGIN TRANSACTION; CREATE TABLE {dataset}.u (n INT64); COMMIT TRANSACTION")


def test_readers_see_concurrent_transactions_whole(client: bigquery.Client, dataset: str) -> None:
    table = f"{dataset}.t"
    query(client, f"CREATE TABLE {table} AS SELECT n, 0 AS by_job FROM UNNEST(GENERATE_ARRAY(1, 1000)) AS n")
    stop, seen = threading.Event(), set()

    def watch() -> None:
        while True:
            seen.update(query(client, f"SELECT COUNT(*), COUNT(DISTINCT by_job) FROM {table}"))
            if stop.is_set():
                return

    def replace(job: int) -> None:
        rows = f"SELECT n, {job} FROM UNNEST(GENERATE_ARRAY(1, 1000)) AS n"
        query(
            client, f"BEGIN TRANSACTION; DELETE FROM {table} WHERE true; INSERT INTO {table} {rows}; COMMIT TRANSACTION"
        )

    with ThreadPoolExecutor(5) as pool:
        watcher = pool.submit(watch)
        try:
            list(pool.map(replace, range(1, 9)))
        finally:
            stop.set()
        watcher.result()
    assert seen == {(1000, 1)}


def test_a_script_is_cancelled_between_two_statements(client: bigquery.Client, dataset: str) -> None:
    """Whatever the job is doing when it is cancelled."""
    for number in range(3):
        job_id = f"script_{dataset}_{number}"
        with running_job(client, job_id, f"{'SELECT 1; ' * 20}{LONG_QUERY}"):
            client.cancel_job(job_id)
        assert client.get_job(job_id).error_result["reason"] == "stopped"


@pytest.mark.parametrize("views", [[], ["m"]], ids=["tables", "a materialized view"])
def test_long_job_does_not_block_others_and_can_be_cancelled(
    client: bigquery.Client, server: Server, dataset: str, views: list[str]
) -> None:
    create_trips(client, f"{dataset}.t")
    for view in views:
        query(
            client,
            f"CREATE MATERIALIZED VIEW {dataset}.{view} AS SELECT VendorID, COUNT(*) AS n FROM {dataset}.t GROUP BY 1",
        )
    with running_job(client, f"long_{dataset}", LONG_QUERY, destination=reference(f"{dataset}.never")):
        for path in ("/healthz", f"/bigquery/v2/projects/{PROJECT}/datasets"):
            urllib.request.urlopen(server.url + path, timeout=60).close()
        assert query(client, f"SELECT COUNT(*) FROM {dataset}.t") == [(0,)]
        long = client.get_job(f"long_{dataset}")
        assert (long.state, long.error_result) == ("RUNNING", None)
        client.cancel_job(f"long_{dataset}")
    job = client.get_job(f"long_{dataset}")
    assert (job.state, job.error_result["reason"]) == ("DONE", "stopped")
    assert sorted(table.table_id for table in client.list_tables(dataset)) == [*views, "t"]
    query(client, f"INSERT INTO {dataset}.t (VendorID) VALUES (1)")  # the write lock is released
    for view in views:
        assert query(client, f"SELECT * FROM {dataset}.{view}") == [(1, 1)]
