"""The server as a process: restarts, crashes, listening addresses and idle load."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from google.api_core.exceptions import BadRequest
from google.cloud import bigquery

from tests.local.cloud.bigquery.conftest import PYTHON, REPOSITORY, Server
from tests.local.cloud.bigquery.support import (
    BUCKET,
    LONG_QUERY,
    MONTHLY,
    NO_RETRY,
    PROJECT,
    load,
    months,
    query,
    reference,
    running_job,
    trips,
)
from tests.waiting import wait_until


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """Start a server that the test may stop."""
    server = Server(folder=tmp_path)
    server.start()
    yield server
    if server.process and server.process.poll() is None:
        server.stop(signal.SIGKILL)


@pytest.mark.parametrize("stop", [pytest.param(signal.SIGTERM, marks=pytest.mark.full), signal.SIGKILL])
def test_tables_jobs_and_views_survive_a_restart(own: Server, stop: signal.Signals) -> None:
    client = own.client()
    own.put("green/year=2021/month=01/a.parquet", trips(1, 3))
    script = f"""
        CREATE SCHEMA trips OPTIONS (description = 'kept');
        CREATE TABLE trips.green (VendorID INT64 NOT NULL, source_month DATE)
        PARTITION BY DATE_TRUNC(source_month, MONTH) CLUSTER BY VendorID OPTIONS (require_partition_filter = true);
        CREATE EXTERNAL TABLE trips.green_external WITH PARTITION COLUMNS
        OPTIONS (format = 'PARQUET', uris = ['gs://{BUCKET}/green/*'],
                 hive_partition_uri_prefix = 'gs://{BUCKET}/green');
        CREATE VIEW trips.seen AS SELECT VendorID FROM trips.green_external;
        INSERT INTO trips.green VALUES (1, '2021-01-01');
    """
    query(client, script)
    client.query("SELECT 1", job_id="before", **NO_RETRY).result()
    own.stop(stop)
    own.start()
    client = own.client()
    table = client.get_table("trips.green")
    assert (table.num_rows, table.require_partition_filter) == (1, True)
    assert (table.time_partitioning.type_, table.clustering_fields) == ("MONTH", ["VendorID"])
    assert table.schema[0].mode == "REQUIRED"
    assert client.get_dataset("trips").description == "kept"
    assert client.get_job("before").state == "DONE"
    assert query(client, "SELECT COUNT(*), MIN(month) FROM trips.green_external") == [(3, 1)]
    assert query(client, "SELECT COUNT(*) FROM trips.seen") == [(3,)]


def test_write_interrupted_by_a_kill_is_undone(own: Server) -> None:
    client = own.client()
    client.create_dataset("trips")
    uri = own.put("a.parquet", trips(1, 10))
    load(client, uri, "trips.green", time_partitioning=MONTHLY)
    rows = "SELECT DATE '2021-01-01' AS source_month, n AS VendorID FROM UNNEST(GENERATE_ARRAY(1, 1000000)) AS n"
    options = {"destination": reference("trips.green$202101"), "write_disposition": "WRITE_TRUNCATE"}
    before = _bytes_of(own)
    with running_job(client, "replace", rows, **options):
        # Kill it when the first rows reach the disk, which is just before the commit.
        while _bytes_of(own) == before and client.get_job("replace").state == "RUNNING":
            time.sleep(0.005)
        own.stop(signal.SIGKILL)
    own.start()
    assert months(own.client(), "trips.green") in ({"202101": 10}, {"202101": 1_000_000})


def _bytes_of(server: Server) -> int:
    return sum(path.stat().st_size for path in (server.folder / "data").glob("*.duckdb*"))


def test_server_stops_with_code_0_while_a_job_runs(own: Server) -> None:
    with running_job(own.client(), "long", LONG_QUERY):
        assert own.stop() == 0


def test_server_listens_on_loopback_only_and_is_idle_without_requests(server: Server) -> None:
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    listening = [c.laddr for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
    assert [(address.ip, address.port) for address in listening] == [("127.0.0.1", server.port)]
    wait_until(lambda: _is_idle(process), "it is idle: what earlier tests left it to do is done")


def _is_idle(process: psutil.Process) -> bool:
    """Whether it takes less than a tenth of a processor's time, in the next two seconds."""
    before = sum(process.cpu_times()[:2])
    time.sleep(2)
    return sum(process.cpu_times()[:2]) - before < 0.2


@pytest.mark.parametrize("body", ["", "SELECT", "'"])
def test_routine_that_cannot_be_read_is_refused_at_once(client: bigquery.Client, dataset: str, body: str) -> None:
    routine = bigquery.Routine(f"{PROJECT}.{dataset}.r", type_="SCALAR_FUNCTION", language="SQL", body=body)
    with pytest.raises(BadRequest):
        client.create_routine(routine, timeout=120)
    assert list(client.list_routines(dataset)) == []


def test_second_server_on_the_same_data_fails_and_harms_nothing(server: Server) -> None:
    upload = server.folder / "data/uploads/of-a-running-load.bin"
    upload.write_bytes(b"rows")
    arguments = ["--port", "0", "--data-dir", server.folder / "data", "--gcs-root", server.gcs_root]
    second = subprocess.run(
        [PYTHON, "-m", "local.cloud.bigquery", *arguments, "--project", PROJECT],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert second.returncode == 1
    assert f"BigQuery could not start on {server.folder / 'data'}" in second.stderr
    assert "Conflicting lock" in second.stderr
    assert upload.read_bytes() == b"rows"
    upload.unlink()
