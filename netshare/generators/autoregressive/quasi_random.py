"""Quasi-random numbers: uniform numbers that are spread evenly over rows that are alike, so that a sample strays less from
its model than independent draws would.

Rows are drawn column after column. Drawn one by one, a value of probability p comes up p n times, give or take the square
root of that; a synthetic trace would stray from its model by as much as a real one strays from the network's habits, on
top of what the model has wrong. Here the rows are put in the order of their columns so far, and the uniform numbers of the
next column run along that order as a sequence that leaves no gaps (multiples of the golden ratio, modulo 1, begun at
random). Each row still has a uniform number of its own that nothing known of the row tells, so that its distribution is
exactly the model's; but of any thousand rows that are alike, one has a number among the largest thousandth. (Randomised
quasi-Monte Carlo sampling of Markov chains: L'Ecuyer, Lecot and Tuffin, "A Randomized Quasi-Monte Carlo Simulation Method
for Markov Chains", Operations Research 2008.)
"""

from __future__ import annotations

import numpy as np
import torch

GOLDEN_RATIO = (5**0.5 - 1) / 2
NEIGHBOURS = 16  # rows next to one another whose places are shuffled, so that columns' numbers are not correlated


class QuasiRandom:
    """Quasi-random numbers for some columns, drawn for one batch of rows after another.

    Args:
        columns: how many numbers a row needs.
        random: of the CPU.
    """

    def __init__(self, columns: int, random: torch.Generator) -> None:
        self._random = np.random.default_rng(int(torch.randint(2**62, (1,), generator=random)))
        self._begin = self._random.random(columns)
        self._used = np.zeros(columns, np.int64)

    def batch(self, rows: int) -> QuasiRandomBatch:
        """So many rows more, of which nothing is known yet."""
        return QuasiRandomBatch(self, rows)

    def numbers(self, column: int, rows: int) -> np.ndarray:
        """float32[rows] in [0, 1): the next numbers of a column, for rows in their order."""
        block = np.arange(rows) // NEIGHBOURS
        place = np.argsort(block + self._random.random(rows))
        sequence = (self._begin[column] + (self._used[column] + place) * GOLDEN_RATIO) % 1.0
        self._used[column] += rows
        return np.minimum(sequence.astype(np.float32), np.float32(1 - 2**-24))

    def shuffled(self, rows: int) -> np.ndarray:
        """int64[rows]: the rows in an order that says nothing."""
        return self._random.permutation(rows)


class QuasiRandomBatch:
    """Rows whose columns become known one after another."""

    def __init__(self, source: QuasiRandom, rows: int) -> None:
        self.rows = rows
        self._source, self._order, self._group = source, source.shuffled(rows), np.zeros(rows, np.int64)

    def know(self, tokens: torch.Tensor) -> None:
        """The next column's tokens, int64[rows]: rows that were alike so far are put in their order."""
        if self.rows == 0 or self._group[self._order[-1]] == self.rows - 1:
            return  # no two are alike
        values = tokens.numpy()
        key = self._group * (int(values.max(initial=0)) + 1) + values
        self._order = self._order[np.argsort(key[self._order], kind="stable")]
        ordered = key[self._order]
        self._group[self._order] = np.concatenate([[0], np.cumsum(ordered[1:] != ordered[:-1])])

    def numbers(self, column: int, rows: torch.Tensor | None = None) -> torch.Tensor:
        """float32[n]: numbers of a column for these rows (int64[n] ascending numbers; all if None)."""
        chosen = self._order
        if rows is not None:
            asked = np.zeros(self.rows, bool)
            asked[rows.numpy()] = True
            chosen = chosen[asked[chosen]]
        out = np.empty(self.rows, np.float32)
        out[chosen] = self._source.numbers(column, len(chosen))
        found = torch.from_numpy(out)
        return found if rows is None else found[rows]
