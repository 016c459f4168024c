"""The short form of ``make soak``, and what a soak would notice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nyc_taxi.registry.datasets import FHVHV, GREEN, YELLOW, ZONES
from nyc_taxi.stores.store import NOTHING, Content
from tests.faults import soak as soak_module
from tests.faults.scene import Place, Scene
from tests.faults.soak import MONTHS, Stores, soak

RUNS = 4
SEED = 20211
OURS: Place = ("lake", "green", "2021-01")
OTHER: Place = ("postgres", "yellow", "2021-01")
OLD, NEW = Content(120, 1), Content(150, 2)


@pytest.mark.full
def test_short_soak(tmp_path_factory: pytest.TempPathFactory) -> None:
    files = [GREEN.file(MONTHS[0]), FHVHV.file(MONTHS[0]), ZONES.file()]
    scene = Scene(tmp_path_factory.mktemp("soak"))
    try:
        scene.start()
        ended = soak(scene, runs=RUNS, seed=SEED, files=files)
    finally:
        scene.stop()
    assert sum(ended.values()) >= RUNS  # some of them overlap, and count as two


@pytest.fixture
def contents() -> dict[Place, Content]:
    """What the stores have; a test changes it."""
    return {OURS: NOTHING, OTHER: NOTHING}


@pytest.fixture
def stores(contents: dict[Place, Content]) -> Stores:
    """Stores whose month was loaded in its old version."""
    scene: Any = SimpleNamespace(contents=lambda files: dict(contents))
    found = Stores(scene, [GREEN.file(MONTHS[0]), YELLOW.file(MONTHS[0])])
    contents[OURS] = OLD
    found.check(OURS, may_have={OLD.rows})
    return found


def test_a_month_that_was_loaded_is_accepted(stores: Stores, contents: dict[Place, Content]) -> None:
    contents[OURS] = NEW
    stores.check(OURS, may_have={NEW.rows})
    assert stores.versions == {OURS: NEW.rows, OTHER: 0}


def test_a_lost_update_is_noticed(stores: Stores) -> None:
    with pytest.raises(AssertionError, match=r"has 120 rows, and may have \[150\]"):
        stores.check(OURS, may_have={NEW.rows})


def test_a_change_of_another_month_is_noticed(stores: Stores, contents: dict[Place, Content]) -> None:
    contents[OTHER] = NEW
    with pytest.raises(AssertionError, match=r"'yellow', '2021-01'\) has 150 rows, and may have \[0\]"):
        stores.check(OURS, may_have={OLD.rows})


def test_other_rows_in_the_same_number_are_noticed(stores: Stores, contents: dict[Place, Content]) -> None:
    contents[OURS] = Content(OLD.rows, 3)
    with pytest.raises(AssertionError, match="the version with these rows was"):
        stores.check(OURS, may_have={OLD.rows})


def test_every_error_has_the_seed_and_the_steps_done(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self, *_: object) -> None:
            """Like a soak."""

        def run(self, number: int) -> None:
            if number == 3:
                raise OSError("the third step")

    monkeypatch.setattr(soak_module, "Soak", Broken)
    scene: Any = None
    with pytest.raises(OSError, match="the third step") as caught:
        soak(scene, runs=5, seed=42)
    assert caught.value.__notes__ == ["after 2 of 5 steps of the soak; repeat it with: make soak SEED=42 RUNS=5"]
