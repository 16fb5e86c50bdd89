"""Discrete Gaussian noise has the distribution of its definition, and betrays nothing in its low bits."""

from decimal import Decimal, getcontext

import numpy as np
import pytest
from scipy.stats import chi2, chi2_contingency, chisquare
from scipy.stats import norm as gaussian

from netshare.privacy.counts.counting import CountingNoise, NoisyCounts
from netshare.privacy.discrete_gaussian import MAX_EXPONENT, discrete_gaussian
from netshare.privacy.noise import SecureRandomness, SeededRandomness

RARELY = 1e-5  # a right sampler fails a test in so many of its runs


def exact_probabilities(exponent):
    """The probabilities of 0, 1, 2 ... by the definition, in 50 digits."""
    getcontext().prec = 50
    variance = Decimal(4) ** exponent
    weights = [(-(Decimal(x) ** 2) / (2 * variance)).exp() for x in range(16 * 2**exponent)]
    total = weights[0] + 2 * sum(weights[1:])
    return np.array([float(w / total) for w in weights])


@pytest.mark.parametrize("exponent", range(7))
@pytest.mark.parametrize("source", [SeededRandomness(11), SecureRandomness()], ids=["seeded", "secure"])
def test_each_integer_comes_as_often_as_the_definition_says(exponent, source):
    n, half = 60_000, exact_probabilities(exponent)
    samples = source.discrete_gaussian(n, exponent, 5)
    assert samples.dtype == np.int64 and np.abs(samples).max() < len(half)
    expected = n * np.concatenate([half[:0:-1], half])
    found = np.bincount(samples + len(half) - 1, minlength=len(expected))
    often = expected >= 10
    rest = (found[~often].sum(), expected[~often].sum())
    assert chisquare(np.append(found[often], rest[0]), np.append(expected[often], rest[1])).pvalue > RARELY


@pytest.mark.parametrize("exponent", [0, 1, 5, 17, MAX_EXPONENT])
def test_moments_are_those_known(exponent):
    """Mean 0; variance 2**(2 exponent), of 0 and of 1 to within 1e-7 of it; fourth moment 3 variances squared."""
    n = 100_000
    z = SeededRandomness(4).discrete_gaussian(n, exponent) / 2**exponent
    assert abs(z.mean()) < 4.5 / np.sqrt(n)
    low, high = chi2.ppf([RARELY / 2, 1 - RARELY / 2], n) / n
    assert low < np.mean(z**2) < high
    assert abs(np.mean(z**4) - 3) < 4.5 * np.sqrt(96 / n)


def test_wide_noise_has_gaussian_tails_and_even_low_bits():
    samples = SeededRandomness(8).discrete_gaussian(200_000, MAX_EXPONENT)
    edges = np.r_[-np.inf, np.linspace(-4, 4, 65), np.inf]
    found = np.histogram(samples / 2**MAX_EXPONENT, edges)[0]
    assert chisquare(found, len(samples) * np.diff(gaussian.cdf(edges))).pvalue > RARELY
    for value in (samples, np.abs(samples)):
        assert chisquare(np.bincount(value % 64, minlength=64)).pvalue > RARELY


def test_the_same_seed_and_labels_give_the_same_noise_and_others_do_not():
    first, again, other = (SeededRandomness(1).discrete_gaussian(100, 20, label) for label in (7, 7, 8))
    assert (first == again).all() and (first != other).any()
    assert (SecureRandomness().discrete_gaussian(100, 20) != SecureRandomness().discrete_gaussian(100, 20)).any()


def test_a_sigma_beyond_64_bits_is_refused():
    with pytest.raises(ValueError, match="exponent"):
        discrete_gaussian(1, MAX_EXPONENT + 1, SecureRandomness().words())


def neighbours(values, reach):
    """The doubles up to `reach` places below and above each value, one after the other."""
    yield values
    for towards in (-np.inf, np.inf):
        moved = values
        for _ in range(reach):
            yield (moved := np.nextafter(moved, towards))


def surely_absent(noisy, deviation):
    """bool[n]: whether no double z gives 1 + deviation * z = noisy, all in double precision; then there was no unit."""
    possible = np.zeros(len(noisy), bool)
    for noise in neighbours(noisy - 1, 3):
        for z in neighbours(noise / deviation, 2):
            possible |= (deviation * z == noise) & (1 + noise == noisy)
    return ~possible


@pytest.mark.parametrize("multiplier", [3.73, 1.08])  # about epsilon 1 and 4 at delta 1e-5
def test_low_bits_do_not_tell_that_a_unit_is_absent(multiplier):
    n, shares = 40_000, {"a": 1.0, "b": 6.0}
    entries, nobody = np.arange(n), np.zeros(0, int)
    absent, present = (NoisyCounts(shares, CountingNoise(multiplier, 1.0, SecureRandomness())) for _ in range(2))
    deviation, norm = absent.deviation("a"), absent.grid("a").norm
    rounded = deviation * SecureRandomness().normal(n)  # the continuous Gaussian in double precision
    assert surely_absent(rounded, deviation).mean() > 0.1  # the attack is one,
    assert not surely_absent(1 + rounded, deviation).any()  # and is never wrong
    counts = absent.count("a", nobody, n, nobody), present.count("a", entries, n, entries)
    steps = [np.rint(each * norm).astype(np.int64) for each in counts]
    # Both are k / norm for whole numbers k: noise of k steps with no unit, or of k - norm steps with one
    assert all((each == k * (1 / norm)).all() for each, k in zip(counts, steps, strict=True))
    for low in (2, 32):
        assert chi2_contingency(np.stack([np.bincount(k % low, minlength=low) for k in steps])).pvalue > RARELY
