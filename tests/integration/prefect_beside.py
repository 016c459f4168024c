"""The Prefect version beside a stack, reading the stack's source, with stores of its own."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg

from benchmarks.system import CLOUD_PYTHON, PREFECT_PYTHON
from comparison import temporary_server
from comparison.ground import Ground
from comparison.place import PORTS
from comparison.prefect_side import METADATA, PrefectSide
from local.airflow import reconcile
from local.airflow.environment import AirflowSettings
from local.cloud.settings import HOST, REPOSITORY, Settings
from nyc_taxi.registry.model import PublishedFile
from tests.integration.conftest import free_port

_FLOWS = """
import os, sys
from comparison.prefect_flows import blocks
from comparison.prefect_flows.gcs_to_bigquery import gcs_to_bigquery
from comparison.prefect_flows.retries import CheckError
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
        for flow in (gcs_to_bigquery, web_to_postgres):
            try:
                flow(dataset, month)
            except CheckError as error:
                print("failed", flow.name, error, flush=True)
"""


@contextmanager
def prefect_beside(stack: AirflowSettings, folder: Path) -> Iterator[PrefectSide]:
    """Prefect's side on an embedded cloud of its own; nothing of Prefect runs yet."""
    port = free_port()
    own = {port: str(free_port()) for port in PORTS}
    own |= {"LOCAL_DIR": str(folder / "local"), "SOURCE": stack.source_base_url}
    cloud = [str(CLOUD_PYTHON), "-m", "local.cloud"]
    with ExitStack() as cleanup:
        cleanup.callback(subprocess.run, [*cloud, "down"], cwd=REPOSITORY, env={**os.environ, **own}, check=True)
        subprocess.run([*cloud, "up"], cwd=REPOSITORY, env={**os.environ, **own}, check=True)
        settings = replace(stack, cloud=Settings.from_env({**os.environ, **own}))
        url = f"http://{HOST}:{port}/api"
        ground = Ground(folder=folder, receiver_url="", dataset="green", month="", rows=0, prefect_url=url)
        (folder / "prefect").mkdir()
        with psycopg.connect(settings.cloud.postgres_url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {METADATA}")
        yield PrefectSide(ground, settings, port=port)


def call_flows(prefect: PrefectSide, files: Sequence[PublishedFile]) -> list[str]:
    """Call Prefect's flows for these months, twice; returns the errors of those that failed."""
    done = subprocess.run(
        [str(PREFECT_PYTHON), "-c", _FLOWS, *(f"{file.dataset.name}/{file.month}" for file in files)],
        cwd=REPOSITORY,
        env={**os.environ, **temporary_server.environment(prefect.environment())},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return re.findall(r"(?m)^failed (.+)$", done.stdout)


def assert_same_rows(stack: AirflowSettings, prefect: PrefectSide, files: Sequence[PublishedFile]) -> None:
    """Call Prefect's flows for these months, twice, and compare the content of all stores with that of the stack."""
    assert call_flows(prefect, files) == []
    of_prefect, of_airflow = (
        [reconcile.contents(settings, file) for file in files] for settings in (prefect.settings, stack)
    )
    assert of_prefect == of_airflow
