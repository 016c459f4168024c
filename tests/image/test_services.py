"""The compose file's services from the images' root file systems: a month goes through all of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.cloud.env_file import add_missing
from local.cloud.settings import REPOSITORY, read_env_file
from tests.deployment.compose_file import EMULATORS, environment_of, load_compose
from tests.image.composed import Composed
from tests.image.containers import Network
from tests.image.images import Image

pytestmark = [pytest.mark.image, pytest.mark.timeout(3000)]

WORKERS = ("worker-1", "worker-2")
# Of the services, the one that has an image of another and no stand-in here.
NOT_RUN = {"pgadmin"}


@pytest.fixture(scope="module")
def secrets(folder: Path) -> dict[str, str]:
    """The secrets, as ``make env`` writes them."""
    add_missing(folder / ".env")
    return read_env_file(folder / ".env")


@pytest.fixture(scope="module")
def services(images: dict[str, Image], folder: Path, secrets: dict[str, str]) -> Iterator[Composed]:
    """All services but pgAdmin, healthy, with two workers."""
    compose = load_compose(**secrets, SYNTHETIC_ROWS="20000", AIRFLOW__CORE__PARALLELISM="16")
    of_compose = {f"nyc-taxi-{name}": image for name, image in images.items()}
    network = Network()
    (folder / "services").mkdir()
    made = Composed(compose, folder / "services", of_compose, network)
    try:
        made.up(set(compose["services"]) - NOT_RUN, len(WORKERS))
        yield made
    finally:
        made.down()
        network.close()


def test_all_services_are_healthy(services: Composed) -> None:
    wanted = {*services.compose["services"], *WORKERS} - NOT_RUN - {"worker"}
    assert set(services.containers) == wanted
    assert services.processes.pop("airflow-init").returncode == 0
    assert {name for name, process in services.processes.items() if process.poll() is not None} == set()


def test_a_month_goes_through_all_services(
    services: Composed, secrets: dict[str, str], folder: Path, facts: dict[str, Any]
) -> None:
    done = run_month(services, secrets, folder, "green", "2021-01")
    facts["tasks"] = len(re.findall(r"(?m)^green_\w+ \w+ (success|skipped) ", done.stdout))
    facts["month"] = done.stdout.splitlines()[-1]
    used = {
        line.split()[3] for line in done.stdout.splitlines() if line.startswith("green_") and len(line.split()) == 4
    }
    assert done.returncode == 0, done.stdout + done.stderr + everything(services)
    assert facts["month"].startswith("reconciled green 2021-01 source=20000 ")
    assert used == set(WORKERS), "tasks run in workers, and in both"


def run_month(
    services: Composed, secrets: dict[str, str], folder: Path, *words: str
) -> subprocess.CompletedProcess[str]:
    """Run the month by a client of this machine, which is logged in as the user admin and has Postgres's superuser."""
    state = folder / "client"
    (state / "secrets").mkdir(parents=True, exist_ok=True)
    (state / "secrets" / "admin_password").write_text(secrets["AIRFLOW_ADMIN_PASSWORD"])
    (state / "secrets" / "postgres_password").write_text(secrets["POSTGRES_PASSWORD"])
    (folder / "client.env").touch()
    variables = {"LOCAL_DIR": str(state), "LOCAL_ENV_FILE": str(folder / "client.env"), "POSTGRES_PORT": "5432"}
    variables |= {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'plugins'}", "PATH": os.environ["PATH"]}
    command = [*services.network.enter(), sys.executable, "-m", "tests.image.month", *words]
    return subprocess.run(command, cwd=REPOSITORY, env=variables, capture_output=True, text=True, check=False)


def everything(services: Composed) -> str:
    return "".join(f"\n=== {name}\n{services.log(name).read_text(errors='replace')[-3000:]}" for name in WORKERS)


@pytest.mark.parametrize("name", ["scheduler", "dag-processor", "triggerer", "worker-1", "worker-2", "flower"])
def test_no_service_complains_of_its_start(services: Composed, name: str) -> None:
    text = services.log(name).read_text(errors="replace")
    assert "Traceback" not in text
    assert "Read-only file system" not in text
    assert "ermission denied" not in text


def test_a_worker_knows_nothing_of_the_metadata(services: Composed, secrets: dict[str, str]) -> None:
    """Also not in its process's variables, which a task inherits."""
    done = services.containers["worker-1"].run(["sh", "-c", "env; cat /proc/*/environ"])
    for name in (
        "AIRFLOW_DB_PASSWORD",
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW__API_AUTH__JWT_SECRET",
        "POSTGRES_PASSWORD",
    ):
        assert secrets[name] not in done.stdout
    assert secrets["NY_TAXI_PASSWORD"] in done.stdout


@pytest.mark.parametrize("database", ["airflow", "celery", "postgres"])
def test_the_tasks_role_connects_to_the_warehouse_alone(services: Composed, database: str) -> None:
    connect = "import json, os, psycopg2; one = json.loads(os.environ['AIRFLOW_CONN_NY_TAXI']); psycopg2.connect("
    connect += "host=one['host'], user=one['login'], password=one['password'], dbname="
    worker = services.containers["worker-1"]
    assert worker.run(["python", "-c", f"{connect}one['schema'])"]).returncode == 0
    done = worker.run(["python", "-c", f"{connect}{database!r})"])
    assert f'permission denied for database "{database}"' in done.stderr


def test_a_worker_that_is_stopped_ends_by_itself(services: Composed) -> None:
    assert services.stop("worker-2") == 0
    test = services.compose["services"]["worker"]["healthcheck"]["test"]
    assert services.is_healthy("worker-1", test)
    assert not services.is_healthy("worker-2", test)


def test_every_emulator_was_run(services: Composed) -> None:
    assert set(services.containers) >= EMULATORS
    assert environment_of(services.compose["services"]["worker"])["STORAGE_EMULATOR_HOST"] == "http://gcs:4443"
