"""Interarrival times of a series: rounded to the trace's resolution, and changed to add up to the series' span."""

from __future__ import annotations

import numpy as np


def series_totals(gaps: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """int64[n_series]: the sum of each series' interarrival times (int64[n_records])."""
    return np.add.reduceat(gaps, offsets[:-1]) if len(gaps) else np.zeros(0, np.int64)


def spread_over_span(interarrival: np.ndarray, span: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Interarrival times changed, series by series, so that they add up to `span` exactly.

    They are not scaled: most are right as generated, and the few long ones make up the span. Where their sum is too
    small, the longest one is lengthened by the difference. Where it is too large, the longest ones are cut to a common
    level, the highest at which the sum does not exceed the span.

    Args:
        interarrival: int64[n_records], at least 0; what stands at a series' first record is ignored.
        span: int64[n_series], at least 0; must be 0 where a series has a single record.
        offsets: int64[n_series + 1]

    Returns:
        int64[n_records], 0 at first records; equal within a series whose interarrival times are all 0 but whose span is
        not.
    """
    if len(interarrival) == 0:
        return interarrival.astype(np.int64)
    lengths, first = np.diff(offsets), offsets[:-1]
    series = np.repeat(np.arange(len(lengths)), lengths)
    gaps = interarrival.astype(np.int64)
    gaps[first] = 0
    all_zero = np.add.reduceat(gaps, first) == 0
    share = np.where(all_zero, span // np.maximum(lengths - 1, 1), 0)
    gaps = np.where(all_zero[series], share[series], gaps)
    gaps[first] = 0
    order = np.lexsort((gaps, series))
    level = _level(gaps[order], span, offsets)
    gaps = np.minimum(gaps, np.floor(level).astype(np.int64)[series])
    gaps[order[offsets[1:] - 1]] += span - np.add.reduceat(gaps, first)
    gaps[first] = 0
    return gaps


def _level(ascending: np.ndarray, span: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """float64[n_series]: the level to which gaps (ascending within each series) are cut so that their sum fits the span;
    the longest gap where the sum fits without a cut."""
    lengths, first = np.diff(offsets), offsets[:-1]
    series = np.repeat(np.arange(len(lengths)), lengths)
    before = np.cumsum(ascending) - ascending
    before -= before[first][series]
    remaining = lengths[series] - (np.arange(len(ascending)) - first[series])
    too_much = before + remaining * ascending > span[series]
    level = np.where(too_much, (span[series] - before) / remaining, np.inf)
    cut = np.minimum.reduceat(np.where(too_much, np.arange(len(ascending)), len(ascending)), first)
    longest = ascending[offsets[1:] - 1].astype(np.float64)
    return np.where(cut < len(ascending), level[np.minimum(cut, len(ascending) - 1)], longest)


def round_to_unit(values: np.ndarray, unit: int) -> np.ndarray:
    """int64: how many units the values are, rounded to the nearest whole number."""
    return (values + unit // 2) // unit
