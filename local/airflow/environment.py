"""The environment in which every Airflow process of this repository runs, built in one place.

What the user sets in ``.env`` takes precedence, except where the stack's own folders, database and API server are.
``local/cloud/shell.py`` says what the shell and ``.env`` may set.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from local.cloud.settings import HOST, REPOSITORY, Settings, load_env_file, port_number, read_env_file, secret
from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.months import LAST_MIRRORED, Month

# Airflow's settings: those that are right everywhere, and those for one machine beside the embedded cloud.
CONFIG = REPOSITORY / "config"
LAPTOP = Path(__file__).resolve().parent

# Base URLs of the sources that are not on this machine.
REMOTE_SOURCES = {
    "dtc": "https://github.com/DataTalksClub/nyc-tlc-data/releases/download",
    "tlc": "https://d37ci6vzurychx.cloudfront.net",
}
SECRETS_BACKEND = "AIRFLOW__SECRETS__BACKEND"
BUNDLES = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
_REFRESH = "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL"
# Each worker takes some hundred megabytes.
MOST_WORKERS = 20
# The last month of each source that no longer publishes.
LAST_MONTHS = {"dtc": str(LAST_MIRRORED)}


class Executor(StrEnum):
    """What runs the tasks: the scheduler's own processes, or Celery workers."""

    LOCAL = "local"
    CELERY = "celery"


