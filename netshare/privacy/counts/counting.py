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
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from netshare.privacy.noise import Randomness


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


class NoisyCounts:
    """Counts tables, each once; see the module's docstring.

    Args:
        shares: of the budget, by table; they need not add up to 1.
    """

    def __init__(self, shares: Mapping[str, float], noise: CountingNoise) -> None:
        self.shares, self.noise = dict(shares), noise
        self._counted: set[str] = set()

    def deviation(self, table: str) -> float:
        """Standard deviation of the noise in each cell of a table."""
        return self.noise.multiplier * self.noise.bound * math.sqrt(sum(self.shares.values()) / self.shares[table])

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
        return self._release(table, clipped_sum(cells, size, units, weights, self.noise.bound))

    def release(self, table: str, values: np.ndarray, *, sensitivity: float) -> np.ndarray:
        """float64[n]: statistics (float64[n]) that are no sum over units, with noise.

        Args:
            sensitivity: what the caller has proved: adding or removing one unit changes `values` by a vector whose
                Euclidean norm is at most this.
        """
        scale = self.noise.bound / sensitivity
        return self._release(table, np.asarray(values, float) * scale) * (sensitivity / self.noise.bound)

    def _release(self, table: str, exact: np.ndarray) -> np.ndarray:
        if table in self._counted:
            raise RuntimeError(f"table {table} was counted before; its budget is spent")
        self._counted.add(table)
        noise = self.noise.randomness.normal(exact.size, zlib.crc32(table.encode()))
        return exact + self.deviation(table) * noise.reshape(exact.shape)


def clipped_sum(
    cells: np.ndarray, size: int, units: np.ndarray, weights: np.ndarray | None, bound: float
) -> np.ndarray:
    """float64[size]: the sum over units of their entries, each unit's scaled down to a norm of at most `bound`.

    Sensitivity: adding or removing one unit changes the sum by a vector of norm at most `bound`.

    >>> clipped_sum(np.array([0, 1, 1]), 2, np.array([7, 7, 8]), None, bound=1.0).round(3).tolist()
    [0.707, 1.707]
    """
    weights = np.ones(len(cells)) if weights is None else weights
    if len(cells) == 0:
        return np.zeros(size)
    names, unit = np.unique(units, return_inverse=True)
    pairs, place = np.unique(unit * size + cells, return_inverse=True)
    entries = np.bincount(place, weights=weights, minlength=len(pairs))
    norms = np.sqrt(np.bincount(pairs // size, weights=entries**2, minlength=len(names)))
    entries *= np.minimum(1.0, bound / np.maximum(norms, 1e-300))[pairs // size]
    return np.bincount(pairs % size, weights=entries, minlength=size)
