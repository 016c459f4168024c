"""The short form of ``make soak``."""

from __future__ import annotations

import pytest

from tests.faults.scene import Scene
from tests.faults.soak import FILES, MONTHS, soak

RUNS = 12
SEED = 20211


@pytest.mark.full
def test_short_soak(tmp_path_factory: pytest.TempPathFactory) -> None:
    files = [file for file in FILES if file.month in (MONTHS[0], None)]
    scene = Scene(tmp_path_factory.mktemp("soak"))
    try:
        scene.start()
        ended = soak(scene, runs=RUNS, seed=SEED, files=files)
    finally:
        scene.stop()
    assert sum(ended.values()) == RUNS
