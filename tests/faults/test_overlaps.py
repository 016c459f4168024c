"""Runs that overlap, and clocks that jump: newest wins, nothing is mixed, and waits end."""

from __future__ import annotations

import asyncio
import os
import pkgutil
import re
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from airflow.triggers.base import BaseTrigger
from psycopg import sql

from local.cloud.gcs import attributes
from nyc_taxi.source import publication_trigger
from tests import clients
from tests.faults.cases import Promise
from tests.faults.catalog import OVERLAPS, PUBLISH_JOB
from tests.faults.harness import REACHED_SECONDS, marks
from tests.faults.invariants import check_invariants
from tests.faults.proxy import Due, Fault, Kind
from tests.faults.runs import Ended, Hooks, Run
from tests.faults.scene import FILE, ROWS, STEPS, Place, Scene
from tests.faults.worker import Order

HOUR = 3600.0
POLL_SECONDS = 0.05


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id, marks=marks(case.id)) for case in OVERLAPS])
def test_overlap(scene: Scene, monkeypatch: pytest.MonkeyPatch, case: Promise) -> None:
    TESTS[case.id](scene, monkeypatch)


def _publish(scene: Scene, store: str, rows: int) -> None:
    """Put a version where the store's runs read it."""
    scene.publish(FILE, rows)
    if store == "bigquery":
        scene.load(FILE, [STEPS["lake"]])


def _place(store: str) -> Place:
    return store, FILE.dataset.name, str(FILE.month)


def _older_run_last(
    store: str, *, force: bool = False, older_ahead: float = 0.0, newer_ahead: float = 0.0
) -> Callable[[Scene, pytest.MonkeyPatch], None]:
    """Return the test of an older run, which may be forced; the clock of either run may be ahead."""
    task = "local_to_gcs" if store == "lake" else "publish"

    def test(scene: Scene, _: pytest.MonkeyPatch) -> None:
        newest = scene.other_version(store)
        older = next(rows for rows in ROWS.values() if rows != newest)
        _publish(scene, store, newest)
        scene.load(FILE, [STEPS[store]])
        _publish(scene, store, older)
        overtaken = scene.run(FILE, STEPS[store], force=force, ahead=older_ahead)
        overtaken.go(until=task)
        _publish(scene, store, newest)
        before = scene.contents()
        assert before[_place(store)] == scene.known[newest][store]
        new = scene.run(FILE, STEPS[store], force=True, ahead=newer_ahead)
        assert new.go().state == "success", new.log()[-6000:]

        ended = overtaken.go()
        assert ended.state == "success", overtaken.log()[-6000:]
        assert ended.states[task] == "skipped", ended.states
        check_invariants(scene, before, may_become={})

    return test


def _clock_ahead_then_back(store: str) -> Callable[[Scene, pytest.MonkeyPatch], None]:
    def test(scene: Scene, _: pytest.MonkeyPatch) -> None:
        for ahead in (HOUR, 0.0):
            rows = scene.other_version(store)
            _publish(scene, store, rows)
            before = scene.contents()
            _ended(scene.run(FILE, STEPS[store], ahead=ahead))
            place = _place(store)
            now = check_invariants(scene, before, may_become={place: scene.known[rows][store]})
            assert now[place] == scene.known[rows][store], f"the clock was {ahead} s ahead"

    return test


def _machine_clock_ahead_then_back(store: str) -> Callable[[Scene, pytest.MonkeyPatch], None]:
    def test(scene: Scene, _: pytest.MonkeyPatch) -> None:
        scene.publish(FILE, scene.other_version(store))
        for step in ("lake", "bigquery") if store == "bigquery" else (store,):
            _ended(scene.run(FILE, STEPS[step], ahead=HOUR))
            _set_server_ahead(scene, step)
        rows = scene.other_version(store)
        before = scene.contents()
        steps = ("lake", "bigquery") if store == "bigquery" else (store,)
        new = {_place(step): scene.known[rows][step] for step in steps}
        _publish(scene, store, rows)
        _ended(scene.run(FILE, STEPS[store]))
        assert check_invariants(scene, before, may_become=new)[_place(store)] == new[_place(store)]

    return test


