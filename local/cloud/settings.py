"""Settings of the embedded cloud: folders, ports and names, read from the environment and ``.env``.

Both environments import this module, so it uses only the standard library.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import tempfile
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
_REDIRECTING = re.compile(
    r"PYTHON\w*|PG(?!ADMIN_)[A-Z]\w*|LOCAL_ENV_FILE|LOCAL_AIRFLOW_OVERRIDES|(STORAGE|BIGQUERY)_EMULATOR_HOST"
    r"|AIRFLOW_(HOME|CONFIG)|_AIRFLOW_\w+|PREFECT_(HOME|PROFILES_PATH|(API|SERVER)_\w+)"
    # The database, also by its old name, and what else a migration would touch.
    r"|AIRFLOW__(DATABASE|CORE)__SQL_ALCHEMY_(CONN|ENGINE_ARGS|SCHEMA|SESSION_MAKER)\w*"
    r"|AIRFLOW__DATABASE__EXTERNAL_DB_MANAGERS"
    # Where tasks run, who names their code other than DAG_BUNDLE_CONFIG_LIST, and who gives them other connections than
    # AIRFLOW__SECRETS__BACKEND does.
    r"|AIRFLOW__CORE__(EXECUTOR|DAGS_FOLDER|PLUGINS_FOLDER|EXECUTION_API_SERVER_URL)|AIRFLOW__(CELERY|EDGE)__\w+"
    r"|AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_(?!CONFIG_LIST$)\w+|AIRFLOW__WORKERS__SECRETS_BACKEND\w*"
    r"|AIRFLOW__API__(HOST|PORT|BASE_URL)|AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
    # Secrets can be set as such; those of a command or a secrets backend would lose to the stack's own.
    r"|AIRFLOW__(CORE__FERNET_KEY|API__SECRET_KEY|API_AUTH__JWT_SECRET|SECRETS__BACKEND_KWARGS)_(CMD|SECRET)"
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All user settings of the embedded cloud.

    Attributes:
        state_dir: folder of all local state (``.local/``); can be deleted whenever nothing runs. ``LOCAL_DIR`` is
            relative to the repository.
        gcs_port, bigquery_port, postgres_port, source_port: TCP ports on 127.0.0.1.
        project: the Google Cloud project id of the emulators.
        lake_bucket: the bucket that ``up`` creates.
        source: what the source server serves: ``synthetic``, or a folder in the mirror's or the TLC's layout. With
            ``dtc``, ``tlc`` or an http(s) URL, the source is elsewhere and no source server is started.
        synthetic_rows: number of rows in a synthetic month.
        start_timeout: seconds that each component of the local stack may take to become healthy.
    """

    state_dir: Path
    gcs_port: int = 4443
    bigquery_port: int = 9050
    postgres_port: int = 54320
    source_port: int = 8090
    project: str = "nyc-taxi-local"
    lake_bucket: str = "nyc-taxi-lake"
    source: str = "synthetic"
    synthetic_rows: int = 100_000
    start_timeout: int = 180

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from environment variables; an empty value means the default.

        Raises:
            ValueError: a variable is not a number though it must be; the message names it.
        """
        env = os.environ if env is None else env
        given = {
            # bin/airflow may be called from any folder.
            "state_dir": REPOSITORY / Path(env.get("LOCAL_DIR") or ".local").expanduser(),
            "gcs_port": port_number(env, "GCS_PORT"),
            "bigquery_port": port_number(env, "BIGQUERY_PORT"),
            "postgres_port": port_number(env, "POSTGRES_PORT"),
            "source_port": port_number(env, "SOURCE_PORT"),
            "project": env.get("GCP_PROJECT"),
            "lake_bucket": env.get("LAKE_BUCKET") or env.get("AIRFLOW_VAR_LAKE_BUCKET"),
            "source": env.get("SOURCE"),
            "synthetic_rows": _number(env, "SYNTHETIC_ROWS"),
            "start_timeout": _seconds(env, "START_TIMEOUT"),
        }
        return cls(**{name: value for name, value in given.items() if value})  # type: ignore[arg-type]

    @property
    def cloud_dir(self) -> Path:
        """Folder of the emulators' state: data, logs and process records."""
        return self.state_dir / "cloud"

    @property
    def log_dir(self) -> Path:
        return self.cloud_dir / "logs"

    @property
    def gcs_root(self) -> Path:
        """Root folder of the GCS emulator; BigQuery reads ``gs://`` objects from it."""
        return self.cloud_dir / "gcs"

    @property
    def bigquery_dir(self) -> Path:
        return self.cloud_dir / "bigquery"

    @property
    def postgres_dir(self) -> Path:
        return self.cloud_dir / "postgres"

    @property
    def source_cache(self) -> Path:
        """Folder of the synthetic months that the source server has generated."""
        return self.cloud_dir / "source"

    @property
    def run_dir(self) -> Path:
        """Folder of the records of running components."""
        return self.cloud_dir / "run"

    @property
    def gcs_url(self) -> str:
        return f"http://{HOST}:{self.gcs_port}"

    @property
    def bigquery_url(self) -> str:
        return f"http://{HOST}:{self.bigquery_port}"

    @property
    def source_url(self) -> str:
        return f"http://{HOST}:{self.source_port}"

    @property
    def google_environment(self) -> dict[str, str]:
        """The variables by which Google's clients reach the emulators, and gRPC and google.auth nothing of Google's.

        No variable leads BigQuery's Storage Read API elsewhere. With the emulator as its proxy, gRPC asks that for a
        way to Google, and is refused at once.
        """
        return {
            "STORAGE_EMULATOR_HOST": self.gcs_url,
            "BIGQUERY_EMULATOR_HOST": self.bigquery_url,
            "grpc_proxy": self.bigquery_url,
            "no_grpc_proxy": "localhost,127.0.0.1",
            "NO_GCE_CHECK": "true",  # no search for the metadata server of Google's machines
        }

    def postgres_password(self) -> str:
        """Return the password of the Postgres superuser ``postgres``, generated on first use."""
        return secret(self.state_dir, "postgres_password")

    @property
    def postgres_password_file(self) -> Path:
        """The file with the password of the Postgres superuser."""
        self.postgres_password()
        return secret_path(self.state_dir, "postgres_password")

    def postgres_url(self, database: str) -> str:
        """Return a libpq URL for ``database``."""
        return f"postgresql://postgres:{self.postgres_password()}@{HOST}:{self.postgres_port}/{database}"


