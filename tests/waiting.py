"""Waits for what another thread or process does: for as long as a slow machine may need, and no longer than it does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Only a wrong program needs so long, also on a busy machine; a right one costs no more than it takes.
SECONDS = 120.0


def wait_until(condition: Callable[[], T | None], what: str, *, poll: float = 0.01) -> T:
    """Wait until ``condition`` returns something that counts as true, and return that."""
    deadline = time.monotonic() + SECONDS
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited {SECONDS:g} s in vain until {what}"
        time.sleep(poll)
    return result
