"""Auto-normalisation: the level of each series separated from its shape (DoppelGANger, IMC 2020, section 4.1.3).

Where series differ in level by orders of magnitude, a GAN that sees them all on one scale makes copies of a few typical
ones. So each series is brought to [0, 1], and the two numbers that this takes away, the middle of its range (max + min)
/ 2 and half its range (max - min) / 2, become metadata: generated with the others, with any encoding that suits them
(logarithmic or quantile, for heavy tails), and given back to the series when it is decoded.

    scaled, middle, half_range = normalize_series(values, offsets)
    values = denormalize_series(scaled, middle, half_range, offsets)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from netshare.preprocess.errors import FieldError

MIDDLE, HALF_RANGE = ".middle", ".half_range"  # what the metadata columns of a measurement are called, after its name


class NormalizedSeries(NamedTuple):
    """Series on one scale, and what brings each back to its own.

    values: float64[n_records] (or [n_records, k]), in [0, 1]: 0 at its series' least value, 1 at its greatest, and 1/2
        throughout a series whose values are all alike
    middle, half_range: float64[n_series] (or [n_series, k]), in the units of the values; `half_range` is never negative
    """

    values: np.ndarray
    middle: np.ndarray
    half_range: np.ndarray


def normalize_series(values: np.ndarray, offsets: np.ndarray, *, name: str = "measurements") -> NormalizedSeries:
    """Bring each series to [0, 1] by its own range.

    Args:
        values: numbers [n_records] or [n_records, k] (each column by its own range), the series one after another.
        offsets: int64[n_series + 1]; every series has at least one record.
        name: of the field, for messages.

    Raises:
        FieldError: a series without records, or a number that is not finite.
    """
    numbers = np.asarray(values, np.float64)
    _check(numbers, offsets, name)
    if not np.isfinite(numbers).all():
        raise FieldError(f"field {name}: a value is not a finite number; fill or drop missing values first")
    least = np.minimum.reduceat(numbers, offsets[:-1]) if len(numbers) else numbers[:0]
    greatest = np.maximum.reduceat(numbers, offsets[:-1]) if len(numbers) else numbers[:0]
    middle, half_range = greatest / 2 + least / 2, greatest / 2 - least / 2
    lengths = np.diff(offsets)
    centred = numbers - np.repeat(middle, lengths, 0)
    width = np.repeat(half_range, lengths, 0)
    scaled = np.divide(centred, width, out=np.zeros_like(numbers), where=width > 0) / 2 + 0.5
    return NormalizedSeries(np.clip(scaled, 0, 1), middle, half_range)


def denormalize_series(
    values: np.ndarray, middle: np.ndarray, half_range: np.ndarray, offsets: np.ndarray, *, name: str = "measurements"
) -> np.ndarray:
    """float64[n_records] (or [n_records, k]): the inverse of `normalize_series`, in the units of `middle`.

    What was generated need not reach the ends of its range; each value lands between middle - half_range and
    middle + half_range, and a negative half_range (noise below 0) counts as 0.

    Raises:
        FieldError: the arrays do not fit one another.
    """
    numbers = np.asarray(values, np.float64)
    _check(numbers, offsets, name)
    lengths = np.diff(offsets)
    if len(middle) != len(lengths) or len(half_range) != len(lengths):
        raise FieldError(
            f"field {name}: {len(middle)} middles and {len(half_range)} half ranges, {len(lengths)} series"
        )
    width = np.repeat(np.maximum(half_range, 0), lengths, 0)
    return (2 * np.clip(numbers, 0, 1) - 1) * width + np.repeat(np.asarray(middle, np.float64), lengths, 0)


def _check(values: np.ndarray, offsets: np.ndarray, name: str) -> None:
    if int(offsets[-1]) != len(values):
        raise FieldError(f"field {name}: {len(values)} values, but the offsets end at {int(offsets[-1])}")
    if bool((np.diff(offsets) < 1).any()):
        raise FieldError(f"field {name}: a series has no records; leave it out")
