"""Reads docker-compose.yaml as Docker Compose does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from local.airflow.stack import COMPONENTS
from local.cloud.settings import REPOSITORY, read_env_file

SECRETS = {
    "POSTGRES_PASSWORD": "postgres-password",
    "AIRFLOW_DB_PASSWORD": "airflow-db-password",
    "CELERY_DB_PASSWORD": "celery-db-password",
    "NY_TAXI_PASSWORD": "ny-taxi-password",
    "REDIS_PASSWORD": "redis-password",
    "AIRFLOW_ADMIN_PASSWORD": "admin-password",
    "FLOWER_PASSWORD": "flower-password",
    "PGADMIN_PASSWORD": "password-of-pgadmin",
    "AIRFLOW__CORE__FERNET_KEY": "fernet-key",
    "AIRFLOW__API_AUTH__JWT_SECRET": "jwt-secret",
    "AIRFLOW__API__SECRET_KEY": "api-secret",
}
AIRFLOW_COMPONENTS = {"api-server", *COMPONENTS, "worker"}
# All that run the image of Airflow.
AIRFLOW_SERVICES = {"airflow-init", *AIRFLOW_COMPONENTS, "flower"}
EMULATORS = {"gcs", "bigquery", "source"}


def load_compose(**env: str) -> dict[str, Any]:
    """The compose file with ``env`` in ``.env``; each ``env_file`` that exists is replaced by its variables.

    Raises:
        KeyError: a required variable is missing; the error is its name.
    """

    def put_in(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: put_in(value) for key, value in node.items()}
        if isinstance(node, list):
            return [put_in(value) for value in node]
        return interpolate(node, env) if isinstance(node, str) else node

    compose = put_in(yaml.safe_load((REPOSITORY / "docker-compose.yaml").read_text()))
    for service in compose["services"].values():
        service["env_file"] = [put_in(_read(entry)) for entry in service.get("env_file", [])]
        # A variable without a value is passed on as it is; without one in .env, the container does not have it.
        named = service.get("environment", {})
        given = {name: env.get(name) if value is None else value for name, value in named.items()}
        service["environment"] = {name: value for name, value in given.items() if value is not None}
    return compose


def _read(entry: Mapping[str, Any]) -> dict[str, str]:
    path = REPOSITORY / entry["path"]
    assert path.exists() or entry.get("required") is False, f"{path} is missing"
    return read_env_file(path)


def environment_of(service: Mapping[str, Any]) -> dict[str, str]:
    """All variables that Compose sets in a service's container."""
    own = {name: str(value) for name, value in service.get("environment", {}).items()}
    return {name: value for variables in (*service["env_file"], own) for name, value in variables.items()}


def interpolate(text: str, env: Mapping[str, str]) -> str:
    """Replace the variables in ``text``.

    Raises:
        KeyError: a required variable is missing; the error is its name.
    """
    result, rest = "", text
    while found := re.search(r"\$\$|\$\{", rest):
        result += rest[: found.start()] + ("$" if found[0] == "$$" else "")
        rest = rest[found.end() :]
        if found[0] == "${":
            expression, rest = _to_closing_brace(rest)
            result += _value(expression, env)
    return result + rest


def _to_closing_brace(text: str) -> tuple[str, str]:
    depth = 1
    for match in re.finditer(r"\$\{|\{|\}", text):
        # Versions of Compose differ on whether a brace without a dollar counts, so an expression must have none.
        assert match[0] != "{", f"a brace in the expression {text!r}"
        depth += -1 if match[0] == "}" else 1
        if depth == 0:
            return text[: match.start()], text[match.end() :]
    raise AssertionError(f"no closing brace in {text!r}")


def _value(expression: str, env: Mapping[str, str]) -> str:
    match = re.fullmatch(r"([A-Z0-9_]+)(:-|:\?|:\+)(.*)", expression)
    assert match, f"cannot read ${{{expression}}}"
    name, operator, word = match.groups()
    value = env.get(name, "")
    if operator == ":?" and not value:
        raise KeyError(name)
    if operator == ":+":
        return interpolate(word, env) if value else ""
    return value or interpolate(word, env)
