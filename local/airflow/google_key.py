"""Looks at the connection to Google Cloud before anything starts: tasks would find a wrong key one by one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.airflow.environment import SECRETS_BACKEND
from local.airflow.no_effect import parse_connection
from local.cloud.processes import ProcessError
from local.cloud.settings import Settings
from local.cloud.shell import GOOGLE_CONNECTION

CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"
"""Variable of Google's clients with the file of the machine's credentials."""


NEW_KEY = "set another key_path in the connection's extra, or none and run gcloud auth application-default login"
LOGIN = "run gcloud auth application-default login, or set key_path in the connection's extra"
NO_BUCKET = f"LAKE_BUCKET is not set, and {Settings.lake_bucket} is the emulator's; set it in .env to your bucket"


def require_key() -> None:
    """Look at the connection of ``.env`` to Google Cloud, if there is one, without asking Google.

    Raises:
        ProcessError: it has no project, or a key that cannot be used; or there is no bucket beside it.
    """
    if not (connection := os.environ.get(GOOGLE_CONNECTION)):
        return
    _, extra = parse_connection(connection)
    if not extra.get("project"):
        raise ProcessError(f'{GOOGLE_CONNECTION} in .env has no project; set "project": "my-project" in its extra')
    if problem := wrong_key(extra):
        raise ProcessError(f"{GOOGLE_CONNECTION} in .env cannot be used: {problem}; {remedy(extra)}")
    if lacks_bucket():
        raise ProcessError(NO_BUCKET)


def lacks_bucket() -> bool:
    """Whether the lake would be in the bucket that the emulator makes, which on Google Cloud is somebody else's."""
    return not any(os.environ.get(name) for name in ("LAKE_BUCKET", "AIRFLOW_VAR_LAKE_BUCKET", SECRETS_BACKEND))


def remedy(extra: Mapping[str, Any]) -> str:
    """Return what to do about credentials that cannot be used: those of a key, or those of the machine."""
    return NEW_KEY if extra.get("key_path") or extra.get("keyfile_dict") else LOGIN


def wrong_key(extra: Mapping[str, Any]) -> str:
    """Return what is wrong with the key that a connection's extra names; empty if nothing is, or there is none."""
    if path := extra.get("key_path"):
        problem = _of_file(str(path))
        return f"the key_path {path} {problem}" if problem else ""
    if key := extra.get("keyfile_dict"):
        problem = _of_key(key)
        return f"the keyfile_dict {problem}" if problem else ""
    own = os.environ.get(CREDENTIALS)
    return f"the variable {CREDENTIALS} is {own}, which is no file" if own and not Path(own).is_file() else ""


def _of_file(path: str) -> str:
    # The working directory of a task is not that of this command; and Airflow takes no other ending.
    if not Path(path).is_absolute() or not path.endswith(".json"):
        return "is not the absolute path of a .json file"
    try:
        return _of_key(Path(path).read_bytes())
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _of_key(key: Any) -> str:
    """Return why a key, as JSON or as a dictionary, is not one of a service account; empty if it is."""
    from google.auth.exceptions import GoogleAuthError
    from google.oauth2.service_account import Credentials

    try:
        info = json.loads(key) if isinstance(key, str | bytes) else key
    except ValueError as error:
        return f"is not JSON: {error}"
    wanted = ("client_email", "private_key", "token_uri")
    if missing := [name for name in wanted if not isinstance(info, dict) or not info.get(name)]:
        return f"is no key of a service account: it has no {', '.join(missing)}"
    try:
        Credentials.from_service_account_info({**info, "private_key": info["private_key"].replace("\\n", "\n")})
    except (GoogleAuthError, ValueError):
        return "is no key of a service account: its private_key is damaged"
    return ""
