"""Asks the secrets backend of ``.env``, once at the start, which connections and variables of the stack it has.

Airflow asks a secrets backend first, then the environment, then its database. If the backend fails, Airflow goes on to
the next without a word: a task would take the stack's own connection where its user meant another. So ``make up`` asks
the backend itself, and tells what is wrong with it. Of what the backend has, the stack sets nothing of its own.

``python -m local.airflow.secrets_backend NAME ...`` does the asking, in the environment of the stack's Airflow. A name
is that of the variable which would set the connection or variable: ``AIRFLOW_CONN_NY_TAXI``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from structlog.testing import capture_logs

from local.airflow.environment import SECRETS_BACKEND, AirflowSettings
from local.cloud.processes import ProcessError
from local.cloud.settings import REPOSITORY, private_folder
from local.cloud.shell import GOOGLE_CONNECTION

KWARGS = f"{SECRETS_BACKEND}_KWARGS"
_CONNECTION, _VARIABLE = "AIRFLOW_CONN_", "AIRFLOW_VAR_"


def look(settings: AirflowSettings) -> str:
    """Find out what the secrets backend has, and record it for all commands of the stack.

    Returns:
        A line for the user; empty without a backend.

    Raises:
        ProcessError: the backend cannot be used, or has a connection to Google Cloud beside the emulators.
    """
    private_folder(settings.home)
    backend = os.environ.get(SECRETS_BACKEND)
    if not backend:
        settings.secrets_record.unlink(missing_ok=True)
        return ""
    _check_arguments()
    found = _ask(settings, backend)
    if GOOGLE_CONNECTION in found:
        raise ProcessError(
            f"the secrets backend has google_cloud_default, and the emulators are in use; remove it there, or set "
            f"{GOOGLE_CONNECTION} in .env, which switches the emulators off"
        )
    settings.secrets_record.write_text(json.dumps(found))
    return f"{backend.rpartition('.')[2]} has {', '.join(map(_key, found)) or 'nothing of the pipeline'}"


def _check_arguments() -> None:
    """Refuse arguments that Airflow would drop, with a warning in each log.

    Raises:
        ProcessError: they are no JSON object.
    """
    try:
        if not isinstance(json.loads(os.environ.get(KWARGS) or "{}"), dict):
            raise ValueError("it is no object")
    except ValueError as error:
        raise ProcessError(
            f'{KWARGS} is not a JSON object ({error}); put it in single quotes: \'{{"name": "value"}}\''
        ) from None


def _ask(settings: AirflowSettings, backend: str) -> list[str]:
    environment = settings.environment()
    own = {name for name in environment if name.startswith((_CONNECTION, _VARIABLE))}
    names = sorted(own | settings.in_secrets_backend)
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "plugins"), environment["PYTHONPATH"]])
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "local.airflow.secrets_backend", *names],
            env={**os.environ, **environment, "PYTHONPATH": path},
            cwd=settings.home,
            capture_output=True,
            text=True,
            timeout=settings.cloud.start_timeout,
            check=False,
        )
        output, code = (done.stdout, done.returncode) if done.stdout.strip() else (done.stderr, 1)
    except subprocess.TimeoutExpired:
        output, code = f"no answer within {settings.cloud.start_timeout} s", 1
    last = (output.strip().splitlines() or ["it ended without a word"])[-1]
    if code:
        raise ProcessError(
            f"the secrets backend {backend} cannot be used: {last}; correct AIRFLOW__SECRETS__BACKEND* in .env"
        )
    found: list[str] = json.loads(last)
    return found


def _key(name: str) -> str:
    """Return the name by which Airflow knows a connection or variable."""
    return name.removeprefix(_CONNECTION).removeprefix(_VARIABLE).lower()


def main(names: list[str]) -> int:
    """Print which of the names the backend has, as JSON, or in one line why it cannot say."""
    try:
        print(json.dumps(_names_of(names)))
    except Exception as error:  # whatever a backend raises
        text = " ".join(str(error).split())
        print(f"{type(error).__name__}: {text}" if text else type(error).__name__)
        return 1
    return 0


def _names_of(names: list[str]) -> list[str]:
    from airflow.configuration import get_custom_secret_backend
    from airflow.sdk import Connection
    from airflow.settings import import_local_settings

    import_local_settings()  # beside the emulators, these keep a backend from Google
    backend = get_custom_secret_backend()
    assert backend is not None
    backend._set_connection_class(Connection)
    # Google's says that something is not there also if it may not look, and logs the difference.
    with capture_logs() as logged:
        found = [name for name in names if _has(backend, name)]
    for record in logged:
        if record["log_level"] == "error":
            raise PermissionError(record["event"] % record.get("positional_args", ()))
    return found


def _has(backend: Any, name: str) -> bool:
    ask = backend.get_connection if name.startswith(_CONNECTION) else backend.get_variable
    return ask(_key(name)) is not None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
