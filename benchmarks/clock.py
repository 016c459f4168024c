"""The clock inside a measured program, whose last line of output ``benchmarks.measure`` reads.

Only the standard library: the programs run in several environments.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def clock() -> Iterator[dict[str, float]]:
    """Time the block; yields the figures for ``report``, to which the caller may add others."""
    figures: dict[str, float] = {}
    begin = time.perf_counter()
    yield figures
    figures["seconds"] = time.perf_counter() - begin


def report(figures: dict[str, float]) -> None:
    """Print the figures as the last line of the program's output."""
    print(json.dumps(figures), flush=True)
