"""Count Sketch: unbiased (Charikar, Chen and Farach-Colton, "Finding frequent items in data streams", ICALP 2002).

With w counters a row, one row's estimate has a variance of at most F2 / w, F2 the sum of all squared counts; so it
is off by more than sqrt(3 F2 / w) with a probability of at most 1/3, and the median over rows ever more rarely (lemmas
1-3).
"""

from __future__ import annotations

import numpy as np

from netshare.sketches.base import Sketch, row_width
from netshare.sketches.hashing import HashFamily


class CountSketch(Sketch):
    """Each key counts, with a random sign, in one bucket of every row; its estimate is the median."""

    def __init__(self, memory: int, seed: int, depth: int = 5) -> None:
        self.memory = memory
        self.table = np.zeros((depth, row_width(memory, depth)), np.int64)
        rng = np.random.default_rng(seed)
        self._hash, self._sign = HashFamily(depth, rng), HashFamily(depth, rng)

    def estimate(self, keys: np.ndarray) -> np.ndarray:
        """float64[n]: median of the rows' estimates; may be negative."""
        keys = np.asarray(keys, np.uint64)
        return np.median(self.row_estimates(keys), axis=0) if len(keys) else np.zeros(0)

    def row_estimates(self, keys: np.ndarray) -> np.ndarray:
        """float64[depth, n]: what each row says."""
        width = self.table.shape[1]
        rows = [r[self._hash.buckets(keys, i, width)] * self._sign.signs(keys, i) for i, r in enumerate(self.table)]
        return np.array(rows, np.float64)

    def _add(self, keys: np.ndarray, counts: np.ndarray) -> None:
        for i in range(len(self.table)):
            self._add_to_row(i, keys, counts)

    def _add_to_row(self, i: int, keys: np.ndarray, counts: np.ndarray) -> None:
        buckets = self._hash.buckets(keys, i, self.table.shape[1])
        np.add.at(self.table[i], buckets, counts * self._sign.signs(keys, i))
