"""The discrete Gaussian distribution on the integers, sampled exactly.

    noise = discrete_gaussian(1000, 24, words)     # int64[1000], standard deviation 2**24

It gives an integer x the probability exp(-x**2 / (2 sigma**2)) over the sum of that for all integers (Canonne, Kamath and
Steinke, "The Discrete Gaussian for Differential Privacy", NeurIPS 2020). Samples are drawn as their algorithms 1 to 3 do:
a discrete Laplace number of scale sigma is proposed, and kept with a probability that turns its distribution into the
wanted one. Every decision compares integers with random bits. No floating-point number takes part, so the probabilities
are exactly those above, and nothing about a sum of a count and noise shows in bits that a rounding left behind.

Sigma is a power of two, so that every fraction that is compared has a power of two below the line, and random bits decide
without a division. Whoever needs another sigma chooses the width of a grid cell instead (`counts.counting`).

Private: nothing. Public: how many samples, and sigma.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Words = Callable[[int], np.ndarray]
"""A source of random bits: n -> uint64[n], writable, new at each call."""

MAX_EXPONENT = 24  # of sigma, so that squares of proposals fit into 64 bits
CANDIDATES = 2.2  # proposals a sample; a little more than are needed on average


def discrete_gaussian(n: int, exponent: int, words: Words) -> np.ndarray:
    """int64[n]: independent samples of the discrete Gaussian with sigma = 2**exponent.

    Args:
        n: how many.
        exponent: 0 to `MAX_EXPONENT`.
        words: where random bits come from.

    Raises:
        ValueError: the exponent is out of range.
        OverflowError: a proposal is 2**31 or more from 0, which happens with a probability below exp(-126).
    """
    if not 0 <= exponent <= MAX_EXPONENT:
        raise ValueError(f"sigma is 2**{exponent}; the exponent must be between 0 and {MAX_EXPONENT}")
    samples, filled = np.empty(n, np.int64), 0
    while filled < n:
        kept = _kept_proposals(int((n - filled) * CANDIDATES) + 16, exponent, words)[: n - filled]
        samples[filled : filled + len(kept)] = kept
        filled += len(kept)
    return samples


def _kept_proposals(n: int, exponent: int, words: Words) -> np.ndarray:
    """int64[at most n]: those of n proposals that are kept; independent samples (algorithms 2 and 3)."""
    sigma, bits = 1 << exponent, 2 * exponent + 1
    word = words(n)
    word = word[_happens((word & np.uint64(sigma - 1)) << np.uint64(exponent + 1), bits, words)]
    offset = word & np.uint64(sigma - 1)
    steps = _successes(len(offset), words)
    if steps.max(initial=0) >= 1 << (31 - exponent):
        raise OverflowError("a discrete Gaussian sample came out beyond the numbers of 64 bits; run again")
    distance, negative = steps * sigma + offset.astype(np.int64), word >> np.uint64(63) == 1
    exponents = np.square(distance - sigma).astype(np.uint64)  # in units of 2**-bits
    whole = (exponents >> np.uint64(bits)).astype(np.int64)
    keep = _happens(exponents & np.uint64((1 << bits) - 1), bits, words) & ~(negative & (distance == 0))
    far = np.flatnonzero(keep & (whole > 0))
    keep[far] = _successes(len(far), words) >= whole[far]
    return np.where(negative, -distance, distance)[keep]


def _successes(n: int, words: Words) -> np.ndarray:
    """int64[n]: how often in a row events of probability exp(-1) happen, so that k or more has probability exp(-k)."""
    counts, rows = np.zeros(n, np.int64), np.arange(n)
    while len(rows):
        rows = rows[_happens(np.full(len(rows), 2, np.uint64), 1, words, tried=2)]
        counts[rows] += 1
    return counts


def _happens(numerator: np.ndarray, bits: int, words: Words, tried: int = 1) -> np.ndarray:
    """bool[n]: true with probability exp(-x), x = numerator / 2**bits between 0 and 1 (algorithm 1).

    Events of probability x / 1, x / 2, x / 3 ... are tried until one does not happen; it is the k-th or a later one with
    probability x**(k - 1) / (k - 1)!, so an odd one with probability 1 - x + x**2 / 2 - ... = exp(-x). The upper `bits`
    bits of a random word decide an event of probability x, the remainder of its lower bits by k one of probability 1 / k.

    Args:
        numerator: uint64[n], at most 2**bits.
        bits: at most 49, which leaves 15 for k.
        words: where random bits come from.
        tried: the first k; 2 where every x is 1, so that the first event is certain.
    """
    happens, rows = np.zeros(len(numerator), bool), np.arange(len(numerator))
    below, lower = np.uint64(64 - bits), np.uint64((1 << (64 - bits)) - 1)
    while len(rows):
        word = words(len(rows))
        fair = np.uint64((1 << (64 - bits)) // tried * tried - 1)  # above, some remainders would come more often
        while len(unfair := np.flatnonzero(word & lower > fair)):
            word[unfair] = words(len(unfair))
        again = (word >> below < numerator[rows]) & ((word & lower) % np.uint64(tried) == 0)
        happens[rows[~again]] = tried % 2 == 1
        rows, tried = rows[again], tried + 1
    return happens
