"""A Postgres server for the tests of statements: the embedded one, on a port and in a folder of its own."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from comparison.statements import Load
from local.cloud.settings import REPOSITORY
from nyc_taxi.registry.datasets import GREEN
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.postgres import statement
from tests.ports import free_port

CLOUD_PYTHON = REPOSITORY / "local" / "cloud" / ".venv" / "bin" / "python"
FILE = GREEN.file(Month(2021, 1))
START_SECONDS = 120


class Database:
    """The server's database, with the tables of the green trips.

    Attributes:
        url: its URL, with the password of the superuser.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._open = ExitStack()

    def connect(self, **options: Any) -> psycopg.Connection:
        """Return a connection that the end of the test closes."""
        connection = psycopg.connect(self.url, autocommit=True, **options)
        self._open.callback(connection.close)
        return connection

    def close(self) -> None:
        self._open.close()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True, application_name="the test") as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def stage(self, run: str, day: int, *, rows: int, downloaded_at: str = "", run_started_at: str = "") -> Load:
        """Load a staging table of January 2021 with ``rows`` pickups on one day, and return what publishes it."""
        load = Load(file=FILE, run=run, downloaded_at=downloaded_at, run_started_at=run_started_at)
        self.rows(load.render("postgres/create/trip_table.sql"))
        self.rows(load.render("postgres/load/trip_staging.sql"))
        self.rows(
            f"INSERT INTO {load.postgres_staging_table} (lpep_pickup_datetime, source_month, source_file) "
            f"SELECT '2021-01-{day:02d}', '2021-01-01', '{run}' FROM generate_series(1, {rows})"
        )
        return load

    def days(self) -> list[tuple[int, int]]:
        """The days of the published pickups, with the number of rows."""
        return self.rows(
            "SELECT extract(day FROM lpep_pickup_datetime)::int, count(*) FROM green_trips GROUP BY 1 ORDER BY 1"
        )


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running server."""
    folder = tmp_path_factory.mktemp("postgres")
    password_file = folder / "password"
    password_file.write_text(secrets.token_hex(8))
    port = free_port()
    command = ["--data-dir", folder / "data", "--port", str(port), "--password-file", password_file]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [CLOUD_PYTHON, "-m", "local.cloud.postgres", *command], cwd=REPOSITORY, stdout=log, stderr=log
        )
    url = f"postgresql://postgres:{password_file.read_text()}@127.0.0.1:{port}/postgres"
    try:
        _await(url, process, folder / "log")
        yield url
    finally:
        process.send_signal(signal.SIGINT)  # ends sessions that a failed test has left open
        process.wait(120)


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=20).close()
            return
        except psycopg.OperationalError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)


@pytest.fixture
def database(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """An empty database of its own, which is that of the connection ``ny_taxi``."""
    name = f"test_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    made = Database(f"{server.rpartition('/')[0]}/{name}")
    host, _, port = server.rpartition("/")[0].rpartition("@")[2].partition(":")
    password = server.partition("postgres:")[2].partition("@")[0]
    fields = {"conn_type": "postgres", "host": host, "port": int(port), "login": "postgres", "schema": name}
    monkeypatch.setenv("AIRFLOW_CONN_NY_TAXI", json.dumps({**fields, "password": password}))
    yield made
    made.close()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of operators between two tries, in seconds; in the test, they last no time."""
    paused: list[float] = []
    monkeypatch.setattr(statement, "time", SimpleNamespace(sleep=paused.append))
    return paused
