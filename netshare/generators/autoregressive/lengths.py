"""Series lengths as three tokens: one record or more; how many, short ones exactly, long ones as a logarithmic bin; and
the place within it.

Lengths up to 32 have a bin each; above, bins are a fifth of their lower edge wide. A place is one of 20 parts of its
bin, and within a part all lengths are equally likely: exact up to about 100 records, and never on a lattice.
"""

from __future__ import annotations

import numpy as np

from netshare.preprocess.encoded import Column

LENGTH = "length.bin"  # the column that says most of it
EXACT_LENGTHS = 32
BIN_RATIO = 1.2
PLACES = 20


class LengthCode:
    """Lengths from 1 to `max_length` as rows of the three categorical columns `columns`."""

    def __init__(self, max_length: int) -> None:
        edges = list(range(2, min(EXACT_LENGTHS, max_length) + 2))
        while edges[-1] <= max_length:
            edges.append(min(round(edges[-1] * BIN_RATIO), max_length + 1))
        self.first = np.array(edges[:-1], np.int64)
        self.width: np.ndarray = np.array(edges[1:], np.int64) - self.first
        self.columns: tuple[Column, ...] = (Column("length.more", "length", "categorical", 1),)
        if len(self.first) == 0:
            return
        self.columns = (
            Column("length.more", "length", "categorical", 2),
            Column(
                LENGTH, "length", "categorical", len(self.first),
                "length.more", (1,),
                positions=tuple((np.log(self.first) / max(np.log(self.first[-1]), 1.0)).tolist()),
            ),
            Column(
                "length.place", "length", "categorical", PLACES, LENGTH,
                tuple(int(i) for i in np.flatnonzero(self.width > 1)),
            ),
        )  # fmt: skip

    def encode(self, lengths: np.ndarray) -> np.ndarray:
        """float32[n, columns] of int64[n] lengths."""
        rows = np.zeros((len(lengths), len(self.columns)), np.float32)
        more = np.flatnonzero(lengths > 1)
        if len(more):
            bins = np.searchsorted(self.first, lengths[more], side="right") - 1
            place = (lengths[more] - self.first[bins]) * PLACES // self.width[bins]
            rows[more] = np.stack([np.ones(len(more)), bins, place], axis=1)
        return rows

    def decode(self, rows: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """int64[n] lengths of float32[n, columns]; `uniform` (float64[n] in [0, 1)) chooses within a place."""
        lengths = np.ones(len(rows), np.int64)
        more = np.flatnonzero(rows[:, 0])
        if len(more):
            bins, place = rows[more, 1:].astype(np.int64).T
            width = self.width[bins]
            low = -(-place * width // PLACES)
            high = np.maximum(-(-(place + 1) * width // PLACES), low + 1)
            within = low + np.floor(uniform[more] * (high - low)).astype(np.int64)
            lengths[more] = self.first[bins] + np.minimum(within, width - 1)
        return lengths
