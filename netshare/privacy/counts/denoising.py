"""From noisy counts to counts that can be sampled from: not negative, and with the totals that they should have.

`projected` for counts of names, `smoothed` and `bursty` for neighbouring cells of a scale, `merged` for what was counted
twice, `raked` and `fitted_to_margins` for tables whose margins are known better than their cells, and `systematic_sample`
to sample from any of them. Where a public trace says what to expect, see `posterior`.

Public: everything. The noisy counts that come in are differentially private already, so that all of this is
post-processing and costs nothing.

Where thresholds are given in standard deviations of the noise, a cell that is empty exceeds k of them by chance with the
probability of the normal distribution's upper tail: 1 in 161 for 2.5, 1 in 4,300 for 3.5, 1 in 13,800 for 3.8, 1 in 31,600
for 4. Which of them are best was found by trying, see benchmarks/privacy/README.md.
"""

from __future__ import annotations

import math

import numpy as np

from netshare.preprocess.ragged import positions_within

# Thresholds, in standard deviations of the noise of what is compared
SIGNIFICANT = 3.8  # a cell, or a run of cells, above this holds something
HALF_IS_EMPTY, OTHER_IS_NOT = 2.5, 3.5  # of two halves, one below the first beside one above the second is empty
SPLIT_OF_FILLED_SCALE = 2.0  # halves of a scale without empty parts differ
DEPENDENCE = 4.0  # a cell differs from what independence of rows and columns would have it hold
# Others
INDEPENDENT_SHARE = 1e-3  # of a table of two columns, so that no cell is impossible
MAX_UNPLACED_SHARE = 0.05  # of the total, which goes to the significant cells where it cannot be placed elsewhere
RAKING_ROUNDS, MARGIN_ROUNDS = 50, 20  # of iterative proportional fitting, over two and over three margins
TINY = 1e-12  # added to counts, so that none divides by zero


def projected(noisy: np.ndarray, total: float) -> np.ndarray:
    """float64[n]: the counts nearest to noisy ones, in the Euclidean norm, that are not negative and add up to `total`.

    Counts near 0 become 0, which removes much of the noise ("norm-sub" in Wang et al., "Locally differentially private
    frequency estimation with consistency", NDSS 2020).

    >>> projected(np.array([9.0, 3.0, -1.0, 0.5]), 10.0).tolist()
    [8.0, 2.0, 0.0, 0.0]
    """
    if total <= 0 or noisy.size == 0:
        return np.zeros_like(noisy, dtype=float)
    ordered = np.sort(noisy)[::-1]
    excess = (np.cumsum(ordered) - total) / np.arange(1, len(ordered) + 1)
    last = int(np.flatnonzero(ordered > excess).max(initial=0))  # none where the total is lost in rounding
    return np.maximum(noisy - excess[last], 0.0)


def smoothed(noisy: np.ndarray, deviation: float, total: float, *, filled: bool = False) -> np.ndarray:
    """float64[n]: denoised counts of neighbouring cells, not negative and adding up to `total`.

    The scale is halved again and again. Two halves get different counts per cell only where they differ by more than the
    noise explains (hard thresholds on Haar wavelets: Donoho and Johnstone, "Ideal spatial adaptation by wavelet
    shrinkage", 1994), or where one of them is clearly not empty while the other may be: that one is then taken to be
    empty. Otherwise their cells share the count evenly.

    Args:
        noisy: float64[n].
        deviation: standard deviation of the noise in each cell.
        filled: the scale is known to have no empty parts. Then no half is taken to be empty, and smaller differences
            are enough (`SPLIT_OF_FILLED_SCALE`).
    """
    size = 1 << max(len(noisy) - 1, 1).bit_length()
    sums = [np.concatenate([noisy, np.zeros(size - len(noisy))])]
    while len(sums[-1]) > 1:
        sums.append(sums[-1][::2] + sums[-1][1::2])
    expected = [np.concatenate([np.ones(len(noisy)), np.zeros(size - len(noisy))])]
    while len(expected[-1]) > 1:
        expected.append(expected[-1][::2] + expected[-1][1::2])
    cells = np.array([total if filled else max(sums[-1][0], 0.0)])
    limit = SPLIT_OF_FILLED_SCALE if filled else max(math.sqrt(2 * math.log(size)), OTHER_IS_NOT)
    for level in range(len(sums) - 2, -1, -1):
        left, right, noise = sums[level][::2], sums[level][1::2], deviation * math.sqrt(2**level)
        usual = cells * (expected[level][::2] - expected[level][1::2]) / np.maximum(expected[level + 1], 1e-300)
        apart = np.abs(left - right - usual) > limit * math.sqrt(2) * noise
        less, more = np.minimum(left, right), np.maximum(left, right)
        emptied = (less < HALF_IS_EMPTY * noise) & (more > OTHER_IS_NOT * noise) & (not filled)
        difference = np.where(emptied, np.sign(left - right) * cells, np.where(apart, left - right, usual))
        difference = np.clip(difference, -cells, cells)
        cells = np.stack([(cells + difference) / 2, (cells - difference) / 2], axis=1).ravel()
    cells = np.maximum(cells[: len(noisy)], 0.0)
    return cells * (total / cells.sum()) if cells.sum() > 0 else np.full(len(noisy), total / len(noisy))


