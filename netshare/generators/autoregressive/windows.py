"""Training batches of ragged series: runs of records in time-major order, without any padding.

A series longer than `window` is cut into windows. Each is preceded by up to `burn_in` earlier records, through which
the recurrent net is run to warm up its state but which do not count in the loss, so that memory is bounded however long
a series is and every batch is a random draw from all windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netshare.preprocess.ragged import positions_within


@dataclass(frozen=True)
class Windows:
    """Windows of series; all int64[n].

    series: the series that the window lies in
    begin: position in the series of its first record, burn-in included
    burn_in: records at its beginning that do not count
    length: records, burn-in included
    """

    series: np.ndarray
    begin: np.ndarray
    burn_in: np.ndarray
    length: np.ndarray

    def __len__(self) -> int:
        return len(self.series)

    def take(self, index: np.ndarray) -> Windows:
        """The windows at the positions `index`."""
        return Windows(self.series[index], self.begin[index], self.burn_in[index], self.length[index])


def cut_windows(series: np.ndarray, lengths: np.ndarray, *, window: int, burn_in: int) -> Windows:
    """Windows that together count every record of the given series once.

    Args:
        series: int64[n], numbers of series.
        lengths: int64[n], their lengths.
    """
    counts = -(-lengths // window)
    owner = np.repeat(np.arange(len(series)), counts)
    index = positions_within(counts)
    start = index * window
    warm = np.minimum(start, burn_in)
    counted = np.minimum(lengths[owner] - start, window)
    return Windows(series[owner], start - warm, warm, counted + warm)


def batches_of(windows: Windows, records: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Positions of windows in random order, cut into batches of about `records` records (at least one window)."""
    order = rng.permutation(len(windows))
    ends = np.cumsum(windows.length[order])
    batch = (ends - 1) // records
    return np.split(order, np.flatnonzero(np.diff(batch)) + 1)


@dataclass(frozen=True)
class PackedRecords:
    """Records of some windows, time-major: the first records of all windows (longest window first), then the second ...

    order: int64[n], positions of the windows in the order that they lie in
    sizes: int64[steps], windows that have a record at each step
    window: int64[records], position in `order` of each record's window
    position: int64[records], position of each record in its series
    counted: bool[records], whether it counts in the loss
    """

    order: np.ndarray
    sizes: np.ndarray
    window: np.ndarray
    position: np.ndarray
    counted: np.ndarray


def pack(windows: Windows) -> PackedRecords:
    """The records of `windows` in the layout of torch's packed sequences."""
    order = np.argsort(-windows.length, kind="stable")
    chosen = windows.take(order)
    steps = int(chosen.length[0])
    sizes = np.searchsorted(-chosen.length, -np.arange(steps), side="left").astype(np.int64)
    step = np.repeat(np.arange(steps), sizes)
    window = positions_within(sizes)
    return PackedRecords(order, sizes, window, chosen.begin[window] + step, step >= chosen.burn_in[window])
