"""``python -m local.cloud up|down|status``, run as a command."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from local.cloud.settings import REPOSITORY
from tests.attacks.promises import attack

NAMES = ["gcs", "bigquery", "postgres", "source"]


def ports(cloud) -> list[int]:
    settings = cloud.settings
    return [settings.gcs_port, settings.bigquery_port, settings.postgres_port, settings.source_port]


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def states(cloud) -> dict[str, str]:
    lines = cloud.run("status").stdout.splitlines()
    return {line.split()[0]: line.split()[1] for line in lines}


def write_everywhere(cloud) -> None:
    """Write one thing to each store of a running cloud."""
    settings = cloud.settings
    cloud.storage_client().bucket(settings.lake_bucket).blob("kept/a").upload_from_string(b"kept")
    with psycopg.connect(settings.postgres_url("ny_taxi"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS number")
    client = bigquery_client(cloud)
    client.create_dataset("kept")
    client.query_and_wait("CREATE TABLE kept.numbers AS SELECT 42 AS number")


def read_everything(cloud) -> dict[str, object]:
    """Read what ``write_everywhere`` wrote, and how the servers tag it."""
    settings = cloud.settings
    blob = cloud.storage_client().bucket(settings.lake_bucket).get_blob("kept/a")
    with psycopg.connect(settings.postgres_url("ny_taxi")) as connection:
        rows = connection.execute("SELECT number FROM kept").fetchall()
    numbers = bigquery_client(cloud).query_and_wait("SELECT number FROM kept.numbers")
    zones = requests.head(f"{settings.source_url}/misc/taxi_zone_lookup.csv", timeout=60)
    return {
        "gcs": (blob.download_as_bytes(), blob.generation),
        "postgres": rows,
        "bigquery": [row.number for row in numbers],
        "source": zones.headers["ETag"],
    }


def bigquery_client(cloud) -> bigquery.Client:
    return bigquery.Client(
        project=cloud.settings.project,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": cloud.settings.bigquery_url},
    )


def test_up_status_and_down(own_cloud, commands_with) -> None:
    settings = own_cloud.settings
    assert own_cloud.run("status").returncode == 1
    lines = own_cloud.must("up").splitlines()
    assert sorted(line.split()[0] for line in lines[:-1]) == sorted(NAMES)
    assert all(" started in " in line for line in lines[:-1])
    assert f"source    {settings.source_url}" in "\n".join(lines)
    assert own_cloud.run("status").returncode == 0
    assert states(own_cloud) == dict.fromkeys(NAMES, "running")
    again = own_cloud.must("up")
    assert again.count("running already") == len(NAMES)
    assert again.endswith("all components are already running\n")

    stopped = own_cloud.must("down")
    assert sorted(line.split() for line in stopped.splitlines()) == sorted([name, "stopped"] for name in NAMES)
    assert not any(is_open(port) for port in ports(own_cloud))
    assert commands_with(str(settings.state_dir)) == []
    assert own_cloud.must("down") == "nothing is running\n"
    assert states(own_cloud) == dict.fromkeys(NAMES, "stopped")


@pytest.mark.full  # the tests of each component restart it too
def test_data_survives_a_restart(own_cloud) -> None:
    own_cloud.must("up")
    write_everywhere(own_cloud)
    before = read_everything(own_cloud)
    own_cloud.must("down")
    own_cloud.must("up")
    assert read_everything(own_cloud) == before
    assert before["bigquery"] == [42]


def test_servers_listen_on_one_loopback_address_only(cloud) -> None:
    """A server that listens on all addresses would also answer on another loopback address."""
    for port in (cloud.settings.gcs_port, cloud.settings.postgres_port, cloud.settings.source_port):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.2", port)) != 0
        assert is_open(port)


@attack("secrets-stay-out-of-processes")
def test_no_server_gets_what_the_env_file_has_for_airflow(own_cloud, tmp_path: Path) -> None:
    secrets = {
        "AIRFLOW_CONN_FAILURE_WEBHOOK": '{"conn_type": "http", "password": "canary-1"}',
        "AIRFLOW_CONN_FAILURE_EMAIL": '{"conn_type": "smtp", "password": "canary-2"}',
        "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": '{"extra": {"keyfile_dict": "canary-3"}}',
        "AIRFLOW__CORE__FERNET_KEY": "canary-4",
        "POSTGRES_PASSWORD": "canary-5",
        "GOOGLE_APPLICATION_CREDENTIALS": "/canary-6",
    }
    env_file = tmp_path / "env"
    env_file.write_text("".join(f"{name}='{value}'\n" for name, value in secrets.items()))
    own_cloud.must("up", LOCAL_ENV_FILE=str(env_file))
    records = list(own_cloud.settings.run_dir.glob("*.json"))
    assert sorted(path.stem for path in records) == sorted(NAMES)
    for path in records:
        server = psutil.Process(json.loads(path.read_text())["pid"])
        assert server.environ()["LOCAL_DIR"] == str(own_cloud.settings.state_dir)
        for process in (server, *server.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # Postgres ends some of its own
                assert "canary" not in str(process.environ()), path.stem


def test_changed_source_restarts_only_the_source_server(own_cloud, tmp_path: Path) -> None:
    folder = tmp_path / "served"
    (folder / "green").mkdir(parents=True)
    (folder / "green/green_tripdata_2017-01.csv.gz").write_bytes(b"anything")
    own_cloud.must("up", "gcs", "source")
    changed = own_cloud.must("up", "gcs", "source", SOURCE=str(folder))
    outcomes = {line.split()[0]: line.split(maxsplit=2)[2] for line in changed.splitlines()[:-1]}
    assert outcomes["gcs"] == "running already"
    assert outcomes["source"].startswith("restarted in ")
    url = f"{own_cloud.settings.source_url}/green/green_tripdata_2017-01.csv.gz"
    assert requests.get(url, timeout=60).content == b"anything"

    own_cloud.must("up", "gcs", SOURCE="https://example.invalid/data")
    assert not is_open(own_cloud.settings.source_port)
    assert "source" not in own_cloud.run("status", SOURCE="dtc").stdout


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SOURCE", "/no/such/folder", "SOURCE=/no/such/folder is not a folder"),
        ("SOURCE", str(REPOSITORY / "docs"), "has no trip data: put <dataset>/<dataset>_tripdata_"),
        ("GCS_PORT", "http", "GCS_PORT='http' is not a whole number"),
        ("LAKE_BUCKET", "x", "the bucket LAKE_BUCKET='x' cannot be created"),
    ],
)
def test_message_for_an_invalid_setting_names_it(own_cloud, name: str, value: str, message: str) -> None:
    done = own_cloud.run("up", "gcs", "source", **{name: value})
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert not is_open(own_cloud.settings.gcs_port)


def test_taken_port_aborts_the_start(own_cloud) -> None:
    settings = own_cloud.settings
    with socket.create_server(("127.0.0.1", settings.postgres_port)):
        done = own_cloud.run("up")
    assert done.returncode == 1
    assert f"postgres needs port {settings.postgres_port} on 127.0.0.1, but pid {os.getpid()} (" in done.stderr
    assert "set POSTGRES_PORT in .env to another port" in done.stderr
    assert not any(is_open(port) for port in ports(own_cloud))


def test_unknown_component_is_rejected(own_cloud) -> None:
    done = own_cloud.run("up", "redis")
    assert done.returncode == 2
    assert "unknown component redis; choose from gcs, bigquery, postgres, source" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.full)])
def test_interrupted_up_leaves_nothing_behind(own_cloud, cloud_python: Path, commands_with, number: int) -> None:
    command = [cloud_python, "-m", "local.cloud", "up"]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, env=own_cloud.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 400
    while not list(own_cloud.settings.run_dir.glob("*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate(timeout=400)
    assert process.returncode == (130 if number == signal.SIGINT else 128 + number)
    assert commands_with(str(own_cloud.settings.state_dir)) == []
    assert not any(is_open(port) for port in ports(own_cloud))
    assert list(own_cloud.settings.run_dir.glob("*.json")) == []
