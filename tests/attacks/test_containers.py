"""The images and the compose file, as an attacker would read them. Nothing here needs Docker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from local.cloud.settings import REPOSITORY
from tests.attacks.promises import attack
from tests.deployment.compose_file import AIRFLOW_SERVICES, EMULATORS, SECRETS, environment_of, load_compose
from tests.deployment.conftest import compose, dockerfile, services
from tests.deployment.dockerfile import Dockerfile

__all__ = ["compose", "dockerfile", "services"]

IMAGES = ("airflow", "local-cloud")
OURS = sorted(AIRFLOW_SERVICES | EMULATORS)
PORTS = ["AIRFLOW_PORT", "POSTGRES_PORT", "GCS_PORT", "BIGQUERY_PORT", "SOURCE_PORT", "FLOWER_PORT", "PGADMIN_PORT"]

# Which services have which secret; no other has it, under any name.
HOLDERS = {
    "POSTGRES_PASSWORD": {"postgres"},
    "AIRFLOW_DB_PASSWORD": {"postgres", "airflow-init", "api-server", "scheduler", "dag-processor", "triggerer"},
    "AIRFLOW__CORE__FERNET_KEY": {"airflow-init", "api-server", "scheduler", "dag-processor", "triggerer"},
    "AIRFLOW__API_AUTH__JWT_SECRET": {"api-server", "scheduler"},
    "AIRFLOW__API__SECRET_KEY": {"api-server"},
    "AIRFLOW_ADMIN_PASSWORD": {"airflow-init"},
    "CELERY_DB_PASSWORD": {"postgres", "scheduler", "worker", "flower"},
    "REDIS_PASSWORD": {"redis", "scheduler", "worker", "flower"},
    "NY_TAXI_PASSWORD": {"postgres", "api-server", "triggerer", "worker"},
    "FLOWER_PASSWORD": {"flower"},
    "PGADMIN_PASSWORD": {"pgadmin"},
}


# --- The compose file


@attack("compose-is-guarded")
@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("value", ["", None], ids=["empty", "absent"])
def test_nothing_starts_without_this_secret(name: str, value: str | None) -> None:
    given = {other: secret for other, secret in SECRETS.items() if other != name}
    with pytest.raises(KeyError, match=name):
        load_compose(**given, **({} if value is None else {name: value}))


@attack("compose-is-guarded")
def test_no_secret_has_a_default() -> None:
    text = (REPOSITORY / "docker-compose.yaml").read_text()
    # The settings of a secrets backend say where secrets are.
    for name in re.findall(r"(?i)\$\{(?!AIRFLOW__SECRETS__)(\w*(?:password|secret|key|token)\w*)", text):
        assert set(re.findall(rf"\$\{{{name}(:?.)", text)) == {":?"}, name
    assert re.findall(r"(?im)^\s*\w*(?:password|secret)\w*(?<!_FILE)\s*[:=]\s*(?!.*\$\{)\S+", text) == []


@attack("compose-is-guarded")
@attack("this-machine-only")
@pytest.mark.parametrize("variable", PORTS)
@pytest.mark.parametrize("value", ["8080", ""], ids=["set", "empty"])
def test_port_is_published_on_this_machine_only(variable: str, value: str) -> None:
    for name, service in load_compose(**SECRETS, **{variable: value})["services"].items():
        for port in service.get("ports", []):
            assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), (name, port)


@attack("compose-is-guarded")
@pytest.mark.parametrize("name", ["api-server", *sorted(EMULATORS)])
def test_http_server_runs_behind_the_guard_and_allows_only_its_own_names(services: dict[str, Any], name: str) -> None:
    words = [*services[name].get("entrypoint", ["python"]), *services[name]["command"]]
    module = words[words.index("-m") + 1]
    assert module in ("local.airflow.api_server", "local.cloud.gcs", "local.cloud.bigquery", "local.cloud.source")
    hosts = [word.removeprefix("--allow-host=") for word in words if word.startswith("--allow-host")]
    assert {host.partition(":")[0] for host in hosts} == {name, "127.0.0.1", "localhost"}


@attack("compose-is-guarded")
def test_guard_of_airflow_is_the_repositorys_own(compose: dict[str, Any]) -> None:
    mounted = {one["target"]: compose["configs"][one["source"]] for one in compose["services"]["api-server"]["configs"]}
    for path in ("local/airflow/api_server.py", "local/cloud/guard.py"):
        assert mounted[f"/opt/airflow/{path}"] == {"file": path}
        assert (REPOSITORY / path).is_file()


@attack("containers-have-few-rights")
@pytest.mark.parametrize(
    "key",
    ["privileged", "network_mode", "pid", "ipc", "userns_mode", "devices", "cgroup_parent", "extra_hosts"],
)
def test_no_container_asks_for_rights_on_the_host(services: dict[str, Any], key: str) -> None:
    assert [name for name, service in services.items() if key in service] == []


@attack("containers-have-few-rights")
def test_no_container_becomes_root(services: dict[str, Any]) -> None:
    assert {name: service["user"] for name, service in services.items() if "user" in service} == {"redis": "redis"}


@attack("roles-are-apart")
@pytest.mark.parametrize("name", SECRETS)
def test_secret_is_in_those_containers_alone_that_need_it(services: dict[str, Any], name: str) -> None:
    """In their variables: no command and no health check has one."""
    assert {one for one, service in services.items() if SECRETS[name] in str(environment_of(service))} == HOLDERS[name]
    rest = [{key: value for key, value in one.items() if key != "environment"} for one in services.values()]
    assert SECRETS[name] not in str(rest)


@attack("roles-are-apart")
@pytest.mark.parametrize("name", ["worker", "flower"])
def test_where_tasks_run_nothing_leads_to_the_metadata(services: dict[str, Any], name: str) -> None:
    variables = environment_of(services[name])
    assert [one for one in variables if "SQL_ALCHEMY_CONN" in one] == []
    assert [value for value in variables.values() if "/airflow" in value and "postgres" in value] == []


@attack("containers-have-few-rights")
def test_no_container_sees_a_folder_or_a_socket_of_the_host(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for mount in service.get("volumes", []):
            assert mount.split(":")[0] in compose["volumes"], (name, mount)
    assert all(not volume for volume in compose["volumes"].values()), "none of them has options, such as a host's path"


@attack("containers-have-few-rights")
@pytest.mark.parametrize("name", [*OURS, "redis", "pgadmin", "postgres"])
def test_container_has_no_capability_and_writes_to_its_volumes_alone(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["tmpfs"] == (["/tmp", "/run/postgresql"] if name == "postgres" else ["/tmp"])


@attack("containers-have-few-rights")
def test_postgres_keeps_only_what_its_start_needs(services: dict[str, Any]) -> None:
    added = {name: set(service["cap_add"]) for name, service in services.items() if "cap_add" in service}
    assert added == {"postgres": {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}}


@attack("containers-have-few-rights")
def test_bigquery_cannot_change_the_lake(services: dict[str, Any]) -> None:
    assert "lake:/data/gcs:ro" in services["bigquery"]["volumes"]


@attack("containers-have-few-rights")
def test_passwords_of_the_ui_are_mounted_where_they_are_used(services: dict[str, Any]) -> None:
    mounted = {
        name
        for name, service in services.items()
        for volume in service.get("volumes", [])
        if volume.startswith("auth:")
    }
    assert mounted == {"airflow-init", "api-server"}


# --- The images


@attack("containers-have-few-rights")
@pytest.mark.parametrize("image", IMAGES)
def test_image_ends_as_a_user_that_owns_no_code(dockerfile: Dockerfile, image: str) -> None:
    assert dockerfile.get(image, "USER") == ["50000"]
    assert not any("--chown" in rest for word, rest in dockerfile.instructions[image] if word == "COPY")
    [owned] = re.findall(r"install -d -o airflow -g airflow (.*)", dockerfile.get(image, "RUN")[-1])
    copied = {path.split("/")[0] for path in dockerfile.copied(image).values()}
    assert not {folder.split("/")[0] for folder in owned.split()} & {*copied, ".", ".venv"}
    assert not any(re.search("chmod|chown|sudo|setuid", rest) for _, rest in dockerfile.instructions[image])


@attack("images-contain-only-code")
@pytest.mark.parametrize("word", ["ADD", "ONBUILD", "VOLUME", "SHELL", "HEALTHCHECK"])
def test_image_is_built_from_copies_alone(dockerfile: Dockerfile, word: str) -> None:
    assert [stage for stage in dockerfile.parents if dockerfile.get(stage, word)] == []


@attack("images-contain-only-code")
def test_no_secret_is_an_argument_or_a_variable_of_the_build(dockerfile: Dockerfile) -> None:
    for stage in dockerfile.parents:
        for word, rest in dockerfile.instructions[stage]:
            if word in ("ARG", "ENV"):
                assert not re.search("(?i)password|secret|token|key", rest), rest
            assert "--mount=type=secret" not in rest
            assert "--mount=type=ssh" not in rest


@attack("images-contain-only-code")
@pytest.mark.parametrize("image", IMAGES)
def test_image_has_neither_the_installer_nor_what_only_development_needs(dockerfile: Dockerfile, image: str) -> None:
    assert dockerfile.parents[image] == "python"
    [sync] = dockerfile.get(f"{image}-environment", "RUN")
    assert "uv sync --locked --no-dev" in sync
    # But for git, which nobody gets who does not ask for it.
    own = [run for run in dockerfile.get(image, "RUN") if not run.startswith('if [ -n "${WITH_GIT}" ]; then')]
    assert not any("pip install" in run or "apt-get" in run for run in own)


OUTSIDE = [
    ".env",
    ".env.local",
    ".git/config",
    ".github/workflows/ci.yml",
    ".local/secrets/jwt_secret",
    ".local/airflow/passwords.json",
    ".venv/pyvenv.cfg",
    "tests/conftest.py",
    "comparison/__init__.py",
    "docs/design.md",
    "docker-compose.yaml",
    "id_rsa",
    "local/airflow/environment.py",
    "local/cloud/.venv/pyvenv.cfg",
    "local/cloud/.env",
    "dags/.env",
    "dags/.git/config",
    "dags/.github/secret",
    "plugins/nyc_taxi/.env.production",
    "config/key.pem",
    "config/service-account.key",
    "config/gcp-credentials.json",
    "dags/__pycache__/x.pyc",
]
INSIDE = [
    "dags/rollup.py",
    "plugins/nyc_taxi/__init__.py",
    "include/sql/postgres/publish/trip.sql",
    "config/airflow.env",
    "config/airflow_local_settings.py",
    "local/__init__.py",
    "local/cloud/guard.py",
    "local/cloud/uv.lock",
    "pyproject.toml",
    "uv.lock",
]


def is_sent_to_the_build(path: str) -> bool:
    """Whether Docker sends the file: the last pattern that matches it, or a folder above it, decides."""
    sent = True
    for line in (REPOSITORY / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        text = re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(text, str(part)) for part in (Path(path), *Path(path).parents)):
            sent = line.startswith("!")
    return sent


@attack("images-contain-only-code")
@pytest.mark.parametrize("path", OUTSIDE)
def test_file_is_not_sent_to_the_build(path: str) -> None:
    assert not is_sent_to_the_build(path)


@attack("images-contain-only-code")
@pytest.mark.parametrize("path", INSIDE)
def test_code_is_sent_to_the_build(path: str) -> None:
    assert is_sent_to_the_build(path)
    assert (REPOSITORY / path).is_file()
