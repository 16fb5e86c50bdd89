"""How often each of many keys came, counted part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

_MIN_UNMERGED_KEYS = 1 << 16  # distinct keys of parts that wait to be merged, at least


class Tally:
    """Counts of 64-bit keys. Keys that come again cost nothing but time.

    tally = Tally(keep=["length"])
    tally.add(keys, {"length": lengths})     # uint64[n], and of each key what came with it first
    """

    def __init__(self, keep: Sequence[str] = ()) -> None:
        self._keep = tuple(keep)
        self._merged = _Part(np.empty(0, np.uint64), np.empty(0, np.int64), {})
        self._waiting: list[_Part] = []
        self._waiting_keys = 0

    def add(self, keys: np.ndarray, values: Mapping[str, np.ndarray] | None = None) -> None:
        """Count uint64[n] keys; `values` are the columns to keep, n entries each."""
        if self._keep:
            distinct, first, counts = np.unique(keys, return_index=True, return_counts=True)
            kept = {name: (values or {})[name][first] for name in self._keep}
        else:
            (distinct, counts), kept = np.unique(keys, return_counts=True), {}
        self._waiting.append(_Part(distinct, counts, kept))
        self._waiting_keys += len(distinct)
        if self._waiting_keys > max(_MIN_UNMERGED_KEYS, len(self._merged.keys)):
            self._merge()

    def counts(self) -> np.ndarray:
        """int64: how often each distinct key came."""
        return self.sorted()[1]

    def sorted(self) -> tuple[np.ndarray, np.ndarray]:
        """The distinct keys, ascending, and how often each came."""
        self._merge()
        return self._merged.keys, self._merged.counts

    def most_frequent(self, number: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """The most frequent keys, how often each came, and what was kept of them."""
        self._merge()
        order = np.argsort(-self._merged.counts, kind="stable")[:number]
        kept = {name: values[order] for name, values in self._merged.kept.items()}
        return self._merged.keys[order], self._merged.counts[order], kept

    def _merge(self) -> None:
        if not self._waiting:
            return
        parts = [self._merged, *self._waiting] if len(self._merged.keys) else self._waiting
        keys = np.concatenate([part.keys for part in parts])
        counts = np.concatenate([part.counts for part in parts])
        order = np.argsort(keys, kind="stable")
        begins = np.ones(len(keys), dtype=bool)
        begins[1:] = keys[order][1:] != keys[order][:-1]
        places = np.flatnonzero(begins)
        first = order[places]
        total = np.add.reduceat(counts[order], places) if len(places) else counts
        kept = {name: np.concatenate([part.kept[name] for part in parts])[first] for name in self._keep}
        self._merged = _Part(keys[first], total, kept)
        self._waiting, self._waiting_keys = [], 0


class _Part:
    """Distinct keys, ascending, their counts, and what was kept of each."""

    def __init__(self, keys: np.ndarray, counts: np.ndarray, kept: dict[str, np.ndarray]) -> None:
        self.keys, self.counts, self.kept = keys, counts, kept
