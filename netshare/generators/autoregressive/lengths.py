"""Series lengths as two tokens: short ones exactly, long ones as a logarithmic bin and a place within it.

Lengths up to 32 have a bin each; above, bins are a fifth of their lower edge wide. A place is one of 20 parts of its
bin, and within a part all lengths are equally likely: exact up to about 100 records, and never on a lattice.
"""

from __future__ import annotations

import numpy as np

from preprocess.encoded import Column

EXACT_LENGTHS = 32
BIN_RATIO = 1.2
PLACES = 20


class LengthCode:
    """Lengths from 1 to `max_length` as rows of the two categorical columns `columns`."""

    def __init__(self, max_length: int) -> None:
        edges = list(range(1, min(EXACT_LENGTHS, max_length) + 2))
        while edges[-1] <= max_length:
            edges.append(min(round(edges[-1] * BIN_RATIO), max_length + 1))
        self.first = np.array(edges[:-1], np.int64)
        self.width: np.ndarray = np.array(edges[1:], np.int64) - self.first
        self.columns = (
            Column(
                "length.bin", "length", "categorical", len(self.first),
                positions=tuple((np.log(self.first) / max(np.log(self.first[-1]), 1.0)).tolist()),
            ),
            Column(
                "length.place", "length", "categorical", PLACES, "length.bin",
                tuple(int(i) for i in np.flatnonzero(self.width > 1)),
            ),
        )  # fmt: skip

    def encode(self, lengths: np.ndarray) -> np.ndarray:
        """float32[n, 2] of int64[n] lengths."""
        bins = np.searchsorted(self.first, lengths, side="right") - 1
        place = (lengths - self.first[bins]) * PLACES // self.width[bins]
        return np.stack([bins, place], axis=1).astype(np.float32)

    def decode(self, rows: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """int64[n] lengths of float32[n, 2]; `uniform` (float64[n] in [0, 1)) chooses within a place."""
        bins, place = rows.astype(np.int64).T
        width = self.width[bins]
        low = -(-place * width // PLACES)
        high = np.maximum(-(-(place + 1) * width // PLACES), low + 1)
        within = low + np.floor(uniform * (high - low)).astype(np.int64)
        return self.first[bins] + np.minimum(within, width - 1)
