"""The Prefect version leaves the same rows as the DAGs: the month that the stack has, taken through Prefect's flows.

The flows run by being called, with a server that Prefect starts for the time; ``make compare`` does it with a server
and a worker of its own, and much more.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.system import CLOUD_PYTHON, PREFECT_PYTHON
from comparison import temporary_server
from comparison.ground import Ground
from comparison.place import PORTS
from comparison.prefect_side import PrefectSide
from local.airflow import reconcile
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from local.cloud.settings import REPOSITORY, Settings
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


@pytest.fixture
def prefect(stack: AirflowSettings, tmp_path: Path) -> Iterator[PrefectSide]:
    """Prefect's side on an embedded cloud of its own, reading the stack's source; nothing of Prefect runs yet."""
    own = {port: str(free_port()) for port in PORTS}
    own |= {"LOCAL_DIR": str(tmp_path / "local"), "SOURCE": stack.source_base_url}
    cloud = [str(CLOUD_PYTHON), "-m", "local.cloud"]
    with ExitStack() as cleanup:
        cleanup.callback(subprocess.run, [*cloud, "down"], cwd=REPOSITORY, env={**os.environ, **own}, check=True)
        subprocess.run([*cloud, "up"], cwd=REPOSITORY, env={**os.environ, **own}, check=True)
        settings = replace(stack, cloud=Settings.from_env({**os.environ, **own}))
        ground = Ground(folder=tmp_path, receiver_url="", dataset="green", month="", rows=0, prefect_url="")
        yield PrefectSide(ground, settings, port=0)


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
