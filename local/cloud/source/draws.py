"""Random draws that are reproducible on every machine.

Uses only the raw 64-bit output of PCG64, which NumPy guarantees to be stable, and integer arithmetic: floating-point
functions may differ in the last bit between processors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Draws:
    """A stream of random draws; equal keys give equal streams."""

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def below(self, bound: int, count: int) -> Ints:
        """Draw ``count`` integers from 0 to ``bound`` - 1; ``bound`` is at most 2**31."""
        return ((self._raw(count) * np.uint64(bound)) >> np.uint64(32)).astype(np.int64)

    def between(self, low: int, high: int, count: int) -> Ints:
        """Draw ``count`` integers from ``low`` to ``high``, both included."""
        return low + self.below(high - low + 1, count)

    def chance(self, per_million: int, count: int) -> Bools:
        """Draw ``count`` booleans that are true with a probability of ``per_million`` in a million."""
        return self.below(1_000_000, count) < per_million

    def pick(self, table: Ints, count: int) -> Ints:
        """Draw ``count`` elements of ``table`` with equal probability."""
        return table[self.below(len(table), count)]

    def _raw(self, count: int) -> npt.NDArray[np.uint64]:
        return np.asarray(self._bits.random_raw(count), dtype=np.uint64) >> np.uint64(32)


def weighted(weights: Mapping[int, int]) -> Ints:
    """Return a table for ``pick`` that has each key as often as its weight."""
    return np.repeat(np.array(list(weights), dtype=np.int64), np.array(list(weights.values())))


def quantiles(points: Sequence[tuple[int, int]], *, size: int = 10_000) -> Ints:
    """Return a table for ``pick`` with the distribution given by quantiles.

    Args:
        points: pairs of a share in per mille, from 0 to 1000, and the value below which this share of draws is.
        size: length of the table, a multiple of 1000.
    """
    parts = []
    for (low, first), (high, last) in pairwise(points):
        steps = (high - low) * size // 1000
        parts.append(first + np.arange(steps, dtype=np.int64) * (last - first) // max(steps, 1))
    return np.concatenate(parts)
