"""What no teardown removes: runs that time out, and setups that are killed in their last try."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.faults.cases import Promise
from tests.faults.catalog import JOB, LEFTOVERS
from tests.faults.harness import marks
from tests.faults.invariants import check_invariants
from tests.faults.proxy import Due, Fault, Kind
from tests.faults.runs import Hooks
from tests.faults.scene import FILE, STEPS, UNTOUCHED, Leftovers, Place, Scene
from tests.faults.worker import Order

# Where runs time out: when the first one has files, and each later one has more.
STEPS_OF_TIMED_OUT = {
    "lake": ("to_parquet", "local_to_gcs"),
    "bigquery": ("check_table", "publish"),
    "postgres": ("to_parquet", "load_staging", "check_table", "publish"),
}


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id, marks=marks(case.id)) for case in LEFTOVERS])
def test_leftovers(scene: Scene, case: Promise) -> None:
    try:
        TESTS[case.id](scene)
    except BaseException:
        scene.tidy()
        raise


def _publish(scene: Scene, store: str) -> int:
    """Put the version that a store lacks where its runs read it; returns its number of rows."""
    rows = scene.other_version(store)
    scene.publish(FILE, rows)
    if store == "bigquery":
        scene.load(FILE, [STEPS["lake"]])
    return rows


def _killed_in_last_try(store: str, task_id: str, server: str, fault: Fault) -> Callable[[Scene], None]:
    def test(scene: Scene) -> None:
        rows = _publish(scene, store)
        before, proxy = scene.contents(), scene.proxies[server]
        due: list[Due] = []

        def kill(number: int, pid: int, order: Order) -> None:
            assert due[-1].reached.wait(60)
            os.kill(pid, signal.SIGKILL)

        run = scene.run(FILE, STEPS[store])
        ended = run.go(
            Hooks(
                task_id,
                before=lambda number: due.append(proxy.set(fault)),
                during=kill,
                after=lambda number: proxy.lift(),
                retries=0,
            )
        )
        assert (ended.state, ended.states[task_id]) == ("failed", "failed"), run.log()[-6000:]
        assert scene.leftovers() != Leftovers(), "the case has left nothing"
        _load_another_month(scene, store)
        check_invariants(scene, before, may_become={})
        scene.load(FILE, [STEPS[store]])
        place: Place = (store, FILE.dataset.name, str(FILE.month))
        new = {place: scene.known[rows][store]}
        assert check_invariants(scene, before, may_become=new)[place] == new[place]

    return test


def _timed_out(store: str) -> Callable[[Scene], None]:
    def test(scene: Scene) -> None:
        rows = _publish(scene, store)
        before = scene.contents()
        living = scene.run(FILE, STEPS[store])
        living.go(until=STEPS_OF_TIMED_OUT[store][-1])
        of_living = scene.leftovers()
        for task_id in STEPS_OF_TIMED_OUT[store]:
            run = scene.run(FILE, STEPS[store])
            run.go(until=task_id)
            run.time_out()
            assert scene.leftovers() != of_living
        _load_another_month(scene, store)
        assert scene.leftovers() == of_living, "only what the living run needs stays"

        assert living.go().state == "success", living.log()[-6000:]
        place: Place = (store, FILE.dataset.name, str(FILE.month))
        new = {place: scene.known[rows][store]}
        assert check_invariants(scene, before, may_become=new)[place] == new[place]

    return test


def _load_another_month(scene: Scene, store: str) -> None:
    run = scene.run(UNTOUCHED[0], STEPS[store], force=True)
    assert run.go().state == "success", run.log()[-6000:]


TESTS: dict[str, Callable[[Scene], None]] = {
    **{
        f"killed-in-last-try-of-download-in-{store}": _killed_in_last_try(
            store, "download", "source", Fault(kind=Kind.STALL, match=b"GET ", after=3000)
        )
        for store in ("lake", "postgres")
    },
    "killed-in-last-try-of-load_staging": _killed_in_last_try(
        "postgres", "load_staging", "postgres", Fault(kind=Kind.STALL, match=b"COMMIT")
    ),
    "killed-in-last-try-of-load_staging-in-bigquery": _killed_in_last_try(
        "bigquery", "load_staging", "bigquery", Fault(kind=Kind.STALL, match=JOB)
    ),
    **{f"timed-out-in-{store}": _timed_out(store) for store in STEPS_OF_TIMED_OUT},
}
