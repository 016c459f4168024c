"""The environment of the benchmarks: a temporary folder with generated months, and a stack if a benchmark needs it.

All benchmarks share one stack, on free ports, with all its state in the folder. It starts on first use.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.conditions import YELLOW_MONTH, Conditions
from benchmarks.measure import ERROR_CHARACTERS, MeasureError, run_program
from benchmarks.runs import Runs
from benchmarks.stock import StockAirflow
from benchmarks.system import CLOUD_PYTHON, free_ports
from local.airflow.api import AirflowApi
from local.airflow.environment import AirflowSettings
from local.cloud import shell
from local.cloud.settings import REPOSITORY

PORTS = ("AIRFLOW_PORT", "GCS_PORT", "BIGQUERY_PORT", "POSTGRES_PORT", "SOURCE_PORT")
DAGS = REPOSITORY / "benchmarks" / "dags"
_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"
AIRFLOW_SETTINGS = {
    # The repository's DAGs, and the chains of no-op tasks.
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
        [
            {"name": "dags-folder", "classpath": _BUNDLE, "kwargs": {}},
            {"name": "benchmarks", "classpath": _BUNDLE, "kwargs": {"path": str(DAGS)}},
        ]
    ),
    # On the first of a month, a scheduled run would disturb the measurement.
    "AIRFLOW__SCHEDULER__MAX_DAGRUNS_TO_CREATE_PER_LOOP": "0",
}

_UP_WITH = """
import json, sys
sys.path.insert(0, "plugins")
from local.airflow import stack
from local.airflow.environment import AirflowSettings
stack.API_SERVER = sys.argv[2:] or stack.API_SERVER
stack.up(AirflowSettings.from_env(), overrides=json.loads(sys.argv[1]))
"""


def up_with(settings: Mapping[str, str], *, api_server: Sequence[str] = ()) -> list[str]:
    """Return the command that starts the stack with further settings of Airflow, which ``make up`` takes from .env.

    Args:
        settings: the settings.
        api_server: the module to run as the API server, with its arguments; by default the stack's own.
    """
    return [sys.executable, "-c", _UP_WITH, json.dumps(dict(settings)), *api_server]


class Lab:
    """The months and the stack that the benchmarks share.

    Args:
        conditions: the amounts and repetitions.
        folder: an empty folder for all files.
    """

    def __init__(self, conditions: Conditions, folder: Path) -> None:
        self.conditions = conditions
        self.folder = folder
        self.stock = StockAirflow(folder / "stock", dags=DAGS)
        self._cloud: AirflowSettings | None = None
        self._has_tables = False

    def month(self, dataset: str, month: str, rows: int, *, suffix: str = ".csv.gz") -> Path:
        """A synthetic month in the mirror's format, or with the suffix .parquet in the TLC's; generated once."""
        return self._generated(self.folder / "months" / f"{rows}" / f"{dataset}_tripdata_{month}{suffix}", rows)

    def source_month(self, dataset: str, month: str, rows: int) -> Path:
        """A synthetic month that the stack's source server serves; generated once."""
        return self._generated(self.folder / "source" / dataset / f"{dataset}_tripdata_{month}.csv.gz", rows)

    def parquet(self, module: str, rows: int) -> Path:
        """The yellow month, converted by the program ``module``; converted once."""
        target = self.folder / "parquet" / f"{rows}" / module / f"yellow_tripdata_{YELLOW_MONTH}.parquet"
        if not target.exists():
            target.parent.mkdir(parents=True)
            run_program(module, self.month("yellow", YELLOW_MONTH, rows), target)
        return target

    def cloud(self) -> AirflowSettings:
        """Start the embedded cloud unless it runs, with the tables that the months are loaded into."""
        if self._cloud is not None:
            return self._cloud
        # The source server refuses to start without trip data.
        self.source_month("yellow", YELLOW_MONTH, self.conditions.yellow_rows)
        command([str(CLOUD_PYTHON), "-m", "local.cloud", "up"])
        settings = AirflowSettings.from_env()
        if not self._has_tables:
            command(
                [sys.executable, "-m", "benchmarks.ours.create_tables"],
                {**settings.environment(), **cloud_environment(settings)},
            )
            self._has_tables = True
        self._cloud = settings
        return settings

    @contextmanager
    def runs(self) -> Iterator[Runs]:
        """Start Airflow and the embedded cloud unless they run; yields the runs of that Airflow."""
        settings = self.cloud()
        self.up()
        with AirflowApi(settings) as api:
            yield Runs(api)

    @contextmanager
    def stock_runs(self) -> Iterator[Runs]:
        """Start stock Airflow unless it runs; yields its runs."""
        self.stock.start()
        with AirflowApi(self.stock.settings) as api:
            yield Runs(api)

    def migrate(self) -> None:
        """Create the metadata databases of both Airflows in parallel, without starting either."""
        self.cloud()
        with ThreadPoolExecutor() as pool:
            # Any command of this CLI migrates the database first.
            ours = pool.submit(command, [sys.executable, "-m", "local.airflow", "run", "version"])
            stock = pool.submit(self.stock.migrate)
        ours.result()
        stock.result()

    def up(self) -> None:
        """Start the components of the stack that do not run, and wait until all are healthy."""
        command(up_with(AIRFLOW_SETTINGS))

    @contextmanager
    def runs_with(self, variables: dict[str, str], *, api_server: Sequence[str] = ()) -> Iterator[Runs]:
        """As ``runs``, but with other settings of Airflow, or another API server, during the block."""
        self.down()
        settings = self.cloud()
        command(up_with({**AIRFLOW_SETTINGS, **variables}, api_server=api_server))
        try:
            with AirflowApi(settings) as api:
                yield Runs(api)
        finally:
            self.down()

    def down(self) -> None:
        """Stop everything that the lab started; it can start again."""
        self._cloud = None
        self.stock.stop()
        command([sys.executable, "-m", "local.airflow", "down"])

    def run_dirs(self) -> list[Path]:
        """The folders that record the running components of the cloud and of Airflow."""
        settings = AirflowSettings.from_env()
        return [settings.cloud.run_dir, settings.home / "run"]

    def _generated(self, path: Path, rows: int) -> Path:
        if not path.exists():
            dataset, _, month = path.name.partition(".")[0].partition("_tripdata_")
            generate = [str(CLOUD_PYTHON), "-m", "local.cloud.source", "generate"]
            command([*generate, dataset, month, str(path), "--rows", str(rows)])
        return path


