"""Strata of flows: a stratum is a class of flows (protocol and service) together with a group of lengths.

Hosts, ports and networks are counted by class and by group of lengths. What flows of both have, that is, of a stratum, is
estimated from these two tables (iterative proportional fitting).

    strata = Strata(counter, classes, length, units, together)
    strata.count_by_class("src port, by class", cells, size)         # float64[classes, size]
    strata.count_by_stratum("src host", cells, size, totals, rows)   # float64[strata, size]

Private: the classes, lengths and units of flows, and the cells to be counted. Public: `together` (noisy counts), and what
comes out. Sensitivity: each table is one of `NoisyCounts`; a flow is in one cell of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netshare.privacy.counts.bins import bin_of
from netshare.privacy.counts.counting import NoisyCounts
from netshare.privacy.counts.denoising import TINY, fitted_to_margins, raked

LENGTH_GROUPS = np.array([1, 4, 17, 65])  # records a flow, lower ends of groups
PAIRING_ROUNDS = 20  # of iterative proportional fitting


def stratum_tables(name: str, by_class: float, by_length: float) -> dict[str, float]:
    """The tables that `Strata.count_by_stratum` counts, with their shares of the budget."""
    return {f"{name}, by class": by_class, f"{name}, by length": by_length}


def stratum_of(classes: np.ndarray, length: np.ndarray) -> np.ndarray:
    """int64[n]: the strata of flows of these classes and lengths (int64[n] each)."""
    return classes * len(LENGTH_GROUPS) + bin_of(length, LENGTH_GROUPS)


@dataclass(frozen=True)
class Strata:
    """Counts flows by class, and by stratum.

    Attributes:
        classes: int64[n], the class of each flow, -1 for flows that are not counted. Private.
        length: int64[n], records of each flow. Private.
        units: int64[n], the unit that each flow belongs to. Private.
        together: float64[classes, groups of lengths], the noisy number of flows of each stratum.
    """

    counter: NoisyCounts
    classes: np.ndarray
    length: np.ndarray
    units: np.ndarray
    together: np.ndarray

    def count_by_class(
        self,
        name: str,
        cells: np.ndarray,
        size: int,
        totals: np.ndarray | None = None,
        counted: np.ndarray | None = None,
    ) -> np.ndarray:
        """float64[classes, size]: noisy counts of flows by class and cell, whose rows add up to the classes' sizes.

        Args:
            name: of the table.
            cells: int64[n], the cell of each flow, below `size`.
            totals: float64[size], noisy counts of each cell over all classes, which the table's columns are fitted to.
            counted: bool[n], the flows that are counted; all where not given.
        """
        some = self.classes >= 0 if counted is None else (self.classes >= 0) & counted
        return self._table(name, self.classes, some, cells, size, self.together.sum(axis=1), totals)

    def count_by_stratum(
        self, name: str, cells: np.ndarray, size: int, totals: np.ndarray, counted: np.ndarray
    ) -> np.ndarray:
        """float64[strata, size]: the same by stratum, from a table by class and one by length."""
        of_class, of_length = stratum_tables(name, 0, 0)
        by_class = self.count_by_class(of_class, cells, size, totals, counted)
        group, rows = bin_of(self.length, LENGTH_GROUPS), self.together.sum(axis=0)
        by_length = self._table(of_length, group, counted, cells, size, rows, totals)
        return fitted_to_margins(by_class, by_length, self.together).reshape(-1, size)

    def _table(
        self, name: str, row: np.ndarray, some: np.ndarray, cells: np.ndarray, size: int, rows: np.ndarray,
        totals: np.ndarray | None,
    ) -> np.ndarray:  # fmt: skip
        found = self.counter.count(name, (row * size + cells)[some], len(rows) * size, self.units[some])
        return raked(found.reshape(-1, size), rows, totals, self.counter.deviation(name))


def network_pairs(pairs: np.ndarray, sides: tuple[np.ndarray, np.ndarray], together: np.ndarray) -> np.ndarray:
    """float64[strata, pairs]: flows of each stratum between each pair of networks, such that each network has as many
    flows of each group of lengths as were counted for it.

    Args:
        pairs: float64[classes, pairs]; pair = source network * number of destination networks + destination network.
        sides: float64[strata, networks] for sources and for destinations.
        together: float64[classes, groups of lengths].
    """
    groups, sizes = together.shape[1], [each.shape[1] for each in sides]
    wanted = [each.reshape(-1, groups, each.shape[1]).sum(axis=0) + 1e-9 for each in sides]
    found = together[:, :, None] * (pairs / (pairs.sum(axis=1, keepdims=True) + TINY))[:, None] + TINY
    for _ in range(PAIRING_ROUNDS):
        found = found * (pairs / (found.sum(axis=1) + TINY))[:, None]
        for side in (0, 1):
            has = found.sum(axis=0).reshape(groups, *sizes).sum(axis=2 - side) + 1e-9
            factor = np.expand_dims(wanted[side] / has, 2 - side)
            found = found * np.broadcast_to(factor, (groups, *sizes)).reshape(groups, -1)
        found = found * (together / (found.sum(axis=2) + TINY))[:, :, None]
    return found.reshape(-1, pairs.shape[1]) + TINY
