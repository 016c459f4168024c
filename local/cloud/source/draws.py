"""Random draws that come out the same on every machine.

Only the raw 64-bit output of PCG64 is used, which NumPy promises never to change, and only integer arithmetic after it:
floating-point functions may differ in the last bit from one processor to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Draws:
    """A stream of draws; the same ``key`` gives the same stream."""

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def below(self, bound: int, count: int) -> Ints:
        """``count`` whole numbers from 0 to ``bound`` - 1, for a ``bound`` of up to 2**31."""
        return ((self._raw(count) * np.uint64(bound)) >> np.uint64(32)).astype(np.int64)

    def between(self, low: int, high: int, count: int) -> Ints:
        """``count`` whole numbers from ``low`` to ``high``, both included."""
        return low + self.below(high - low + 1, count)

    def chance(self, per_million: int, count: int) -> Bools:
        """``count`` truth values, true in ``per_million`` of a million."""
        return self.below(1_000_000, count) < per_million

    def pick(self, table: Ints, count: int) -> Ints:
        """``count`` elements of ``table``, each as likely as the others."""
        return table[self.below(len(table), count)]

    def _raw(self, count: int) -> npt.NDArray[np.uint64]:
        return np.asarray(self._bits.random_raw(count), dtype=np.uint64) >> np.uint64(32)


def weighted(weights: Mapping[int, int]) -> Ints:
    """A table for ``pick``: each key as often as its weight says."""
    return np.repeat(np.array(list(weights), dtype=np.int64), np.array(list(weights.values())))


def quantiles(points: Sequence[tuple[int, int]], *, size: int = 10_000) -> Ints:
    """A table for ``pick`` with the distribution that ``points`` outline.

    Args:
        points: pairs of a share in per mille, from 0 to 1000, and the value that this share of all draws lies below.
        size: length of the table, a multiple of 1000.
    """
    parts = []
    for (low, first), (high, last) in pairwise(points):
        steps = (high - low) * size // 1000
        parts.append(first + np.arange(steps, dtype=np.int64) * (last - first) // max(steps, 1))
    return np.concatenate(parts)
