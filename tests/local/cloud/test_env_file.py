"""make env: the secrets of docker-compose.yaml in .env."""

from __future__ import annotations

import base64
import os
import re
import stat
from pathlib import Path

import pytest

from local.cloud import env_file
from local.cloud.settings import read_env_file
from tests.attacks.promises import attack
from tests.deployment.compose_file import load_compose


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@attack("state-is-private")
def test_new_file_has_all_secrets_for_its_user_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        added = env_file.add_missing(path)
    finally:
        os.umask(before)
    given = read_env_file(path)
    assert added == list(given) == list(env_file.SECRETS)
    assert mode(path) == 0o600
    assert len(set(given.values())) == len(given)
    for name, value in given.items():
        if name == "AIRFLOW__CORE__FERNET_KEY":
            assert len(base64.urlsafe_b64decode(value)) == 32
        else:
            assert re.fullmatch("[0-9a-f]{64}", value)
    load_compose(**given)


@attack("secrets-are-asked-for")
def test_no_two_hosts_have_the_same(tmp_path: Path) -> None:
    values = set()
    for name in ("one", "other"):
        (tmp_path / name).write_text(f"LOCAL_DIR={tmp_path}/state-{name}\n")
        env_file.add_missing(tmp_path / name)
        given = read_env_file(tmp_path / name)
        values |= {given[secret] for secret in env_file.SECRETS}
    assert len(values) == 2 * len(env_file.SECRETS)


@pytest.mark.parametrize("end", ["\n", ""], ids=["line", "no-line"])
def test_lines_of_the_user_stay_and_what_is_set_is_kept(path: Path, end: str) -> None:
    own = f"# mine\nAIRFLOW_PORT=8081\nREDIS_PASSWORD=\nNY_TAXI_PASSWORD='of mine'{end}"
    path.write_text(own)
    path.chmod(0o644)
    added = env_file.add_missing(path)
    assert path.read_text().startswith(own)
    given = read_env_file(path)
    assert (given["AIRFLOW_PORT"], given["NY_TAXI_PASSWORD"]) == ("8081", "of mine")
    assert "NY_TAXI_PASSWORD" not in added
    assert given["REDIS_PASSWORD"]
    assert mode(path) == 0o600


def test_again_it_changes_nothing(path: Path) -> None:
    env_file.add_missing(path)
    before = path.read_bytes()
    assert env_file.add_missing(path) == []
    assert path.read_bytes() == before


def test_what_the_local_stack_has_encrypted_stays_readable(path: Path, tmp_path: Path) -> None:
    key = tmp_path / "state" / "secrets" / "fernet_key"
    key.parent.mkdir(parents=True)
    key.write_text("k" * 43)
    path.write_text(f"LOCAL_DIR={tmp_path / 'state'}\n")
    env_file.add_missing(path)
    assert read_env_file(path)["AIRFLOW__CORE__FERNET_KEY"] == "k" * 43 + "="


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no line\n", "error: 'no line' in {path}, line 1, is not KEY=VALUE; correct or remove it\n"),
        (
            "REDIS_PASSWORD='x\n",
            "error: the quotes around 'x in {path}, line 1, do not match; close them, or remove them\n",
        ),
        ("SYNTHETIC_ROWS=many\n", "error: SYNTHETIC_ROWS='many' "),
        (
            "REDIS_PASSWORD=a b/c\n",
            "error: REDIS_PASSWORD in {path} has ' ', '/', which would break the URL that has it; use letters, digits "
            "and . _ ~ -\n",
        ),
        ("AIRFLOW_DB_PASSWORD=50%41\n", "error: AIRFLOW_DB_PASSWORD in {path} has '%', which would break the URL "),
        ("CELERY_DB_PASSWORD='#'\n", "error: CELERY_DB_PASSWORD in {path} has '#', which would break the URL "),
        (
            "NY_TAXI_PASSWORD='a\\b'\n",
            "error: NY_TAXI_PASSWORD in {path} has '\\\\', which would break the JSON that has it; use no \" and "
            "no \\\n",
        ),
        ("FLOWER_PASSWORD=a,b\n", "error: FLOWER_PASSWORD in {path} has ',', which would break the list of users "),
    ],
)
def test_file_that_cannot_be_read_stays_as_it_is(
    path: Path, text: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(text)
    monkeypatch.setattr(env_file, "REPOSITORY", path.parent)
    assert env_file.main() == 1
    assert path.read_text() == text
    printed = capsys.readouterr()
    assert printed.err.startswith(message.format(path=path))
    assert printed.out == ""


def test_command_tells_names_and_no_value(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(env_file, "REPOSITORY", path.parent)
    assert env_file.main() == 0
    assert capsys.readouterr().out == f"added to .env: {', '.join(env_file.SECRETS)}\n"
    assert env_file.main() == 0
    assert capsys.readouterr().out == "all secrets are set in .env; nothing was added\n"