def read_env_file(path: Path) -> dict[str, str]:
    """Read the ``KEY=VALUE`` lines of ``path``; empty if the file does not exist.

    Blank lines, lines that start with ``#`` and ``export`` before a key are ignored. A value may be in single or double
    quotes; outside of quotes, a ``#`` after a space starts a comment. Variables are not expanded.

    Raises:
        ValueError: a line has another form; the message names the file and the line.
    """
    if not path.is_file():
        return {}
    variables = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        key, equals, value = text.partition("=")
        if not equals or not key.strip().isidentifier():
            raise ValueError(f"{line!r} in {path}, line {number}, is not KEY=VALUE; correct or remove it")
        variables[key.strip()] = _env_value(value.strip(), f"{path}, line {number}")
    return variables


def env_file(env: Mapping[str, str]) -> Path:
    """Return the path of the project's env file: ``LOCAL_ENV_FILE``, by default ``.env`` in the repository's root.

    Raises:
        ValueError: ``LOCAL_ENV_FILE`` does not exist.
    """
    given = env.get("LOCAL_ENV_FILE")
    if given and not Path(given).is_file():
        raise ValueError(f"LOCAL_ENV_FILE={given} is not a file; correct it, or unset it to use .env")
    return Path(given) if given else REPOSITORY / ".env"


def load_env_file(path: Path | None = None, env: MutableMapping[str, str] | None = None) -> list[str]:
    """Add the variables of an env file to ``env`` (``os.environ`` by default); variables that are set take precedence.

    Variables are left out that would lead a command to another database, server or code than the stack's own: what is
    not the stack's own must never be migrated.

    Args:
        path: the file; that of :func:`env_file` if None.

    Returns:
        The names of the variables that are left out.

    Raises:
        ValueError: see :func:`env_file` and :func:`read_env_file`.
    """
    env = os.environ if env is None else env
    left_out = []
    for key, value in read_env_file(path or env_file(env)).items():
        if _REDIRECTING.fullmatch(key):
            left_out.append(key)
        else:
            env.setdefault(key, value)
    return left_out


def private_folder(path: Path) -> None:
    """Create a folder that no other user may enter, or take their rights to it away."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)


def told(error: OSError) -> str:
    """Return what to tell the user of an error that ends a command: of a file or disk, also what to do about it."""
    if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return str(error)
    return f"{error}; LOCAL_DIR must be a folder in which you may write, on a disk with free space"


def secret_path(state_dir: Path, name: str) -> Path:
    """Return the path of the secret ``name``."""
    return state_dir / "secrets" / name


def secret(state_dir: Path, name: str) -> str:
    """Return the secret ``name`` (URL-safe, 256 random bits), creating it with mode 0600 on first use."""
    path = secret_path(state_dir, name)
    if not path.exists():
        private_folder(path.parent)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=path.parent)  # mode 0600
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32))
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)  # unlike a rename, never replaces a secret that another process has just created
        os.unlink(temporary)
    return path.read_text()


def _env_value(text: str, where: str) -> str:
    """Parse the right side of a line of an env file."""
    if text[:1] in ("'", '"'):
        value, quote, rest = text[1:].partition(text[0])
        if not quote or not (rest.strip() == "" or rest.strip().startswith("#")):
            raise ValueError(f"the quotes around {text} in {where}, do not match; close them, or remove them")
        return value
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].rstrip()


def _number(env: Mapping[str, str], name: str) -> int | None:
    value = env.get(name)
    if not value:
        return None
    if not value.isdecimal():
        raise ValueError(f"{name}={value!r} is not a whole number; set it in .env or the environment, or leave it out")
    return int(value)


def port_number(env: Mapping[str, str], name: str) -> int | None:
    """Return the TCP port of a variable; None if it is not set.

    Raises:
        ValueError: it is not a whole number from 1 to 65535; the message names the variable.
    """
    port = _number(env, name)
    if port is not None and not 0 < port < 2**16:
        raise ValueError(f"{name}={env[name]!r} is no port; set it to a number from 1 to 65535, or leave it out")
    return port


def _seconds(env: Mapping[str, str], name: str) -> int | None:
    seconds = _number(env, name)
    if seconds == 0:
        raise ValueError(f"{name}={env[name]!r} leaves no time; set it to a number of seconds above 0, or leave it out")
    return seconds
