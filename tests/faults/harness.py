"""Causes a declared fault at its step: the run ends as promised, all stores stay whole, and the next start loads."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from nyc_taxi.stores.store import Content
from tests.faults import disks
from tests.faults.cases import Act, Case, Ends, Lasts, one_of_each_fault
from tests.faults.catalog import CASES, LEFTOVERS, OVERLAPS
from tests.faults.invariants import check_invariants
from tests.faults.memory import memory_group, reason_without
from tests.faults.proxy import Due, Kind
from tests.faults.runs import Ended, Hooks
from tests.faults.scene import FILE, STEPS, Place, Scene
from tests.faults.worker import Order

# Seconds until a fault is reached, on a busy machine.
REACHED_SECONDS = 240.0
# Retries of a task whose fault lasts; the declared three would only take longer.
RETRIES = 1
# Seconds that a stopped task stays stopped.
PAUSE_SECONDS = 0.2


@dataclass
class Fault:
    """A case's fault, set and lifted around the tries of its task."""

    scene: Scene
    case: Case
    due: Due | None = None
    kills: int = 0
    held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def hooks(self) -> Hooks:
        """Return what happens at the case's task; a memory cgroup is made now, and removed when the fault is lifted."""
        case = self.case
        group = self.held.enter_context(memory_group(case.memory)) if case.memory else None
        if group is not None:
            self.held.callback(lambda: setattr(self, "kills", group.kills))
        return Hooks(
            case.task,
            before=self._before,
            during=self._during,
            after=self._after,
            limits=case.limits,
            patches=case.patches,
            hang=case.hang,
            full=case.full,
            disk={} if case.server else case.disk,
            group="" if group is None else str(group.folder),
            timeout=case.timeout,
            retries=RETRIES if case.lasts is Lasts.TRIES else None,
        )

    def _before(self, number: int) -> None:
        if number == 1 and self.case.fault is not None:
            self.due = self.scene.proxies[self.case.server].set(self.case.fault)
        if number == 1 and self.case.disk and self.case.server:
            self.held.enter_context(self.scene.small_disk_of(self.case.server, self.case.disk["bytes"]))

    def _during(self, number: int, pid: int, order: Order) -> None:
        if number != 1 or self.case.act is Act.NOTHING:
            return
        if self.case.hang:
            _await(Path(f"{order.result}.hangs").exists)
        else:
            assert self.due is not None
            assert self.due.reached.wait(REACHED_SECONDS), "the fault was not reached"
        match self.case.act:
            case Act.KILL:
                os.kill(pid, signal.SIGKILL)
            case Act.PAUSE:
                os.kill(pid, signal.SIGSTOP)
                time.sleep(PAUSE_SECONDS)
                self.scene.proxies[self.case.server].lift()
                os.kill(pid, signal.SIGCONT)
            case Act.RESTART:
                self.scene.kill_server(self.case.server)
                self.scene.proxies[self.case.server].lift()
                self.scene.cloud("up", self.case.server)

    def _after(self, number: int) -> None:
        if self.case.lasts is not Lasts.TRIES or number > RETRIES:
            self.lift()

    def has_harmed(self, ended: Ended) -> bool:
        """Whether the fault has done what it is for; must be lifted."""
        fault = self.case.fault
        if fault is not None and fault.kind is Kind.REFUSE and fault.times is None:
            return ended.of(self.case.task)[0].state != "success"  # only the client sees what is refused
        if self.due is not None:
            return self.due.reached.is_set()
        return self.kills == len(ended.of(self.case.task)) if self.case.memory else True

    def lift(self) -> None:
        self.held.close()
        if self.case.server:
            self.scene.proxies[self.case.server].lift()


def _await(condition: object) -> None:
    deadline = time.monotonic() + REACHED_SECONDS
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "the moment of the fault was not reached"
        time.sleep(0.01)


QUICK = {case.id for case in CASES if case.quick}
IN_TEST_ALL = one_of_each_fault([*(case.promise for case in CASES), *OVERLAPS, *LEFTOVERS], QUICK)


def parameters(store: str) -> list[ParameterSet]:
    """Return the cases of the runs that load a store, each with the mark of the command that runs it."""
    return [pytest.param(case, id=case.id, marks=marks(case.id)) for case in CASES if case.store == store]


