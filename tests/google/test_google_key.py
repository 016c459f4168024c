"""A connection to Google Cloud that cannot work ends ``make up`` before anything starts, in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local.airflow import stack
from local.airflow.environment import SECRETS_BACKEND, AirflowSettings
from local.airflow.google_key import CREDENTIALS, LOGIN, NEW_KEY, NO_BUCKET, require_key
from local.cloud.processes import ProcessError
from local.cloud.settings import Settings
from local.cloud.shell import GOOGLE_CONNECTION

USELESS = f"{GOOGLE_CONNECTION} in .env cannot be used: "
NO_KEY = "is no key of a service account: it has no"


@pytest.fixture(autouse=True)
def no_machine_credentials(no_emulators: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials of the machine, but a bucket."""
    for name in ("AIRFLOW_VAR_LAKE_BUCKET", SECRETS_BACKEND):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAKE_BUCKET", "mine")


def _connection(**extra: Any) -> str:
    return json.dumps({"conn_type": "google_cloud_platform", "extra": {"project": "p", **extra}})


def _problem(monkeypatch: pytest.MonkeyPatch, connection: str) -> str:
    monkeypatch.setenv(GOOGLE_CONNECTION, connection)
    with pytest.raises(ProcessError) as error:
        require_key()
    return str(error.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: No such file or directory"),
        ("", "is not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("\0", "is not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("[]", f"{NO_KEY} client_email, private_key, token_uri"),
        ('{"type": "authorized_user", "client_id": "1"}', f"{NO_KEY} client_email, private_key, token_uri"),
        (
            '{"client_email": "a@b", "token_uri": "https://c", "private_key": "secret"}',
            "is no key of a service account: its private_key is damaged",
        ),
    ],
    ids=["missing", "empty", "binary", "list", "of a person", "damaged"],
)
def test_a_wrong_key_file_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, problem: str
) -> None:
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)
    told = _problem(monkeypatch, _connection(key_path=str(path)))
    assert told == f"{USELESS}the key_path {path} {problem}; {NEW_KEY}"


def test_a_key_that_works_is_taken_however_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: dict[str, str]
) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(key))
    # As it is often pasted, with its line ends as two characters.
    pasted = {**key, "private_key": key["private_key"].replace("\n", "\\n")}
    for extra in ({"key_path": str(path)}, {"keyfile_dict": key}, {"keyfile_dict": json.dumps(pasted)}, {}):
        monkeypatch.setenv(GOOGLE_CONNECTION, _connection(**extra))
        require_key()
    monkeypatch.setenv(GOOGLE_CONNECTION, f"google-cloud-platform://?project=p&key_path={path}")
    require_key()
    monkeypatch.setenv(GOOGLE_CONNECTION, "")
    require_key()


@pytest.mark.parametrize("path", ["key.json", "~/key.json", "/folder/key.p12"])
def test_a_path_that_tasks_cannot_read_is_told(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    told = _problem(monkeypatch, _connection(key_path=path))
    assert told == f"{USELESS}the key_path {path} is not the absolute path of a .json file; {NEW_KEY}"


@pytest.mark.parametrize("connection", [_connection(project=None), "google-cloud-platform://", "{"])
def test_a_connection_without_a_project_is_told(monkeypatch: pytest.MonkeyPatch, connection: str) -> None:
    told = _problem(monkeypatch, connection)
    assert told == f'{GOOGLE_CONNECTION} in .env has no project; set "project": "my-project" in its extra'


def test_missing_credentials_of_the_machine_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CREDENTIALS, str(tmp_path / "none.json"))
    told = _problem(monkeypatch, _connection())
    assert told == f"{USELESS}the variable {CREDENTIALS} is {tmp_path}/none.json, which is no file; {LOGIN}"


def test_a_missing_bucket_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default one is the emulator's, and on Google Cloud somebody else's."""
    monkeypatch.setenv("LAKE_BUCKET", "")
    assert _problem(monkeypatch, _connection()) == NO_BUCKET
    monkeypatch.setenv("AIRFLOW_VAR_LAKE_BUCKET", "mine")
    require_key()


def test_nothing_is_started_with_a_wrong_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GOOGLE_CONNECTION, _connection(key_path="/none.json"))
    monkeypatch.setattr(stack, "cloud", lambda *_, **__: pytest.fail("something was started"))
    with pytest.raises(ProcessError, match="cannot be read"):
        stack.up(AirflowSettings(cloud=Settings(state_dir=tmp_path)))
