"""Several records of a series in one encoded record, and back.

A season in one encoded record, a week of days say, is learnt at once instead of being remembered from record to record;
long series become short enough for a recurrent net to see their beginning from their end.
"""

from __future__ import annotations

import numpy as np

from netshare.preprocess.ragged import offsets_of
from netshare.preprocess.timeseries.table import TimeSeries

MAX_ENCODED_RECORDS = 100  # encoded records of the longest series, where a season does not say otherwise
MIN_SEASONS = 4  # that series must last for one to be looked for
LONGEST_SEASON = 31
MIN_PROMINENCE = 0.1  # how much the autocorrelation at a season's lag stands out over that of its neighbours
SEASON_TOLERANCE = 0.7
SERIES_SAMPLED = 500


def best_fold(series: TimeSeries) -> int:
    """Records in an encoded record: the season of series that have one, else what makes at most 100 of the longest."""
    longest = int(series.lengths.max())
    season = _season(series)
    if season and longest / season <= 2 * MAX_ENCODED_RECORDS:
        return season
    return -(-longest // MAX_ENCODED_RECORDS)


def fold_records(values: np.ndarray, offsets: np.ndarray, fold: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Encoded records of `fold` records each.

    Args:
        values: [n_records, k], the series one after another.
        offsets: int64[n_series + 1].

    Returns:
        [n_rows, fold * k], the last row of a series filled with its last record; int64[n_series + 1], offsets of rows;
        int64[n_series], how many records its last row holds.
    """
    lengths = np.diff(offsets)
    rows = -(-lengths // fold)
    ends = offsets_of(rows)
    owner = np.repeat(np.arange(len(lengths)), rows)
    first = (np.arange(ends[-1]) - ends[owner]) * fold
    within = np.minimum(first[:, None] + np.arange(fold), lengths[owner, None] - 1)
    folded = values[offsets[owner][:, None] + within]
    return folded.reshape(len(owner), -1), ends, lengths - (rows - 1) * fold


def unfold_records(
    values: np.ndarray, offsets: np.ndarray, last: np.ndarray, fold: int
) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of `fold_records`: records [n_records, k] and their offsets."""
    rows = np.diff(offsets)
    lengths = (rows - 1) * fold + last
    ends = offsets_of(lengths)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    place = (np.arange(ends[-1]) - ends[owner]) + offsets[owner] * fold
    return values.reshape(len(values) * fold, -1)[place], ends


def _season(series: TimeSeries) -> int | None:
    """The lag up to 31 at which the autocorrelation of numbers stands out most, None if at none."""
    clearest, season = MIN_PROMINENCE, None
    longest = min(LONGEST_SEASON, int(series.lengths.max()) // MIN_SEASONS)
    long = np.flatnonzero(series.lengths >= MIN_SEASONS * 2)
    if longest < 2 or not len(long):
        return None
    some = series.take(np.sort(np.random.default_rng(0).permutation(long)[:SERIES_SAMPLED]))
    for name, values in some.measurements.items():
        if series.kinds[name] == "categorical":
            continue
        lagged = mean_autocorrelation(values, some.offsets, longest + 1)
        inner = np.arange(2, longest + 1)
        stands_out = lagged[inner] - np.maximum(lagged[inner - 1], lagged[inner + 1])
        stands_out = np.nan_to_num(stands_out, nan=-1.0)
        best = float(stands_out.max())
        if best > clearest:
            clearest, season = (
                best,
                int(inner[np.argmax(stands_out >= SEASON_TOLERANCE * best)]),
            )  # a season, not twice it
    return season


def mean_autocorrelation(values: np.ndarray, offsets: np.ndarray, lags: int) -> np.ndarray:
    """float64[lags + 1]: autocorrelation, averaged over the series that are longer than each lag and not constant.

    As in the DoppelGANger paper, 5.1; NaN at lags that no series reaches.
    """
    lengths = np.diff(offsets)
    total, count = np.zeros(lags + 1), np.zeros(lags + 1)
    for begin in range(0, len(lengths), 256):
        part = slice(begin, begin + 256)
        longest = int(lengths[part].max())
        steps = np.arange(longest)
        exists = steps < lengths[part, None]
        rows = np.minimum(offsets[:-1][part, None] + steps, len(values) - 1)
        block = np.where(exists, values[rows].astype(np.float64), 0.0)
        mean = block.sum(axis=1, keepdims=True) / lengths[part, None]
        block = np.where(exists, block - mean, 0.0)
        size = np.abs(block).max(axis=1, keepdims=True)
        varies = (size > 1e-9 * np.abs(mean)).ravel() & (size.ravel() > 0)
        block = block / np.where(size > 0, size, 1.0)
        spectrum = np.fft.rfft(block, 2 * longest, axis=1)
        covariance = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, : min(lags + 1, longest)]
        pairs = np.maximum(lengths[part, None] - np.arange(covariance.shape[1]), 1)
        variance = covariance[:, :1] / lengths[part, None]
        lagged = np.divide(covariance / pairs, variance, out=np.zeros_like(covariance), where=variance > 0)
        reaches = (lengths[part, None] > np.arange(covariance.shape[1])) & varies[:, None]
        total[: covariance.shape[1]] += (lagged * reaches).sum(axis=0)
        count[: covariance.shape[1]] += reaches.sum(axis=0)
    return np.divide(total, count, out=np.full(lags + 1, np.nan), where=count > 0)
