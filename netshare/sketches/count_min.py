"""Count-Min: never underestimates (Cormode and Muthukrishnan, "An improved data stream summary: the count-min
sketch and its applications", Journal of Algorithms 55, 2005).

With w counters in each of d rows and N occurrences in all, an estimate is too high by more than e N / w with a
probability of at most e^-d (theorem 1).
"""

from __future__ import annotations

import numpy as np

from netshare.sketches.base import Sketch, row_width
from netshare.sketches.hashing import HashFamily


class CountMin(Sketch):
    """Each key counts in one bucket of every row; its estimate is the smallest of them."""

    def __init__(self, memory: int, seed: int, depth: int = 4) -> None:
        self.memory = memory
        self.table = np.zeros((depth, row_width(memory, depth)), np.int64)
        self._hash = HashFamily(depth, np.random.default_rng(seed))

    def estimate(self, keys: np.ndarray) -> np.ndarray:
        """float64[n]: never below the true count."""
        keys = np.asarray(keys, np.uint64)
        width = self.table.shape[1]
        counters = [row[self._hash.buckets(keys, i, width)] for i, row in enumerate(self.table)]
        return np.min(counters, axis=0).astype(np.float64)

    def _add(self, keys: np.ndarray, counts: np.ndarray) -> None:
        width = self.table.shape[1]
        for i, row in enumerate(self.table):
            np.add.at(row, self._hash.buckets(keys, i, width), counts)
