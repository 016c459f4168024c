"""Runs whose tries share no disk: each has a home, a folder for temporary files and a working directory of its own.

Only the source, Postgres and the embedded Cloud Storage run. The work dir is a folder in the lake's bucket.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from google.cloud import storage

from local.airflow.environment import AirflowSettings
from local.cloud.settings import Settings
from local.cloud.source.layouts import MIRROR
from local.cloud.source.months import Month as SourceMonth
from local.cloud.source.synthetic import write_month
from nyc_taxi.parquet.provenance import read_footer
from nyc_taxi.registry.datasets import GREEN
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.registry.months import Month
from tests.faults.proxy import Fault, Kind, Proxy
from tests.faults.runs import Ended, Hooks, Run, Worker
from tests.faults.worker import BEFORE, Order
from tests.local.cloud.conftest import Cloud, cloud_in

FILE, OTHER = GREEN.file(Month(2021, 1)), GREEN.file(Month(2021, 2))
# The task that takes the Parquet file into the store, by the store.
LOADS = {"lake": "local_to_gcs", "postgres": "load_staging"}
DAGS = {"lake": "green_web_to_gcs", "postgres": "green_web_to_postgres"}
PATIENCE = 60.0
WRITTEN = "nyc_taxi.common.files.os:replace"  # a file is written, and has not got its name
UPLOADED = "nyc_taxi.common.own_folder.shutil:rmtree"  # the task's work is done, its temporary folder is still there
MANY = 20  # more machines than a run has tries


class _Place:
    """A source, the lake's bucket, and a worker."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.source = folder, folder / "source"
        self.rows = 100
        for file in (FILE, OTHER):
            self.publish(file)
        self.cloud: Cloud = cloud_in(folder / "state", SOURCE=str(self.source))
        self.cloud.must("up", "gcs", "source", "postgres")
        self.worker = Worker(os.environ)

    def stop(self) -> None:
        self.worker.close()
        self.cloud.must("down")

    def publish(self, file: PublishedFile = FILE) -> int:
        """Publish a version of a month that was not there before; returns its number of rows."""
        self.rows += 1
        path = self.source / MIRROR.file(file.dataset.name, SourceMonth.parse(str(file.month)))
        write_month(file.dataset.name, SourceMonth.parse(str(file.month)), path, rows=self.rows)
        return self.rows

    @property
    def shared(self) -> str:
        """The work dir in the bucket."""
        return f"gs://{self.cloud.settings.lake_bucket}/work/of/workers"

    def bucket(self) -> storage.Bucket:
        return self.cloud.storage_client().bucket(self.cloud.settings.lake_bucket)

    def in_work_dir(self) -> list[str]:
        return [blob.name for blob in self.bucket().list_blobs(prefix="work/")]

    def rows_in(self, store: str) -> int:
        """Return the number of the month's rows in a store."""
        if store == "postgres":
            query = "SELECT count(*) FROM green_trips WHERE source_month = '2021-01-01'"
            with psycopg.connect(self.cloud.settings.postgres_url("ny_taxi")) as connection:
                [(rows,)] = connection.execute(query)
            return int(rows)
        with self.bucket().get_blob(FILE.lake_object).open("rb") as opened:
            return int(read_footer(opened).rows)

    def variables(self, work_dir: str) -> dict[str, str]:
        environment = AirflowSettings(cloud=Settings.from_env(self.cloud.env)).environment()
        names = ("AIRFLOW_CONN_", "AIRFLOW_VAR_", "STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT")
        own = {name: value for name, value in environment.items() if name.startswith(names)}
        return {**own, "AIRFLOW_VAR_WORK_DIR": work_dir, "NO_PROXY": "127.0.0.1"}

    def run(
        self, *, machines: int, store: str = "lake", work_dir: str = "", file: PublishedFile = FILE, **conf: Any
    ) -> _RunApart:
        return _RunApart(
            self.worker,
            DAGS[store],
            conf={"month": str(file.month), **conf},
            environment=self.variables(work_dir or self.shared),
            folder=self.folder / "runs",
            machines=machines,
        )


