"""From noisy counts to counts that can be drawn from: not negative, with the totals that they should have. No data here.

`projected` for names, `smoothed` for neighbouring cells of a scale, `raked` for tables whose margins are known better
than their cells, and `drawn` to draw from any of them.
"""

from __future__ import annotations

import math

import numpy as np

MAYBE_EMPTY, SURELY_NOT = 2.5, 3.5  # standard deviations: of a run of cells beside another
SMOOTHING = 1e-3  # share of independence in a table of two columns
ROUNDS = 50


def projected(noisy: np.ndarray, total: float) -> np.ndarray:
    """float64[n]: the nearest counts, in the Euclidean norm, that are not negative and add up to `total`.

    Nearest to noisy counts, so that it takes noise out: what is near 0 becomes 0 ("norm-sub" in Wang et
    al., "Locally differentially private frequency estimation with consistency", NDSS 2020).
    """
    if total <= 0 or noisy.size == 0:
        return np.zeros_like(noisy, dtype=float)
    ordered = np.sort(noisy)[::-1]
    excess = (np.cumsum(ordered) - total) / np.arange(1, len(ordered) + 1)
    last = int(np.flatnonzero(ordered > excess)[-1])
    return np.maximum(noisy - excess[last], 0.0)


def smoothed(noisy: np.ndarray, deviation: float, total: float) -> np.ndarray:
    """float64[n]: counts in neighbouring cells, noise taken out, not negative and adding up to `total`.

    Two halves of a run of cells are told apart only where they differ by more than noise would make them (hard
    thresholds on Haar wavelets: Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage", 1994), or where
    one of them is clearly not empty and the other may well be: then it is taken to be.
    """
    size = 1 << max(len(noisy) - 1, 1).bit_length()
    sums = [np.concatenate([noisy, np.zeros(size - len(noisy))])]
    while len(sums[-1]) > 1:
        sums.append(sums[-1][::2] + sums[-1][1::2])
    cells = np.array([sums[-1][0]])
    limit = max(math.sqrt(2 * math.log(size)), SURELY_NOT)
    for level in range(len(sums) - 2, -1, -1):
        left, right, noise = sums[level][::2], sums[level][1::2], deviation * math.sqrt(2**level)
        apart = np.abs(left - right) > limit * math.sqrt(2) * noise
        less, more = np.minimum(left, right), np.maximum(left, right)
        emptied = (less < MAYBE_EMPTY * noise) & (more > SURELY_NOT * noise)
        difference = np.where(emptied, np.sign(left - right) * cells, np.where(apart, left - right, 0.0))
        cells = np.stack([(cells + difference) / 2, (cells - difference) / 2], axis=1).ravel()
    cells = np.maximum(cells[: len(noisy)], 0.0)
    return cells * (total / cells.sum()) if cells.sum() > 0 else np.full(len(noisy), total / len(noisy))


def raked(noisy: np.ndarray, rows: np.ndarray, columns: np.ndarray | None = None) -> np.ndarray:
    """float64[r, c]: counts near the noisy ones (float64[r, c]) whose rows add up to `rows`, and whose columns are as
    `columns` says, in proportion (iterative proportional fitting)."""
    found = projected(noisy.ravel(), float(rows.sum())).reshape(noisy.shape)
    beside = (columns if columns is not None else found.sum(axis=0)) + 1e-9
    found = found + SMOOTHING * np.outer(rows, beside / beside.sum()) + 1e-12
    for _ in range(ROUNDS if columns is not None else 1):
        if columns is not None:
            found *= (columns / columns.sum() * rows.sum() / found.sum(axis=0))[None, :]
        found *= (rows / found.sum(axis=1))[:, None]
    return found


def drawn(table: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int64[n]: a column of each of the rows (int64[n]) of a table of counts, in proportion to them."""
    cumulative = np.cumsum(table, axis=1)
    cumulative /= cumulative[:, -1:]
    flat = (cumulative + np.arange(len(table))[:, None]).ravel()
    place = np.searchsorted(flat, rng.random(len(rows)) + rows, side="right")
    return np.minimum(place - rows * table.shape[1], table.shape[1] - 1)
