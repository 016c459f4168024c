"""Settings: the parser of ``.env``, precedence, and secrets."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.cloud.settings import REPOSITORY, Settings, load_env_file, read_env_file, secret


def test_env_file_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(
        "# ports\n\nGCS_PORT=1\nexport BIGQUERY_PORT = 2 # not 3\nA='x # y'\nB=\"q\" # c\nC=\nD=http://h/#f\nE=a b\n"
    )
    assert read_env_file(path) == {
        **{"GCS_PORT": "1", "BIGQUERY_PORT": "2", "A": "x # y", "B": "q", "C": "", "D": "http://h/#f", "E": "a b"}
    }


@pytest.mark.parametrize("line", ["no equals sign", "1A=x", "A='x", '"A"=x', "A='x' y"])
def test_message_for_an_invalid_line_names_the_line(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"OK=1\n{line}\n")
    with pytest.raises(ValueError, match="line 2"):
        read_env_file(tmp_path / ".env")


def test_environment_takes_precedence_over_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GCS_PORT=1\nSOURCE_PORT=2\n")
    env = {"GCS_PORT": "7"}
    load_env_file(tmp_path / ".env", env)
    load_env_file(tmp_path / "missing", env)
    assert env == {"GCS_PORT": "7", "SOURCE_PORT": "2"}
    assert (Settings.from_env(env).gcs_port, Settings.from_env(env).source_port) == (7, 2)


def test_concurrent_callers_get_the_same_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: secret(tmp_path, "token"), range(40)))
    assert len(made) == 1
    assert (tmp_path / "secrets/token").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "secrets").iterdir()] == ["token"]


# Each would lead a command to another database, server or code than the stack's own.
REDIRECTING = [
    *("PGHOST", "PGSERVICE", "PYTHONPATH", "PYTHONWARNINGS", "LOCAL_ENV_FILE", "LOCAL_AIRFLOW_OVERRIDES"),
    *("AIRFLOW_HOME", "AIRFLOW_CONFIG", "_AIRFLOW__AS_LIBRARY", "STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST"),
    *("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD"),
    *("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_SECRET", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"),
    *("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC_CMD", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS"),
    *("AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS_ASYNC", "AIRFLOW__DATABASE__SQL_ALCHEMY_ENGINE_ARGS"),
    *("AIRFLOW__DATABASE__SQL_ALCHEMY_ENGINE_ARGS_CMD", "AIRFLOW__DATABASE__SQL_ALCHEMY_SCHEMA"),
    *("AIRFLOW__DATABASE__SQL_ALCHEMY_SESSION_MAKER", "AIRFLOW__DATABASE__EXTERNAL_DB_MANAGERS"),
    *("AIRFLOW__CORE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__SQL_ALCHEMY_CONN_CMD"),
    *("AIRFLOW__CORE__EXECUTOR", "AIRFLOW__CORE__DAGS_FOLDER", "AIRFLOW__CORE__PLUGINS_FOLDER"),
    *("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"),
    *("AIRFLOW__CELERY__RESULT_BACKEND", "AIRFLOW__CELERY__RESULT_BACKEND_CMD", "AIRFLOW__CELERY__BROKER_URL"),
    *("AIRFLOW__EDGE__API_URL", "AIRFLOW__API__HOST", "AIRFLOW__API__PORT", "AIRFLOW__API__BASE_URL"),
    *("AIRFLOW__SECRETS__BACKEND_KWARGS_CMD", "AIRFLOW__SECRETS__BACKEND_KWARGS_SECRET"),
    *("AIRFLOW__WORKERS__SECRETS_BACKEND", "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS_SECRET"),
    *("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST_CMD", "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH"),
    *("AIRFLOW__CORE__FERNET_KEY_CMD", "AIRFLOW__API__SECRET_KEY_SECRET", "AIRFLOW__API_AUTH__JWT_SECRET_CMD"),
    *("PREFECT_HOME", "PREFECT_PROFILES_PATH", "PREFECT_API_URL", "PREFECT_API_DATABASE_CONNECTION_URL"),
    *("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_SERVER_API_HOST"),
]
# What the docs and .env.example say may stand in .env, and tuning.
TAKEN = [
    *("GCS_PORT", "SYNTHETIC_ROWS", "SOURCE", "LOCAL_DIR", "PREFECT_PORT", "PREFECT_LOGGING_LEVEL", "HTTPS_PROXY"),
    *("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", "AIRFLOW_CONN_FAILURE_WEBHOOK", "AIRFLOW_CONN_NY_TAXI"),
    *("AIRFLOW_VAR_UNKNOWN_COLUMNS", "AIRFLOW_VAR_WORK_DIR", "GOOGLE_APPLICATION_CREDENTIALS", "POSTGRES_PASSWORD"),
    *("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET"),
    *("AIRFLOW__SECRETS__BACKEND", "AIRFLOW__SECRETS__BACKEND_KWARGS", "AIRFLOW__CORE__AUTH_MANAGER"),
    *("AIRFLOW__CORE__PARALLELISM", "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE", "AIRFLOW__API__WORKERS", "PG", "OWN"),
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST",
    *("PGADMIN_PORT", "PGADMIN_PASSWORD"),  # of docker compose, and no variable of Postgres's clients
]


@pytest.mark.parametrize("name", REDIRECTING)
def test_a_variable_that_would_redirect_the_stack_is_left_out(tmp_path: Path, name: str) -> None:
    (tmp_path / ".env").write_text(f"{name}=/other\nGCS_PORT=1\n")
    env: dict[str, str] = {}
    assert load_env_file(tmp_path / ".env", env) == [name]
    assert env == {"GCS_PORT": "1"}


@pytest.mark.parametrize("name", TAKEN)
def test_everything_else_may_stand_in_the_env_file(tmp_path: Path, name: str) -> None:
    (tmp_path / ".env").write_text(f"{name}=1\n")
    env: dict[str, str] = {}
    assert load_env_file(tmp_path / ".env", env) == []
    assert env == {name: "1"}


def test_every_variable_of_the_example_may_stand_in_the_env_file(tmp_path: Path) -> None:
    example = (REPOSITORY / ".env.example").read_text()
    (tmp_path / ".env").write_text(re.sub(r"^#(\w+=)", r"\1", example, flags=re.MULTILINE))
    names = set(re.findall(r"^#(\w+)=", example, flags=re.MULTILINE))
    assert len(names) > 15
    env: dict[str, str] = {}
    assert load_env_file(tmp_path / ".env", env) == []
    assert set(env) == names


def test_the_env_file_can_be_another(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("GCS_PORT=7\n")
    env = {"LOCAL_ENV_FILE": str(tmp_path / "other")}
    load_env_file(env=env)
    assert env["GCS_PORT"] == "7"


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_a_start_up_limit_that_is_not_a_number_of_seconds_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=rf"START_TIMEOUT='{value}' (is not a whole number|leaves no time); set it"):
        Settings.from_env({"START_TIMEOUT": value})


def test_a_relative_state_folder_is_in_the_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.from_env({"LOCAL_DIR": "x"}).state_dir == REPOSITORY / "x"
    assert Settings.from_env({"LOCAL_DIR": str(tmp_path)}).state_dir == tmp_path
    assert Settings.from_env({}).state_dir == REPOSITORY / ".local"
