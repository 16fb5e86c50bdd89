"""Random numbers that belong to units: what a row of a batch gets does not depend on the rows around it.

    keys = unit_keys(data)                                    # uint64[series], once
    noise = UnitNoise(keys[chosen], secret)                   # for one update
    noise.normal((len(chosen), 8)), noise.uniform((len(chosen), 1))

A private critic compares each real series with a generated one. Were generated series paired with real ones by their
position in the batch, adding one unit would pair all units after it anew, and change the gradients of all of them. So the
numbers that a generated series follows from are a function of a secret, which is new in each update, and of the real series
itself. Then the clipped sum is a sum over units of terms that depend on one unit each, and a unit more or less changes it
by at most the clip norm.

Private: keys (hashes of series) and the secret. What follows from them is seen by the critics alone.

Numbers come from a counter that is mixed with the row's key by SplitMix64 (Steele, Lea, Flood, "Fast splittable
pseudorandom number generators", 2014).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from netshare.preprocess.encoded import Encoded

GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)  # SplitMix64's increment: 2^64 over the golden ratio, odd
MIXERS = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)  # its shifts, factors


def unit_keys(data: Encoded) -> np.ndarray:
    """uint64[series]: a hash of each series, metadata and measurements."""
    metadata, measurements = np.ascontiguousarray(data.metadata), np.ascontiguousarray(data.measurements)
    found = np.empty(len(data), np.uint64)
    for i in range(len(data)):
        digest = hashlib.blake2b(metadata[i].tobytes(), digest_size=8)
        digest.update(measurements[data.offsets[i] : data.offsets[i + 1]].tobytes())
        found[i] = int.from_bytes(digest.digest(), "little")
    return found


class UnitNoise:
    """Numbers for rows; drawn on the CPU, so that every device sees the same.

    Args:
        keys: uint64[n], of the rows' units.
        secret: uint64, of the update.
    """

    def __init__(self, keys: np.ndarray, secret: int) -> None:
        self._state = _mixed(keys ^ _mixed(np.full(1, secret, np.uint64)))
        self._drawn = 0  # numbers of each row so far

    def uniform(self, shape: Sequence[int]) -> torch.Tensor:
        """float32 of this shape, in [0, 1). Rows are its first axis, or its second where the first is 1."""
        return self._by_row(shape, lambda n: self._bits(n) * 2.0**-53).clamp(max=1 - 2.0**-24)

    def normal(self, shape: Sequence[int]) -> torch.Tensor:
        """float32 of this shape: standard normal, by Box and Muller's transform. Rows as in `uniform`."""

        def draw(n: int) -> np.ndarray:
            radius = np.sqrt(-2 * np.log1p(-self._bits(n) * 2.0**-53))
            return radius * np.cos(2 * math.pi * 2.0**-53 * self._bits(n))

        return self._by_row(shape, draw)

    def _bits(self, n: int) -> np.ndarray:
        """float64[rows, n]: the next whole numbers below 2^53 of each row."""
        self._drawn, first = self._drawn + n, self._drawn
        steps = np.arange(first + 1, first + n + 1, dtype=np.uint64) * GOLDEN_GAMMA
        return (_mixed(self._state[:, None] + steps) >> np.uint64(11)).astype(np.float64)

    def _by_row(self, shape: Sequence[int], draw: Callable[[int], np.ndarray]) -> torch.Tensor:
        rows = len(self._state)
        first = shape[0] == rows
        inner = tuple(shape[1:] if first else (shape[0], *shape[2:]))
        numbers = torch.from_numpy(draw(math.prod(inner))).to(torch.get_default_dtype()).reshape(rows, *inner)
        return numbers if first else numbers.transpose(0, 1)


def _mixed(state: np.ndarray) -> np.ndarray:
    """uint64 of the same shape: SplitMix64's output function."""
    for shift, factor in MIXERS:
        state = (state ^ (state >> shift)) * factor
    return state ^ (state >> np.uint64(31))