@dataclass(frozen=True, kw_only=True)
class AirflowSettings:
    """The state folder, the ports, the source and the executor of the local Airflow.

    Attributes:
        cloud: the settings of the embedded cloud; its ``source`` names the source of the trip data.
        port: TCP port of the UI and the API on 127.0.0.1.
        layout: how that source arranges its files.
        executor: what runs the tasks.
        workers: how many Celery workers there are, if the executor is Celery.
        redis_port: TCP port of Redis on 127.0.0.1, which hands the workers their tasks.
    """

    cloud: Settings
    port: int = 8080
    layout: Layout = Layout.MIRROR
    executor: Executor = Executor.LOCAL
    workers: int = 2
    redis_port: int = 63790

    @classmethod
    def from_env(cls) -> AirflowSettings:
        """Read the settings from the environment and ``.env``.

        Raises:
            ValueError: a variable has an invalid value, or a folder has a name that Airflow cannot take; the message
                names it.
        """
        load_env_file()
        cloud = Settings.from_env()
        _require_plain_path("the repository's folder", REPOSITORY)
        _require_plain_path("LOCAL_DIR", cloud.state_dir)
        cloud = replace(cloud, source=_absolute(cloud.source))
        return cls(
            cloud=cloud,
            port=port_number(os.environ, "AIRFLOW_PORT") or cls.port,
            layout=_layout(cloud.source),
            executor=_executor(),
            workers=_workers() or cls.workers,
            redis_port=port_number(os.environ, "REDIS_PORT") or cls.redis_port,
        )

    @property
    def home(self) -> Path:
        """``AIRFLOW_HOME``: logs, process ids, the UI's password."""
        return self.cloud.state_dir / "airflow"

    @property
    def work_dir(self) -> Path:
        """The work dir: the folder in which the tasks of a run hand on files."""
        return self.cloud.state_dir / "work"

    @property
    def work_dir_address(self) -> str:
        """The variable ``work_dir``: that folder, or a prefix of the lake's bucket for workers that share no disk."""
        return str(self.work_dir) if self.executor is Executor.LOCAL else f"gs://{self.cloud.lake_bucket}/work"

    @property
    def messages_dir(self) -> Path:
        """Where the stack keeps the notifications of failed and late runs and of broken warning checks, a file each."""
        return self.cloud.state_dir / "messages"

    @property
    def secrets_record(self) -> Path:
        """The file with the names of what the secrets backend has; written by local/airflow/secrets_backend.py."""
        return self.home / "secrets_backend.json"

    @property
    def in_secrets_backend(self) -> frozenset[str]:
        """The variables that the stack leaves to the secrets backend of ``.env``."""
        if not os.environ.get(SECRETS_BACKEND) or not self.secrets_record.exists():
            return frozenset()
        return frozenset(json.loads(self.secrets_record.read_text()))

    @property
    def bundles(self) -> list[str]:
        """The names of the DAG bundles of ``.env``; none if the code is that of this folder.

        Raises:
            ValueError: Airflow could not read them, or would have no DAG.
        """
        if not (given := os.environ.get(BUNDLES)):
            return []
        try:
            found = [bundle["name"] for bundle in json.loads(given) if {"classpath", "kwargs"} <= bundle.keys()]
        except (ValueError, TypeError, KeyError, AttributeError):
            found = []
        if not found:
            raise ValueError(
                f"{BUNDLES} is no JSON list of bundles, each with name, classpath and kwargs; the section Code from "
                "git of docs/deploy.md has one to copy"
            )
        return found

    @property
    def url(self) -> str:
        """Address of the UI and the API."""
        return f"http://{HOST}:{self.port}"

    @property
    def source_base_url(self) -> str:
        """Base URL of the source that ``SOURCE`` names."""
        source = self.cloud.source
        if source in REMOTE_SOURCES:
            return REMOTE_SOURCES[source]
        if source.startswith(("http://", "https://")):
            return source.rstrip("/")
        return self.cloud.source_url

    @property
    def last_month(self) -> str:
        """The last month that the source has, ``YYYY-MM``; empty if it still publishes.

        Raises:
            MonthError: ``SOURCE_LAST_MONTH`` is not a month.
        """
        last = os.environ.get("SOURCE_LAST_MONTH") or LAST_MONTHS.get(self.cloud.source, "")
        return str(Month.parse(last)) if last else ""

    def password(self) -> str:
        """The password of the UI's user ``admin``, generated on first use and kept."""
        return secret(self.cloud.state_dir, "admin_password")

    def redis_password(self) -> str:
        """The password of Redis, generated on first use and kept."""
        return secret(self.cloud.state_dir, "redis_password")

    @property
    def broker_url(self) -> str:
        """Where the scheduler sends tasks to the Celery workers."""
        return f"redis://:{self.redis_password()}@{HOST}:{self.redis_port}/0"

    def environment(self) -> dict[str, str]:
        """Return the variables that an Airflow process needs in addition to those of the calling process."""
        built = {
            **read_env_file(CONFIG / "airflow.env"),
            **read_env_file(LAPTOP / "airflow.env"),
            **self._secrets(),
            **self._connections(),
            # Where metrics and traces go once they are on: OpenTelemetry's own default.
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{HOST}:4318",
        }
        if self.bundles:
            del built[_REFRESH]  # five seconds, which suits a folder
        left_out = self.in_secrets_backend
        environment = {name: os.environ.get(name) or value for name, value in built.items() if name not in left_out}
        # Whatever is set: no database and no server that is not the stack's own.
        environment |= {**self._paths(), **self._servers(), **self._celery()}
        # Where Airflow finds airflow_local_settings, of which the first counts, and the bundle for code from git.
        # PYTHONPATH entries that located this package are dropped.
        folders = [CONFIG] if self.uses_real_google_cloud else [LAPTOP / "settings", CONFIG]
        environment["PYTHONPATH"] = os.pathsep.join(map(str, folders))
        # Each task process imports plugins/. Without cached bytecode, each would compile it again.
        environment["PYTHONDONTWRITEBYTECODE"] = ""
        return environment

    def _paths(self) -> dict[str, str]:
        return {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(self.home / "bundles"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
        }

    def _servers(self) -> dict[str, str]:
        database = self.cloud.postgres_url("airflow").replace("postgresql://", "postgresql+psycopg2://")
        return {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__API__HOST": HOST,
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
        }

    def _celery(self) -> dict[str, str]:
        """Return what Celery needs. The results of its tasks are in Airflow's database, as by default."""
        if self.executor is not Executor.CELERY:
            return {}
        return {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CELERY__BROKER_URL": self.broker_url,
            # The API server cannot read the folders of the workers.
            "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
            "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": f"gs://{self.cloud.lake_bucket}/logs",
            "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": "google_cloud_default",
        }

    def _secrets(self) -> dict[str, str]:
        return {
            "AIRFLOW__CORE__FERNET_KEY": secret(self.cloud.state_dir, "fernet_key") + "=",
            "AIRFLOW__API__SECRET_KEY": secret(self.cloud.state_dir, "api_secret_key"),
            "AIRFLOW__API_AUTH__JWT_SECRET": secret(self.cloud.state_dir, "jwt_secret") * 2,
        }

    def _connections(self) -> dict[str, str]:
        postgres = {
            "conn_type": "postgres",
            "host": HOST,
            "port": self.cloud.postgres_port,
            "login": "postgres",
            "password": self.cloud.postgres_password(),
            "schema": "ny_taxi",
        }
        extra = {"layout": self.layout.value, "last_month": self.last_month}
        source = {"conn_type": "http", "host": self.source_base_url, "extra": extra}
        google = {"conn_type": "google_cloud_platform", "extra": {"is_anonymous": True, "project": self.cloud.project}}
        messages = {"conn_type": "fs", "extra": {"path": str(self.messages_dir)}}
        connections = {
            "AIRFLOW_CONN_TAXI_SOURCE": json.dumps(source),
            "AIRFLOW_CONN_FAILURE_FOLDER": json.dumps(messages),
            "AIRFLOW_CONN_NY_TAXI": json.dumps(postgres),
            "AIRFLOW_VAR_LAKE_BUCKET": self.cloud.lake_bucket,
            "AIRFLOW_VAR_WORK_DIR": self.work_dir_address,
        }
        if not self.uses_real_google_cloud:
            connections |= {
                "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": json.dumps(google),
                "STORAGE_EMULATOR_HOST": self.cloud.gcs_url,
                "BIGQUERY_EMULATOR_HOST": self.cloud.bigquery_url,
                # For clients that are given no project: they would ask Google's metadata server for one.
                "GOOGLE_CLOUD_PROJECT": self.cloud.project,
            }
        return connections

    @property
    def uses_real_google_cloud(self) -> bool:
        """Whether the user's own connection replaces the emulators."""
        return bool(os.environ.get("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT"))


def _require_plain_path(what: str, path: Path) -> None:
    """Refuse a path that a program of the stack would read as something else.

    Raises:
        ValueError: it has a colon, which separates folders; a percent sign, which Airflow's configuration expands; or a
            sign that Postgres's initdb, which quotes its own path for a shell, leaves to that shell.
    """
    found = next((sign for sign in (os.pathsep, *'%$"`\\') if sign in str(path)), None)
    if found is not None:
        raise ValueError(
            f"{what} is {path}, and Airflow or Postgres cannot take a path with {found}; move it to a folder without"
        )


def _executor() -> Executor:
    given = os.environ.get("EXECUTOR") or Executor.LOCAL.value
    if given not in set(Executor):
        raise ValueError(f"EXECUTOR={given!r} is not an executor of the local stack; set it to {' or '.join(Executor)}")
    return Executor(given)


def _workers() -> int | None:
    given = os.environ.get("WORKERS")
    if given and (not given.isdecimal() or not 0 < int(given) <= MOST_WORKERS):
        raise ValueError(f"WORKERS={given!r} is not a number of workers; set it to a number from 1 to {MOST_WORKERS}")
    return int(given) if given else None


def _layout(source: str) -> Layout:
    """Return the layout of the source: the TLC's own, or the mirror's unless ``SOURCE_LAYOUT`` names another.

    Raises:
        ValueError: the layout is unknown, or the source has a different one.
    """
    default = Layout.TLC if source == "tlc" else Layout.MIRROR
    given = os.environ.get("SOURCE_LAYOUT") or default.value
    if given not in {layout.value for layout in Layout}:
        known = " or ".join(layout.value for layout in Layout)
        raise ValueError(f"SOURCE_LAYOUT={given!r} is not a layout; set it to {known}")
    if source in REMOTE_SOURCES and given != default.value:
        raise ValueError(
            f"SOURCE_LAYOUT={given} does not fit SOURCE={source}, whose layout is {default.value}; remove SOURCE_LAYOUT"
        )
    return Layout(given)


def _absolute(source: str) -> str:
    """Return a folder as an absolute path, so that commands from any directory find it; return names unchanged."""
    is_name = source in ("synthetic", *REMOTE_SOURCES) or "://" in source
    return source if is_name else str(Path(source).expanduser().absolute())
