"""From noisy counts to counts that can be drawn from: not negative, with the totals that they should have. No data here.

`projected` for names, `smoothed` and `bursty` for neighbouring cells of a scale, `merged` for what was counted twice, `raked`
and `joined` for tables whose margins are known better than their cells, and `drawn` to draw from any of them. Where
something is expected beforehand: `posterior`.
"""

from __future__ import annotations

import math

import numpy as np

from netshare.preprocess.ragged import positions_within

MAYBE_EMPTY, SURELY_NOT = 2.5, 3.5  # standard deviations: of a run of cells beside another
SMOOTHING = 1e-3  # share of independence in a table of two columns
CLEAR_DIFFERENCE = 4.0  # standard deviations of a cell from what independence would have it hold
FILLED_LIMIT = 2.0  # standard deviations by which halves of a filled scale differ clearly
CLEARLY = 3.8  # standard deviations of a cell, or a run of cells, that holds something
LITTLE = 0.05  # of all, which is left out where it cannot be placed
ROUNDS, ROUNDS_OF_THREE = 50, 20
TINY = 1e-12


def projected(noisy: np.ndarray, total: float) -> np.ndarray:
    """float64[n]: the nearest counts, in the Euclidean norm, that are not negative and add up to `total`.

    Nearest to noisy counts, so that it takes noise out: what is near 0 becomes 0 ("norm-sub" in Wang et
    al., "Locally differentially private frequency estimation with consistency", NDSS 2020).
    """
    if total <= 0 or noisy.size == 0:
        return np.zeros_like(noisy, dtype=float)
    ordered = np.sort(noisy)[::-1]
    excess = (np.cumsum(ordered) - total) / np.arange(1, len(ordered) + 1)
    last = int(np.flatnonzero(ordered > excess).max(initial=0))  # none where the total is lost in rounding
    return np.maximum(noisy - excess[last], 0.0)


def smoothed(noisy: np.ndarray, deviation: float, total: float, *, filled: bool = False) -> np.ndarray:
    """float64[n]: counts in neighbouring cells, noise taken out, not negative and adding up to `total`.

    Two halves of a run of cells are told apart only where they differ by more than noise would make them (hard
    thresholds on Haar wavelets: Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage", 1994), or where
    one of them is clearly not empty and the other may well be: then it is taken to be. Where they are not told apart they
    share evenly.

    Args:
        filled: whether the whole scale is known to be filled; then less is enough to tell halves apart, and none is empty.
    """
    size = 1 << max(len(noisy) - 1, 1).bit_length()
    sums = [np.concatenate([noisy, np.zeros(size - len(noisy))])]
    while len(sums[-1]) > 1:
        sums.append(sums[-1][::2] + sums[-1][1::2])
    expected = [np.concatenate([np.ones(len(noisy)), np.zeros(size - len(noisy))])]
    while len(expected[-1]) > 1:
        expected.append(expected[-1][::2] + expected[-1][1::2])
    cells = np.array([total if filled else max(sums[-1][0], 0.0)])
    limit = FILLED_LIMIT if filled else max(math.sqrt(2 * math.log(size)), SURELY_NOT)
    for level in range(len(sums) - 2, -1, -1):
        left, right, noise = sums[level][::2], sums[level][1::2], deviation * math.sqrt(2**level)
        usual = cells * (expected[level][::2] - expected[level][1::2]) / np.maximum(expected[level + 1], 1e-300)
        apart = np.abs(left - right - usual) > limit * math.sqrt(2) * noise
        less, more = np.minimum(left, right), np.maximum(left, right)
        emptied = (less < MAYBE_EMPTY * noise) & (more > SURELY_NOT * noise) & (not filled)
        difference = np.where(emptied, np.sign(left - right) * cells, np.where(apart, left - right, usual))
        difference = np.clip(difference, -cells, cells)
        cells = np.stack([(cells + difference) / 2, (cells - difference) / 2], axis=1).ravel()
    cells = np.maximum(cells[: len(noisy)], 0.0)
    return cells * (total / cells.sum()) if cells.sum() > 0 else np.full(len(noisy), total / len(noisy))


