"""Counts that are expected to be like others (a public trace's), and were counted with noise: what both say together.

`fitted_names` for names, `fitted_numbers` for neighbouring cells of a scale; `posterior` is what they rest on. No data here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import betaln

EXPECTED, UNEXPECTED = 3.0, 4.0  # standard deviations of an expected cell, of a difference, that a cell stands out by
ALIKE = (1.0, 4.0, 16.0, 64.0, 256.0)  # concentrations of a Dirichlet distribution: how like each other traces may be
HALVES_ALIKE = (2.0,)  # of a Polya tree
LEAST_HALF = 0.03  # share that a half may be expected to have where the public trace has none
UNHEARD_OF, UNEXPECTED_SHARE = 2e-4, 0.01  # shares of all names that are not expected, and of a likely one
LEAST = 1e-6  # share that counts as none
NODES = np.concatenate([np.geomspace(LEAST, 0.5, 24), 1 - np.geomspace(LEAST, 0.5, 24)[::-1]])
NEARBY = np.linspace(-4.0, 4.0, 17)  # standard deviations


def fitted_names(noisy: np.ndarray, deviation: float, prior: np.ndarray, likely: Sequence[int] = ()) -> np.ndarray:
    """float64[n]: counts of names, with the total of the expected ones (float64[n], `prior`): of each name what noise and
    expectation say together (`posterior`). `likely` names may come up unexpectedly, others hardly ever."""
    total = float(prior.sum())
    if total <= LEAST * deviation:
        return prior
    least = np.full(len(prior), UNHEARD_OF / len(prior))
    least[list(likely)] = UNEXPECTED_SHARE
    mean, variance = posterior(noisy / total, deviation / total, prior / total, least, ALIKE)
    return _balanced(mean * total, variance * total**2, total)


def fitted_numbers(noisy: np.ndarray, deviation: float, prior: np.ndarray) -> np.ndarray:
    """float64[n]: counts in neighbouring cells, with the total of the expected ones (float64[n], `prior`): cells that stand
    out by themselves, the others in runs, half by half, each as noise and expectation say together (`posterior`)."""
    total = float(prior.sum())
    if total <= LEAST * deviation:
        return prior
    alone = (np.abs(noisy - prior) > UNEXPECTED * deviation) | (prior > EXPECTED * deviation)
    found = np.zeros(len(prior))
    if alone.any():
        seen, expected = noisy[alone] / total, prior[alone] / total
        mean, variance = posterior(seen, deviation / total, expected, UNHEARD_OF / len(prior), HALVES_ALIKE)
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
    """float64[n] each: mean and variance of shares that were seen through Gaussian noise.

    Beforehand a share has a Beta distribution around what is expected, as a Dirichlet distribution (of names) or a Polya
    tree (of halves: Lavine, "Some aspects of Polya tree distributions", 1992) would have it. Integrated numerically.

    Args:
        seen, expected: float64[n]
        noise: standard deviation.
        least: share that may be there where none is expected.
        concentrations: of the Beta distribution, small where the share may be far from what is expected; of several,
            each counts as much as it makes all that was seen likely.
    """
    noise = np.broadcast_to(np.maximum(noise, 1e-12), seen.shape)[:, None]
    middle = np.clip(expected, least, 1 - np.asarray(least))[:, None]
    near = np.clip(seen[:, None] + noise * NEARBY, LEAST, 1 - LEAST)
    nodes = np.sort(np.concatenate([np.broadcast_to(NODES, (len(seen), len(NODES))), near], axis=1), axis=1)
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
        low, high = (np.exp(power * math.log(LEAST) - scale) / power for power in (one, other))
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
    """float64[n]: counts that add up to `total`, which is itself as sure as a count of so many. What is missing or too much
    goes where counts are unsure; what they are sure of is changed in proportion."""
    if mean.sum() <= 0:
        return np.full(len(mean), total / len(mean))
    found = np.maximum(mean + variance * ((total - mean.sum()) / (variance.sum() + total)), 0.0)
    return found * (total / found.sum())


def _halved(noisy: np.ndarray, deviation: float, prior: np.ndarray, some: np.ndarray) -> np.ndarray:
    """float64[n]: counts in neighbouring cells, of which `some` (bool[n]) may hold something, with the total of the expected
    ones (float64[n], `prior`)."""
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
        even = left / np.maximum(left + right, 1)
        share = even.copy()
        own = np.flatnonzero((left > 0) & (right > 0) & (cells > LEAST))
        if len(own):
            whole = expected[level + 1][own]
            usual = np.where(whole > 0, expected[level][::2][own] / np.maximum(whole, 1e-300), even[own])
            noise = deviation * np.sqrt(left + right)[own] / (2 * cells[own])
            seen = (1 + (sums[level][::2] - sums[level][1::2])[own] / cells[own]) / 2
            share[own] = posterior(seen, noise, usual, LEAST_HALF, HALVES_ALIKE)[0]
        cells = np.stack([cells * share, cells * (1 - share)], axis=1).ravel()
    return cells[: len(noisy)]
