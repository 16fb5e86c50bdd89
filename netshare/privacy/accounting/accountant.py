"""How much privacy a sequence of mechanisms costs, and how much noise a budget needs.

Everything that a private run releases of its input is a *Poisson-subsampled Gaussian mechanism*: the sum of vectors, one
for each unit, each of Euclidean norm at most C, over units that are drawn independently with probability q, plus
Gaussian noise of standard deviation sigma * C. Noisy counts are the case q = 1. Two datasets are neighbours when one
has one unit more than the other.

    >>> round(epsilon_of([Mechanism("training", 1.25, 0.0256, 2000)], delta=1e-5), 2)
    5.02
    >>> round(noise_multiplier_for(5.0, 1e-5, sampling_rate=0.0256, steps=2000, accountant="rdp"), 2)
    1.32

Private: nothing. Public: all arguments and results.

`prv` composes privacy loss distributions numerically (Gopi, Lee, Wutschitz: "Numerical composition of differential
privacy", 2021) with Opacus' machinery, but for both directions, a unit removed and a unit added: which of them is worse
can change under composition (Lebeda, Regehr, Kamath, Steinke: "Avoiding pitfalls for privacy accounting of subsampled
mechanisms under composition", 2024). `rdp` is Opacus' Renyi accountant (Mironov, Talwar, Zhang 2019): looser, faster.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from opacus.accountants import PRVAccountant, RDPAccountant
from opacus.accountants.analysis.prv import (
    PoissonSubsampledGaussianPRV,
    TruncatedPrivacyRandomVariable,
    compose_heterogeneous,
    discretize,
)
from scipy.special import erfc

from netshare.preprocess.errors import ConfigError

AccountantName = Literal["prv", "rdp"]
EPSILON_ERROR = 0.01  # of the numerical composition; what is reported is its upper bound
SEARCH_TOLERANCE = 1e-3  # of the noise multiplier, relative
MIN_NOISE = (
    0.2  # noise multiplier below which the accountants' grids outgrow memory, and epsilon is too large to matter
)
MAX_NOISE = 10_000.0
MAX_EPSILON = 100.0  # above, the accountants overflow
MAX_GRID_POINTS = 20_000_000  # of the numerical composition, 160 MB an array
MAX_STEPS = 10_000_000


@dataclass(frozen=True)
class Mechanism:
    """A Poisson-subsampled Gaussian mechanism, applied `steps` times.

    Attributes:
        name: for people.
        noise_multiplier: standard deviation of the noise over the norm that a unit's contribution is clipped to.
        sampling_rate: probability with which a unit takes part in a step; 1 for a mechanism over all units.
        steps: how often it is applied.
    """

    name: str
    noise_multiplier: float
    sampling_rate: float
    steps: int

    @property
    def kind(self) -> str:
        """Its name in the literature."""
        return "Poisson-subsampled Gaussian" if self.sampling_rate < 1 else "Gaussian"

    def __post_init__(self) -> None:
        if not (0 < self.sampling_rate <= 1 and self.noise_multiplier > 0 and self.steps >= 0):
            raise ConfigError(
                f"privacy: mechanism {self.name} has sampling rate {self.sampling_rate:g}, noise multiplier "
                f"{self.noise_multiplier:g} and {self.steps} steps; the rate must lie in (0, 1], the others above 0"
            )


def epsilon_of(mechanisms: Sequence[Mechanism], delta: float, accountant: AccountantName = "prv") -> float:
    """An upper bound of epsilon at `delta` of all mechanisms together, each of which may depend on the results of earlier
    ones.

    Raises:
        ConfigError: so little noise, or so many steps, that the accountant's numbers overflow.
    """
    history = [(m.noise_multiplier, m.sampling_rate, m.steps) for m in mechanisms if m.steps > 0]
    if not history:
        return 0.0
    _check_computable(history)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = _rdp(history, delta) if accountant == "rdp" else _prv(history, delta)
    except (MemoryError, RuntimeError, ValueError, OverflowError, FloatingPointError) as error:
        raise ConfigError(f"privacy: the {accountant} accountant cannot work this out ({error}); {_remedy()}") from None
    if not math.isfinite(found):
        raise ConfigError(f"privacy: the {accountant} accountant overflows (epsilon is {found}); {_remedy()}")
    return found


def noise_multiplier_for(
    epsilon: float,
    delta: float,
    *,
    sampling_rate: float,
    steps: int,
    others: Sequence[Mechanism] = (),
    accountant: AccountantName = "prv",
) -> float:
    """The least noise multiplier (rounded up by at most a thousandth) with which `steps` steps and the `others` together
    cost at most `epsilon` at `delta`.

    Raises:
        ConfigError: the others alone cost more, epsilon is above `MAX_EPSILON`, or no noise is enough.
    """
    if epsilon > MAX_EPSILON:
        raise ConfigError(
            f"privacy.epsilon is {epsilon:g}, which protects nobody and overflows the accountant; give at most "
            f"{MAX_EPSILON:g}, or leave privacy out"
        )
    if others and epsilon_of(others, delta, accountant) >= epsilon:
        raise ConfigError(
            f"privacy.epsilon is {epsilon:g}, but counting alone costs more; lower privacy.counts_share, or use accountant rdp"
        )

    def cost(noise: float, by: AccountantName) -> float:
        return epsilon_of([Mechanism("training", noise, sampling_rate, steps), *others], delta, by)

    def enough_by_prv(noise: float) -> bool:
        try:
            return cost(noise, "prv") <= epsilon
        except ConfigError:  # the less noise, the larger the grid
            return False

    if steps == 0:
        return MIN_NOISE

    # The Renyi accountant is quick and never below the other: a place to begin, unless epsilon is so small that it has
    # no bound to give (its orders end somewhere).
    high = _least(lambda noise: cost(noise, "rdp") <= epsilon)
    if accountant == "prv":
        if high is None:
            high = _least(enough_by_prv)
        else:
            low = high = high if cost(high, "prv") <= epsilon else 1.1 * high
            while low > MIN_NOISE and cost(low, "prv") <= epsilon:
                low, high = max(MIN_NOISE, 0.85 * low), low
            high = high if low == high else _bisect(lambda noise: cost(noise, "prv") <= epsilon, low, high)
    if high is None or (accountant == "prv" and not enough_by_prv(high)):
        trained = f" for {steps:,} steps with rate {sampling_rate:.3g}" if steps > 1 else ""
        raise ConfigError(
            f"privacy.epsilon is {epsilon:g} and delta {delta:g}: the {accountant} accountant finds no noise up to "
            f"{MAX_NOISE:g} enough{trained}; raise privacy.epsilon or privacy.delta"
            + (", or lower the steps or privacy.batch" if trained else "")
        )
    return high


def gaussian_delta(epsilon: float, noise_multiplier: float) -> float:
    """The exact delta of one Gaussian mechanism without sampling (Balle and Wang: "Improving the Gaussian mechanism for
    differential privacy", 2018, theorem 8)."""
    from scipy.stats import norm

    a, b = 1 / (2 * noise_multiplier), epsilon * noise_multiplier
    return float(norm.cdf(a - b) - math.exp(epsilon + norm.logcdf(-a - b)))


def gaussian_noise_for(epsilon: float, delta: float) -> float:
    """The least noise multiplier of one Gaussian mechanism without sampling, by the same theorem.

    >>> round(gaussian_noise_for(1.0, 1e-5), 3)
    3.731
    """
    return _bisect(lambda noise: gaussian_delta(epsilon, noise) <= delta, 1e-3, MAX_NOISE, tolerance=1e-6)


def budget_of_groups(epsilon: float, delta: float, size: int) -> tuple[float, float]:
    """Epsilon and delta for one unit under which a group of `size` units has (`epsilon`, `delta`).

    By group privacy k units have k * epsilon and (1 + e^epsilon + ... + e^((k-1) epsilon)) * delta (Vadhan, "The
    complexity of differential privacy", 2017, lemma 2.2).

    >>> budget_of_groups(2.0, 1e-6, 1)
    (2.0, 1e-06)
    """
    own = epsilon / size
    return own, delta / sum(math.exp(k * own) for k in range(size))


class _UnitAdded:
    """Privacy loss of the neighbour with the additional unit: ln Q/P under Q = N(0, s^2), where P is the mixture
    (1 - q) N(0, s^2) + q N(1, s^2); the other direction is Opacus' `PoissonSubsampledGaussianPRV`.

    ln Q/P (x) = -ln(1 - q + q e^((2x - 1) / 2s^2)) falls with x, so P(loss <= t) = Q(x >= s^2 z + 1/2) with
    z = ln((e^-t - 1 + q) / q), and is 1 where t >= -ln(1 - q).
    """

    def __init__(self, sample_rate: float, noise_multiplier: float) -> None:
        self.sample_rate, self.noise_multiplier = sample_rate, noise_multiplier
        self._other = PoissonSubsampledGaussianPRV(sample_rate, noise_multiplier)

    def cdf(self, t: Any) -> Any:
        q, s = self.sample_rate, self.noise_multiplier
        inside = (np.exp(-np.asarray(t, float)) - 1 + q) / q
        z = np.log(np.where(inside > 0, inside, 1.0))
        return np.where(inside > 0, erfc((s * z + 0.5 / s) / math.sqrt(2)) / 2, 1.0)

    def rdp(self, alpha: float) -> float:
        return self._other.rdp(alpha)  # the larger of the two directions (Mironov et al. 2019, theorem 5)


def _prv(history: list[tuple[float, float, int]], delta: float) -> float:
    """The larger epsilon of the two directions, each an upper bound of the numerical composition."""
    delta_error = delta / 1000
    steps = [count for _, _, count in history]
    found = []
    for kind in (PoissonSubsampledGaussianPRV, _UnitAdded):
        losses = [kind(rate, noise) for noise, rate, _ in history]
        domain = PRVAccountant()._get_domain(
            prvs=losses, num_self_compositions=steps, eps_error=EPSILON_ERROR, delta_error=delta_error
        )
        if domain.size > MAX_GRID_POINTS:
            raise ConfigError(f"privacy: the prv accountant would need a grid of {domain.size:,} points; {_remedy()}")
        cut = [TruncatedPrivacyRandomVariable(loss, domain.t_min, domain.t_max) for loss in losses]
        composed = compose_heterogeneous([discretize(loss, domain) for loss in cut], steps)
        found.append(float(composed.compute_epsilon(delta, delta_error, EPSILON_ERROR)[2]))
    return max(found)


def _rdp(history: list[tuple[float, float, int]], delta: float) -> float:
    accountant = RDPAccountant()
    accountant.history = history
    return float(accountant.get_epsilon(delta=delta))


def _check_computable(history: list[tuple[float, float, int]]) -> None:
    least, steps = min(noise for noise, _, _ in history), sum(count for _, _, count in history)
    if least < MIN_NOISE:
        raise ConfigError(f"privacy: the noise multiplier is {least:g}, at which the accountant overflows; {_remedy()}")
    if steps > MAX_STEPS:
        raise ConfigError(f"privacy: {steps:,} steps are more than the accountant can compose; {_remedy()}")


def _remedy() -> str:
    return f"use a noise multiplier of at least {MIN_NOISE:g} (a smaller epsilon) and fewer steps"


def _least(enough: Any) -> float | None:
    """The least noise multiplier for which `enough` holds, or None where it does not even for `MAX_NOISE`."""
    low, high = MIN_NOISE, 1.0
    while not enough(high):
        low, high = high, 2 * high
        if high > MAX_NOISE:
            return None
    return _bisect(enough, low, high)


def _bisect(enough: Any, low: float, high: float, tolerance: float = SEARCH_TOLERANCE) -> float:
    """The least noise multiplier for which `enough` holds, rounded up, by bisection; it holds for `high` and above."""
    while high / low > 1 + tolerance:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
