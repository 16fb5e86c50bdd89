"""How many records flows have, in a private run: counted in bins that grow with the length, full bins exactly.

Private: lengths and units of flows. Public: the longest length, bins, and what comes out. Sensitivity: a flow is in one
cell of each table, which changes it by 1; a unit's entries are clipped by `NoisyCounts`.
"""

from __future__ import annotations

import numpy as np

from netshare.privacy.counts.bins import bin_of
from netshare.privacy.counts.counting import NoisyCounts
from netshare.privacy.counts.denoising import smoothed
from netshare.privacy.counts.tries import EXPAND_THRESHOLD

BINNED, EXACT = "records a flow", "records a flow, exactly"
MAX_EXACT_WIDTH = 64  # lengths in a bin that may be counted one by one


def length_tables() -> dict[str, float]:
    """The tables that `measure_lengths` counts, with their shares of the budget."""
    return {BINNED: 0.8, EXACT: 0.2}


def length_bins(max_records: int) -> np.ndarray:
    """int64[n + 1]: lower ends of n bins of lengths, and the end of the last one, max_records + 1.

    A bin for each length up to 8, four bins for each doubling up to 32, then one for each doubling: long flows are few.

    >>> length_bins(40).tolist()
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 16, 19, 22, 26, 32, 41]
    """
    wide = np.floor(np.concatenate([8 * 2 ** (np.arange(1, 8) / 4), 32.0 * 2 ** np.arange(48)])).astype(np.int64)
    edges = np.concatenate([np.arange(1, 9), wide])
    return np.unique(np.append(edges[edges <= max_records], max_records + 1))


def measure_lengths(
    length: np.ndarray, units: np.ndarray, counter: NoisyCounts, *, total: float, max_records: int
) -> tuple[np.ndarray, np.ndarray]:
    """int64[n + 1]: lower ends of n bins of lengths and the end of the last one; float64[n]: flows in each bin.

    Args:
        length: int64[flows], records of each flow.
        units: int64[flows], the unit that each flow belongs to.
        total: what the flows add up to (a noisy count).
        max_records: the longest flow, declared.
    """
    wide = length_bins(max_records)
    counts = counter.count(BINNED, bin_of(length, wide), len(wide) - 1, units)
    counts, width = smoothed(counts, counter.deviation(BINNED), total), np.diff(wide)
    expanded = np.flatnonzero(
        (counts > EXPAND_THRESHOLD * counter.deviation(EXACT)) & (width > 1) & (width <= MAX_EXACT_WIDTH)
    )
    bins = np.union1d(wide, np.concatenate([np.arange(wide[k], wide[k + 1]) for k in expanded] or [wide]))
    inside = np.isin(bin_of(length, wide), expanded)
    exact = counter.count(EXACT, bin_of(length[inside], bins), len(bins) - 1, units[inside])
    found = counts[bin_of(bins[:-1], wide)]
    for k in expanded:
        own = (bins[:-1] >= wide[k]) & (bins[:-1] < wide[k + 1])
        found[own] = smoothed(exact[own], counter.deviation(EXACT), counts[k])
    return bins, found


def in_groups(counts: np.ndarray, bins: np.ndarray, low: np.ndarray) -> np.ndarray:
    """float64[r, groups]: counts (float64[r, bins]) of bins with lower ends `bins`, added up to groups with lower ends
    `low`."""
    return np.stack([counts[:, bin_of(bins[:-1], low) == k].sum(axis=1) for k in range(len(low))], axis=1)
