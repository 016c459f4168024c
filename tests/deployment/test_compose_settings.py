"""The ports, secrets and variables of the compose file, compared with those of the local stack."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import Connection

from local.airflow.environment import AirflowSettings
from local.cloud.settings import REPOSITORY, read_env_file
from tests.deployment.compose_file import AIRFLOW_COMPONENTS, SECRETS, environment_of, load_compose
from tests.deployment.dockerfile import Dockerfile

PORTS = {
    "AIRFLOW_PORT": "api-server",
    "POSTGRES_PORT": "postgres",
    "GCS_PORT": "gcs",
    "BIGQUERY_PORT": "bigquery",
    "SOURCE_PORT": "source",
}
GOOGLE = "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT"
# What one machine beside the emulators has, and a deployment with its own connection to Google Cloud does not.
EMULATED = {"STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT", "PYTHONPATH"}


def scheduler_environment(**env: str) -> dict[str, str]:
    """The variables of the scheduler with ``env`` in ``.env``."""
    return environment_of(load_compose(**SECRETS, **env)["services"]["scheduler"])


# Ports


def test_the_ports_of_the_local_stack_are_published_on_this_machine_only(
    services: dict[str, Any], local: AirflowSettings
) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert all(len(ports) == 1 and ports[0].startswith("127.0.0.1:") for ports in published.values())
    assert {name: int(port.split(":")[1]) for name, [port] in published.items()} == {
        "api-server": local.port,
        "postgres": local.cloud.postgres_port,
        "gcs": local.cloud.gcs_port,
        "bigquery": local.cloud.bigquery_port,
        "source": local.cloud.source_port,
    }


@pytest.mark.parametrize(("variable", "service"), PORTS.items())
def test_a_port_variable_moves_one_port(variable: str, service: str) -> None:
    moved = load_compose(**SECRETS, **{variable: "12345"})["services"]
    assert {name for name, one in moved.items() if "12345" in str(one.get("ports"))} == {service}
    url = environment_of(moved["scheduler"])["AIRFLOW__API__BASE_URL"]
    assert url == f"http://127.0.0.1:{12345 if variable == 'AIRFLOW_PORT' else 8080}"


def test_containers_find_each_other(services: dict[str, Any]) -> None:
    """Each address in the environment names a service, and the port inside its container."""
    environment = environment_of(services["scheduler"])
    inside = {name: services[name]["ports"][0].split(":")[-1] for name in PORTS.values()}
    for variable, service, path in (
        ("STORAGE_EMULATOR_HOST", "gcs", ""),
        ("BIGQUERY_EMULATOR_HOST", "bigquery", ""),
        ("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "api-server", "/execution/"),
    ):
        assert environment[variable] == f"http://{service}:{inside[service]}{path}"
    assert (environment["AIRFLOW__API__HOST"], environment["AIRFLOW__API__PORT"]) == ("0.0.0.0", inside["api-server"])


@pytest.mark.parametrize(
    ("name", "variable"),
    [("api-server", "AIRFLOW_PORT"), ("gcs", "GCS_PORT"), ("bigquery", "BIGQUERY_PORT"), ("source", "SOURCE_PORT")],
)
def test_http_servers_answer_to_their_service_and_to_the_published_port(name: str, variable: str) -> None:
    command = load_compose(**SECRETS, **{variable: "12345"})["services"][name]["command"]
    allowed = [word.removeprefix("--allow-host=") for word in command if word.startswith("--allow-host=")]
    assert allowed == [name, "127.0.0.1:12345", "localhost:12345"]


# Secrets


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_required(name: str) -> None:
    with pytest.raises(KeyError, match=name):
        load_compose(**{**SECRETS, name: ""})


def test_secrets_reach_what_needs_them(compose: dict[str, Any]) -> None:
    environment = environment_of(compose["services"]["scheduler"])
    for name in ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY"):
        assert environment[name] == SECRETS[name]
    password = SECRETS["POSTGRES_PASSWORD"]
    assert compose["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"] == password
    assert f":{password}@postgres:" in environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert json.loads(compose["configs"]["passwords"]["content"]) == {"admin": SECRETS["AIRFLOW_ADMIN_PASSWORD"]}


# The environment of Airflow's containers


@pytest.mark.parametrize("name", ["airflow-init", *sorted(AIRFLOW_COMPONENTS)])
def test_containers_set_what_the_local_stack_sets(
    name: str, services: dict[str, Any], dockerfile: Dockerfile, local: AirflowSettings
) -> None:
    common = read_env_file(REPOSITORY / "config/airflow.env")
    assert services[name]["env_file"] == "config/airflow.env"
    own = environment_of(services[name])
    assert not set(own) & set(common), "a setting must be in one place"
    # The image contains all bytecode; on a laptop, Python must be allowed to write it.
    expected = set(local.environment()) - {"PYTHONDONTWRITEBYTECODE"}
    # Nobody edits the DAGs in an image, and a server has more than a laptop's two cores.
    expected -= {setting for setting in expected if setting.startswith("AIRFLOW__DAG_PROCESSOR__")}
    expected -= {"AIRFLOW__API__WORKERS"}
    # The local stack's processes inherit it.
    expected |= {"AIRFLOW_CONN_FAILURE_WEBHOOK", "AIRFLOW_CONN_FAILURE_EMAIL"}
    # A container's file system is read-only; its logs have the messages.
    expected -= {"AIRFLOW_CONN_FAILURE_FOLDER"}
    assert set(own) | set(common) | set(dockerfile.env("airflow")) - {"PATH"} == expected


def test_containers_have_the_values_of_the_local_stack(services: dict[str, Any]) -> None:
    laptop = read_env_file(REPOSITORY / "local/airflow/airflow.env")
    own = environment_of(services["scheduler"])
    shared = set(laptop) & set(own)
    assert "AIRFLOW__CORE__AUTH_MANAGER" in shared
    assert {name: own[name] for name in shared} == {name: laptop[name] for name in shared}


def test_project_and_bucket_default_to_those_of_the_local_stack(
    services: dict[str, Any], local: AirflowSettings
) -> None:
    assert f"--project={local.cloud.project}" in services["bigquery"]["command"]
    assert f"--bucket={local.cloud.lake_bucket}" in services["gcs"]["command"]
    assert f"--rows={local.cloud.synthetic_rows}" in services["source"]["command"]
    assert environment_of(services["scheduler"])["AIRFLOW_VAR_LAKE_BUCKET"] == local.cloud.lake_bucket


def test_connections_are_those_of_the_local_stack(services: dict[str, Any], local: AirflowSettings) -> None:
    ours, theirs = environment_of(services["scheduler"]), local.environment()
    assert json.loads(ours["AIRFLOW_CONN_TAXI_SOURCE"]) == {
        **json.loads(theirs["AIRFLOW_CONN_TAXI_SOURCE"]),
        "host": "http://source:8090",
    }
    assert json.loads(ours["AIRFLOW_CONN_NY_TAXI"]) == {
        **json.loads(theirs["AIRFLOW_CONN_NY_TAXI"]),
        **{"host": "postgres", "port": 5432, "password": SECRETS["POSTGRES_PASSWORD"]},
    }
    google = Connection.from_uri(ours[GOOGLE], conn_id="google_cloud_default")
    local_google = Connection.from_json(theirs[GOOGLE], conn_id="google_cloud_default")
    assert google.conn_type == local_google.conn_type
    # A URI can hold only text. The hook asks whether the value is set.
    assert google.extra_dejson == {**local_google.extra_dejson, "is_anonymous": "true"}
    assert local_google.extra_dejson["is_anonymous"] is True


def test_own_connection_replaces_the_emulators_and_their_patch() -> None:
    assert set(scheduler_environment()) >= EMULATED
    own = scheduler_environment(**{GOOGLE: '{"conn_type": "google_cloud_platform"}'})
    assert own[GOOGLE] == '{"conn_type": "google_cloud_platform"}'
    assert not EMULATED & set(own)


def test_the_emulators_patch_is_the_local_stacks_and_is_mounted_where_it_finds_config(
    compose: dict[str, Any], dockerfile: Dockerfile
) -> None:
    folder = environment_of(compose["services"]["scheduler"])["PYTHONPATH"]
    root = dockerfile.env("airflow")["AIRFLOW_HOME"]
    file = f"{folder.removeprefix(f'{root}/')}/airflow_local_settings.py"
    for name in ("airflow-init", *AIRFLOW_COMPONENTS):
        mounted = {one["target"]: compose["configs"][one["source"]] for one in compose["services"][name]["configs"]}
        assert mounted[f"{root}/{file}"] == {"file": file}
    # In the image, as in the repository, config/ is beside local/; the patched module runs the one there.
    assert (REPOSITORY / file).is_file()
    assert dockerfile.copied("airflow")["config"] == "config"


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"TAXI_SOURCE_URL": "https://example.org/data"}, {"host": "https://example.org/data"}),
        ({"SOURCE_LAYOUT": "tlc"}, {"extra": {"layout": "tlc", "last_month": ""}}),
        ({"SOURCE_LAST_MONTH": "2021-07"}, {"extra": {"layout": "mirror", "last_month": "2021-07"}}),
    ],
    ids=lambda value: next(iter(value)),
)
def test_the_source_can_be_set(env: dict[str, str], expected: dict[str, Any]) -> None:
    name = "AIRFLOW_CONN_TAXI_SOURCE"
    default = json.loads(scheduler_environment()[name])
    assert json.loads(scheduler_environment(**env)[name]) == {**default, **expected}


@pytest.mark.parametrize("name", ["AIRFLOW_CONN_FAILURE_WEBHOOK", "AIRFLOW_CONN_FAILURE_EMAIL"])
def test_who_hears_of_failures_can_be_set(name: str) -> None:
    own = '{"conn_type": "http", "host": "https://example.org"}'
    assert scheduler_environment(**{name: own})[name] == own
