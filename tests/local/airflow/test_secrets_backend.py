"""What the stack asks a secrets backend of .env at its start, and what it then leaves to it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from local.airflow import secrets_backend
from local.airflow.environment import SECRETS_BACKEND, AirflowSettings
from local.airflow.no_effect import without_effect
from local.airflow.secrets_backend import KWARGS
from local.cloud.processes import ProcessError
from local.cloud.shell import GOOGLE_CONNECTION

FILE = "airflow.secrets.local_filesystem.LocalFilesystemBackend"
SECRET_MANAGER = "airflow.providers.google.cloud.secrets.secret_manager.CloudSecretManagerBackend"
OWN = "AIRFLOW_CONN_TAXI_SOURCE"
Backend = Callable[..., AirflowSettings]


@pytest.fixture
def backend(make_settings: Callable[..., AirflowSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Returns settings with a backend of local files that have the given content."""

    def made(connections: str, variables: str = "{}", **more: str) -> AirflowSettings:
        for name, content in (("connections", connections), ("variables", variables)):
            (tmp_path / f"{name}.json").write_text(content)
        kwargs = {f"{kind}_file_path": str(tmp_path / f"{kind}.json") for kind in ("connections", "variables")}
        return make_settings(**{SECRETS_BACKEND: FILE, KWARGS: json.dumps(kwargs), **more})

    return made


@pytest.mark.full
def test_a_stack_leaves_to_the_backend_what_that_has(backend: Backend) -> None:
    settings = backend('{"taxi_source": "http://mine", "other": "http://other"}', '{"lake_bucket": "mine"}')
    before = settings.environment()
    assert secrets_backend.look(settings) == "LocalFilesystemBackend has taxi_source, lake_bucket"
    left = {OWN, "AIRFLOW_VAR_LAKE_BUCKET"}
    assert settings.environment() == {name: value for name, value in before.items() if name not in left}


def test_a_stack_without_a_backend_has_all_of_its_own_again(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = backend("{}")
    settings.home.mkdir(parents=True)
    settings.secrets_record.write_text(json.dumps([OWN]))
    assert OWN not in settings.environment()
    monkeypatch.delenv(SECRETS_BACKEND)
    assert OWN in settings.environment()
    assert secrets_backend.look(settings) == ""
    assert not settings.secrets_record.exists()


def test_a_running_stack_leaves_to_a_backend_that_fails_what_it_had(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, asked = backend("{}"), []

    def ask(command: list[str], **_: object) -> CompletedProcess[str]:
        asked.append(command[4:])
        return CompletedProcess(command, 1, "FileNotFoundError: gone\n", "")

    settings.home.mkdir(parents=True)
    settings.secrets_record.write_text(json.dumps([OWN]))
    monkeypatch.setattr(secrets_backend.subprocess, "run", ask)
    with pytest.raises(ProcessError, match="FileNotFoundError: gone"):
        secrets_backend.look(settings)
    assert OWN not in settings.environment(), "or a component that the watcher restarts would have it"
    [names] = asked
    assert OWN in names


@pytest.mark.parametrize("kwargs", ["{", "[]", "connections_file_path=/x"])
def test_arguments_that_airflow_would_drop_are_refused(backend: Backend, kwargs: str) -> None:
    with pytest.raises(ProcessError, match="is not a JSON object"):
        secrets_backend.look(backend("{}", **{KWARGS: kwargs}))


@pytest.mark.parametrize(
    ("connections", "settings", "reason"),
    [
        ("{", {}, "AirflowFileParseException: Failed to load the secret file"),
        ('{"taxi_source": 1}', {}, "AirflowException: Unexpected value type"),
        ("{}", {KWARGS: '{"connections_file_path": "/no/such.json"}'}, "FileNotFoundError: .*/no/such.json"),
        ("{}", {KWARGS: '{"file": "x"}'}, "TypeError: .*unexpected keyword argument 'file'"),
        ("{}", {SECRETS_BACKEND: "no.such.Backend"}, "AirflowConfigException: .*no.such.Backend"),
    ],
)
def test_what_is_wrong_with_a_backend_is_one_line(
    backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    connections: str,
    settings: dict[str, str],
    reason: str,
) -> None:
    backend(connections, **settings)
    assert secrets_backend.main([OWN]) == 1
    [line] = capsys.readouterr().out.splitlines()
    assert re.match(reason, line), line


def test_a_backend_that_does_not_answer_stops_the_start(backend: Backend) -> None:
    with pytest.raises(ProcessError, match="cannot be used: no answer within 1 s; correct"):
        secrets_backend.look(backend("{}", START_TIMEOUT="1"))  # no process imports Airflow in that time


@pytest.mark.full
def test_beside_the_emulators_a_backend_that_leads_to_google_stops_the_start(backend: Backend) -> None:
    settings = backend("{}", **{SECRETS_BACKEND: SECRET_MANAGER, KWARGS: '{"project_id": "p"}'})
    with pytest.raises(ProcessError, match=r"Google's, and this Airflow works with emulators") as error:
        secrets_backend.look(settings)
    text = str(error.value)
    assert text.startswith(f"the secrets backend {SECRET_MANAGER} cannot be used: LeavesThisMachineError: ")
    assert text.endswith("; correct AIRFLOW__SECRETS__BACKEND* in .env")
    assert "\n" not in text


def test_beside_the_emulators_no_backend_has_the_connection_to_google(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets_backend, "_ask", lambda settings, backend: [GOOGLE_CONNECTION])
    settings = backend("{}")
    with pytest.raises(ProcessError, match="has google_cloud_default, and the emulators are in use"):
        secrets_backend.look(settings)
    assert not settings.secrets_record.exists()


def test_what_loses_to_the_backend_is_told(backend: Backend) -> None:
    given = {"SOURCE": "/data/taxi", "SOURCE_LAYOUT": "tlc", "LAKE_BUCKET": "b", OWN: "http://me:secret@mine"}
    settings = backend("{}", **given)
    settings.home.mkdir(parents=True)
    settings.secrets_record.write_text(json.dumps([OWN, "AIRFLOW_VAR_LAKE_BUCKET"]))
    assert without_effect(settings) == [
        "SOURCE=/data/taxi has no effect on the DAGs: the secrets backend has taxi_source",
        "SOURCE_LAYOUT=tlc has no effect on the DAGs: the secrets backend has taxi_source",
        "LAKE_BUCKET=b has no effect on the DAGs: the secrets backend has lake_bucket",
        "AIRFLOW_CONN_TAXI_SOURCE has no effect on the DAGs: the secrets backend has taxi_source",
    ]
