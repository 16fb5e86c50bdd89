"""Random numbers that privacy rests on: which units take part in a step, and the noise.

No data come here, private or public. The numbers must stay secret: whoever can predict them can undo the noise.

Counts get the discrete Gaussian, which is exact. Gradients get the continuous Gaussian in double precision, which is not:
the low bits of a single one can betray what it was added to (Mironov 2012), so that `SecureRandomness` adds two of half the
variance (Holohan and Braghin, "Secure random sampling in differential privacy", 2021).

`SecureRandomness` takes every bit from the operating system's cryptographic generator, so that nothing repeats and nothing
can be recomputed. `SeededRandomness` follows from a seed, for tests and experiments that must repeat: it gives no guarantee
towards anybody who knows the seed.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod

import numpy as np

from netshare.privacy.discrete_gaussian import Words, discrete_gaussian


class Randomness(ABC):
    """Source of sampling and noise.

    Labels name what numbers are for (the number of a training step, a table's hash); no labels may be used twice.
    """

    @abstractmethod
    def uniform(self, n: int, *labels: int) -> np.ndarray:
        """float64[n]: uniform in [0, 1)."""

    @abstractmethod
    def normal(self, n: int, *labels: int) -> np.ndarray:
        """float64[n]: standard normal, in double precision."""

    @abstractmethod
    def words(self, *labels: int) -> Words:
        """A source of random bits: each call with n gives another uint64[n]."""

    def discrete_gaussian(self, n: int, exponent: int, *labels: int) -> np.ndarray:
        """int64[n]: discrete Gaussian noise of standard deviation 2**exponent, exact (see `discrete_gaussian`)."""
        return discrete_gaussian(n, exponent, self.words(*labels))

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

    def words(self, *labels: int) -> Words:
        """See `Randomness.words`."""
        rng = np.random.default_rng([self.seed, 3, *labels])
        return lambda n: rng.integers(0, 2**64, n, np.uint64)


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

    def words(self, *labels: int) -> Words:
        """See `Randomness.words`."""
        return lambda n: np.frombuffer(bytearray(os.urandom(8 * n)), np.uint64)
