"""Noisy counts that a public trace says what to expect of: what noise and expectation say together.

`fitted_names` for counts of names (TCP flags, TTLs), `fitted_numbers` for neighbouring cells of a scale (packet sizes,
gaps); both rest on `posterior`, the posterior mean of a share under a prior around the public trace's share.

Public: everything; the noisy counts that come in are differentially private already (post-processing).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import betaln

# A cell of a scale is estimated by itself, and not with its neighbours, where so many standard deviations of the noise
# are exceeded by its expectation (the first), or by the difference of its noisy count from it (the second).
LARGE_EXPECTATION, LARGE_DIFFERENCE = 3.0, 4.0
# Concentrations of the prior around the public trace's shares: 1 says next to nothing, 256 that traces hardly differ.
DIRICHLET_CONCENTRATIONS = (1.0, 4.0, 16.0, 64.0, 256.0)  # of names; weighed by how likely they make what was seen
POLYA_CONCENTRATIONS = (2.0,)  # of halves of a scale
MIN_HALF_SHARE = 0.03  # prior share of a half of a scale in which the public trace has nothing
RARE_NAMES_SHARE = 2e-4  # prior share of all names together that the public trace lacks ...
LIKELY_NAME_SHARE = 0.01  # ... and of each name that is likely in any trace
NEGLIGIBLE_SHARE = 1e-6  # counts as none
# Where densities of shares are evaluated: close to 0 and 1 in steps of equal ratio, and around what was seen.
SHARE_NODES = np.concatenate(
    [np.geomspace(NEGLIGIBLE_SHARE, 0.5, 24), 1 - np.geomspace(NEGLIGIBLE_SHARE, 0.5, 24)[::-1]]
)
DEVIATION_NODES = np.linspace(-4.0, 4.0, 17)  # standard deviations of the noise


def fitted_names(noisy: np.ndarray, deviation: float, prior: np.ndarray, likely: Sequence[int] = ()) -> np.ndarray:
    """float64[n]: posterior means of counts of names, with the same total as `prior`.

    Args:
        noisy: float64[n].
        deviation: standard deviation of the noise in each cell.
        prior: float64[n], expected counts.
        likely: names that may well occur although they are not expected; all other unexpected names are rare.
    """
    total = float(prior.sum())
    if total <= NEGLIGIBLE_SHARE * deviation:
        return prior
    least = np.full(len(prior), RARE_NAMES_SHARE / len(prior))
    least[list(likely)] = LIKELY_NAME_SHARE
    mean, variance = posterior(noisy / total, deviation / total, prior / total, least, DIRICHLET_CONCENTRATIONS)
    return _balanced(mean * total, variance * total**2, total)


def fitted_numbers(noisy: np.ndarray, deviation: float, prior: np.ndarray) -> np.ndarray:
    """float64[n]: posterior means of counts of neighbouring cells, with the same total as `prior`.

    Cells with a large expectation, or whose noisy count differs much from it, are estimated one by one. The others are
    estimated together: the scale is halved again and again, and each half's share of its whole is estimated.

    Args:
        noisy: float64[n].
        deviation: standard deviation of the noise in each cell.
        prior: float64[n], expected counts.
    """
    total = float(prior.sum())
    if total <= NEGLIGIBLE_SHARE * deviation:
        return prior
    alone = (np.abs(noisy - prior) > LARGE_DIFFERENCE * deviation) | (prior > LARGE_EXPECTATION * deviation)
    found = np.zeros(len(prior))
    if alone.any():
        seen, expected = noisy[alone] / total, prior[alone] / total
        mean, variance = posterior(
            seen, deviation / total, expected, RARE_NAMES_SHARE / len(prior), POLYA_CONCENTRATIONS
        )
        found[alone] = mean * total
        if alone.all() or found.sum() > total:
            found[alone] = _balanced(mean * total, variance * total**2, total)
            return found
    others = np.where(alone, 0.0, prior)
    others = others if others.sum() > 0 else np.where(alone, 0.0, 1.0)
    others = others / others.sum() * (total - found.sum())
    return found + _halved(noisy, deviation, others, ~alone)


def posterior(
    seen: np.ndarray, noise: np.ndarray | float, expected: np.ndarray, least: np.ndarray | float,
    concentrations: Sequence[float],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Posterior means and variances, float64[n] each, of shares that were seen through Gaussian noise.

    The prior of a share is a Beta distribution around the expected share, which is what a Dirichlet distribution gives
    for one name and a Polya tree for one half (Lavine, "Some aspects of Polya tree distributions", 1992). The integrals
    are numerical.

    Args:
        seen: float64[n], noisy shares.
        noise: standard deviation of their noise.
        expected: float64[n], expected shares.
        least: what an expected share is raised to at least, so that nothing is impossible.
        concentrations: of the Beta distribution; small ones allow shares far from the expected. Results for several
            are averaged, weighted by how likely each makes all that was seen.
    """
    noise = np.broadcast_to(np.maximum(noise, 1e-12), seen.shape)[:, None]
    middle = np.clip(expected, least, 1 - np.asarray(least))[:, None]
    near = np.clip(seen[:, None] + noise * DEVIATION_NODES, NEGLIGIBLE_SHARE, 1 - NEGLIGIBLE_SHARE)
    nodes = np.sort(np.concatenate([np.broadcast_to(SHARE_NODES, (len(seen), len(SHARE_NODES))), near], axis=1), axis=1)
    centre, end = (nodes[:, 1:] + nodes[:, :-1]) / 2, np.zeros((len(seen), 1))
    places = np.concatenate([end, centre, end + 1], axis=1)  # what is below the least node counts as 0
    far = ((places - seen[:, None]) / noise) ** 2 / 2
    likelihood = np.exp(far.min(axis=1, keepdims=True) - far)
    width = np.log(np.maximum(np.diff(nodes, axis=1), 1e-300))
    found, evidence = [], []
    for concentration in concentrations:
        one, other = concentration * middle, concentration * (1 - middle)
        scale = betaln(one, other)
        inner = np.exp(width + (one - 1) * np.log(centre) + (other - 1) * np.log1p(-centre) - scale)
        low, high = (np.exp(power * math.log(NEGLIGIBLE_SHARE) - scale) / power for power in (one, other))
        before = np.concatenate([low, inner, high], axis=1)
        chance = before / before.sum(axis=1, keepdims=True) * likelihood
        whole = np.maximum(chance.sum(axis=1), 1e-300)
        mean = (chance * places).sum(axis=1) / whole
        found.append((mean, (chance * (places - mean[:, None]) ** 2).sum(axis=1) / whole))
        evidence.append(float(np.log(whole).sum()))
    weights = np.exp(np.array(evidence) - max(evidence))
    mean, variance = (np.average([each[i] for each in found], axis=0, weights=weights) for i in range(2))
    return mean, variance


