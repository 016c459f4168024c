"""The ports, secrets and variables of the compose file, compared with those of the local stack."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow.sdk import Connection

from local.airflow.environment import BUNDLES, SECRETS_BACKEND, AirflowSettings
from local.airflow.login import AUTH_MANAGER, FAB
from local.airflow.secrets_backend import KWARGS
from local.cloud.settings import REPOSITORY, read_env_file
from tests.deployment.compose_file import AIRFLOW_SERVICES, SECRETS, environment_of, load_compose
from tests.deployment.dockerfile import Dockerfile

PORTS = {
    "AIRFLOW_PORT": "api-server",
    "POSTGRES_PORT": "postgres",
    "GCS_PORT": "gcs",
    "BIGQUERY_PORT": "bigquery",
    "SOURCE_PORT": "source",
    "FLOWER_PORT": "flower",
    "PGADMIN_PORT": "pgadmin",
}
GOOGLE = "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT"
# Airflow's variables that may be set in .env or in the UI.
UI_VARIABLES = {
    f"AIRFLOW_VAR_{name}" for name in ("MAXIMUM_BYTES_BILLED", "PUBLICATION_WAIT_SECONDS", "UNKNOWN_COLUMNS")
}
# What one machine beside the emulators has, and a deployment with its own connection to Google Cloud does not.
EMULATED = {"STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT", "PYTHONPATH"}


def worker_environment(**env: str) -> dict[str, str]:
    """The variables of a worker, where tasks run, with ``env`` in ``.env``."""
    return environment_of(load_compose(**SECRETS, **env)["services"]["worker"])


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
        # Only containers have these two.
        "flower": 5555,
        "pgadmin": 5050,
    }


@pytest.mark.parametrize(("variable", "service"), PORTS.items())
def test_a_port_variable_moves_one_port(variable: str, service: str) -> None:
    moved = load_compose(**SECRETS, **{variable: "12345"})["services"]
    assert {name for name, one in moved.items() if "12345" in str(one.get("ports"))} == {service}
    url = environment_of(moved["scheduler"])["AIRFLOW__API__BASE_URL"]
    assert url == f"http://127.0.0.1:{12345 if variable == 'AIRFLOW_PORT' else 8080}"


def test_containers_find_each_other(services: dict[str, Any]) -> None:
    """Each address in the environment names a service, and the port inside its container."""
    environment = environment_of(services["worker"])
    inside = {name: services[name]["ports"][0].split(":")[-1] for name in PORTS.values()}
    for variable, service, path in (
        ("STORAGE_EMULATOR_HOST", "gcs", ""),
        ("BIGQUERY_EMULATOR_HOST", "bigquery", ""),
        ("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "api-server", "/execution/"),
    ):
        assert environment[variable] == f"http://{service}:{inside[service]}{path}"
    environment = environment_of(services["api-server"])
    assert (environment["AIRFLOW__API__HOST"], environment["AIRFLOW__API__PORT"]) == ("0.0.0.0", inside["api-server"])


@pytest.mark.parametrize("role", ["airflow", "celery"])
def test_each_database_is_reached_by_its_role(services: dict[str, Any], role: str) -> None:
    environment = environment_of(services["scheduler"])
    variable = {"airflow": "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "celery": "AIRFLOW__CELERY__RESULT_BACKEND"}[role]
    url = urlsplit(environment[variable])
    assert (url.username, url.password) == (role, SECRETS[f"{role.upper()}_DB_PASSWORD"])
    assert (url.hostname, url.port, url.path) == ("postgres", 5432, f"/{role}")


def test_scheduler_workers_and_flower_have_one_queue(services: dict[str, Any]) -> None:
    urls = {environment_of(services[name])["AIRFLOW__CELERY__BROKER_URL"] for name in ("scheduler", "worker", "flower")}
    assert urls == {f"redis://:{SECRETS['REDIS_PASSWORD']}@redis:6379/0"}
    assert environment_of(services["redis"])["REDISCLI_AUTH"] == SECRETS["REDIS_PASSWORD"]


def test_all_slots_of_one_worker_are_used_and_more_workers_can_be(services: dict[str, Any]) -> None:
    """A task that waits must wait in the database, and not in Redis."""
    environment = environment_of(services["scheduler"]) | environment_of(services["worker"])
    slots = environment["AIRFLOW__CELERY__WORKER_CONCURRENCY"]
    assert slots == environment["AIRFLOW__CORE__PARALLELISM"]
    more = load_compose(**SECRETS, AIRFLOW__CORE__PARALLELISM="24")["services"]["scheduler"]
    assert environment_of(more)["AIRFLOW__CORE__PARALLELISM"] == "24"


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
    environment = environment_of(compose["services"]["api-server"])
    for name in ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY"):
        assert environment[name] == SECRETS[name]
    postgres = environment_of(compose["services"]["postgres"])
    for name in ("POSTGRES_PASSWORD", "AIRFLOW_DB_PASSWORD", "CELERY_DB_PASSWORD", "NY_TAXI_PASSWORD"):
        assert postgres[name] == SECRETS[name]


def test_the_uis_passwords_are_written_where_the_server_reads_them(tmp_path: Path) -> None:
    path, users = tmp_path / "passwords.json", "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"
    assert _initialized(tmp_path).stdout == "db migrate\n"
    admin = {"admin": SECRETS["AIRFLOW_ADMIN_PASSWORD"]}
    assert json.loads(path.read_text()) == admin
    assert path.stat().st_mode & 0o777 == 0o600
    # Each further user gets a password that no log has, and keeps it.
    done = _initialized(tmp_path, **{users: "admin:admin,ann:user"})
    given = json.loads(path.read_text())
    assert given == {**admin, "ann": given["ann"]}
    assert len(given["ann"]) > 20
    assert given["ann"] not in done.stdout + done.stderr
    _initialized(tmp_path, **{users: "ann:user,admin:admin", "AIRFLOW_ADMIN_PASSWORD": 'with "quotes"'})
    assert json.loads(path.read_text()) == {**given, "admin": 'with "quotes"'}
    _initialized(tmp_path)
    assert json.loads(path.read_text()) == admin


def test_with_fab_the_administrator_is_made_without_a_password_on_a_command_line(tmp_path: Path) -> None:
    done = _initialized(tmp_path, **{AUTH_MANAGER: FAB})
    password = SECRETS["AIRFLOW_ADMIN_PASSWORD"]
    assert done.stdout == (
        "db migrate\nusers create --username admin --role Admin --firstname Local --lastname Admin "
        f"--email admin@localhost\nread {password} and {password}\n"
    )


def test_a_wrong_setting_ends_the_start_in_one_line_before_anything_is_done(tmp_path: Path) -> None:
    done = _initialized(tmp_path, AIRFLOW_VAR_WORK_DIR="work")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: the variable work_dir is 'work'; set it to the absolute path of a folder that all workers share, or to "
        "gs://bucket/prefix\n"
    )
    assert not (tmp_path / "passwords.json").exists()


def _initialized(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command of airflow-init, with a folder for the passwords, and an Airflow that says what it is asked."""
    services = load_compose(**{**SECRETS, "TAXI_SOURCE_URL": "http://127.0.0.1:8090", **settings})["services"]
    init = services["airflow-init"]
    own, file = environment_of(init), "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
    assert own[file] == environment_of(services["api-server"])[file]
    airflow = folder / "airflow"
    airflow.write_text(
        '#!/bin/sh\necho "$@"\n[ "$1" != users ] || { read -r one; read -r two; echo "read $one and $two"; }\n'
    )
    airflow.chmod(0o755)
    environment = {
        **own,
        **dict.fromkeys(("STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST"), "http://127.0.0.1:1"),
        file: str(folder / "passwords.json"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
        "PATH": f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    # In the container, the repository's root is the working directory.
    words = [*init["entrypoint"], *init["command"]]
    return subprocess.run(words, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_what_prepares_the_start_is_mounted_where_its_command_finds_it(
    compose: dict[str, Any], dockerfile: Dockerfile
) -> None:
    init = compose["services"]["airflow-init"]
    [script] = re.findall(r"python (\S+)", init["command"][0])
    mounted = {one["target"]: compose["configs"][one["source"]] for one in init["configs"]}
    [workdir] = dockerfile.get("airflow", "WORKDIR")
    assert mounted[f"{workdir}/{script}"] == {"file": script}


GIT = '[{"name": "taxi", "classpath": "repository_bundle.RepositoryBundle", "kwargs": {}}]'


# What airflow-init says of settings


@pytest.fixture
def problem(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What is wrong with settings, on a network with the named servers alone."""
    monkeypatch.setenv("AIRFLOW__CORE__PLUGINS_FOLDER", str(REPOSITORY / "plugins"))
    prepare = runpy.run_path(str(REPOSITORY / "infra/compose/prepare.py"))

    def find(*servers: str, **settings: str) -> str:
        def getaddrinfo(host: str, port: int | None) -> None:
            if host not in servers:
                raise OSError("Name or service not known")

        monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
        try:
            prepare["check"](environment_of(load_compose(**SECRETS, **settings)["services"]["airflow-init"]))
        except (ValueError, OSError) as error:
            return str(error)
        return ""

    return find


TLC = {"TAXI_SOURCE_URL": "https://d37ci6vzurychx.cloudfront.net", "SOURCE_LAYOUT": "tlc"}
CLOUDFRONT = "d37ci6vzurychx.cloudfront.net"
OWN_GOOGLE = {GOOGLE: '{"conn_type": "google_cloud_platform", "extra": {"project": "p"}}', "LAKE_BUCKET": "mine"}
FILE_BACKEND = {SECRETS_BACKEND: "airflow.secrets.local_filesystem.LocalFilesystemBackend"}


def test_with_the_profile_or_with_google_cloud_and_a_source_nothing_is_wrong(problem: Callable[..., str]) -> None:
    assert problem("gcs", "bigquery", "source") == ""
    assert problem("gcs", "bigquery", CLOUDFRONT, **TLC) == ""
    assert problem(CLOUDFRONT, **OWN_GOOGLE, **TLC, SOURCE_LAST_MONTH="2021-07") == ""
    assert problem("gcs", "bigquery", "source", AIRFLOW_VAR_WORK_DIR="gs://mine/work") == ""


def test_what_a_secrets_backend_may_have_is_not_looked_for(problem: Callable[..., str]) -> None:
    assert problem(**{GOOGLE: OWN_GOOGLE[GOOGLE]}, **FILE_BACKEND) == ""
    assert problem(**FILE_BACKEND).startswith("the emulator http://gcs:4443 is not there: ")


@pytest.mark.parametrize("given", ["", "[", "[]", "7", '["taxi"]', '[{"name": "taxi"}]'])
def test_a_setting_that_would_leave_no_dags_is_refused(problem: Callable[..., str], given: str) -> None:
    servers = ("gcs", "bigquery", "source")
    assert problem(*servers, **{BUNDLES: given}).startswith(f"{BUNDLES} is no JSON list of bundles, ")


def test_code_from_git_needs_an_image_with_git(
    problem: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    servers = ("gcs", "bigquery", "source")
    assert problem(*servers, **{BUNDLES: GIT}) == ""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert problem(*servers) == ""
    assert problem(*servers, **{BUNDLES: GIT}) == (
        f"{BUNDLES} needs git, and this image has none; start with docker compose up --build"
    )


def test_a_proxy_looks_for_the_source(problem: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    assert problem(**OWN_GOOGLE, **TLC) == ""


@pytest.mark.parametrize(
    ("servers", "settings", "expected"),
    [
        (
            "",
            {},
            "the emulator http://gcs:4443 is not there: Name or service not known; start with --profile local-cloud, "
            "or set AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT, LAKE_BUCKET, TAXI_SOURCE_URL and SOURCE_LAYOUT in .env for "
            "Google Cloud",
        ),
        (
            "",
            OWN_GOOGLE,
            "the source http://source:8090 is not there: Name or service not known; set TAXI_SOURCE_URL and "
            "SOURCE_LAYOUT in .env, or start with --profile local-cloud",
        ),
        (
            CLOUDFRONT,
            {**OWN_GOOGLE, **TLC, "LAKE_BUCKET": ""},
            "LAKE_BUCKET is not set, and nyc-taxi-lake is the emulator's; set it to your bucket",
        ),
        (
            CLOUDFRONT,
            {**OWN_GOOGLE, **TLC, "SOURCE_LAYOUT": "TLC"},
            "SOURCE_LAYOUT=TLC is not a layout; set it to mirror or tlc",
        ),
        (
            CLOUDFRONT,
            {**OWN_GOOGLE, "TAXI_SOURCE_URL": "tlc"},
            "TAXI_SOURCE_URL=tlc is not a URL; set it to one with http:// or https://",
        ),
        (
            CLOUDFRONT,
            {**OWN_GOOGLE, **TLC, "SOURCE_LAST_MONTH": "2021"},
            "SOURCE_LAST_MONTH=2021 is not a month; write YYYY-MM, or leave it empty",
        ),
    ],
    ids=["nothing", "no source", "no bucket", "layout", "url", "month"],
)
def test_what_is_wrong_is_said_with_what_to_set(
    problem: Callable[..., str], servers: str, settings: dict[str, str], expected: str
) -> None:
    assert problem(*servers.split(), **settings) == expected


# The environment of Airflow's containers


@pytest.mark.parametrize("name", sorted(AIRFLOW_SERVICES))
def test_a_setting_is_in_one_place(name: str, services: dict[str, Any]) -> None:
    common = read_env_file(REPOSITORY / "config/airflow.env")
    assert services[name]["env_file"][0] == common
    assert not set(common) & set(services[name]["environment"])


def test_containers_set_what_the_local_stack_sets(
    services: dict[str, Any], dockerfile: Dockerfile, local: AirflowSettings
) -> None:
    own = {variable for name in AIRFLOW_SERVICES for variable in environment_of(services[name])}
    # The image contains all bytecode; on a laptop, Python must be allowed to write it.
    expected = set(local.environment()) - {"PYTHONDONTWRITEBYTECODE"}
    # Nobody edits the DAGs in an image, and a server has more than a laptop's two cores.
    expected -= {setting for setting in expected if setting.startswith("AIRFLOW__DAG_PROCESSOR__")}
    expected -= {"AIRFLOW__API__WORKERS"}
    # The local stack's processes inherit it.
    expected |= {"AIRFLOW_CONN_FAILURE_WEBHOOK", "AIRFLOW_CONN_FAILURE_EMAIL"}
    expected |= {"AIRFLOW__METRICS__OTEL_ON", "AIRFLOW__TRACES__OTEL_ON", "AIRFLOW__LOGGING__JSON_LOGS"}
    expected |= {"AIRFLOW__OPENLINEAGE__TRANSPORT"}
    expected |= {SECRETS_BACKEND, KWARGS}
    # A container's file system is read-only; its logs have the messages.
    expected -= {"AIRFLOW_CONN_FAILURE_FOLDER"}
    # Celery's workers are apart, each with a memory file system.
    expected |= {"AIRFLOW__CELERY__BROKER_URL", "AIRFLOW__CELERY__RESULT_BACKEND", "TMPDIR"}
    expected |= {"AIRFLOW__CELERY__WORKER_CONCURRENCY", "AIRFLOW__CELERY__FLOWER_BASIC_AUTH", "AIRFLOW_ADMIN_PASSWORD"}
    assert own | set(dockerfile.env("airflow")) - {"PATH"} == expected


def test_containers_have_the_values_of_the_local_stack(services: dict[str, Any]) -> None:
    laptop = read_env_file(REPOSITORY / "local/airflow/airflow.env")
    own = environment_of(services["scheduler"])
    shared = set(laptop) & set(own) - {"AIRFLOW__CORE__EXECUTOR"}
    assert {"AIRFLOW__CORE__AUTH_MANAGER", "AIRFLOW__CORE__PARALLELISM"} <= shared
    assert {name: own[name] for name in shared} == {name: laptop[name] for name in shared}


def test_project_and_bucket_default_to_those_of_the_local_stack(
    services: dict[str, Any], local: AirflowSettings
) -> None:
    assert f"--project={local.cloud.project}" in services["bigquery"]["command"]
    assert f"--bucket={local.cloud.lake_bucket}" in services["gcs"]["command"]
    assert f"--rows={local.cloud.synthetic_rows}" in services["source"]["command"]
    assert environment_of(services["worker"])["AIRFLOW_VAR_LAKE_BUCKET"] == local.cloud.lake_bucket


def test_connections_are_those_of_the_local_stack(services: dict[str, Any], local: AirflowSettings) -> None:
    ours, theirs = environment_of(services["worker"]), local.environment()
    assert json.loads(ours["AIRFLOW_CONN_TAXI_SOURCE"]) == {
        **json.loads(theirs["AIRFLOW_CONN_TAXI_SOURCE"]),
        "host": "http://source:8090",
    }
    assert json.loads(ours["AIRFLOW_CONN_NY_TAXI"]) == {
        **json.loads(theirs["AIRFLOW_CONN_NY_TAXI"]),
        **{"host": "postgres", "port": 5432, "login": "ny_taxi", "password": SECRETS["NY_TAXI_PASSWORD"]},
    }
    google = Connection.from_uri(ours[GOOGLE], conn_id="google_cloud_default")
    local_google = Connection.from_json(theirs[GOOGLE], conn_id="google_cloud_default")
    assert google.conn_type == local_google.conn_type
    # A URI can hold only text. The hook asks whether the value is set.
    assert google.extra_dejson == {**local_google.extra_dejson, "is_anonymous": "true"}
    assert local_google.extra_dejson["is_anonymous"] is True


def test_the_page_months_has_the_way_to_every_store(services: dict[str, Any]) -> None:
    """The API server serves it, and asks the stores as a task would; of the tasks' settings, it has no more."""
    ours, tasks = environment_of(services["api-server"]), environment_of(services["worker"])
    for name in (GOOGLE, "AIRFLOW_CONN_NY_TAXI", "AIRFLOW_VAR_LAKE_BUCKET"):
        assert ours[name] == tasks[name]
    assert not {name for name in ours if name.startswith("AIRFLOW_CONN_FAILURE")}


def test_own_connection_replaces_the_emulators_and_their_patch() -> None:
    assert set(worker_environment()) >= EMULATED
    own = worker_environment(**{GOOGLE: '{"conn_type": "google_cloud_platform"}'})
    assert own[GOOGLE] == '{"conn_type": "google_cloud_platform"}'
    assert not EMULATED & set(own)


def test_the_emulators_patch_is_the_local_stacks_and_is_mounted_where_it_finds_config(
    compose: dict[str, Any], dockerfile: Dockerfile
) -> None:
    folder, config = environment_of(compose["services"]["worker"])["PYTHONPATH"].split(":")
    root = dockerfile.env("airflow")["AIRFLOW_HOME"]
    assert config == dockerfile.env("airflow")["PYTHONPATH"], "it has the bundle for code from git"
    file = f"{folder.removeprefix(f'{root}/')}/airflow_local_settings.py"
    for name in AIRFLOW_SERVICES:
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
    default = json.loads(worker_environment()[name])
    assert json.loads(worker_environment(**env)[name]) == {**default, **expected}


@pytest.mark.parametrize("name", [*sorted(UI_VARIABLES), "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"])
def test_a_setting_of_env_reaches_the_tasks_or_the_server(name: str) -> None:
    services = load_compose(**SECRETS, **{name: "7"})["services"]
    holders = {one for one, service in services.items() if environment_of(service).get(name) == "7"}
    assert holders == ({"worker", "triggerer", "api-server"} if name in UI_VARIABLES else AIRFLOW_SERVICES)
    if name in UI_VARIABLES:
        # What is set in the UI would have no effect beside it.
        assert name not in worker_environment()


def test_code_from_git_reaches_all_components_and_brings_git(services: dict[str, Any]) -> None:
    """By default, there is no such variable in a container: an empty one would mean no DAGs."""
    own = load_compose(**SECRETS, **{BUNDLES: GIT})["services"]
    for name in AIRFLOW_SERVICES:
        assert BUNDLES not in environment_of(services[name])
        assert environment_of(own[name])[BUNDLES] == GIT
        assert services[name]["build"]["args"] == {"WITH_GIT": ""}
        assert own[name]["build"]["args"] == {"WITH_GIT": "1"}


@pytest.mark.parametrize("name", ["AIRFLOW_CONN_FAILURE_WEBHOOK", "AIRFLOW_CONN_FAILURE_EMAIL"])
def test_who_hears_of_failures_can_be_set(name: str) -> None:
    own = '{"conn_type": "http", "host": "https://example.org"}'
    services = load_compose(**SECRETS, **{name: own})["services"]
    holders = {one for one, service in services.items() if environment_of(service).get(name) == own}
    assert holders == {"worker", "triggerer", "dag-processor"}