class _RunApart(Run):
    """A run whose tries run on several machines in turn, which share nothing.

    A work dir ``local`` has the same path on each machine, and is on the machine's own disk.
    """

    def __init__(self, *arguments: Any, machines: int, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.machines = [self._folder / f"machine-{number}" for number in range(machines)]
        for machine in self.machines:
            for name in ("home", "tmp", "current"):
                (machine / name).mkdir(parents=True)

    def order(self, task_id: str, number: int, hooks: Hooks | None = None) -> Order:
        """Return the order for a try on the next machine."""
        made, machine = super().order(task_id, number, hooks), self.machines[len(self.tries) % len(self.machines)]
        own = {"HOME": str(machine / "home"), "TMPDIR": str(machine / "tmp")}
        if made.environment["AIRFLOW_VAR_WORK_DIR"] == "local":
            own["AIRFLOW_VAR_WORK_DIR"] = str(self._mounted(machine / "disk"))
        return replace(
            made,
            environment={**made.environment, **own},
            patches={**made.patches, "tempfile.tempdir": own["TMPDIR"]},
            folder=str(machine / "current"),
        )

    def _mounted(self, disk: Path) -> Path:
        """Let the path of the work dir lead to a disk; returns the path."""
        disk.mkdir(exist_ok=True)
        path = self._folder / "local"
        path.unlink(missing_ok=True)
        path.symlink_to(disk)
        return path

    def left(self) -> list[str]:
        """Return the files that lie on the machines."""
        return [str(path) for machine in self.machines for path in sorted(machine.rglob("*")) if path.is_file()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Place]:
    made = _Place(tmp_path_factory.mktemp("apart"))
    try:
        yield made
    finally:
        made.stop()


def _assert_loaded(place: _Place, run: _RunApart, ended: Ended, rows: int, store: str = "lake") -> None:
    assert ended.state == "success", run.log()[-6000:]
    assert ended.states[LOADS[store]] == "success"
    assert place.rows_in(store) == rows
    assert place.in_work_dir() == []
    assert run.left() == []


def test_each_task_on_a_machine_of_its_own_loads_what_tasks_on_one_machine_load(place: _Place) -> None:
    """The lake's object is the same, whichever the work dir; and a month that the one has loaded, the other skips."""
    objects = []
    for work_dir, machines in (("local", 1), ("", MANY)):
        run = place.run(machines=machines, work_dir=work_dir, force=True)
        _assert_loaded(place, run, run.go(), place.rows - 1)
        objects.append(place.bucket().get_blob(FILE.lake_object))
    local, remote = objects
    assert remote.generation > local.generation
    for name in ("md5_hash", "crc32c", "size", "content_type", "content_encoding", "cache_control"):
        assert getattr(remote, name) == getattr(local, name), name
    assert remote.metadata.keys() == local.metadata.keys() == {"downloaded_at"}

    for work_dir, machines in (("local", 1), ("", MANY)):
        assert place.run(machines=machines, work_dir=work_dir).go().states["local_to_gcs"] == "skipped"
    rows = place.publish()
    run = place.run(machines=MANY)
    _assert_loaded(place, run, run.go(), rows)


@pytest.mark.full
@pytest.mark.parametrize(
    ("store", "task_id", "moment"),
    [
        ("lake", "download", WRITTEN),
        ("lake", "download", UPLOADED),
        ("lake", "to_parquet", WRITTEN),
        ("lake", "to_parquet", UPLOADED),
        ("lake", "local_to_gcs", BEFORE),
        ("lake", "local_to_gcs", UPLOADED),
        ("lake", "remove_files", BEFORE),
        ("postgres", "load_staging", UPLOADED),
    ],
)
def test_a_task_that_is_killed_is_retried_on_another_machine(
    place: _Place, store: str, task_id: str, moment: str
) -> None:
    rows = place.publish()
    left: list[list[str]] = []
    run = place.run(machines=2, store=store)

    def kill(number: int, pid: int, order: Order) -> None:
        if number == 1:
            _await_hang(order)
            os.kill(pid, signal.SIGKILL)

    def look(number: int) -> None:
        left.append(run.left())

    ended = run.go(Hooks(task_id, hang=moment, during=kill, after=look))
    assert [one.state for one in ended.of(task_id)] == ["up_for_retry", "success"]
    assert bool(left[0]) is (moment != BEFORE), "a killed task leaves its temporary folder"
    _assert_loaded(place, run, ended, rows, store)


@pytest.mark.full
def test_a_try_that_was_given_up_and_uploads_later_does_not_reach_the_run(place: _Place) -> None:
    """Its machine is cut off from the bucket, and back when the next try has downloaded a newer version of the file."""
    run = place.run(machines=MANY, force=True)
    run.go(until="download")
    with Proxy(place.cloud.settings.gcs_port, rewrite=True) as proxy:
        cut = proxy.set(Fault(kind=Kind.STALL, match=b"POST /upload/", direction="request"))
        lost = run.order("download", 9)
        state = Path(f"{lost.state}.lost")  # Airflow takes nothing from a try that it has given up
        state.write_bytes(Path(lost.state).read_bytes())
        over_proxy = {**lost.environment, "STORAGE_EMULATOR_HOST": proxy.url}
        pid = place.worker.begin(replace(lost, state=str(state), environment=over_proxy))
        assert cut.reached.wait(PATIENCE), run.log()[-6000:]
        rows = place.publish()
        run.go(until="local_to_gcs")
        before = place.in_work_dir()
        proxy.lift()
        assert place.worker.wait(pid) == 0
    [uploaded] = set(place.in_work_dir()) - set(before)
    assert "/try-9/" in uploaded
    _assert_loaded(place, run, run.go(), rows)


@pytest.mark.full
def test_what_a_run_leaves_that_times_out_the_next_run_on_any_machine_removes(place: _Place) -> None:
    rows = place.publish()
    timed_out, living = (place.run(machines=MANY) for _ in range(2))
    for run in (timed_out, living):
        run.go(until="local_to_gcs")
    timed_out.time_out()
    assert sorted(name.rpartition(".")[2] for name in place.in_work_dir()) == ["gz", "gz", "parquet", "parquet"]

    other = place.run(machines=MANY, file=OTHER, force=True)
    assert other.go().state == "success", other.log()[-6000:]
    assert len(place.in_work_dir()) == 2, "only what the living run needs stays"
    _assert_loaded(place, living, living.go(), rows)


@pytest.mark.parametrize(
    ("work_dir", "task_id", "tries", "error"),
    [
        (
            "local",
            "to_parquet",
            4,
            r"MissingFileError: there is no .* on this worker .*\. Set the variable work_dir to",
        ),
        ("gs://no-such-bucket/x", "download", 1, "WorkDirError: .*: the bucket no-such-bucket does not exist; create"),
        ("s3://bucket/x", "download", 1, "WorkDirError: the variable work_dir is 's3://bucket/x'; set it to the"),
    ],
    ids=["not shared", "no bucket", "no work dir"],
)
def test_a_work_dir_that_cannot_serve_is_named_in_one_line(
    place: _Place, work_dir: str, task_id: str, tries: int, error: str
) -> None:
    ended = place.run(machines=MANY, work_dir=work_dir, force=True).go()
    assert ended.state == "failed"
    found = ended.of(task_id)
    assert len(found) == tries
    assert found[-1].state == "failed"
    assert re.match(error, found[-1].error), found[-1].error
    assert "\n" not in found[-1].error


def _await_hang(order: Order) -> None:
    deadline = time.monotonic() + PATIENCE
    while not Path(f"{order.result}.hangs").exists():
        assert time.monotonic() < deadline, "the moment of the kill was not reached"
        time.sleep(0.01)
