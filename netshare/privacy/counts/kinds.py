"""Kinds of flows in a private run: class (protocol and service) and group of lengths, by which hosts are counted.

kinds.by_class("src port, by class", cells, size)     # float64[classes, size], noisy, fitted to what classes there are
kinds.by_both("src host", cells, size, columns)       # float64[kinds, size]; kind = class * len(LENGTHS) + group
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netshare.privacy.counts.counting import NoisyCounts, group_of
from netshare.privacy.counts.denoising import joined, raked

LENGTHS = np.array([1, 4, 17, 65])  # records a flow, lower ends
ROUNDS, TINY = 20, 1e-12


def both_tables(name: str, by_class: float, by_length: float) -> dict[str, float]:
    """The tables that `Kinds.by_both` counts, with their shares of the budget."""
    return {f"{name}, by class": by_class, f"{name}, by length": by_length}


def kind_of(classes: np.ndarray, length: np.ndarray) -> np.ndarray:
    """int64[n]: kinds of flows of these classes and lengths."""
    return classes * len(LENGTHS) + group_of(length, LENGTHS)


@dataclass(frozen=True)
class Kinds:
    """Counts flows by kind.

    Private: classes (int64[n], -1: not counted), length and units (int64[n]) of flows. Public: `together`, float64[classes,
    groups of lengths], the noisy number of flows of each kind.
    """

    counter: NoisyCounts
    classes: np.ndarray
    length: np.ndarray
    units: np.ndarray
    together: np.ndarray

    def by_class(
        self, name: str, cells: np.ndarray, size: int, columns: np.ndarray | None = None, some: np.ndarray | None = None
    ) -> np.ndarray:
        """float64[classes, size]: `some` flows (bool[n]) by class and cell (int64[n]), whose columns are like `columns`."""
        counted = self.classes >= 0 if some is None else (self.classes >= 0) & some
        return self._table(name, self.classes, counted, cells, size, self.together.sum(axis=1), columns)

    def by_both(self, name: str, cells: np.ndarray, size: int, columns: np.ndarray, some: np.ndarray) -> np.ndarray:
        """float64[kinds, size]: the same by kind."""
        of_class, of_length = both_tables(name, 0, 0)
        by_class = self.by_class(of_class, cells, size, columns, some)
        group, rows = group_of(self.length, LENGTHS), self.together.sum(axis=0)
        by_length = self._table(of_length, group, some, cells, size, rows, columns)
        return joined(by_class, by_length, self.together).reshape(-1, size)

    def _table(
        self, name: str, row: np.ndarray, some: np.ndarray, cells: np.ndarray, size: int, rows: np.ndarray,
        columns: np.ndarray | None,
    ) -> np.ndarray:  # fmt: skip
        found = self.counter.count(name, (row * size + cells)[some], len(rows) * size, self.units[some])
        return raked(found.reshape(-1, size), rows, columns, self.counter.deviation(name))


def paired(pairs: np.ndarray, sides: tuple[np.ndarray, np.ndarray], together: np.ndarray) -> np.ndarray:
    """float64[kinds, pairs]: pairs of a source's and a destination's network (float64[classes, pairs]), such that either
    side's networks have flows of the lengths that they were counted with (float64[kinds, networks] each)."""
    groups, sizes = together.shape[1], [each.shape[1] for each in sides]
    wanted = [each.reshape(-1, groups, each.shape[1]).sum(axis=0) + 1e-9 for each in sides]
    found = together[:, :, None] * (pairs / (pairs.sum(axis=1, keepdims=True) + TINY))[:, None] + TINY
    for _ in range(ROUNDS):
        found = found * (pairs / (found.sum(axis=1) + TINY))[:, None]
        for side in (0, 1):
            has = found.sum(axis=0).reshape(groups, *sizes).sum(axis=2 - side) + 1e-9
            factor = np.expand_dims(wanted[side] / has, 2 - side)
            found = found * np.broadcast_to(factor, (groups, *sizes)).reshape(groups, -1)
        found = found * (together / (found.sum(axis=2) + TINY))[:, :, None]
    return found.reshape(-1, pairs.shape[1]) + TINY
