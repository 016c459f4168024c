"""The Google provider beside the emulators: served or refused here, and nothing goes to Google."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local.cloud.settings import REPOSITORY, Settings
from tests.local.cloud.bigquery.conftest import Server
from tests.local.cloud.bigquery.support import PROJECT
from tests.local.cloud.gcs.fronts import BUCKET, start, stop

SETTINGS = REPOSITORY / "local" / "airflow" / "settings"
DATASET = "provider"
REFUSED = {
    # Services that have no emulator here.
    "BigQueryCreateDataTransferOperator",
    "BigQueryDeleteDataTransferConfigOperator",
    "BigQueryDataTransferServiceStartTransferRunsOperator",
    "BigQueryDataTransferServiceTransferRunSensor",
    "GoogleCalendarToGCSOperator",
    "GoogleDriveToGCSOperator",
    "GoogleSheetsToGCSOperator",
    "storage read client",
    "storage control client",
    "storage control aio",
    "default credentials",
    "metadata server",
    "any api",
}
SERVED = {
    "BigQueryCheckOperator": "None",
    "BigQueryValueCheckOperator": "None",
    "BigQueryIntervalCheckOperator": "None",
    "BigQueryColumnCheckOperator": "None",
    "BigQueryTableCheckOperator": "None",
    "get_client": f"'{PROJECT}'",
    "get_first": "[1, 'x']",
    "get_records": "[[1, 'x']]",
    "get_df": "[[1, 'x']]",
    "list_rows": "[[1, 'x', datetime.date(2021, 1, 8)]]",
    "to_arrow": "[{'a': 1, 'b': 'x'}]",
    "pandas_gbq": "[[1, 'x']]",
    "gcsfs": "True",
    "wrong check": "None",
    "impersonation": "['provider']",  # anonymous credentials impersonate nobody
}


@pytest.fixture(scope="module")
def seen(server: Server, tmp_path_factory: pytest.TempPathFactory, free_ports, cloud_python: Path) -> Any:
    """What :mod:`tests.local.cloud.bigquery.run_provider` prints, run as a task of the local stack would."""
    folder = tmp_path_factory.mktemp("provider")
    front = start(folder, free_ports(1)[0], cloud_python)
    client = server.client()
    client.create_dataset(DATASET)
    client.query(f"CREATE TABLE {DATASET}.t AS SELECT 1 AS a, 'x' AS b, DATE '2021-01-08' AS ds").result()
    (front.root / BUCKET).mkdir(exist_ok=True)
    front.send("POST", f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=seed.json", b'{"a": 1, "b": "x"}\n')
    given = {"settings": str(SETTINGS), "bucket": BUCKET, "object": "seed.json", "dataset": DATASET, "project": PROJECT}
    connection = {"conn_type": "google_cloud_platform", "extra": {"is_anonymous": True, "project": PROJECT}}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "GOOGLE_"))},
        "AIRFLOW_HOME": str(folder / "home"),
        "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": json.dumps(connection),
        "AIRFLOW_CONN_HTTP_DEFAULT": f"http://127.0.0.1:{front.port}",
        "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{front.port}",
        "BIGQUERY_EMULATOR_HOST": server.url,
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        # A proxy would hide the names from the guard; nothing listens on this port.
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "PYTHONPATH": os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "plugins"))),
    }
    command = [sys.executable, "-m", "tests.local.cloud.bigquery.run_provider"]
    try:
        done = subprocess.run(
            command, env=environment, input=json.dumps(given), capture_output=True, text=True, check=False, cwd=folder
        )
    finally:
        stop(front)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


_PLAIN = """
import sys, time
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

called = set()
sys.addaudithook(lambda event, given: called.add(given[0]) if event == "socket.getaddrinfo" else None)
client = bigquery.Client(project=sys.argv[1], credentials=AnonymousCredentials())
rows = client.list_rows(sys.argv[2])
print(rows.to_arrow(create_bqstorage_client=False).num_rows, client.query("SELECT 1 AS a").to_arrow().num_rows)
started = time.monotonic()
try:
    client.list_rows(sys.argv[2]).to_arrow()
except Exception as error:
    print(f"{type(error).__name__} after {time.monotonic() - started:.0f} s: {error}")
print(sorted(called))
"""


def test_python_of_ones_own_reaches_no_storage_api_but_the_emulators_refusal(
    server: Server, seen: Any, tmp_path: Path
) -> None:
    """Google's client is not patched here. Its gRPC asks the proxy, which is the emulator, and no name server."""
    settings = Settings.from_env({"BIGQUERY_PORT": str(server.port), "GCS_PORT": "1", "LOCAL_DIR": str(tmp_path)})
    command = [sys.executable, "-W", "ignore", "-c", _PLAIN, PROJECT, f"{PROJECT}.{DATASET}.t"]
    environment = {**os.environ, **settings.google_environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=tmp_path)
    counts, refusal, called = done.stdout.splitlines()
    assert counts == "1 1"
    assert refusal.startswith(("ServiceUnavailable after 0 s", "ServiceUnavailable after 1 s"))
    assert f"ipv4:127.0.0.1:{server.port}: HTTP proxy returned response code 400" in refusal
    assert called == "['127.0.0.1']"


def test_nothing_goes_to_google(seen: Any) -> None:
    assert len(seen["results"]) > 60
    assert set(seen["called"]) <= {"127.0.0.1", "localhost", ""}
    assert "127.0.0.1" in seen["called"]


def test_what_has_no_emulator_is_refused_at_once_and_says_what_to_set(seen: Any) -> None:
    refused = {name: one for name, one in seen["results"].items() if one.get("error") == "LeavesThisMachineError"}
    assert set(refused) == REFUSED
    for one in refused.values():
        assert "set AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT in .env" in one["message"]
    assert [name for name, one in seen["results"].items() if one.get("error") == "TimeoutError"] == []


@pytest.mark.parametrize("name", SERVED)
def test_what_clients_could_not_be_pointed_at_the_emulators_for_is_served(seen: Any, name: str) -> None:
    assert seen["results"][name] == {"value": SERVED[name]}
