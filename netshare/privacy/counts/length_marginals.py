"""How many records flows have, in a private run: counted in bins that grow with the length, full bins exactly."""

from __future__ import annotations

import numpy as np

from netshare.privacy.counts.counting import WORTH_OPENING, NoisyCounts, group_of
from netshare.privacy.counts.denoising import smoothed

BINS, EXACTLY = "records a flow", "records a flow, exactly"
WIDEST = 64  # lengths in a bin that is looked into


def length_tables() -> dict[str, float]:
    """The tables that `measure_lengths` counts, with their shares of the budget."""
    return {BINS: 0.8, EXACTLY: 0.2}


def length_bins(longest: int) -> np.ndarray:
    """int64[n]: lower ends of the bins of lengths; exact up to 8, four for each doubling up to 32, then one (long flows are
    few, and hold many records), then what is too long."""
    wide = np.floor(np.concatenate([8 * 2 ** (np.arange(1, 8) / 4), 32.0 * 2 ** np.arange(48)])).astype(np.int64)
    edges = np.concatenate([np.arange(1, 9), wide])
    return np.unique(np.append(edges[edges <= longest], longest + 1))


def measure_lengths(
    length: np.ndarray, units: np.ndarray, counter: NoisyCounts, *, total: float, longest: int
) -> tuple[np.ndarray, np.ndarray]:
    """int64[n + 1]: lower ends of bins of lengths and the last one's end; float64[n]: flows in each, adding up to `total`.

    Args:
        length: int64[flows].
        units: int64[flows], whose each is.
        longest: records of a flow, declared.
    """
    wide = length_bins(longest)
    counts = counter.count(BINS, group_of(length, wide), len(wide) - 1, units)
    counts, width = smoothed(counts, counter.deviation(BINS), total), np.diff(wide)
    opened = np.flatnonzero((counts > WORTH_OPENING * counter.deviation(EXACTLY)) & (width > 1) & (width <= WIDEST))
    bins = np.union1d(wide, np.concatenate([np.arange(wide[k], wide[k + 1]) for k in opened] or [wide]))
    inside = np.isin(group_of(length, wide), opened)
    exact = counter.count(EXACTLY, group_of(length[inside], bins), len(bins) - 1, units[inside])
    found = counts[group_of(bins[:-1], wide)]
    for k in opened:
        own = (bins[:-1] >= wide[k]) & (bins[:-1] < wide[k + 1])
        found[own] = smoothed(exact[own], counter.deviation(EXACTLY), counts[k])
    return bins, found


def in_groups(counts: np.ndarray, bins: np.ndarray, low: np.ndarray) -> np.ndarray:
    """float64[r, groups]: counts (float64[r, bins]) of bins of lengths, added up to groups with these lower ends."""
    return np.stack([counts[:, group_of(bins[:-1], low) == k].sum(axis=1) for k in range(len(low))], axis=1)