def _balanced(mean: np.ndarray, variance: np.ndarray, total: float) -> np.ndarray:
    """float64[n]: the estimates (float64[n], with their variances) changed so that they add up to `total`.

    The difference is shared out in proportion to the variances, as far as the total, taken to be a count with Poisson
    variance, explains it; the remainder in proportion to the estimates.
    """
    if mean.sum() <= 0:
        return np.full(len(mean), total / len(mean))
    found = np.maximum(mean + variance * ((total - mean.sum()) / (variance.sum() + total)), 0.0)
    return found * (total / found.sum())


def _halved(noisy: np.ndarray, deviation: float, prior: np.ndarray, some: np.ndarray) -> np.ndarray:
    """float64[n]: estimates of neighbouring cells by halving the scale, with the same total as `prior` (float64[n]); cells
    outside `some` (bool[n]) get nothing."""
    size = 1 << max(len(noisy) - 1, 1).bit_length()
    sums, expected, room = (
        [np.concatenate([np.where(some, values, 0.0), np.zeros(size - len(noisy))])]
        for values in (noisy, prior, np.ones(len(noisy)))
    )
    for levels in (sums, expected, room):
        while len(levels[-1]) > 1:
            levels.append(levels[-1][::2] + levels[-1][1::2])
    cells = expected[-1]
    for level in range(len(sums) - 2, -1, -1):
        left, right = room[level][::2], room[level][1::2]
        uniform = left / np.maximum(left + right, 1)
        share = uniform.copy()
        own = np.flatnonzero((left > 0) & (right > 0) & (cells > NEGLIGIBLE_SHARE))
        if len(own):
            whole = expected[level + 1][own]
            usual = np.where(whole > 0, expected[level][::2][own] / np.maximum(whole, 1e-300), uniform[own])
            noise = deviation * np.sqrt(left + right)[own] / (2 * cells[own])
            seen = (1 + (sums[level][::2] - sums[level][1::2])[own] / cells[own]) / 2
            share[own] = posterior(seen, noise, usual, MIN_HALF_SHARE, POLYA_CONCENTRATIONS)[0]
        cells = np.stack([cells * share, cells * (1 - share)], axis=1).ravel()
    return cells[: len(noisy)]
