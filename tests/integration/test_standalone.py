"""The section of docs/deploy.md on ``airflow standalone``, run as it stands, on the emulators."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from benchmarks.stock import StockAirflow
from local.airflow.api import AirflowApi
from local.cloud.settings import REPOSITORY, Settings
from tests.documented import DEPLOY, documented_json
from tests.ports import free_port

CLOUD_PYTHON = REPOSITORY / "local" / "cloud" / ".venv" / "bin" / "python"
ROWS = 5_000
MONTH = "2021-01"


def documented_commands() -> list[str]:
    """The lines of the section's shell block."""
    [block] = re.findall(r"## Stock `airflow standalone`\n.*?```bash\n(.*?)```", DEPLOY, re.DOTALL)
    return block.splitlines()


@contextmanager
def emulators(folder: Path) -> Iterator[Settings]:
    """The embedded cloud's GCS, BigQuery and source, in a folder and on ports of their own."""
    names = ["gcs_port", "bigquery_port", "postgres_port", "source_port"]
    settings = Settings(state_dir=folder, **{name: free_port() for name in names})
    env = {**os.environ, "LOCAL_DIR": str(folder), "SOURCE": "synthetic", "SYNTHETIC_ROWS": str(ROWS)}
    env |= {name.upper(): str(getattr(settings, name)) for name in names}
    env |= {"GCP_PROJECT": settings.project, "LAKE_BUCKET": settings.lake_bucket}

    def command(word: str) -> None:
        subprocess.run(
            [str(CLOUD_PYTHON), "-m", "local.cloud", word, "gcs", "bigquery", "source"],
            cwd=REPOSITORY,
            env=env,
            check=True,
        )

    command("up")
    try:
        yield settings
    finally:
        command("down")


def exported(lines: list[str], *, home: Path, cwd: Path) -> dict[str, str]:
    """The variables that the lines export, as bash understands them."""
    script = "\n".join([*(line for line in lines if line.startswith("export ")), "env -0"])
    bare = {"HOME": str(home), "PATH": os.environ["PATH"]}
    printed = subprocess.run(["bash", "-euc", script], cwd=cwd, env=bare, capture_output=True, check=True).stdout
    variables = dict(pair.split("=", 1) for pair in printed.decode().split("\0") if pair)
    return {name: value for name, value in variables.items() if name.startswith("AIRFLOW")}


def write_documented_files(folder: Path, settings: Settings) -> None:
    """The page's two JSON files, with the addresses of this machine in place of those of the example."""
    connections, variables = documented_json("connections.json"), documented_json("variables.json")
    connections["taxi_source"]["host"] = settings.source_url
    connections["google_cloud_default"]["extra"] |= {"project": settings.project, "is_anonymous": True}
    variables |= {"lake_bucket": settings.lake_bucket, "work_dir": str(folder / "work")}
    (folder / "connections.json").write_text(json.dumps(connections))
    (folder / "variables.json").write_text(json.dumps(variables))


@pytest.fixture
def standalone(tmp_path: Path) -> Iterator[tuple[StockAirflow, Settings]]:
    """The documented Airflow, running, and the emulators behind it."""
    clone = tmp_path / "clone"
    for name in ("dags", "plugins", "include"):
        shutil.copytree(REPOSITORY / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    lines = documented_commands()
    with emulators(tmp_path / "cloud") as settings:
        write_documented_files(tmp_path, settings)
        airflow = StockAirflow(tmp_path, dags=clone / "dags")
        airflow.variables = exported(lines, home=tmp_path, cwd=clone) | {
            "STORAGE_EMULATOR_HOST": settings.gcs_url,
            "BIGQUERY_EMULATOR_HOST": settings.bigquery_url,
        }
        commands = [shlex.split(line)[1:] for line in lines if line.startswith("airflow ")]
        assert commands[-1] == ["standalone"]
        for words in commands[:-1]:
            airflow.run(*words)
        airflow.start()
        try:
            yield airflow, settings
        finally:
            airflow.stop()


def succeeded(api: AirflowApi, dag_id: str, *, timeout: float = 400.0) -> bool:
    """Wait for the end of the DAG's first run for the month; whether it succeeded."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        for run in api.runs(dag_id):
            if MONTH in (run["partition_key"], run["conf"].get("month")) and run["state"] in ("success", "failed"):
                return run["state"] == "success"
        time.sleep(0.5)
    raise AssertionError(f"{dag_id} did not end within {timeout} s: {api.runs(dag_id)}")


def count_source(settings: Settings) -> int:
    url = f"{settings.source_url}/trip-data/green_tripdata_{MONTH}.parquet"
    return pq.read_metadata(io.BytesIO(httpx.get(url, timeout=60).raise_for_status().content)).num_rows


def count_lake(settings: Settings) -> int:
    name = f"green%2Fyear=2021%2Fmonth=01%2Fgreen_tripdata_{MONTH}.parquet"
    url = f"{settings.gcs_url}/storage/v1/b/{settings.lake_bucket}/o/{name}?alt=media"
    return pq.read_metadata(io.BytesIO(httpx.get(url, timeout=60).raise_for_status().content)).num_rows


def count_bigquery(settings: Settings) -> int:
    client = bigquery.Client(
        project=settings.project,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": settings.bigquery_url},
    )
    query = f"SELECT COUNT(*) FROM trips.green WHERE source_month = DATE '{MONTH}-01'"
    return next(iter(client.query(query).result()))[0]


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_a_month_reaches_bigquery_in_the_documented_standalone(standalone: tuple[StockAirflow, Settings]) -> None:
    airflow, settings = standalone
    with AirflowApi(airflow.settings) as api:
        api.await_parsed(["green_web_to_gcs", "green_gcs_to_bigquery"], since="")
        assert api.import_errors() == []
        api.set_paused("green_web_to_gcs", False)
        api.trigger("green_web_to_gcs", {"month": MONTH})
        assert succeeded(api, "green_web_to_gcs")
        # The month's arrival in the lake starts it, without anybody unpausing it.
        assert succeeded(api, "green_gcs_to_bigquery")

    source = count_source(settings)
    assert source > 0
    assert (count_lake(settings), count_bigquery(settings)) == (source, source)
