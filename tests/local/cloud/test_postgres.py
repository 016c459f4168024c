"""The Postgres server: authentication, configuration, and recovery from damaged states."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from local.cloud.settings import Settings
from tests.attacks.promises import attack


def connect(settings: Settings, database: str = "ny_taxi", **options: str) -> psycopg.Connection:
    return psycopg.connect(settings.postgres_url(database), connect_timeout=60, autocommit=True, **options)


def one(settings: Settings, statement: str) -> object:
    with connect(settings) as connection:
        row = connection.execute(statement).fetchone()
        assert row is not None
        return row[0]


def test_both_databases_exist(cloud) -> None:
    for database in ("airflow", "ny_taxi"):
        with connect(cloud.settings, database) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == (database,)


@attack("secrets-are-asked-for")
def test_password_is_required(cloud) -> None:
    for password in ("wrong", ""):
        with pytest.raises(psycopg.OperationalError, match="password"):
            connect(cloud.settings, password=password)
    with connect(cloud.settings) as connection:
        row = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'").fetchone()
    assert row is not None
    assert row[0].startswith("SCRAM-SHA-256$")


def test_configuration_file_is_in_effect(cloud) -> None:
    with connect(cloud.settings) as connection:
        rows = connection.execute(
            "SELECT name, applied, error FROM pg_file_settings WHERE sourcefile LIKE '%local.cloud.conf'"
        ).fetchall()
    written = (cloud.settings.postgres_dir / "local.cloud.conf").read_text().splitlines()
    assert rows == [(line.partition(" = ")[0], True, None) for line in written]


@pytest.mark.parametrize("name", ["fsync", "full_page_writes", "synchronous_commit", "data_checksums"])
def test_durability_is_not_traded_for_speed(cloud, name: str) -> None:
    assert one(cloud.settings, f"SHOW {name}") == "on"


@pytest.mark.parametrize(("database", "limit"), [("ny_taxi", "5min"), ("airflow", "0")])
def test_only_transactions_in_the_warehouse_may_not_be_idle_for_long(cloud, database: str, limit: str) -> None:
    with connect(cloud.settings, database) as connection:
        assert connection.execute("SHOW idle_in_transaction_session_timeout").fetchone() == (limit,)


# Takes a lock, says so, and runs the statement; the transaction stays open.
_HOLDER = """
import os, sys, time, psycopg
connection = psycopg.connect(os.environ["URL"])
connection.execute(f"SELECT pg_advisory_xact_lock({sys.argv[1]})")
print("held", flush=True)
connection.execute(sys.argv[2])
time.sleep(600)
"""


def test_a_killed_client_leaves_no_lock(cloud) -> None:
    """Whether it was idle or waited for its statement; the server looks for the latter every ten seconds."""
    statements = {71: "SELECT 1", 72: "SELECT pg_sleep(600)"}
    env = {**os.environ, "URL": cloud.settings.postgres_url("ny_taxi")}
    clients = [
        subprocess.Popen([sys.executable, "-c", _HOLDER, str(lock), statement], env=env, stdout=subprocess.PIPE)
        for lock, statement in statements.items()
    ]
    with connect(cloud.settings, options="-c statement_timeout=120s") as connection:
        try:
            assert [client.stdout.readline() for client in clients if client.stdout] == [b"held\n", b"held\n"]
            taken = "SELECT pg_try_advisory_lock(%s)"
            assert [connection.execute(taken, [lock]).fetchone() for lock in statements] == [(False,), (False,)]
            sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            while connection.execute(sleeping).fetchone() != (1,):
                time.sleep(0.05)
        finally:
            for client in clients:
                client.kill()
                client.communicate()
        for lock in statements:
            connection.execute("SELECT pg_advisory_lock(%s)", [lock])


def test_the_server_looks_for_clients_whose_machine_is_gone(cloud) -> None:
    """In at most two minutes, before the tasks that wait for their locks have given up."""
    idle, interval, count = (
        int(str(one(cloud.settings, f"SELECT setting FROM pg_settings WHERE name = 'tcp_keepalives_{name}'")))
        for name in ("idle", "interval", "count")
    )
    assert 0 < idle + interval * count <= 120
    assert one(cloud.settings, "SHOW client_connection_check_interval") == "10s"


@attack("this-machine-only")
def test_there_is_no_unix_socket(cloud) -> None:
    """Its path would be too long in a deep folder."""
    assert one(cloud.settings, "SHOW unix_socket_directories") == ""


def test_text_sorts_by_code_point_with_unicode_functions(cloud) -> None:
    assert one(cloud.settings, "SELECT string_agg(x, '' ORDER BY x) FROM unnest(array['b', 'a', 'B', 'é']) x") == "Babé"
    assert one(cloud.settings, "SELECT upper('é')") == "É"
    assert one(cloud.settings, "SELECT datlocale FROM pg_database WHERE datname = 'ny_taxi'") == "C.UTF-8"


def test_server_does_not_run_as_root(cloud) -> None:
    pid = int((cloud.settings.postgres_dir / "postmaster.pid").read_text().split()[0])
    assert psutil.Process(pid).uids().effective == cloud.settings.postgres_dir.stat().st_uid != 0


def test_copy_into_a_new_table_writes_no_wal_for_its_rows(cloud) -> None:
    def copy_rows(connection: psycopg.Connection, *, create: bool) -> int:
        """COPY 2 MB in one transaction, which also creates the table if asked to; return the bytes of WAL written."""
        before = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
        with connection.transaction():
            if create:
                connection.execute("CREATE TABLE copied (t text)")
            with connection.cursor().copy("COPY copied FROM STDIN") as copy:
                copy.write((b"x" * 99 + b"\n") * 20_000)
        row = connection.execute("SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", before).fetchone()
        assert row is not None
        return int(row[0])

    with connect(cloud.settings) as connection:
        into_new = copy_rows(connection, create=True)
        into_old = copy_rows(connection, create=False)
        connection.execute("DROP TABLE copied")
    assert into_new < 200_000 < 2_000_000 < into_old


def test_killed_server_keeps_committed_data(own_cloud) -> None:
    own_cloud.must("up", "postgres")
    with connect(own_cloud.settings) as connection:
        connection.execute("CREATE TABLE kept (number int)")
        connection.execute("INSERT INTO kept VALUES (42)")
    pid = int((own_cloud.settings.postgres_dir / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    assert "restarted" in own_cloud.must("up", "postgres")
    assert one(own_cloud.settings, "SELECT number FROM kept") == 42
    own_cloud.must("down")

    # A partial data folder, left by a kill during the first start, does not block a start.
    (own_cloud.settings.postgres_dir.with_name("postgres.new") / "base").mkdir(parents=True)
    # Neither does a lock file whose pid now belongs to another program.
    (own_cloud.settings.postgres_dir / "postmaster.pid").write_text(f"{os.getpid()}\n")
    own_cloud.must("up", "postgres")
    assert one(own_cloud.settings, "SELECT number FROM kept") == 42
    own_cloud.must("down")

    secret = own_cloud.settings.postgres_password_file
    secret.write_text("another")
    done = own_cloud.run("up", "postgres")
    assert done.returncode == 1
    assert "postgres refuses the password in" in done.stderr

    version = own_cloud.settings.postgres_dir / "PG_VERSION"
    version.write_text("15\n")
    done = own_cloud.run("up", "postgres")
    assert done.returncode == 1
    assert "is of PostgreSQL 15, but the server is 18." in done.stderr


def test_interrupted_first_start_is_repeated(own_cloud) -> None:
    half = own_cloud.settings.postgres_dir.with_name("postgres.new")
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    own_cloud.must("up", "postgres")
    assert one(own_cloud.settings, "SELECT 1") == 1
    assert not half.exists()
    assert not list(own_cloud.settings.cloud_dir.glob("postgres.password"))


@pytest.mark.full  # there is no Unix socket, whose path would be too long: see above
def test_server_starts_in_a_deep_folder(make_cloud, tmp_path: Path) -> None:
    deep = make_cloud(tmp_path.joinpath(*["a-rather-long-folder-name"] * 6))
    assert len(str(deep.settings.postgres_dir)) > 150
    deep.must("up", "postgres")
    assert one(deep.settings, "SELECT 1") == 1
