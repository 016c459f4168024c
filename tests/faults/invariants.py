"""The one function that checks what must hold after every fault and every recovery."""

from __future__ import annotations

from collections.abc import Mapping

from nyc_taxi.stores.store import Content
from tests.faults.scene import Leftovers, Place, Scene


def check_invariants(
    scene: Scene, before: Mapping[Place, Content], *, may_become: Mapping[Place, Content]
) -> dict[Place, Content]:
    """Assert that every store is whole and that nothing is left over, by the stores' own clients and content hashes.

    Args:
        scene: where the fault was.
        before: all contents before the fault.
        may_become: the new contents of the places that may have changed; all others must be as before.

    Returns:
        All contents now.
    """
    now = scene.contents()
    for place, content in now.items():
        allowed = {before[place], may_become.get(place, before[place])}
        assert content in allowed, f"{place} has {content}; it had {before[place]}, and may have one of {allowed}"
    assert scene.leftovers() == Leftovers()
    return now
