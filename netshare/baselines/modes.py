"""CTGAN's mode-specific normalisation of numbers: which mode of a mixture a value belongs to, and where it lies in it.

A number becomes a category, its mode, and a scalar (value - mean) / (4 deviations of the mode) in [-1, 1]. Modes are
those of a variational Gaussian mixture of at most 10 components whose weight is above 0.005 (Xu et al., 2019, 4.2).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch

MAX_MODES = 10
MIN_WEIGHT = 0.005
SPREAD = 4.0  # deviations that the scalar's range covers
SAMPLE = 5_000  # values that a mixture is fitted to, at most


@dataclass(frozen=True)
class Modes:
    """Modes of one number: weights, means, deviations, each float64[k]."""

    weight: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, seed: int) -> Modes:
        """The modes of float[n]."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import BayesianGaussianMixture

        random = np.random.default_rng(seed)
        sample = values if len(values) <= SAMPLE else random.choice(values, SAMPLE, replace=False)
        distinct = len(np.unique(sample))
        if distinct < 2:
            return cls(np.ones(1), sample[:1].astype(np.float64), np.full(1, 1e-3))
        mixture = BayesianGaussianMixture(
            n_components=min(MAX_MODES, distinct), weight_concentration_prior=0.001, random_state=seed
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(sample.reshape(-1, 1).astype(np.float64))
        kept = mixture.weights_ > MIN_WEIGHT
        weight = mixture.weights_[kept] / mixture.weights_[kept].sum()
        return cls(weight, mixture.means_[kept, 0], np.sqrt(mixture.covariances_[kept, 0, 0]).clip(1e-3))

    def normalise(self, values: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Modes int64[n], drawn by their probability given the value, and scalars float64[n] within [-1, 1]."""
        apart = (values[:, None] - self.mean) / self.deviation
        log_density = np.log(self.weight) - np.log(self.deviation) - 0.5 * apart**2
        density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
        cumulative = np.cumsum(density / density.sum(axis=1, keepdims=True), axis=1)
        mode = (cumulative <= random.random((len(values), 1))).sum(axis=1).clip(max=len(self.mean) - 1)
        return mode, (apart[np.arange(len(values)), mode] / SPREAD).clip(-1, 1)

    def restore(self, mode: np.ndarray, scalar: np.ndarray) -> np.ndarray:
        """float64[n]: the values of modes and scalars."""
        return self.mean[mode] + SPREAD * self.deviation[mode] * scalar

    def to_tensor(self) -> torch.Tensor:
        """float64[3, k]."""
        return torch.from_numpy(np.stack([self.weight, self.mean, self.deviation]))

    @classmethod
    def from_tensor(cls, value: torch.Tensor) -> Modes:
        """What `to_tensor` gave."""
        return cls(*value.double().numpy())
