"""Settings: the parser of ``.env``, precedence, and secrets."""

from __future__ import annotations

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


def test_variables_that_would_redirect_python_or_postgres_are_left_out(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PGHOST=db\nPYTHONPATH=/x\nPG=1\nGCS_PORT=1\n")
    env: dict[str, str] = {}
    load_env_file(tmp_path / ".env", env)
    assert env == {"PG": "1", "GCS_PORT": "1"}


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