def bursty(noisy: np.ndarray, deviation: float, total: float) -> np.ndarray:
    """float64[n]: counts in neighbouring cells, adding up to `total`: as `smoothed`, but where half of it is in cells that
    clearly hold something, most others are taken to be empty.

    Cells that clearly hold something are found by themselves, then runs of two, four ... of the others; what is nowhere
    clear is spread like noise would have it (`smoothed`) where it is more than noise, and else left to the clear cells.
    """
    size = 1 << max(len(noisy) - 1, 1).bit_length()
    open_cells = np.arange(size) < len(noisy)
    values, found, width = np.concatenate([noisy, np.zeros(size - len(noisy))]), np.zeros(size), 1
    limit = max(math.sqrt(2 * math.log(size)), CLEARLY)
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
    if left > max(2 * deviation * math.sqrt(max(int(open_cells.sum()), 1)), LITTLE * total):
        found = found[: len(noisy)] + smoothed(np.where(open_cells[: len(noisy)], noisy, 0.0), deviation, left)
        return found * (total / found.sum())
    return found[: len(noisy)] * (total / found.sum())


def merged(
    one: tuple[np.ndarray, np.ndarray | float], other: tuple[np.ndarray, np.ndarray | float]
) -> tuple[np.ndarray, np.ndarray]:
    """float64[n] each: what two noisy counts of the same say together, and its standard deviation; each comes with its own."""
    (first, noise), (second, more) = one, other
    weight = np.square(more) / (np.square(noise) + np.square(more))
    return weight * first + (1 - weight) * second, np.sqrt(weight) * noise


def raked(
    noisy: np.ndarray, rows: np.ndarray, columns: np.ndarray | None = None, deviation: float | None = None
) -> np.ndarray:
    """float64[r, c]: counts near the noisy ones (float64[r, c]) whose rows add up to `rows`, and whose columns are as
    `columns` says, in proportion (iterative proportional fitting).

    Args:
        deviation: standard deviation of the noise; where given, and with `columns`, cells are drawn towards what they would
            be if rows and columns had nothing to do with one another, the more the less that is beside the noise.
    """
    total = float(rows.sum())
    if deviation is None or columns is None:
        found = projected(noisy.ravel(), total).reshape(noisy.shape)
    else:
        expected = np.outer(rows, columns / max(float(columns.sum()), TINY))
        weight = expected**2 / (expected**2 + deviation**2)
        clear = np.abs(noisy - expected) > CLEAR_DIFFERENCE * deviation
        found = np.where(clear, noisy, expected + weight * (noisy - expected))
        found = projected(found.ravel(), total).reshape(noisy.shape)
    beside = (columns if columns is not None else found.sum(axis=0)) + 1e-9
    found = found + SMOOTHING * np.outer(rows, beside / beside.sum()) + TINY
    for _ in range(ROUNDS if columns is not None else 1):
        if columns is not None:
            found *= (beside / beside.sum() * total / found.sum(axis=0))[None, :]
        found *= (rows / np.maximum(found.sum(axis=1), TINY**2))[:, None]
    return found


def joined(by_row: np.ndarray, by_column: np.ndarray, together: np.ndarray) -> np.ndarray:
    """float64[r, c, cells]: a table that has about these margins: float64[r, cells], float64[c, cells] and float64[r, c]
    (iterative proportional fitting); where they differ in their totals, the last one's."""
    found = together[:, :, None] * (by_row / np.maximum(by_row.sum(axis=1, keepdims=True), TINY))[:, None] + TINY
    for _ in range(ROUNDS_OF_THREE):
        found *= (by_row / (found.sum(axis=1) + TINY))[:, None]
        found *= (by_column / (found.sum(axis=0) + TINY))[None]
        found *= (together / (found.sum(axis=2) + TINY))[:, :, None]
    return found + TINY


def drawn(table: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int64[n]: a column of each of the rows (int64[n]) of a table of counts, in proportion to them; of a row that is asked
    for m times each column comes m times its share, up to 1 (systematic sampling), in random order."""
    cumulative = np.cumsum(table, axis=1)
    cumulative /= np.maximum(cumulative[:, -1:], 1e-300)
    flat = (cumulative + np.arange(len(table))[:, None]).ravel()
    order = rng.permutation(len(rows))
    order = order[np.argsort(rows[order], kind="stable")]
    asked = np.bincount(rows, minlength=len(table))
    rank = positions_within(asked)
    even = np.empty(len(rows))
    even[order] = (rank + rng.random(len(table))[rows[order]]) / asked[rows[order]]
    place = np.searchsorted(flat, even + rows, side="right")
    return np.minimum(place - rows * table.shape[1], table.shape[1] - 1)
