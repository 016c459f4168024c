"""The server as a process: restarts, crashes, where it listens and what it costs."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from google.api_core.exceptions import GoogleAPICallError

from tests.local.cloud.bigquery.conftest import PYTHON, REPOSITORY, Server
from tests.local.cloud.bigquery.support import (
    BUCKET,
    LONG_QUERY,
    MONTHLY,
    PROJECT,
    load,
    months,
    query,
    reference,
    trips,
)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A server that the test may stop."""
    server = Server(folder=tmp_path)
    server.start()
    yield server
    if server.process and server.process.poll() is None:
        server.stop(signal.SIGKILL)


def test_everything_survives_a_stop_and_a_kill(own: Server) -> None:
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
    """
    query(client, script)
    for number, stop in enumerate((signal.SIGTERM, signal.SIGKILL)):
        query(client, f"INSERT INTO trips.green VALUES ({number}, '2021-01-01')")
        job_id = f"before_{stop.name}"
        client.query("SELECT 1", job_id=job_id, job_retry=None).result()
        own.stop(stop)
        own.start()
        client = own.client()
        table = client.get_table("trips.green")
        assert (table.num_rows, table.require_partition_filter) == (number + 1, True)
        assert (table.time_partitioning.type_, table.clustering_fields) == ("MONTH", ["VendorID"])
        assert table.schema[0].mode == "REQUIRED"
        assert client.get_dataset("trips").description == "kept"
        assert client.get_job(job_id).state == "DONE"
        assert query(client, "SELECT COUNT(*), MIN(month) FROM trips.green_external") == [(3, 1)]
        assert query(client, "SELECT COUNT(*) FROM trips.seen") == [(3,)]


def test_a_kill_in_the_middle_of_a_write_leaves_it_undone(own: Server) -> None:
    client = own.client()
    client.create_dataset("trips")
    uri = own.put("a.parquet", trips(1, 10))
    load(client, uri, "trips.green", time_partitioning=MONTHLY)
    rows = "SELECT DATE '2021-01-01' AS source_month, n AS VendorID FROM UNNEST(GENERATE_ARRAY(1, 5000000)) AS n"

    def replace() -> None:
        with contextlib.suppress(GoogleAPICallError, OSError):
            query(client, rows, destination=reference("trips.green$202101"), write_disposition="WRITE_TRUNCATE")

    writer = threading.Thread(target=replace, daemon=True)
    writer.start()
    time.sleep(0.3)
    own.stop(signal.SIGKILL)
    own.start()
    assert months(own.client(), "trips.green") in ({"202101": 10}, {"202101": 5_000_000})


def test_it_stops_soon_and_cleanly_while_a_job_runs(own: Server) -> None:
    client = own.client()

    def run() -> None:
        with contextlib.suppress(GoogleAPICallError, OSError):
            client.query(LONG_QUERY, retry=None, job_retry=None).result(retry=None, job_retry=None)

    threading.Thread(target=run, daemon=True).start()
    time.sleep(0.5)
    started = time.monotonic()
    assert own.stop() == 0
    assert time.monotonic() - started < 3


def test_it_listens_on_loopback_alone_and_rests_when_idle(own: Server) -> None:
    assert own.process is not None
    process = psutil.Process(own.process.pid)
    listening = [c.laddr for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
    assert [(address.ip, address.port) for address in listening] == [("127.0.0.1", own.port)]
    time.sleep(0.5)
    before = sum(process.cpu_times()[:2])
    time.sleep(2)
    assert sum(process.cpu_times()[:2]) - before < 0.1


def test_a_second_server_on_the_same_data_says_so(own: Server) -> None:
    arguments = ["--port", "0", "--data-dir", own.folder / "data", "--gcs-root", own.gcs_root, "--project", PROJECT]
    second = subprocess.run(
        [PYTHON, "-m", "local.cloud.bigquery", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert second.returncode == 1
    assert "BigQuery could not start" in second.stderr
    assert "Conflicting lock" in second.stderr
