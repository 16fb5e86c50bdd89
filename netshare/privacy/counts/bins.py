"""Bins of numbers that are counted together. Public: all of it; no data are looked at."""

from __future__ import annotations

import numpy as np


def bin_of(values: np.ndarray, low: np.ndarray) -> np.ndarray:
    """int64[n]: the bin of each value, given the bins' lower ends in ascending order; values below all are in the first.

    >>> bin_of(np.array([0, 1, 4, 16, 17, 99]), np.array([1, 4, 17])).tolist()
    [0, 0, 1, 1, 2, 2]
    """
    return np.maximum(np.searchsorted(low, values, side="right") - 1, 0)


def number_bins(exact: int, ratio: float, largest: int) -> np.ndarray:
    """int64[n + 1]: lower ends of n bins and the end of the last one, which is above `largest`.

    The numbers from 0 to `exact` - 1 have a bin each; from there on, each bin ends at `ratio` times its lower end.

    >>> number_bins(3, 2.0, 20).tolist()
    [0, 1, 2, 3, 6, 12, 24]
    """
    edges = list(range(exact + 1))
    while edges[-1] <= largest:
        edges.append(max(edges[-1] + 1, round(edges[-1] * ratio)))
    return np.array(edges, np.int64)