def _set_server_ahead(scene: Scene, store: str) -> None:
    """Let what a server has just noted of the month be of a clock that was ahead; the worker's is in its mark."""
    if store == "lake":
        path = scene.settings.cloud.gcs_root / scene.settings.cloud.lake_bucket / FILE.lake_object
        found = attributes.read(path)
        for name in ("Created", "Updated"):
            found[name] = _ahead(found[name])
        found["Generation"] += int(HOUR) * 10**6
        attributes._write(path, found)
    if store == "postgres":
        with psycopg.connect(scene.settings.cloud.postgres_url("ny_taxi")) as connection:
            [comment] = connection.execute("SELECT obj_description(%s::regclass)", [f"public.{FILE.table}"]).fetchone()
            # The server has replaced the worker's mark by its own time.
            lines = [re.sub(r"(?<= at )20\S+", lambda time: _ahead(time[0]), line) for line in comment.split("\n")]
            assert "\n".join(lines) != comment
            statement = sql.SQL("COMMENT ON TABLE public.{} IS {}")
            connection.execute(statement.format(sql.Identifier(FILE.table), sql.Literal("\n".join(lines))))


def _ahead(time: str) -> str:
    return (datetime.fromisoformat(time) + timedelta(seconds=HOUR)).isoformat(timespec="microseconds")


def _machine_clock_ahead_then_back_in_rollup(scene: Scene, _: pytest.MonkeyPatch) -> None:
    _ended(scene.rollup())
    client = clients.bigquery_client(scene.settings)
    client.query(
        "UPDATE trips.yearly_rollup SET counted_at = TIMESTAMP_ADD(counted_at, INTERVAL 1 HOUR) WHERE TRUE"
    ).result()
    _publish(scene, "bigquery", scene.other_version("bigquery"))
    scene.load(FILE, [STEPS["bigquery"]])
    before = scene.contents()
    assert scene.rolled_up() != scene.in_warehouse()
    for _ in range(2):  # the second one sees the mark of the first, which is earlier than the one before
        _ended(scene.rollup())
        assert scene.rolled_up() == scene.in_warehouse()
    check_invariants(scene, before, may_become={})


def _version_returns(store: str) -> Callable[[Scene, pytest.MonkeyPatch], None]:
    task = {"lake": "local_to_gcs", "postgres": "publish"}[store]

    def test(scene: Scene, _: pytest.MonkeyPatch) -> None:
        stays = scene.other_version(store)
        _publish(scene, store, stays)
        scene.load(FILE, [STEPS[store], STEPS["bigquery"]])
        _publish(scene, store, scene.other_version(store))
        overtaken = scene.run(FILE, STEPS[store])
        overtaken.go(until=task)
        _publish(scene, store, stays)
        before = scene.contents()
        assert before[_place(store)] == scene.known[stays][store]
        assert _ended(scene.run(FILE, STEPS[store])).states["download"] == "skipped"

        assert _ended(overtaken).states[task] == "skipped", overtaken.log()[-6000:]
        assert _ended(scene.run(FILE, STEPS["bigquery"])).states["load_staging"] == "skipped"
        check_invariants(scene, before, may_become={})

    return test


def _older_rollup_last(scene: Scene, _: pytest.MonkeyPatch) -> None:
    older, newer = scene.rollup(), scene.rollup()
    older.go(until="publish")
    _publish(scene, "bigquery", scene.other_version("bigquery"))
    scene.load(FILE, [STEPS["bigquery"]])
    before = scene.contents()
    for run in (newer, older):
        _ended(run)
        assert scene.rolled_up() == scene.in_warehouse()
    check_invariants(scene, before, may_become={})


