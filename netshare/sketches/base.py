"""What every sketch offers, and how memory is shared out among its rows."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from netshare.preprocess.errors import ConfigError

COUNTER_BYTES = 8  # counters are int64: no trace overflows them


class Sketch(ABC):
    """Counts keys in `memory` bytes (hash functions not counted in)."""

    memory: int

    @abstractmethod
    def __init__(self, memory: int, seed: int) -> None: ...

    def update(self, keys: np.ndarray, counts: np.ndarray | None = None) -> None:
        """Add occurrences.

        Args:
            keys: uint64[n], in any order, repeated or not.
            counts: int64[n], occurrences of each key, not negative; one each if not given.
        """
        distinct, totals = distinct_counts(keys, counts)
        if len(distinct):
            self._add(distinct, totals)

    @abstractmethod
    def estimate(self, keys: np.ndarray) -> np.ndarray:
        """float64[n]: estimated occurrences of each key of uint64[n]."""

    @abstractmethod
    def _add(self, keys: np.ndarray, counts: np.ndarray) -> None:
        """Add int64[n] counts of distinct keys."""


def distinct_counts(keys: np.ndarray, counts: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The distinct keys, uint64[m], ascending, and the int64[m] occurrences of each."""
    keys = np.asarray(keys, np.uint64)
    if counts is None:
        distinct, totals = np.unique(keys, return_counts=True)
        return distinct, totals.astype(np.int64)
    distinct, code = np.unique(keys, return_inverse=True)
    totals = np.zeros(len(distinct), np.int64)
    np.add.at(totals, code, np.asarray(counts, np.int64))
    return distinct, totals


def row_width(memory: int, depth: int) -> int:
    """Counters in each of `depth` rows.

    Raises:
        ConfigError: the memory does not hold one counter a row.
    """
    width = memory // (depth * COUNTER_BYTES)
    if depth < 1 or width < 1:
        raise ConfigError(f"sketch memory: found {memory} bytes for {depth} rows, give {COUNTER_BYTES} a row or more")
    return width
