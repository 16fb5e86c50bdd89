"""How far generated series are from others, in the encoding that a generator sees: small numbers to compare models by.

    score(held, sample)               # of series: values, memory, lengths
    metadata_distance(held, sample)   # of metadata, field by field
    copied_beyond(learnt, held, sample)

Evaluation compares traces, decoded and repaired, with many more measures (`netshare.evaluation`); these need no codec and
take milliseconds, so that they can be taken in the middle of a training.
"""

from __future__ import annotations

import numpy as np

from netshare.preprocess.encoded import Column, Encoded

QUANTILES = np.linspace(0.005, 0.995, 100)
COPYING_ALLOWED = 1.5  # times what the held-back series share with those that are learnt from


def score(held: Encoded, sample: Encoded) -> float:
    """How far the sample's series are from the held-back ones, 0 for the same. It is the mean of three numbers:

    - *values*: over measurement columns, the mean distance between their distributions (total variation of a category's;
      mean difference of quantiles, in standard deviations, of a number's);
    - *memory*: over measurement columns, the root mean square difference of their autocorrelations at lags 1, 2, 4, ...;
    - *lengths*: the mean difference of the quantiles of log length, in standard deviations (counted as 0.5 at least).
    """
    columns = held.schema.measurements
    parts = [_quantile_distance(np.log(held.lengths), np.log(sample.lengths), least=0.5)]
    if columns:
        pairs = [(column, held.measurements[:, i], sample.measurements[:, i]) for i, column in enumerate(columns)]
        parts.append(float(np.mean([_distance(*pair) for pair in pairs])))
        lags = 2 ** np.arange(max(int(held.schema.max_length - 1).bit_length(), 1))
        differences = [
            autocorrelation(real, held.offsets, lags) - autocorrelation(made, sample.offsets, lags)
            for _, real, made in pairs
        ]
        parts.append(float(np.mean([np.sqrt(np.mean(one**2)) for one in differences])))
    return float(np.mean(parts))


def metadata_distance(held: Encoded, sample: Encoded) -> float:
    """How far the sample's metadata are from those held back, 0 for the same: the mean over fields of the distance of
    their columns' distributions and, for a field of several columns (an address), of how often its most frequent value
    occurs, its second most frequent, and so on (total variation). Only samples of the same size can be compared."""
    fields: dict[str, list[int]] = {}
    for i, column in enumerate(held.schema.metadata):
        fields.setdefault(column.field, []).append(i)
    parts = []
    for own in fields.values():
        values = [_distance(held.schema.metadata[i], held.metadata[:, i], sample.metadata[:, i]) for i in own]
        ranks = [_rank_distance(held.metadata[:, own], sample.metadata[:, own])] if len(own) > 1 else []
        parts.append(float(np.mean([np.mean(values), *ranks])))
    return float(np.mean(parts)) if parts else 0.0


def copied_beyond(learnt: np.ndarray, held: Encoded, sample: Encoded) -> float:
    """The share of the sample's series whose metadata (all but numbers) equal those of a series learnt from, less
    COPYING_ALLOWED times the same share of the held-back series; 0 where that is negative.

    Args:
        learnt: float32[n, columns], metadata of the series learnt from.
        held, sample: series held back, and generated ones.
    """
    named = [i for i, column in enumerate(held.schema.metadata) if column.kind == "categorical"]
    known = _keys(learnt[:, named])
    shares = [float(np.isin(_keys(part.metadata[:, named]), known).mean()) for part in (sample, held)]
    return max(shares[0] - COPYING_ALLOWED * shares[1], 0.0)


def autocorrelation(values: np.ndarray, offsets: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """float64[lags]: correlation of values `lag` records apart within their series, over all series together; 0 where
    there are no such pairs or no variation."""
    numbers = np.asarray(values, np.float64)
    centred = numbers - numbers.mean() if len(numbers) else numbers
    variance = float(np.mean(centred**2)) if len(numbers) else 0.0
    left = np.repeat(offsets[1:], np.diff(offsets)) - np.arange(len(numbers))  # records to the end of the series
    found = np.zeros(len(lags))
    for i, lag in enumerate(lags):
        first = np.flatnonzero(left > lag)
        if len(first) and variance > 0:
            found[i] = np.mean(centred[first] * centred[first + lag]) / variance
    return found


def _distance(column: Column, real: np.ndarray, made: np.ndarray) -> float:
    if column.kind == "continuous":
        return _quantile_distance(real, made)
    shares = [np.bincount(part.astype(np.int64), minlength=column.cardinality) / len(part) for part in (real, made)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def _quantile_distance(real: np.ndarray, made: np.ndarray, *, least: float = 0.01) -> float:
    spread = max(float(np.std(real)), least)
    return float(np.mean(np.abs(np.quantile(real, QUANTILES) - np.quantile(made, QUANTILES))) / spread)


def _rank_distance(real: np.ndarray, made: np.ndarray) -> float:
    """Total variation between the sorted shares of rows' values."""
    shares = [np.sort(np.unique(_keys(rows), return_counts=True)[1])[::-1] / len(rows) for rows in (real, made)]
    padded = np.zeros((2, max(len(own) for own in shares)))
    for row, own in zip(padded, shares, strict=True):
        row[: len(own)] = own
    return float(np.abs(padded[0] - padded[1]).sum() / 2)


def _keys(rows: np.ndarray) -> np.ndarray:
    """One bytes value for each row of small whole numbers."""
    whole = np.ascontiguousarray(rows.astype(np.int32))
    if not whole.shape[1]:
        return np.zeros(len(whole), np.int32)
    return whole.view(np.dtype((np.void, whole.dtype.itemsize * whole.shape[1]))).ravel()
