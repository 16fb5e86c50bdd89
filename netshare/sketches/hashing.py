"""Seeded hash functions on 64-bit keys, vectorised: pair multiply-shift, which is strongly universal (pairwise
independent), as the sketches' error bounds ask for.

A key is taken as two 32-bit halves x, y and hashed to the upper 32 bits of a x + b y + c modulo 2^64, with a, b, c
drawn at random (Dietzfelbinger, "Universal hashing and k-wise independent random variables via integer arithmetic
without primes", STACS 1996; Thorup, "High speed hashing for integers and strings", 2015, section 3).
"""

from __future__ import annotations

import numpy as np

_LOWER = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


class HashFamily:
    """Independent pairwise independent hash functions, one a row."""

    def __init__(self, rows: int, rng: np.random.Generator) -> None:
        self.factors = rng.integers(0, 2**64, size=(rows, 3), dtype=np.uint64)

    def __call__(self, keys: np.ndarray, row: int) -> np.ndarray:
        """uint64[n], values below 2^32: hash of uint64[n] keys by function `row`."""
        a, b, c = self.factors[row]
        return ((keys & _LOWER) * a + (keys >> _SHIFT) * b + c) >> _SHIFT

    def buckets(self, keys: np.ndarray, row: int, width: int) -> np.ndarray:
        """int64[n]: a bucket from 0 to `width` - 1 for each key."""
        return ((self(keys, row) * np.uint64(width)) >> _SHIFT).astype(np.int64)

    def signs(self, keys: np.ndarray, row: int) -> np.ndarray:
        """int64[n]: +1 or -1 for each key."""
        return 1 - 2 * (self(keys, row) >> np.uint64(31)).astype(np.int64)