def _killed_after_every_publish(scene: Scene, _: pytest.MonkeyPatch) -> None:
    """No try lives to say that the month has arrived, so the next start has to: it finds the month unchanged."""
    rows = scene.other_version("bigquery")
    _publish(scene, "bigquery", rows)
    before, new = scene.contents(), {_place("bigquery"): scene.known[rows]["bigquery"]}
    proxy = scene.proxies["bigquery"]
    due: list[Due] = []

    def kill(number: int, pid: int, order: Order) -> None:
        assert due[-1].reached.wait(REACHED_SECONDS)
        os.kill(pid, signal.SIGKILL)

    run = scene.run(FILE, STEPS["bigquery"])
    fault = Fault(kind=Kind.STALL, match=PUBLISH_JOB)
    ended = run.go(
        Hooks(
            "publish",
            before=lambda number: due.append(proxy.set(fault)),
            during=kill,
            after=lambda number: proxy.lift(),
            retries=1,
        )
    )
    assert (ended.state, ended.updated) == ("failed", []), run.log()[-6000:]
    check_invariants(scene, before, may_become=new)  # waits for the end of the job
    assert scene.contents() == {**before, **new}

    again = _ended(scene.run(FILE, STEPS["bigquery"]))
    assert again.states["load_staging"] == "skipped"
    assert again.updated == [f"warehouse_{FILE.dataset.name}"]
    check_invariants(scene, {**before, **new}, may_become={})


def _two_runs(store: str) -> Callable[[Scene, pytest.MonkeyPatch], None]:
    def test(scene: Scene, _: pytest.MonkeyPatch) -> None:
        rows = scene.other_version(store)
        _publish(scene, store, rows)
        before = scene.contents()
        new = {_place(store): scene.known[rows][store]}
        runs = [scene.run(FILE, STEPS[store]) for _ in range(2)]
        assert scene.worker is not None
        for task in [one["task_id"] for one in scene.worker.dags[runs[0].dag_id]][1:]:
            for run in runs:
                run.go(until=task)
        assert [_ended(run).state for run in runs] == ["success", "success"]
        assert check_invariants(scene, before, may_become=new)[_place(store)] == new[_place(store)]

    return test


def _ended(run: Run) -> Ended:
    ended = run.go()
    assert ended.state == "success", run.log()[-6000:]
    return ended


def _lake_replaced_during_load(scene: Scene, _: pytest.MonkeyPatch) -> None:
    first = scene.other_version("bigquery")
    second = next(rows for rows in ROWS.values() if rows != first)
    _publish(scene, "bigquery", first)
    before = scene.contents()
    run = scene.run(FILE, STEPS["bigquery"])
    run.go(until="check_table")
    _publish(scene, "bigquery", second)
    _ended(run)
    place, lake = _place("bigquery"), _place("lake")
    now = check_invariants(
        scene,
        before,
        may_become={place: scene.known[first]["bigquery"], lake: scene.known[second]["lake"]},
    )
    assert now[place] == scene.known[first]["bigquery"]
    scene.load(FILE, [STEPS["bigquery"]])
    after = check_invariants(scene, now, may_become={place: scene.known[second]["bigquery"]})
    assert after[place] == scene.known[second]["bigquery"]


