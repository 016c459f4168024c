"""The scene of the fault suite: an embedded cloud, a proxy before each server, a month in two versions, a worker."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from local.airflow import reconcile
from local.airflow.environment import AirflowSettings
from local.airflow.stack import CLOUD_PYTHON
from local.cloud.settings import Settings
from local.cloud.source.layouts import MIRROR
from local.cloud.source.months import Month as SourceMonth
from local.cloud.source.synthetic import write_month
from nyc_taxi.registry.datasets import FHV, GREEN
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.store import Content
from tests import clients
from tests.faults import disks
from tests.faults.cases import STEP_OF
from tests.faults.proxy import Proxy
from tests.faults.runs import Ended, Hooks, Run, Triggerer, Worker
from tests.faults.worker import REPOSITORY
from tests.ports import PORTS, free_port

SERVERS = ("source", "gcs", "bigquery", "postgres")
MONTH = Month(2021, 1)
ROWS = {"old": 200, "new": 240}
ZONE_ROWS = 265
UNTOUCHED = (GREEN.file(Month(2021, 2)), FHV.file(MONTH))
FILE = GREEN.file(MONTH)
YEAR = str(MONTH.year)
STEPS = {store: step for store, step in STEP_OF.items() if store != "rollup"}
# Seconds in which what a killed client leaves at a server has to be gone.
SETTLE_SECONDS = 60.0
# Bytes that BigQuery may need for its start.
START_BYTES = 8 << 20
STAGED = "SELECT tablename FROM pg_tables WHERE schemaname = 'staging'"

Place = tuple[str, str, str]


@dataclass(frozen=True)
class Leftovers:
    """What no run may leave behind."""

    files: tuple[str, ...] = ()
    postgres_tables: tuple[str, ...] = ()
    postgres_sessions: tuple[str, ...] = ()
    bigquery_tables: tuple[str, ...] = ()
    bigquery_jobs: tuple[str, ...] = ()
    unknown_objects: tuple[str, ...] = ()


class Scene:
    """Everything that a case needs; one for a whole session.

    Args:
        folder: an empty folder for all state.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = folder / "source"
        self._own = {port: str(free_port()) for port in PORTS}
        self._own |= {"LOCAL_DIR": str(folder / "local"), "SOURCE": str(self.source)}
        self.settings = AirflowSettings(cloud=Settings.from_env(self._own))
        self.publish(FILE, ROWS["old"])
        for file in UNTOUCHED:
            self.publish(file, ROWS["old"])
        self.proxies: dict[str, Proxy] = {}
        self.worker: Worker | None = None
        # The content of the month in each store, by its row count.
        self.known: dict[int, dict[str, Content]] = {}

    def start(self) -> None:
        """Start the cloud, the proxies and the worker."""
        self.cloud("up")
        cloud = self.settings.cloud
        ports = {
            "source": cloud.source_port,
            "gcs": cloud.gcs_port,
            "bigquery": cloud.bigquery_port,
            "postgres": cloud.postgres_port,
        }
        self.proxies = {name: Proxy(port, rewrite=name != "postgres") for name, port in ports.items()}
        self.settings.work_dir.mkdir(parents=True, exist_ok=True)
        self.worker = Worker({**os.environ, **self._airflow_settings()})

    def load_both_versions(self) -> None:
        """Load the months that stay and both versions of the one that changes; learn their contents."""
        for file in UNTOUCHED:
            self.load(file)
        for rows in (ROWS["new"], ROWS["old"]):
            self.publish(FILE, rows)
            self.load(FILE)
            self.known[rows] = reconcile.contents(self.settings, FILE)
        assert self.leftovers() == Leftovers()

    def stop(self) -> None:
        """Stop all."""
        if self.worker is not None:
            self.worker.close()
        for proxy in self.proxies.values():
            proxy.close()
        self.cloud("down")

    def cloud(self, command: str, *names: str) -> None:
        """Run ``python -m local.cloud``."""
        subprocess.run(
            [CLOUD_PYTHON, "-m", "local.cloud", command, *names],
            cwd=REPOSITORY,
            env={**os.environ, **self._own},
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def kill_server(self, name: str) -> None:
        """Kill a server with SIGKILL, and all processes that belong to it."""
        record = json.loads((self.settings.cloud.run_dir / f"{name}.json").read_text())
        os.kill(record["pid"], signal.SIGKILL)

    @contextmanager
    def small_disk_of(self, server: str, free: int) -> Iterator[None]:
        """Let a server write new objects or tables to a disk with so many free bytes during the block; needs root."""
        disk = {
            "gcs": self._small_disk_of_lake,
            "bigquery": self._small_disk_of_bigquery,
            "postgres": self._small_disk_of_postgres,
        }[server]
        with disk(free):
            yield

    @contextmanager
    def _small_disk_of_lake(self, free: int) -> Iterator[None]:
        """Hide the objects of the dataset behind an empty disk."""
        cloud = self.settings.cloud
        with disks.mounted(cloud.gcs_root / cloud.lake_bucket / FILE.dataset.name, bytes=free, owner=os.getuid()):
            yield

    @contextmanager
    def _small_disk_of_bigquery(self, free: int) -> Iterator[None]:
        """Restart the server on a copy of its database; afterwards it has its own again, as it was before."""
        folder = self.settings.cloud.bigquery_dir
        files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        pages = sum(-(-len(content) // disks.PAGE_BYTES) for content in files.values())
        try:
            self.kill_server("bigquery")
            size = pages * disks.PAGE_BYTES + START_BYTES
            with disks.mounted(folder, bytes=size, owner=os.getuid()):
                for path, content in files.items():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                self.cloud("up", "bigquery")
                disks.fill(folder, but=free)
                try:
                    yield
                finally:
                    self.cloud("down", "bigquery")
        finally:
            self.cloud("up", "bigquery")

    @contextmanager
    def _small_disk_of_postgres(self, free: int) -> Iterator[None]:
        """Let Postgres make new tables of the warehouse on a disk of their own."""
        folder = self.folder / "small-disk"
        folder.mkdir(exist_ok=True)
        owner = self.settings.cloud.postgres_dir.stat().st_uid
        with disks.mounted(folder, bytes=free, owner=owner), self._autocommit() as connection:
            connection.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(str(folder)))
            connection.execute("ALTER DATABASE ny_taxi SET default_tablespace = small")
            try:
                yield
            finally:
                connection.execute("ALTER DATABASE ny_taxi RESET default_tablespace")
                connection.execute("DROP TABLESPACE small")

    def _autocommit(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.settings.cloud.postgres_url("airflow"), autocommit=True)

    def publish(self, file: PublishedFile, rows: int) -> None:
        """Put a version of a month into the source; its number of rows tells the versions apart."""
        assert file.month is not None
        path = self.source / MIRROR.file(file.dataset.name, file.month)
        write_month(file.dataset.name, SourceMonth.parse(str(file.month)), path, rows=rows)

    def unpublish(self, file: PublishedFile) -> None:
        """Remove a month from the source, if it is there."""
        assert file.month is not None
        (self.source / MIRROR.file(file.dataset.name, file.month)).unlink(missing_ok=True)

    def publish_zones(self) -> None:
        """Put the taxi zones into the source."""
        zones = "".join(f'{zone},"Queens","Zone {zone}","Boro Zone"\r\n' for zone in range(1, 1 + ZONE_ROWS))
        path = self.source / "misc" / "taxi_zone_lookup.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'"LocationID","Borough","Zone","service_zone"\r\n{zones}', newline="")

    def other_version(self, store: str) -> int:
        """Return the rows of the version that a store does not have now."""
        here = reconcile.contents(self.settings, FILE)[store]
        return next(rows for rows in ROWS.values() if rows != here.rows)

    def run(
        self,
        file: PublishedFile,
        step: str,
        *,
        ahead: float = 0.0,
        triggerer: Triggerer | None = None,
        work_dir: str = "",
        **conf: Any,
    ) -> Run:
        """Return a new run of one DAG for a month; nothing of it has run yet.

        Args:
            file: the month.
            step: what the DAG does with it.
            ahead: seconds by which the clock of the run's download is ahead.
            triggerer: where its tasks wait, if the clock has started it.
            work_dir: where its tasks hand on files; the folder of the scene if it is empty.
            conf: more parameters of the run.
        """
        conf = {**({"month": str(file.month)} if file.month else {}), **conf}
        dag_id, more = f"{file.dataset.name}_{step}", {"AIRFLOW_VAR_WORK_DIR": work_dir} if work_dir else {}
        return self._new_run(dag_id, conf, more, ahead=ahead, triggerer=triggerer)

    def rollup(self) -> Run:
        """Return a new run of the yearly rollup; nothing of it has run yet."""
        return self._new_run(STEP_OF["rollup"], {"year": YEAR})

    def rolled_up(self) -> dict[str, int]:
        """Return the number of trips of each month that the rollup has of the green trips."""
        query = (
            "SELECT CAST(month AS STRING) AS month, SUM(trips) AS trips FROM trips.yearly_rollup WHERE month BETWEEN"
        )
        rows = clients.bigquery_client(self.settings).query(
            f"{query} '{YEAR}-01-01' AND '{YEAR}-12-31' AND dataset = '{FILE.dataset.name}' GROUP BY 1"
        )
        return {row["month"][:7]: row["trips"] for row in rows.result()}

    def in_warehouse(self) -> dict[str, int]:
        """Return the number of rows of each month that the warehouse has of the green trips."""
        counted = clients.bigquery_client(self.settings).query(
            f"SELECT CAST(source_month AS STRING) AS month, COUNT(*) AS trips FROM trips.{FILE.dataset.name} GROUP BY 1"
        )
        return {row["month"][:7]: row["trips"] for row in counted.result()}

    def _new_run(
        self, dag_id: str, conf: Mapping[str, Any], variables: Mapping[str, str] | None = None, **more: Any
    ) -> Run:
        assert self.worker is not None
        environment = {**self.variables(), **(variables or {})}
        return Run(self.worker, dag_id, conf=conf, environment=environment, folder=self.folder / "runs", **more)

    def load(self, file: PublishedFile, steps: Iterable[str] = tuple(STEPS.values())) -> None:
        """Load a month into stores, without a fault."""
        for step in steps:
            run = self.run(file, step)
            assert run.go().state == "success", run.log()[-8000:]

    def go(self, file: PublishedFile, step: str, hooks: Hooks | None = None, **conf: Any) -> tuple[Ended, str]:
        """Make a run; returns its end and the output of its tasks."""
        run = self.run(file, step, **conf)
        ended = run.go(hooks)
        return ended, run.log()

    def contents(self, files: Iterable[PublishedFile] = (FILE, *UNTOUCHED)) -> dict[Place, Content]:
        """Return the content of each store, by the store's own client."""
        return {
            (store.name, file.dataset.name, str(file.month)): store.content(file)
            for store in reconcile.connected_stores(self.settings)
            for file in files
        }

    def leftovers(self, *, known: Iterable[PublishedFile] = (FILE, *UNTOUCHED)) -> Leftovers:
        """Return what the last run has left; waits briefly for sessions and jobs to end."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while (found := self._leftovers({file.lake_object for file in known})) != Leftovers():
            if time.monotonic() > deadline or not (found.postgres_sessions or found.bigquery_jobs):
                break
            time.sleep(0.05)
        return found

    def _leftovers(self, objects: set[str]) -> Leftovers:
        with psycopg.connect(self.settings.cloud.postgres_url("ny_taxi")) as connection:
            tables = connection.execute(STAGED).fetchall()
            sessions = connection.execute(
                "SELECT state || ': ' || query FROM pg_stat_activity WHERE datname = 'ny_taxi' "
                "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            ).fetchall()
        bigquery = clients.bigquery_client(self.settings)
        bucket = self.settings.cloud.lake_bucket
        return Leftovers(
            files=tuple(str(path) for path in sorted(self.settings.work_dir.rglob("*")) if path.is_file()),
            postgres_tables=tuple(name for (name,) in tables),
            postgres_sessions=tuple(str(text) for (text,) in sessions),
            bigquery_tables=tuple(table.table_id for table in bigquery.list_tables("trips_staging")),
            bigquery_jobs=tuple(job.job_id for job in bigquery.list_jobs(state_filter="running")),
            unknown_objects=tuple(
                blob.name
                for blob in reconcile.storage_client(self.settings).list_blobs(bucket)
                if blob.name not in objects
            ),
        )

    def drop_staging(self) -> None:
        """Drop BigQuery's staging tables."""
        client = clients.bigquery_client(self.settings)
        for table in client.list_tables("trips_staging"):
            client.delete_table(table)

    def tidy(self) -> None:
        """Remove what a case has left that failed, so that the next one is judged by itself."""
        for proxy in self.proxies.values():
            proxy.lift()
        self.drop_staging()
        with psycopg.connect(self.settings.cloud.postgres_url("ny_taxi")) as connection:
            for (name,) in connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'staging'"
            ).fetchall():
                connection.execute(sql.SQL("DROP TABLE staging.{}").format(sql.Identifier(name)))
        shutil.rmtree(self.settings.work_dir)
        self.settings.work_dir.mkdir()

    def variables(self) -> dict[str, str]:
        """The variables of tasks: connections that lead through the proxies."""
        environment = self.settings.environment()
        own = {name: value for name, value in environment.items() if name.startswith(("AIRFLOW_CONN_", "AIRFLOW_VAR_"))}
        source, postgres = json.loads(own["AIRFLOW_CONN_TAXI_SOURCE"]), json.loads(own["AIRFLOW_CONN_NY_TAXI"])
        source["host"] = self.proxies["source"].url
        # With it, the months of the scene are a whole year of the green trips.
        source["extra"] = {**source.get("extra", {}), "last_month": str(UNTOUCHED[0].month)}
        postgres["port"] = self.proxies["postgres"].port
        return {
            **own,
            "AIRFLOW_CONN_TAXI_SOURCE": json.dumps(source),
            "AIRFLOW_CONN_NY_TAXI": json.dumps(postgres),
            "STORAGE_EMULATOR_HOST": self.proxies["gcs"].url,
            "BIGQUERY_EMULATOR_HOST": self.proxies["bigquery"].url,
            "GOOGLE_CLOUD_PROJECT": self.settings.cloud.project,
        }

    def _airflow_settings(self) -> dict[str, str]:
        keep = ("ARROW_",)
        return {name: value for name, value in self.settings.environment().items() if name.startswith(keep)}
