"""The nearest row of a table of vectors in which many rows differ only in the last two dimensions.

IP2Vec's table is like that: tens of thousands of ports share the ten dimensions of their range. A k-d tree over all
twelve has to look at most of them for a vector that lies between ranges. Here a range is ruled out as a whole, by its
ten dimensions, or searched in the two others. The answer is exact.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

MAX_GROUPS = 4096  # beyond, the rows have little in common and one tree over all dimensions serves better
BLOCK = 4096  # queries at a time


class NearestRow:
    """Exact nearest neighbour among the rows of float[n, d], d > 2, which must be distinct."""

    def __init__(self, vectors: np.ndarray) -> None:
        table = vectors.astype(np.float64)
        shared, group, size = np.unique(table[:, :-2], axis=0, return_inverse=True, return_counts=True)
        self._tree = cKDTree(table, leafsize=128) if len(shared) > MAX_GROUPS else None
        self._lone_rows = np.flatnonzero(size[group] == 1)
        self._lone = table[self._lone_rows]
        self._groups: list[tuple[np.ndarray, np.ndarray, cKDTree]] = []
        for index in np.flatnonzero(size > 1) if self._tree is None else ():
            rows = np.flatnonzero(group == index)
            self._groups.append((shared[index], rows, cKDTree(table[rows, -2:])))

    def __call__(self, queries: np.ndarray) -> np.ndarray:
        """int64[m]: the row nearest to each of float[m, d]."""
        queries = np.asarray(queries, np.float64)
        if self._tree is not None:
            return self._tree.query(queries)[1]
        blocks = [self._block(queries[start : start + BLOCK]) for start in range(0, len(queries), BLOCK)]
        return np.concatenate([np.zeros(0, np.int64), *blocks])

    def _block(self, queries: np.ndarray) -> np.ndarray:
        best, row = np.full(len(queries), np.inf), np.zeros(len(queries), np.int64)
        if len(self._lone_rows):
            squared = (queries**2).sum(axis=1)[:, None] - 2 * queries @ self._lone.T + (self._lone**2).sum(axis=1)
            nearest = squared.argmin(axis=1)
            best, row = squared[np.arange(len(queries)), nearest], self._lone_rows[nearest]
        for shared, rows, tree in self._groups:
            apart = ((queries[:, :-2] - shared) ** 2).sum(axis=1)
            near = np.flatnonzero(apart < best)
            distance, found = tree.query(queries[near, -2:])
            total = apart[near] + distance**2
            better = total < best[near]
            best[near[better]], row[near[better]] = total[better], rows[found[better]]
        return row