def bursty(noisy: np.ndarray, deviation: float, total: float) -> np.ndarray:
    """float64[n]: denoised counts of neighbouring cells that add up to `total`, of traffic that may come in bursts.

    Significant cells keep their counts; of the others, significant runs of two, four, eight ... cells do. If significant
    single cells hold less than half of the total, the traffic is not bursty and `smoothed` is used for all cells. What is
    left of the total is smoothed over the remaining cells if it is more than noise, and otherwise goes to the significant
    ones.

    Args:
        noisy: float64[n].
        deviation: standard deviation of the noise in each cell.
    """
    size = 1 << max(len(noisy) - 1, 1).bit_length()
    open_cells = np.arange(size) < len(noisy)
    values, found, width = np.concatenate([noisy, np.zeros(size - len(noisy))]), np.zeros(size), 1
    limit = max(math.sqrt(2 * math.log(size)), SIGNIFICANT)
    while width <= size // 2:
        cells = open_cells.reshape(-1, width).sum(axis=1)
        sums = np.where(open_cells, values, 0.0).reshape(-1, width).sum(axis=1)
        clear = (sums > limit * deviation * np.sqrt(cells)) & (cells > 0)
        chosen = np.repeat(clear, width) & open_cells
        for run in np.flatnonzero(clear):
            own = run * width + np.flatnonzero(open_cells[run * width : (run + 1) * width])
            found[own] = projected(values[own], float(sums[run]))
        open_cells &= ~chosen
        if width == 1 and found.sum() < total / 2:
            return smoothed(noisy, deviation, total, filled=True)
        width *= 2
    left = total - float(found.sum())
    if left > max(2 * deviation * math.sqrt(max(int(open_cells.sum()), 1)), MAX_UNPLACED_SHARE * total):
        found = found[: len(noisy)] + smoothed(np.where(open_cells[: len(noisy)], noisy, 0.0), deviation, left)
        return found * (total / found.sum())
    return found[: len(noisy)] * (total / found.sum())


def merged(
    one: tuple[np.ndarray, np.ndarray | float], other: tuple[np.ndarray, np.ndarray | float]
) -> tuple[np.ndarray, np.ndarray]:
    """The mean of two noisy counts of the same things, weighted by the inverse of their variances, float64[n]; and its
    standard deviation, float64[n].

    Args:
        one, other: noisy counts (float64[n]) and the standard deviation of their noise (float64[n] or one for all).
    """
    (first, noise), (second, more) = one, other
    weight = np.square(more) / (np.square(noise) + np.square(more))
    return weight * first + (1 - weight) * second, np.sqrt(weight) * noise


def raked(
    noisy: np.ndarray, rows: np.ndarray, columns: np.ndarray | None = None, deviation: float | None = None
) -> np.ndarray:
    """float64[r, c]: counts near the noisy ones whose rows add up to `rows`, and whose columns are in proportion to
    `columns` (iterative proportional fitting, "raking").

    Args:
        noisy: float64[r, c].
        rows: float64[r].
        columns: float64[c]; where not given, columns are left as they come out.
        deviation: standard deviation of the noise. Where it and `columns` are given, each cell is first shrunk towards
            its expectation under independence of rows and columns; the smaller that expectation is beside the noise,
            the more. A cell that differs from it by more than `DEPENDENCE` deviations is not shrunk.
    """
    total = float(rows.sum())
    if deviation is None or columns is None:
        found = projected(noisy.ravel(), total).reshape(noisy.shape)
    else:
        expected = np.outer(rows, columns / max(float(columns.sum()), TINY))
        weight = expected**2 / (expected**2 + deviation**2)
        clear = np.abs(noisy - expected) > DEPENDENCE * deviation
        found = np.where(clear, noisy, expected + weight * (noisy - expected))
        found = projected(found.ravel(), total).reshape(noisy.shape)
    beside = (columns if columns is not None else found.sum(axis=0)) + 1e-9
    found = found + INDEPENDENT_SHARE * np.outer(rows, beside / beside.sum()) + TINY
    for _ in range(RAKING_ROUNDS if columns is not None else 1):
        if columns is not None:
            found *= (beside / beside.sum() * total / found.sum(axis=0))[None, :]
        found *= (rows / np.maximum(found.sum(axis=1), TINY**2))[:, None]
    return found


def fitted_to_margins(by_row: np.ndarray, by_column: np.ndarray, together: np.ndarray) -> np.ndarray:
    """float64[r, c, cells]: a table with about these three margins (iterative proportional fitting).

    Args:
        by_row: float64[r, cells].
        by_column: float64[c, cells].
        together: float64[r, c], met exactly; where the margins' totals differ, this one holds.
    """
    found = together[:, :, None] * (by_row / np.maximum(by_row.sum(axis=1, keepdims=True), TINY))[:, None] + TINY
    for _ in range(MARGIN_ROUNDS):
        found *= (by_row / (found.sum(axis=1) + TINY))[:, None]
        found *= (by_column / (found.sum(axis=0) + TINY))[None]
        found *= (together / (found.sum(axis=2) + TINY))[:, :, None]
    return found + TINY


def systematic_sample(table: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int64[n]: for each row number asked for, one of that row's columns, with probability in proportion to the counts.

    Systematic sampling: where a row is asked for m times, each column comes m times its share, rounded up or down. The
    results for one row are in random order.

    Args:
        table: float64[r, c], counts.
        rows: int64[n], below r.
    """
    cumulative = np.cumsum(table, axis=1)
    cumulative /= np.maximum(cumulative[:, -1:], 1e-300)
    flat = (cumulative + np.arange(len(table))[:, None]).ravel()
    order = rng.permutation(len(rows))
    order = order[np.argsort(rows[order], kind="stable")]
    asked = np.bincount(rows, minlength=len(table))
    rank = positions_within(asked)
    quantile = np.empty(len(rows))
    quantile[order] = (rank + rng.random(len(table))[rows[order]]) / asked[rows[order]]
    place = np.searchsorted(flat, quantile + rows, side="right")
    return np.minimum(place - rows * table.shape[1], table.shape[1] - 1)
