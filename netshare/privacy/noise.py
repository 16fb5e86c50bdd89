"""Random numbers that privacy rests on: which units take part in a step, and the noise.

No data come here, private or public. The numbers must stay secret: whoever can predict them can undo the noise.

`SecureRandomness` takes every bit from the operating system's
cryptographic generator, so that nothing repeats and nothing can be recomputed; it adds two Gaussians of half the
variance, since the low bits of a single one can betray what it was added to (Mironov 2012; Holohan and Braghin,
"Secure random sampling in differential privacy", 2021). `SeededRandomness` follows from a seed, for tests and
experiments that must repeat: it gives no guarantee towards anybody who knows the seed.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod

import numpy as np


class Randomness(ABC):
    """Source of sampling and noise.

    Labels name what numbers are for (the number of a training step, a table's hash); no labels may be used twice.
    """

    @abstractmethod
    def uniform(self, n: int, *labels: int) -> np.ndarray:
        """float64[n]: uniform in [0, 1)."""

    @abstractmethod
    def normal(self, n: int, *labels: int) -> np.ndarray:
        """float64[n]: standard normal."""

    def poisson_sample(self, n: int, rate: float, *labels: int) -> np.ndarray:
        """int64[k]: which of n units take part, each independently with probability `rate`; possibly none."""
        return np.flatnonzero(self.uniform(n, *labels) < rate)


class SeededRandomness(Randomness):
    """The same numbers for the same seed and labels."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def uniform(self, n: int, *labels: int) -> np.ndarray:
        """See `Randomness.uniform`."""
        return np.random.default_rng([self.seed, 1, *labels]).random(n)

    def normal(self, n: int, *labels: int) -> np.ndarray:
        """See `Randomness.normal`."""
        return np.random.default_rng([self.seed, 2, *labels]).standard_normal(n)


class SecureRandomness(Randomness):
    """New numbers at every call, whatever the labels."""

    def uniform(self, n: int, *labels: int) -> np.ndarray:
        """See `Randomness.uniform`."""
        return (np.frombuffer(os.urandom(8 * n), np.uint64) >> np.uint64(11)) * 2.0**-53

    def normal(self, n: int, *labels: int) -> np.ndarray:
        """See `Randomness.normal`; by Box and Muller's transform."""
        radius = np.sqrt(-2 * np.log(1 - self.uniform(n)))
        angle = 2 * math.pi * self.uniform(n)
        first, second = radius * np.cos(angle), radius * np.sin(angle)
        return (first + np.roll(second, 1)) / math.sqrt(2)
