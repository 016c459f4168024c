"""``make env``: adds to ``.env`` the secrets of ``docker-compose.yaml`` that are not set there.

It runs on a host that has nothing but Docker and Python, so it uses only the standard library.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from local.cloud.settings import REPOSITORY, Settings, read_env_file, secret_path, told

SECRETS = (
    "POSTGRES_PASSWORD",
    "AIRFLOW_DB_PASSWORD",
    "CELERY_DB_PASSWORD",
    "NY_TAXI_PASSWORD",
    "REDIS_PASSWORD",
    "AIRFLOW_ADMIN_PASSWORD",
    "FLOWER_PASSWORD",
    "PGADMIN_PASSWORD",
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__API__SECRET_KEY",
)
"""The variables without which ``docker-compose.yaml`` starts nothing."""

# Where the secrets become a part of something: what it is, the characters that would end it, and those that do not.
_URL = ("URL", re.compile(r"[^A-Za-z0-9._~-]"), "letters, digits and . _ ~ -")
_JSON = ("JSON", re.compile(r'["\\\x00-\x1f]'), 'no " and no \\')
_LIST = ("list of users", re.compile(","), "no comma")
_PART_OF = {
    "AIRFLOW_DB_PASSWORD": _URL,
    "CELERY_DB_PASSWORD": _URL,
    "REDIS_PASSWORD": _URL,
    "NY_TAXI_PASSWORD": _JSON,
    "FLOWER_PASSWORD": _LIST,
}


def add_missing(path: Path) -> list[str]:
    """Add a line for each secret that is missing or empty, and let nobody else read the file; change no other line.

    Returns:
        The names of the secrets that were added.

    Raises:
        ValueError: a line of the file is not ``KEY=VALUE``, or a secret would break what it becomes a part of.
    """
    given = read_env_file(path)
    _refuse_breaking(path, given)
    missing = [name for name in SECRETS if not given.get(name)]
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with open(descriptor, "r+", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        text = file.read()
        separator = "" if not text or text.endswith("\n") else "\n"
        lines = [f"{name}={_fresh(name, Settings.from_env(given).state_dir)}\n" for name in missing]
        # The last line of a name counts, for make and for docker compose.
        file.write(separator * bool(lines) + "".join(lines))
    return missing


def _refuse_breaking(path: Path, given: Mapping[str, str]) -> None:
    for name, (whole, breaking, fitting) in _PART_OF.items():
        if found := sorted(set(breaking.findall(given.get(name, "")))):
            signs = ", ".join(map(repr, found))
            raise ValueError(f"{name} in {path} has {signs}, which would break the {whole} that has it; use {fitting}")


def _fresh(name: str, state_dir: Path) -> str:
    """Return a new secret, of letters and digits alone, because most become part of a URL or of JSON."""
    if name != "AIRFLOW__CORE__FERNET_KEY":
        return secrets.token_hex(32)
    # make up takes this key from .env, too: what it has encrypted with its own must stay readable.
    own = secret_path(state_dir, "fernet_key")
    return f"{own.read_text()}=" if own.exists() else base64.urlsafe_b64encode(os.urandom(32)).decode()


def main() -> int:
    path = REPOSITORY / ".env"
    try:
        added = add_missing(path)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {told(error)}", file=sys.stderr)
        return 1
    print(f"added to .env: {', '.join(added)}" if added else "all secrets are set in .env; nothing was added")
    return 0


if __name__ == "__main__":
    sys.exit(main())
