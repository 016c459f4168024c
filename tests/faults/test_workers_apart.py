"""Runs whose tries share no disk: each has a home, a folder for temporary files and a working directory of its own.

The work dir is a folder in the lake's bucket, so what a run leaves there is seen with all other unknown objects.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local.airflow import reconcile
from tests.faults.invariants import check_invariants
from tests.faults.runs import Hooks, Run
from tests.faults.scene import FILE, STEPS, UNTOUCHED, Leftovers, Place, Scene
from tests.faults.worker import BEFORE, Order

PATIENCE = 60.0
WRITTEN = "nyc_taxi.common.files.os:replace"  # a file is written, and has not got its name
UPLOADED = "nyc_taxi.common.own_folder.shutil:rmtree"  # the task's work is done, its temporary folder is still there
HANDED_ON = {"lake": "local_to_gcs", "postgres": "load_staging"}


class _RunApart(Run):
    """A run whose tries run on several machines in turn, which share nothing."""

    def __init__(self, scene: Scene, dag_id: str, *, machines: int, work_dir: str, **conf: Any) -> None:
        assert scene.worker is not None
        environment = {**scene.variables(), "AIRFLOW_VAR_WORK_DIR": work_dir}
        super().__init__(scene.worker, dag_id, conf=conf, environment=environment, folder=scene.folder / "runs")
        self.machines = [self._folder / f"machine-{number}" for number in range(machines)]
        for machine in self.machines:
            for name in ("home", "tmp", "current"):
                (machine / name).mkdir(parents=True)

    def order(self, task_id: str, number: int, hooks: Hooks | None = None) -> Order:
        """Return the order for a try on the next machine."""
        made, machine = super().order(task_id, number, hooks), self.machines[len(self.tries) % len(self.machines)]
        own = {"HOME": str(machine / "home"), "TMPDIR": str(machine / "tmp")}
        return replace(
            made,
            environment={**made.environment, **own},
            patches={**made.patches, "tempfile.tempdir": own["TMPDIR"]},
            folder=str(machine / "current"),
        )

    def left(self) -> list[str]:
        """Return what lies on the machines."""
        return [str(path) for machine in self.machines for path in sorted(machine.glob("*/*"))]


def _run(scene: Scene, store: str, *, machines: int, work_dir: str = "", **conf: Any) -> _RunApart:
    work_dir = work_dir or f"gs://{scene.settings.cloud.lake_bucket}/work/of/workers"
    month = str(FILE.month)
    return _RunApart(
        scene, f"{FILE.dataset.name}_{STEPS[store]}", machines=machines, work_dir=work_dir, month=month, **conf
    )


def _object(scene: Scene) -> Any:
    return reconcile.storage_client(scene.settings).bucket(scene.settings.cloud.lake_bucket).get_blob(FILE.lake_object)


def _next(scene: Scene, store: str) -> dict[Place, Any]:
    """Publish the version that a store lacks; returns what the store is to have."""
    rows = scene.other_version(store)
    scene.publish(FILE, rows)
    return {(store, FILE.dataset.name, str(FILE.month)): scene.known[rows][store]}


def _assert_loaded(scene: Scene, before: Mapping[Place, Any], new: Mapping[Place, Any]) -> None:
    now = check_invariants(scene, before, may_become=new)
    assert {place: now[place] for place in new} == new


@pytest.mark.parametrize("store", HANDED_ON)
def test_each_task_on_a_machine_of_its_own_loads_what_tasks_on_one_machine_load(scene: Scene, store: str) -> None:
    new, before = _next(scene, store), scene.contents()
    run = _run(scene, store, machines=20)
    ended = run.go()
    assert ended.state == "success", run.log()[-6000:]
    assert ended.states[HANDED_ON[store]] == "success"
    assert run.left() == []
    _assert_loaded(scene, before, new)

    again = _run(scene, store, machines=20).go()
    assert again.states[HANDED_ON[store]] == "skipped", "a run with a local work dir would be skipped, too"
    assert scene.go(FILE, STEPS[store])[0].states[HANDED_ON[store]] == "skipped"


def test_the_lakes_object_is_the_same_by_either_work_dir(scene: Scene) -> None:
    objects = []
    for run in (scene.run(FILE, STEPS["lake"], force=True), _run(scene, "lake", machines=20, force=True)):
        assert run.go().state == "success", run.log()[-6000:]
        objects.append(_object(scene))
    local, remote = objects
    assert remote.generation > local.generation
    for name in ("md5_hash", "size", "content_type", "content_encoding", "cache_control"):
        assert getattr(remote, name) == getattr(local, name), name
    assert remote.metadata.keys() == local.metadata.keys() == {"downloaded_at"}
    assert scene.leftovers() == Leftovers()


KILLS = [
    ("lake", "download", WRITTEN),
    ("lake", "download", UPLOADED),
    ("lake", "to_parquet", WRITTEN),
    ("lake", "to_parquet", UPLOADED),
    ("lake", "local_to_gcs", BEFORE),
    ("lake", "local_to_gcs", UPLOADED),
    ("lake", "remove_files", BEFORE),
    ("postgres", "load_staging", UPLOADED),
]


@pytest.mark.full
@pytest.mark.parametrize(("store", "task_id", "moment"), KILLS)
def test_a_task_that_is_killed_is_retried_on_another_machine(
    scene: Scene, store: str, task_id: str, moment: str
) -> None:
    new, before = _next(scene, store), scene.contents()
    run, left = _run(scene, store, machines=2), []

    def kill(number: int, pid: int, order: Order) -> None:
        if number == 1:
            _await_hang(order)
            os.kill(pid, signal.SIGKILL)

    hooks = Hooks(task_id, hang=moment, during=kill, after=lambda number: left.append(run.left()))
    ended = run.go(hooks)
    assert ended.state == "success", run.log()[-6000:]
    assert [one.state for one in ended.of(task_id)] == ["up_for_retry", "success"]
    assert bool(left[0]) is (moment != BEFORE), "a killed task leaves its temporary folder"
    if task_id == "load_staging":  # no later task of the run uses a temporary folder but the teardown
        assert ended.states["remove_files"] == "success"
    _assert_loaded(scene, before, new)
    assert run.left() == []


@pytest.mark.full
def test_what_a_run_leaves_that_times_out_the_next_run_on_any_machine_removes(scene: Scene) -> None:
    new, before = _next(scene, "lake"), scene.contents()
    timed_out, living = (_run(scene, "lake", machines=20) for _ in range(2))
    for run in (timed_out, living):
        run.go(until="local_to_gcs")
    timed_out.time_out()
    work = [name for name in scene.leftovers().unknown_objects if name.startswith("work/")]
    assert sorted({name.rpartition(".")[2] for name in work}) == ["gz", "parquet"]
    assert len(work) == 4

    other = _RunApart(
        scene, timed_out.dag_id, machines=20, work_dir=living._environment["AIRFLOW_VAR_WORK_DIR"],
        month=str(UNTOUCHED[0].month), force=True,
    )  # fmt: skip
    assert other.go().state == "success", other.log()[-6000:]
    assert len(scene.leftovers().unknown_objects) == 2, "only what the living run needs stays"
    assert living.go().state == "success", living.log()[-6000:]
    _assert_loaded(scene, before, new)


@pytest.mark.parametrize(
    ("work_dir", "task_id", "error"),
    [
        (
            "{tmp}/work",
            "to_parquet",
            "MissingFileError: there is no .* on this worker .*Set the variable work_dir to a",
        ),
        ("gs://no-such-bucket/work", "download", "WorkDirError: .*the bucket no-such-bucket does not exist; create it"),
        ("s3://bucket/work", "download", "WorkDirError: the variable work_dir is 's3://bucket/work'; set it to the"),
    ],
    ids=["not shared", "no bucket", "no work dir"],
)
def test_a_work_dir_that_cannot_serve_is_named_in_one_line(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work_dir: str, task_id: str, error: str
) -> None:
    _next(scene, "lake")
    before = scene.contents()
    run = _run(scene, "lake", machines=20, work_dir=work_dir.format(tmp=tmp_path))
    order = run.order

    def on_its_own_disk(task: str, number: int, hooks: Hooks | None = None) -> Order:
        """Let a local work dir be another folder for each machine."""
        made = order(task, number, hooks)
        own = made.environment["AIRFLOW_VAR_WORK_DIR"].replace(str(tmp_path), made.environment["HOME"])
        return replace(made, environment={**made.environment, "AIRFLOW_VAR_WORK_DIR": own})

    monkeypatch.setattr(run, "order", on_its_own_disk)
    ended = run.go()
    assert ended.state == "failed"
    [*_, last] = ended.of(task_id)
    assert last.state == "failed"
    assert re.match(error, last.error), last.error
    assert "\n" not in last.error
    assert len(ended.of(task_id)) == (1 if "WorkDirError" in error else 4)
    check_invariants(scene, before, may_become={})


def _await_hang(order: Order) -> None:
    deadline = time.monotonic() + PATIENCE
    while not Path(f"{order.result}.hangs").exists():
        assert time.monotonic() < deadline, "the moment of the kill was not reached"
        time.sleep(0.01)
