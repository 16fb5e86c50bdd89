"""Noisy histograms: how many units fall into each cell of a table, by the Gaussian mechanism.

    noise = CountingNoise(multiplier=1.1, bound=1.0, randomness=SecureRandomness())
    counts = NoisyCounts({"protocol": 1.0, "ports": 3.0}, noise)
    counts.count("protocol", protocol, size=256, units=flow)     # float64[256]

Private: cells, units, weights, and the values given to `release`. Public: names and sizes of tables, their shares of the
budget, and the noise's standard deviation. What comes out is differentially private and may be used at will.

Sensitivity: all tables together are one Gaussian mechanism. A unit's entries in each table are scaled down to a Euclidean
norm of at most `bound`, and table t gets noise of standard deviation

    multiplier * bound * sqrt(sum of all shares / share of t)

in each cell. So a unit changes all tables together, each divided by the standard deviation of its noise, by a vector of
norm at most 1 / multiplier. Which cells a table has may depend on the noisy counts of earlier tables (adaptive
composition of Gaussian mechanisms is a Gaussian mechanism: Dong, Roth, Su, "Gaussian differential privacy", 2022); the
shares may not.

Exactness: counts are added up as whole numbers of steps on a grid (`Grid`), and the noise is the discrete Gaussian on
that grid, so that a noisy count is a whole number of steps, whoever is in the input. A unit's entries are rounded to the
grid one unit at a time, and lowered where that brought their norm above the bound. So a unit changes the sum by a vector
of integers whose norm is at most that of the bound, exactly, and no order of additions matters.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from netshare.preprocess.errors import ConfigError
from netshare.privacy.discrete_gaussian import MAX_EXPONENT
from netshare.privacy.noise import Randomness

MAX_STEPS = 2**31  # of a unit in a table, so that the squares of its entries add up within 64 bits
MARGIN = 1 - 1e-6
"""A unit changes a table by so much less than accounted for. That covers floating-point errors in working out the grid, and
the difference between the discrete Gaussian and the continuous one that the accountant composes (docs/privacy.md)."""


@dataclass(frozen=True)
class CountingNoise:
    """The noise of all tables together.

    Attributes:
        multiplier: standard deviation of the noise over the norm by which a unit can change the tables; the noise
            multiplier that the accountant is asked for.
        bound: Euclidean norm that a unit's entries in one table are clipped to.
        randomness: where the noise comes from.
    """

    multiplier: float
    bound: float
    randomness: Randomness


@dataclass(frozen=True)
class Grid:
    """The grid that a table is counted on.

    Attributes:
        exponent: the noise's standard deviation is 2**exponent steps.
        norm: the Euclidean norm, in steps, that a unit may change the table by; at most 2**exponent over the ratio of the
            noise's standard deviation to that norm which was asked for.
    """

    exponent: int
    norm: int

    @classmethod
    def of(cls, ratio: float) -> Grid:
        """The finest grid whose noise has at least `ratio` times the norm that a unit may change the table by.

        Raises:
            ConfigError: so much noise that a unit is less than one step.
        """
        exponent = min(MAX_EXPONENT, max(0, math.floor(math.log2(MAX_STEPS * ratio))))
        norm = min(MAX_STEPS, math.floor(2**exponent / ratio * MARGIN))
        if norm < 1:
            raise ConfigError(
                f"privacy: noise of {ratio:,.0f} times what a unit may change a table by leaves nothing of the counts; "
                "raise epsilon"
            )
        return cls(exponent, norm)


class NoisyCounts:
    """Counts tables, each once; see the module's docstring.

    Args:
        shares: of the budget, by table; they need not add up to 1.
    """

    def __init__(self, shares: Mapping[str, float], noise: CountingNoise) -> None:
        self.shares, self.noise = dict(shares), noise
        self._counted: set[str] = set()

    def grid(self, table: str) -> Grid:
        """What a table is counted on."""
        return Grid.of(self.noise.multiplier * math.sqrt(sum(self.shares.values()) / self.shares[table]))

    def deviation(self, table: str, *, sensitivity: float | None = None) -> float:
        """Standard deviation of the noise in each cell of a table; `sensitivity` where it is one of `release`."""
        grid = self.grid(table)
        if sensitivity is None:
            return 2**grid.exponent * self.noise.bound / grid.norm
        return 2**grid.exponent / _steps_of_one(grid, sensitivity)

    def count(
        self, table: str, cells: np.ndarray, size: int, units: np.ndarray, weights: np.ndarray | None = None
    ) -> np.ndarray:
        """float64[size]: the weight in each cell, with noise.

        Sensitivity: `bound`, since each unit's entries are clipped to that norm (`clipped_sum`).

        Args:
            cells: int64[n], the cell of each entry, below `size`.
            units: int64[n], the unit that each entry belongs to.
            weights: float64[n]; 1 where not given.

        Raises:
            RuntimeError: the table was counted before: its share of the budget is spent.
        """
        grid, bound = self.grid(table), self.noise.bound
        exact = clipped_sum(cells, size, units, weights, bound=bound, norm=grid.norm)
        return self._release(table, exact) * (bound / grid.norm)

    def release(self, table: str, values: np.ndarray, *, sensitivity: float) -> np.ndarray:
        """float64[n]: statistics (int64[n]) that are no sum over units, with noise.

        Args:
            sensitivity: what the caller has proved: adding or removing one unit changes `values` by a vector whose
                Euclidean norm is at most this.
        """
        one = _steps_of_one(self.grid(table), sensitivity)
        return self._release(table, values * one) / one

    def _release(self, table: str, exact: np.ndarray) -> np.ndarray:
        """int64, of the shape of `exact` (int64, steps of the table's grid): with noise."""
        if table in self._counted:
            raise RuntimeError(f"table {table} was counted before; its budget is spent")
        self._counted.add(table)
        randomness, exponent = self.noise.randomness, self.grid(table).exponent
        noise = randomness.discrete_gaussian(exact.size, exponent, zlib.crc32(table.encode()))
        return exact + noise.reshape(exact.shape)


def _steps_of_one(grid: Grid, sensitivity: float) -> int:
    """Steps of the grid that a count of 1 is, where a unit may change counts by a vector of norm `sensitivity`."""
    steps = math.floor(grid.norm / sensitivity * MARGIN)
    if steps < 1:
        raise ConfigError(
            f"privacy: a unit may change a table by {sensitivity:,.0f}, and the noise leaves nothing of it; "
            "raise epsilon or lower max_flows_per_unit"
        )
    return steps


def clipped_sum(
    cells: np.ndarray, size: int, units: np.ndarray, weights: np.ndarray | None, *, bound: float, norm: int
) -> np.ndarray:
    """int64[size]: the sum over units of their entries, in steps of which `norm` are `bound`; each unit's entries are
    scaled down to a Euclidean norm of at most `bound`, and rounded such that their norm in steps is at most `norm`.

    Sensitivity: adding or removing one unit changes the sum by a vector of integers of norm at most `norm`, exactly.

    >>> clipped_sum(np.array([0, 1, 1]), 2, np.array([7, 7, 8]), None, bound=1.0, norm=1000).tolist()
    [707, 1707]
    """
    weights = np.ones(len(cells)) if weights is None else weights
    total = np.zeros(size, np.int64)
    if len(cells) == 0:
        return total
    names, unit = np.unique(units, return_inverse=True)
    pairs, place = np.unique(unit * size + cells, return_inverse=True)
    owner = pairs // size
    entries = np.bincount(place, weights=weights, minlength=len(pairs))
    norms = np.sqrt(np.bincount(owner, weights=entries**2, minlength=len(names)))
    entries *= np.minimum(1.0, bound / np.maximum(norms, 1e-300))[owner]
    steps, first = np.rint(entries * (norm / bound)).astype(np.int64), np.flatnonzero(np.diff(owner, prepend=-1))
    while (above := np.add.reduceat(steps**2, first) > norm**2).any():
        steps -= np.sign(steps) * above[owner]
    np.add.at(total, pairs % size, steps)
    return total
