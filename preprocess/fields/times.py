"""Times within a series: in whole units of the trace's resolution, and interarrivals that add up to the span."""

from __future__ import annotations

import numpy as np


def spread_over_span(interarrival: np.ndarray, span: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Interarrival times scaled series by series so that they add up to `span` exactly.

    Args:
        interarrival: int64[n_records], at least 0; what stands at a series' first record is ignored.
        span: int64[n_series], at least 0; must be 0 where a series has a single record.
        offsets: int64[n_series + 1]

    Returns:
        int64[n_records], 0 at first records; unchanged where they add up already, evenly spread where all are 0.
        Scaled times are rounded cumulatively, so equal instants stay equal and order is kept.
    """
    if len(interarrival) == 0:
        return interarrival.astype(np.int64)
    lengths = np.diff(offsets)
    series = np.repeat(np.arange(len(lengths)), lengths)
    gaps = interarrival.astype(np.int64)
    first = offsets[:-1]
    gaps[first] = 0
    total = np.add.reduceat(gaps, first)
    even = (total == 0) & (span > 0)
    gaps[even[series]] = 1
    gaps[first] = 0
    total = np.where(even, lengths - 1, total)
    elapsed = np.cumsum(gaps)
    elapsed -= elapsed[first][series]
    scale = span / np.maximum(total, 1)
    scaled = np.where((span == total)[series], elapsed, np.rint(elapsed * scale[series]).astype(np.int64))
    scaled[offsets[1:] - 1] = span
    scaled = np.minimum(scaled, span[series])
    result = np.diff(scaled, prepend=0)
    result[first] = 0
    return result


def round_to_unit(values: np.ndarray, unit: int) -> np.ndarray:
    """int64: `values` in whole `unit`s, to the nearest."""
    return (values + unit // 2) // unit
