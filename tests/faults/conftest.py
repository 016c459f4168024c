"""The scene of the fault suite, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.scene import Scene


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A running scene, with all months loaded."""
    scene = Scene(tmp_path_factory.mktemp("faults"))
    try:
        scene.start()
        scene.load_both_versions()
        yield scene
    finally:
        scene.stop()
