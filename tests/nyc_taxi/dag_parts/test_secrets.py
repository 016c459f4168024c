"""What the log of a task says of a connection or variable that is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from nyc_taxi.dag_parts.notifications import end_log_with_cause
from nyc_taxi.dag_parts.secrets import backend_failure, why_missing

BACKEND = "AIRFLOW__SECRETS__BACKEND"
FILE = "airflow.secrets.local_filesystem.LocalFilesystemBackend"
NO_CONNECTION = AirflowNotFoundException("The conn_id `taxi_source` isn't defined")
NO_VARIABLE = AirflowRuntimeError(
    ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND, detail={"message": "Variable lake_bucket not found"})
)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what a backend of local files reads; nothing is in it yet."""
    kwargs = {f"{kind}_file_path": str(tmp_path / f"{kind}.json") for kind in ("connections", "variables")}
    monkeypatch.setenv(BACKEND, FILE)
    monkeypatch.setenv(f"{BACKEND}_KWARGS", json.dumps(kwargs))
    return tmp_path


@pytest.mark.parametrize("error", [NO_CONNECTION, NO_VARIABLE])
@pytest.mark.parametrize(
    ("connections", "variables", "reason"),
    [
        (None, "{}", "FileNotFoundError: [Errno 2] No such file or directory: '{folder}/connections.json'"),
        ("{", "{}", "AirflowFileParseException: Failed to load the secret file. Filename: {folder}/connections.json"),
        ('{"taxi_source": 1}', "{}", "AirflowException: Unexpected value type: <class 'int'>."),
        ("{}", None, "FileNotFoundError: [Errno 2] No such file or directory: '{folder}/variables.json'"),
    ],
)
def test_a_backend_that_fails_is_told(
    files: Path, error: Exception, connections: str | None, variables: str | None, reason: str
) -> None:
    for name, content in (("connections", connections), ("variables", variables)):
        if content is not None:
            (files / f"{name}.json").write_text(content)
    expected = f"the secrets backend cannot be used: {reason.format(folder=files)}"
    assert backend_failure(error).startswith(expected), backend_failure(error)


def test_a_backend_that_answers_is_not_to_blame(files: Path) -> None:
    for name in ("connections", "variables"):
        (files / f"{name}.json").write_text("{}")
    assert backend_failure(NO_CONNECTION) == ""


def test_other_errors_do_not_ask_the_backend(files: Path) -> None:
    assert backend_failure(ValueError("x")) == ""
    denied = AirflowRuntimeError(ErrorResponse(error=ErrorType.PERMISSION_DENIED))
    assert backend_failure(denied) == ""


def test_without_a_backend_there_is_nothing_to_tell() -> None:
    assert backend_failure(NO_CONNECTION) == ""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            NO_CONNECTION,
            "nobody has set the connection taxi_source: set AIRFLOW_CONN_TAXI_SOURCE in the environment of all "
            "components, or the connection in the UI, then clear the task",
        ),
        (
            NO_VARIABLE,
            "nobody has set the variable lake_bucket: set AIRFLOW_VAR_LAKE_BUCKET in the environment of all "
            "components, or the variable in the UI, then clear the task",
        ),
        (ValueError("Variable x not found"), ""),
    ],
)
def test_what_nobody_has_set_is_told(error: Exception, line: str) -> None:
    assert why_missing(error) == line


def test_the_log_of_the_task_ends_with_it(files: Path, caplog: pytest.LogCaptureFixture) -> None:
    end_log_with_cause({"exception": NO_CONNECTION})
    last, line = caplog.messages[-2:]
    assert last == "AirflowNotFoundException: The conn_id `taxi_source` isn't defined"
    assert line.startswith("the secrets backend cannot be used: FileNotFoundError: ")
    assert "\n" not in line
