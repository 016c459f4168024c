"""What the months page remembers of the stores."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from nyc_taxi.months_page.looks import (
    ERROR_AGE_SECONDS,
    ERROR_CHARACTERS,
    MAX_AGE_SECONDS,
    SILENT_SECONDS,
    Look,
    Looks,
)
from nyc_taxi.registry.datasets import GREEN, YELLOW
from nyc_taxi.registry.model import Dataset
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.store import StoredMonth
from tests.nyc_taxi.stores.fakes import FakeStore
from tests.waiting import wait_until

JANUARY = Month(2021, 1)
NOW = 1_800_000_000.0


class _Store(FakeStore):
    """A store that waits for the test, and then answers or fails."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.go_on.set()
        self.answer: Callable[[], Mapping[Month | None, StoredMonth]] = dict
        self.asked = 0

    def months(self, dataset: Dataset) -> Mapping[Month | None, StoredMonth]:
        self.asked += 1
        assert self.go_on.wait(120)
        return self.answer()


class _Clock:
    """A clock that stands still until a test sets it."""

    now = NOW


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    """What the code under test takes for the time."""
    clock = _Clock()
    monkeypatch.setattr(time, "time", lambda: clock.now)
    return clock


def _rows(rows: int) -> dict[Month | None, StoredMonth]:
    return {JANUARY: StoredMonth(rows=rows, made_from="x", published_at=None)}


def _fail(error: Exception) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


def _settled(looks: Looks, store: str = "lake", *, changed_at: float = 0.0) -> Look:
    """Read until no look is under way, and the last one began after the change: it may not follow at once."""

    def settled() -> Look | None:
        look = looks.read(store, GREEN, changed_at=changed_at)
        return None if look.running or look.at < changed_at else look

    return wait_until(settled, "the look ends")


def test_the_first_reading_answers_at_once_and_looks_in_the_background() -> None:
    store = _Store()
    store.go_on.clear()
    store.answer = lambda: _rows(7)
    looks = Looks(lambda name: store)
    first = looks.read("lake", GREEN)
    assert (first.running, dict(first.months), first.at) == (True, {}, 0.0)
    store.go_on.set()
    assert _settled(looks).months == _rows(7)


def test_a_look_is_kept_until_something_has_changed(clock: _Clock) -> None:
    store = _Store()
    looks = Looks(lambda name: store)
    _settled(looks)
    clock.now += 10
    assert _settled(looks, changed_at=NOW - 1).at == NOW
    assert store.asked == 1
    store.answer = lambda: _rows(8)
    assert _settled(looks, changed_at=NOW + 5).months == _rows(8)
    assert store.asked == 2


@pytest.mark.parametrize(
    ("look", "changed_at", "again", "renewed"),
    [
        (Look(), 0.0, False, True),
        (Look(at=NOW - 10, began=NOW - 1), NOW, True, False),  # one is under way
        (Look(at=NOW - 10, seconds=0.5), NOW - 9, False, True),
        (Look(at=NOW - 10, seconds=0.5), NOW - 11, False, False),
        (Look(at=NOW - 10, seconds=5.0), NOW - 9, False, False),  # it would keep the store busy
        (Look(at=NOW - 51, seconds=5.0), NOW - 50, False, True),
        (Look(at=NOW - 10, seconds=4.0), 0.0, True, True),
        (Look(at=NOW - 10, seconds=6.0), 0.0, True, False),
        (Look(at=NOW - ERROR_AGE_SECONDS - 1, error="x"), 0.0, False, True),
        (Look(at=NOW - ERROR_AGE_SECONDS + 1, error="x"), 0.0, False, False),
    ],
)
def test_when_a_look_is_renewed(look: Look, changed_at: float, again: bool, renewed: bool) -> None:
    assert look.is_too_old(NOW, changed_at, again=again) is renewed


def test_a_store_that_does_not_answer_says_so(clock: _Clock) -> None:
    store = _Store()
    store.go_on.clear()
    looks = Looks(lambda name: store)
    looks.read("lake", GREEN)
    clock.now += SILENT_SECONDS + 10
    assert looks.read("lake", GREEN).error == "no answer for 30 seconds"
    store.go_on.set()


def test_an_old_look_is_renewed(clock: _Clock) -> None:
    store = _Store()
    looks = Looks(lambda name: store)
    _settled(looks)
    clock.now += MAX_AGE_SECONDS + 1
    assert _settled(looks).at == clock.now
    assert store.asked == 2


def test_a_store_that_fails_keeps_what_it_answered_before_and_says_why(clock: _Clock) -> None:
    store = _Store()
    store.answer = lambda: _rows(7)
    looks = Looks(lambda name: store)
    _settled(looks)
    store.answer = _fail(ConnectionError("refused\x1b[2J by\nthe server"))
    clock.now += 1
    look = _settled(looks, changed_at=clock.now)
    assert look.months == _rows(7)
    assert look.error == r"ConnectionError: refused\x1b[2J by"
    store.answer = lambda: _rows(8)
    clock.now += 1
    look = _settled(looks, changed_at=clock.now)
    assert (look.error, look.months) == ("", _rows(8))


def test_a_store_that_cannot_be_connected_is_an_error_and_not_the_end() -> None:
    def connect(name: str) -> _Store:
        raise ValueError("x" * 2000)

    look = _settled(Looks(connect))
    assert look.error == "ValueError: " + "x" * ERROR_CHARACTERS + "..."


def test_a_store_that_hangs_holds_up_no_other() -> None:
    hanging, other = _Store(), _Store()
    hanging.go_on.clear()
    other.answer = lambda: _rows(7)
    looks = Looks(lambda name: hanging if name == "postgres" else other)
    try:
        assert looks.read("postgres", GREEN).running
        assert looks.read("postgres", YELLOW).running
        assert _settled(looks, "lake").months == _rows(7)
        assert looks.read("postgres", GREEN).running
        assert hanging.asked == 1
    finally:
        hanging.go_on.set()
