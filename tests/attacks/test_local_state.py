"""Another user of the machine, and whoever writes the arguments of a command."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from local.airflow import __main__ as command
from local.airflow import stack
from local.airflow.environment import AirflowSettings
from local.cloud import __main__ as cloud
from local.cloud.settings import REPOSITORY, Settings, private_folder, secret
from tests.attacks.promises import attack

SECRETS = ("postgres_password", "admin_password", "fernet_key", "api_secret_key", "jwt_secret")


@pytest.fixture
def open_umask() -> Iterator[None]:
    """The umask of a user who shares everything, for the duration of the test."""
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """The files and folders in which another user can read or write something."""
    return [str(path) for path in (folder, *folder.rglob("*")) if path.lstat().st_mode & 0o077]


# --- Files


@attack("state-is-private")
@pytest.mark.parametrize("name", SECRETS)
def test_secret_is_readable_by_its_user_alone_from_the_first_moment(
    tmp_path: Path, open_umask: None, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    link = os.link

    def watched(new: str, path: Path) -> None:
        modes.append(stat.S_IMODE(os.stat(new).st_mode))
        link(new, path)

    monkeypatch.setattr(os, "link", watched)
    value = secret(tmp_path, name)
    assert modes == [0o600]
    assert open_to_others(tmp_path / "secrets") == []
    assert re.fullmatch(r"[\w-]{43}", value)


@attack("state-is-private")
def test_folder_that_is_open_is_closed_by_the_next_start(tmp_path: Path, open_umask: None) -> None:
    (tmp_path / "state").mkdir(mode=0o777)
    private_folder(tmp_path / "state")
    assert open_to_others(tmp_path / "state") == []


@attack("state-is-private")
def test_cloud_creates_its_folders_for_its_user_alone(
    tmp_path: Path, open_umask: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cloud, "start_and_tell", lambda *_, **__: [])
    settings = Settings(state_dir=tmp_path / "state")
    cloud.up(settings, names=[])
    for folder in (settings.gcs_root, settings.bigquery_dir, settings.source_cache, settings.log_dir, settings.run_dir):
        assert open_to_others(folder) == []


@attack("state-is-private")
def test_airflow_creates_its_folders_for_its_user_alone(
    tmp_path: Path, open_umask: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stack, "run_airflow", lambda *_, **__: subprocess.CompletedProcess([], 0, stdout="", stderr=""))
    settings = AirflowSettings(cloud=Settings(state_dir=tmp_path / "state"))
    stack.migrate(settings)
    assert open_to_others(settings.work_dir) == []
    assert stat.S_IMODE(settings.home.stat().st_mode) == 0o700
    assert stat.S_IMODE((settings.home / "passwords.json").stat().st_mode) == 0o600


@attack("secrets-are-asked-for")
def test_each_installation_has_secrets_of_its_own(tmp_path: Path) -> None:
    values = [secret(tmp_path / place, name) for place in ("one", "other") for name in SECRETS]
    assert len(set(values)) == len(values)


# --- The repository

PATTERNS = {
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "Google service account": r'"private_key_id":\s*"[0-9a-f]{40}"',
    "Google API key": r"AIza[0-9A-Za-z_-]{35}",
    "AWS key": r"AKIA[0-9A-Z]{16}",
    "GitHub token": r"gh[pousr]_[A-Za-z0-9]{36}",
    "Slack webhook": r"hooks\.slack\.com/services/T\w+/B\w+/\w{20,}",
    "Slack token": r"xox[abpr]-[0-9A-Za-z-]{20,}",
    "JSON web token": r"eyJ[\w-]{20,}\.eyJ[\w-]{20,}\.[\w-]{20,}",
    "password in a URL": r"[a-z0-9+]+://[^\s:/@'\"{}$<>*]+:[^\s:/@'\"{}$<>*]{6,}@(?!127\.0\.0\.1|localhost)",
}


@attack("the-repository-has-none")
@pytest.mark.parametrize("kind", PATTERNS)
def test_repository_contains_no_secret_of_this_kind(kind: str) -> None:
    words = ["git", "grep", "-nIP", "-e", PATTERNS[kind], "--", ".", ":!*.lock", ":!tests"]
    result = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")


@attack("the-repository-has-none")
@pytest.mark.parametrize("path", [".env", ".local/secrets/jwt_secret", ".local/airflow/passwords.json"])
def test_file_of_secrets_is_ignored_by_git(path: str) -> None:
    assert subprocess.run(["git", "check-ignore", "-q", path], cwd=REPOSITORY, check=False).returncode == 0


# --- Arguments of commands

ARGUMENTS = {
    "command": "x; touch pwned",
    "substitution": "$(touch pwned)",
    "backticks": "`touch pwned`",
    "pipe": "x | touch pwned",
    "quotes": "x'; touch pwned; '",
    "double quotes": 'x"; touch pwned; "',
    "new line": "x\ntouch pwned",
    "option": "--help",
    "terminal sequence": "\x1b[2J\x1b]0;pwned\x07",
    "path": "../../etc/passwd",
    "template": "{{ conn.ny_taxi.password }}",
}


@attack("arguments-are-words")
@pytest.mark.parametrize("target", ["demo", "reconcile"])
@pytest.mark.parametrize("value", [one for one in ARGUMENTS.values() if "$" not in one and "\n" not in one], ids=ascii)
def test_make_passes_its_variables_as_words(tmp_path: Path, target: str, value: str) -> None:
    """The recipe is the same whatever they are: they reach the command through the environment."""
    words = ["make", "-n", "-o", "install", target]
    given = [f"DATASET={value}", f"MONTH={value}"]
    recipes = [
        subprocess.run([*words, *more], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
        for more in ([], given)
    ]
    assert recipes[0] == recipes[1]
    assert '"$DATASET" "$MONTH"' in recipes[0]


@attack("arguments-are-words")
@pytest.mark.parametrize("value", [one for one in ARGUMENTS.values() if one != "--help"], ids=ascii)
def test_command_refuses_the_argument_in_printable_text_and_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    monkeypatch.setattr(command, "raise_on_signals", lambda: None)
    monkeypatch.setattr(stack, "up", lambda *_, **__: pytest.fail("the stack starts"))
    with mock.patch.dict(os.environ, {"LOCAL_DIR": str(tmp_path / "state")}):
        for words in (("demo", value, "2021-01"), ("demo", "green", value)):
            monkeypatch.setattr(sys, "argv", ["local.airflow", *words])
            assert command.main() == 1
    printed = "".join(capsys.readouterr())
    assert all(line.isprintable() for line in printed.splitlines()), ascii(printed)
