"""The Prefect version leaves the same rows as the DAGs, and the commands of Prefect on the pages work.

For the rows, the flows run by being called, with a server that Prefect starts for the time. For the commands there are
a server and a worker, as in ``make compare``, which does much more.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import psycopg
import pytest

from benchmarks.system import CLOUD_PYTHON, PREFECT_PYTHON
from comparison import temporary_server
from comparison.ground import Ground
from comparison.place import PORTS
from comparison.prefect_side import METADATA, PrefectSide
from local.airflow import reconcile
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from local.cloud.settings import HOST, REPOSITORY, Settings
from nyc_taxi.registry.datasets import GREEN, YELLOW
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.store import Content
from tests.integration.conftest import free_port
from tests.integration.support import run_months

pytestmark = pytest.mark.full

GREEN_MONTH, YELLOW_MONTH = ("2021-01", "2019-01") if os.environ.get("NYC_TLC_DATA_DIR") else ("2020-06", "2020-05")

_FLOWS = """
import os, sys
from comparison.prefect_flows import blocks
from comparison.prefect_flows.gcs_to_bigquery import gcs_to_bigquery
from comparison.prefect_flows.web_to_gcs import web_to_gcs
from comparison.prefect_flows.web_to_postgres import web_to_postgres

blocks.save(
    project=os.environ["GCP_PROJECT"],
    bucket=os.environ["LAKE_BUCKET"],
    postgres_url=os.environ["POSTGRES_URL"],
    source_url=os.environ["TAXI_SOURCE_URL"],
    layout=os.environ["TAXI_SOURCE_LAYOUT"],
)
for _ in range(2):  # a rerun leaves the same
    for dataset, month in (name.split("/") for name in sys.argv[1:]):
        web_to_gcs(dataset, month, force=True)
        gcs_to_bigquery(dataset, month)
        web_to_postgres(dataset, month)
"""


# The commands of the pages in one process, because each would take seconds to import Prefect. Prints their exit codes.
_COMMANDS = """
import json, sys
from prefect.blocks.system import Secret
from prefect.cli import app

Secret(value="1234567890").save("third-party")
for words in json.loads(sys.argv[1]):
    sys.argv[1:] = words
    try:
        code = app()
    except SystemExit as end:
        code = end.code
    print("exit", code or 0, flush=True)
"""
# These stay in the foreground; PrefectSide.start runs them, and set-up, which is not Prefect's.
_STARTS = ("server start", "worker start --pool local", "set-up")


def documented_commands() -> list[str]:
    """The commands ``bin/prefect ...`` of the pages, without that word: those in code blocks, then those in lines."""
    text = "\n".join((REPOSITORY / "docs" / page).read_text() for page in ("from-prefect.md", "homework.md"))
    found = re.findall(r"(?m)^bin/prefect (.+)$", text) + re.findall(r"`bin/prefect (.+?)`", text)
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def prefect(stack: AirflowSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectSide]:
    """Prefect's side on an embedded cloud of its own, reading the stack's source; nothing of Prefect runs yet."""
    tmp_path, port = tmp_path_factory.mktemp("prefect-side"), free_port()
    own = {port: str(free_port()) for port in PORTS}
    own |= {"LOCAL_DIR": str(tmp_path / "local"), "SOURCE": stack.source_base_url}
    cloud = [str(CLOUD_PYTHON), "-m", "local.cloud"]
    with ExitStack() as cleanup:
        cleanup.callback(subprocess.run, [*cloud, "down"], cwd=REPOSITORY, env={**os.environ, **own}, check=True)
        subprocess.run([*cloud, "up"], cwd=REPOSITORY, env={**os.environ, **own}, check=True)
        settings = replace(stack, cloud=Settings.from_env({**os.environ, **own}))
        url = f"http://{HOST}:{port}/api"
        ground = Ground(folder=tmp_path, receiver_url="", dataset="green", month="", rows=0, prefect_url=url)
        (tmp_path / "prefect").mkdir()
        with psycopg.connect(settings.cloud.postgres_url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {METADATA}")
        yield PrefectSide(ground, settings, port=port)


def _contents(settings: AirflowSettings, files: list[PublishedFile]) -> list[dict[str, Content]]:
    return [reconcile.contents(settings, file) for file in files]


def test_prefects_flows_leave_the_same_rows(stack: AirflowSettings, api: AirflowApi, prefect: PrefectSide) -> None:
    files = [GREEN.file(Month.parse(GREEN_MONTH)), YELLOW.file(Month.parse(YELLOW_MONTH))]
    run_months(api, {"green": GREEN_MONTH, "yellow": YELLOW_MONTH}, force=True)

    done = subprocess.run(
        [str(PREFECT_PYTHON), "-c", _FLOWS, *(f"{file.dataset.name}/{file.month}" for file in files)],
        cwd=REPOSITORY,
        env={**os.environ, **temporary_server.environment(prefect.environment())},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert _contents(prefect.settings, files) == _contents(stack, files)


@pytest.mark.every_step
def test_documented_commands_of_prefect_work(prefect: PrefectSide) -> None:
    documented = documented_commands()
    assert set(_STARTS) < set(documented)
    commands = [command for command in documented if command not in _STARTS]
    refused = "deployment run web-to-gcs/green --param month=2021-13"
    words = [shlex.split(command) for command in [*commands, "block inspect secret/third-party", refused]]
    prefect.start()
    try:
        done = subprocess.run(
            [str(PREFECT_PYTHON), "-c", _COMMANDS, json.dumps(words)],
            cwd=REPOSITORY,
            env={**os.environ, **prefect.environment()},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
    finally:
        prefect.stop()

    codes = re.findall(r"(?m)^exit (\d+)$", done.stdout)
    failed = [command for command, code in zip(commands, codes, strict=False) if code != "0"]
    assert (failed, codes[len(commands) :]) == ([], ["0", "1"]), done.stdout[-5000:] + done.stderr[-3000:]
    assert re.search(r"[^*]\*{8}[^*]", done.stdout), "the secret is shown as eight asterisks"
    assert "1234567890" not in done.stdout