class _Clock(datetime):
    """The clock of a trigger: after each look, a test may set it off by a method of its own in place of ``looks``.

    Attributes:
        ahead: how far it is ahead.
        number: of the looks so far.
    """

    ahead = timedelta()
    number = 0

    @staticmethod
    def looks(number: int) -> None:
        """Change nothing."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        now = datetime.now(tz) + cls.ahead
        cls.number += 1
        cls.looks(cls.number)
        return now


def _wait_in(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, looks: Callable[[int], None]
) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """Return a triggerer whose clock is set off between two polls of the source, which follow each other at once."""
    monkeypatch.setattr(publication_trigger, "datetime", _Clock)
    for name, value in {"ahead": timedelta(), "looks": looks, "number": 0}.items():
        monkeypatch.setattr(_Clock, name, value)
    monkeypatch.setenv("AIRFLOW_CONN_TAXI_SOURCE", scene.variables()["AIRFLOW_CONN_TAXI_SOURCE"])

    def wait(path: str, arguments: dict[str, Any]) -> dict[str, Any]:
        made = pkgutil.resolve_name(path)(**{**arguments, "poll_seconds": POLL_SECONDS})
        return dict(asyncio.run(_first(made)))

    return wait


async def _first(trigger: BaseTrigger) -> dict[str, Any]:
    async with asyncio.timeout(REACHED_SECONDS):
        async for event in trigger.run():
            return dict(event.payload)
    raise AssertionError("the trigger ended without an event")


def _clock_jumps_forward(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is not there before the jump, and the next ordinary start after it loads what is published then."""
    rows = scene.other_version("lake")
    scene.unpublish(FILE)
    before = scene.contents()

    def looks(number: int) -> None:
        _Clock.ahead = timedelta(days=60)

    run = scene.run(FILE, STEPS["lake"], triggerer=_wait_in(scene, monkeypatch, looks))
    ended = run.go()
    assert (ended.state, set(ended.states.values())) == ("success", {"skipped"}), run.log()[-6000:]
    assert [one.state for one in ended.tries] == ["deferred", "skipped"]
    assert re.search(r"was not published within 45 days.* of the run's start; .*HTTP 404", run.log())
    assert _Clock.number == 2
    check_invariants(scene, before, may_become={})

    scene.publish(FILE, rows)
    scene.load(FILE, [STEPS["lake"]])
    new = {_place("lake"): scene.known[rows]["lake"]}
    assert check_invariants(scene, before, may_become=new)[_place("lake")] == new[_place("lake")]


def _clock_jumps_back(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file appears once the trigger has looked at the clock that was set back."""
    rows = scene.other_version("postgres")
    scene.unpublish(FILE)
    before, new = scene.contents(), {_place("postgres"): scene.known[rows]["postgres"]}

    def looks(number: int) -> None:
        _Clock.ahead = -timedelta(days=365)
        if number == 2:
            scene.publish(FILE, rows)

    run = scene.run(FILE, STEPS["postgres"], triggerer=_wait_in(scene, monkeypatch, looks))
    ended = _ended(run)
    assert [one.state for one in ended.of("wait_for_publication")] == ["deferred", "success"]
    assert check_invariants(scene, before, may_become=new)[_place("postgres")] == new[_place("postgres")]


TESTS: dict[str, Callable[[Scene, pytest.MonkeyPatch], None]] = {
    "older-run-last-in-lake": _older_run_last("lake"),
    "older-run-last-in-bigquery": _older_run_last("bigquery"),
    "older-run-last-in-postgres": _older_run_last("postgres"),
    **{f"older-forced-run-last-in-{store}": _older_run_last(store, force=True) for store in STEPS},
    **{
        f"older-run-after-clock-ahead-in-{store}": _older_run_last(store, newer_ahead=HOUR)
        for store in ("lake", "postgres")
    },
    **{
        f"older-run-had-clock-ahead-in-{store}": _older_run_last(store, older_ahead=HOUR)
        for store in ("lake", "postgres")
    },
    **{f"clock-ahead-then-back-in-{store}": _clock_ahead_then_back(store) for store in ("lake", "postgres")},
    **{f"machine-clock-ahead-then-back-in-{store}": _machine_clock_ahead_then_back(store) for store in STEPS},
    "machine-clock-ahead-then-back-in-rollup": _machine_clock_ahead_then_back_in_rollup,
    **{f"version-returns-in-{store}": _version_returns(store) for store in ("lake", "postgres")},
    "older-rollup-last": _older_rollup_last,
    "killed-after-every-publish": _killed_after_every_publish,
    "two-runs-in-lake": _two_runs("lake"),
    "two-runs-in-bigquery": _two_runs("bigquery"),
    "two-runs-in-postgres": _two_runs("postgres"),
    "lake-replaced-during-load": _lake_replaced_during_load,
    "clock-jumps-forward-in-wait": _clock_jumps_forward,
    "clock-jumps-back-in-wait": _clock_jumps_back,
}