def marks(case_id: str) -> tuple[pytest.MarkDecorator, ...]:
    """Return the marks of a case: ``make test`` runs the quick ones, ``make test-all`` one of each other fault."""
    if case_id in QUICK:
        return ()
    return (pytest.mark.full,) if case_id in IN_TEST_ALL else (pytest.mark.full, pytest.mark.every_step)


def check_case(scene: Scene, case: Case) -> None:
    """Cause the fault in a run, and check its end, the stores, what is left over, and the next start."""
    if case.disk and not (os.getuid() == 0 if case.server else disks.can_mount()):
        pytest.skip("this machine lets no test mount a small disk")
    if case.memory and (reason := reason_without()):
        pytest.skip(reason)
    try:
        _check(scene, case)
    except BaseException:
        scene.tidy()
        raise


def check_rollup_case(scene: Scene, case: Case) -> None:
    """Cause the fault in a rollup, after one of its months has changed: it counts the months as they are."""
    scene.publish(FILE, scene.other_version("bigquery"))
    scene.load(FILE, [STEPS["lake"], STEPS["bigquery"]])
    before = scene.contents()
    fault, run = Fault(scene, case), scene.rollup()
    try:
        ended = run.go(fault.hooks())
        fault.lift()
        assert fault.has_harmed(ended), f"the fault has harmed nothing:\n{run.log()[-6000:]}"
        check_end(case, ended, run.log())
        check_invariants(scene, before, may_become={})
        assert scene.rolled_up() == scene.in_warehouse()
    except BaseException:
        scene.tidy()
        raise


def _check(scene: Scene, case: Case) -> None:
    step = STEPS[case.store]
    rows = scene.other_version(case.store)
    scene.publish(FILE, rows)
    if case.store == "bigquery":
        scene.load(FILE, [STEPS["lake"]])
    if case.unchanged:
        scene.load(FILE, [step])
    before = scene.contents()
    place: Place = (case.store, FILE.dataset.name, str(FILE.month))
    new = {place: scene.known[rows][case.store]}
    assert (before[place] == new[place]) is case.unchanged

    fault = Fault(scene, case)
    try:
        ended, log = scene.go(FILE, step, fault.hooks())
    finally:
        fault.lift()

    assert fault.has_harmed(ended), f"the fault has harmed nothing:\n{log[-6000:]}"
    check_end(case, ended, log)
    now = check_invariants(scene, before, may_become=new)
    if ended.state == "success":
        assert now[place] == new[place]
    _check_next_start(scene, case, now, new)


def check_end(case: Case, ended: Ended, log: str) -> None:
    """Check that a run has ended as its case promises, and that each try that failed says why."""
    tries = ended.of(case.fails_at or case.task)
    shown = f"{[(one.state, one.error[:300]) for one in tries]}\n{log[-6000:]}"
    if case.ends is Ends.FAILED:
        assert ended.state == "failed", shown
        assert tries[-1].state == "failed", shown
    else:
        # A check that only warns ends as skipped if the rows do not meet it.
        assert ended.state == "success", shown
        assert tries[-1].state in ({"success", "skipped"} if case.task == "check_warnings" else {"success"}), shown
    if case.ends is Ends.UNHARMED:
        assert len(tries) == 1, shown
    if case.ends is Ends.RETRIED:
        assert len(tries) == 2, shown
    for one in tries:
        if one.state in ("failed", "up_for_retry"):
            assert case.cause, shown
            assert one.error, shown
            assert re.search(case.cause, one.error, re.DOTALL), shown


def _check_next_start(scene: Scene, case: Case, now: dict[Place, Content], new: dict[Place, Content]) -> None:
    """What failed is loaded by the next ordinary start; what was loaded is unchanged, and skipped."""
    ended, log = scene.go(FILE, STEPS[case.store])
    assert ended.state == "success", log[-6000:]
    loads = {"lake": "local_to_gcs", "bigquery": "load_staging", "postgres": "load_staging"}[case.store]
    was_loaded = all(now[place] == content for place, content in new.items())
    assert ended.states[loads] == ("skipped" if was_loaded else "success"), ended.states
    after = check_invariants(scene, now, may_become=new)
    assert {place: after[place] for place in new} == new
