"""The column that orders the records of a series, as the value of the first record and the steps between records.

Where all steps are equal, as with one row a day, they are a constant, which takes no column of the encoded arrays.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from netshare.preprocess.errors import InputError
from netshare.preprocess.timeseries.table import START, STEP

OrderKind = Literal["integer", "continuous", "time"]


def order_numbers(name: str, values: pd.Series, path: str) -> tuple[np.ndarray, OrderKind]:
    """int64[n] or float64[n]: an order column as numbers; dates and times as ns since 1970 (the least int64: missing).

    Raises:
        InputError: the values are neither numbers nor dates.
    """
    if pd.api.types.is_datetime64_any_dtype(values):
        return _nanoseconds(values), "time"
    numbers = pd.to_numeric(values, errors="coerce")
    if bool((numbers.notna() == values.notna()).all()):
        found = numbers.to_numpy(np.float64, na_value=np.nan)
        if pd.api.types.is_integer_dtype(numbers.dtype):
            return numbers.to_numpy(np.int64), "integer"
        return found, "continuous"
    times = pd.to_datetime(values, errors="coerce", utc=True, format="ISO8601")
    unread = values.notna() & times.isna()
    if bool(unread.any()):
        row = int(np.flatnonzero(unread.to_numpy())[0])
        raise InputError(
            f"{path}: {name}, which orders records, holds {str(values.iloc[row])[:40]!r} in data row {row + 1}: neither "
            "a number nor a date like 2024-01-31 or 2024-01-31T12:00:00"
        )
    return _nanoseconds(times), "time"


def order_columns(
    name: str, numbers: np.ndarray, offsets: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The order column as metadata and as a measurement, each a dictionary with one column.

    The metadata hold the first record's value, the measurement the step from the record before. A first record gets the
    step of the second one, or in a series of one record the median of all steps, so that equal steps stay a constant.

    Args:
        name: of the order column.
        numbers: int64[n_records] or float64[n_records], ascending within each series.
        offsets: int64[n_series + 1].
    """
    steps = np.diff(numbers, prepend=numbers[:1])
    first, single = offsets[:-1], np.diff(offsets) == 1
    within = np.delete(steps, first)
    usual = np.sort(within)[len(within) // 2] if len(within) else steps.dtype.type(0)
    steps[first] = np.where(single, usual, steps[np.minimum(first + 1, len(steps) - 1)])
    return {name + START: numbers[offsets[:-1]]}, {name + STEP: steps}


def order_values(starts: np.ndarray, steps: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The inverse of `order_columns`: [n_records], from `starts` [n_series] and `steps` [n_records]."""
    steps = steps.copy()
    steps[offsets[:-1]] = 0
    total = np.cumsum(steps)
    return np.repeat(starts - total[offsets[:-1]], np.diff(offsets)) + total


def _nanoseconds(times: pd.Series) -> np.ndarray:
    if getattr(times.dt, "tz", None) is not None:
        times = times.dt.tz_convert(None)
    return times.to_numpy("datetime64[ns]").astype(np.int64)