@contextmanager
def lab(conditions: Conditions) -> Iterator[Lab]:
    """Yield a lab in a temporary folder; at the end everything is stopped and removed."""
    folder = Path(tempfile.mkdtemp(prefix="benchmarks-"))
    place = Lab(conditions, folder)
    try:
        with isolated(folder, SOURCE=str(folder / "source")):
            try:
                yield place
            finally:
                place.down()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def isolated(folder: Path, **variables: str) -> Iterator[None]:
    """During the block, a stack that this process starts keeps its state in ``folder``, and uses free ports.

    Changes the environment of this process, which the processes that it starts inherit. Neither the shell's settings of
    other systems apply nor ``.env``, which may name a real cloud.

    Args:
        folder: a folder that nothing else uses.
        variables: further settings of the stack.
    """
    before = dict(os.environ)
    own = {**shell.without_other_systems(before), **_environment(folder), **variables}
    os.environ.clear()
    os.environ |= own
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


def command(words: list[str], env: dict[str, str] | None = None) -> None:
    """Run a command of this repository.

    Raises:
        MeasureError: it fails; the message holds the end of its output.
    """
    done = subprocess.run(
        words, cwd=REPOSITORY, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        printed = (done.stdout + done.stderr)[-ERROR_CHARACTERS:]
        raise MeasureError(f"{' '.join(words[1:4])} ended with exit code {done.returncode}: {printed}")


def cloud_environment(settings: AirflowSettings) -> dict[str, str]:
    """The variables by which a measured program and Google's clients reach the embedded cloud."""
    return {
        **settings.cloud.google_environment,
        "GCP_PROJECT": settings.cloud.project,
        "LAKE_BUCKET": settings.cloud.lake_bucket,
        "POSTGRES_URL": settings.cloud.postgres_url("ny_taxi"),
        "PYTHONPATH": str(REPOSITORY / "plugins"),
    }


def _environment(folder: Path) -> dict[str, str]:
    nothing = folder / "nothing.env"
    nothing.touch()
    ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    return {**ports, "LOCAL_DIR": str(folder / "local"), "LOCAL_ENV_FILE": str(nothing)}
