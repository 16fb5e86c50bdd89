"""Attack the noisy counts of a private run with all that the proof gives to an attacker, and say how tight they are.

The canary is a unit that weighs as much as a unit may in every table: alone in one cell of each. The attacker knows the
cells, sees every noisy count and decides by the likelihood ratio, which is a sum over tables. Counting does not sample
units, so that nothing is worse than this canary: the epsilon that is found approaches the one that is claimed.

The mechanism is Gaussian, so the claim is that no test beats the trade-off of N(0, 1) against N(mu, 1) with
mu = 1 / noise multiplier (Dong, Roth, Su, "Gaussian differential privacy", 2022). A test with error rates a and b shows
mu >= z(1 - a) - z(b), and with it an epsilon at delta (Balle and Wang 2018). Error rates are bounded by Clopper and Pearson.
After Nasr, Hayes, Steinke, Balle, Tramer, Jagielski, Carlini, Terzis, "Tight auditing of differentially private machine
learning", 2023.

Private: nothing; the canary is made up. Public: everything.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import beta, norm

from netshare.privacy.accounting.accountant import gaussian_delta, noise_multiplier_for
from netshare.privacy.audit.lower_bounds import AuditResult, check_trials
from netshare.privacy.counts import CountingNoise, tables_of
from netshare.privacy.counts.counting import NoisyCounts
from netshare.privacy.noise import SecureRandomness

CELLS_A_TABLE = 8  # in the attack; all but the canary's are empty and tell nothing
CANARY_WEIGHT = 3  # more than a unit may weigh, so that an attack shows clipping that does not work
FLOW_RECORD_COLUMNS = ["tcp_flags", "tos"]


def audit_counts(
    *,
    epsilon: float = 4.0,
    delta: float = 1e-5,
    trials: int = 4_000,
    confidence: float = 0.95,
    noise_factor: float = 1.0,
) -> AuditResult:
    """Attack the counts of flow records at a budget, with the code that counts them.

    Args:
        trials: canaries, half of them counted and half left out.
        noise_factor: share of the noise that the budget needs which is really added.

    Raises:
        ConfigError: too few trials, or a budget that cannot be met.
    """
    check_trials(trials, confidence)
    noise = noise_multiplier_for(epsilon, delta, sampling_rate=1.0, steps=1)
    absent, present = (_attack(noise * noise_factor, trials // 2, present=present) for present in (False, True))
    mu = lower_bound_of_mu(present, absent, confidence=confidence)
    return AuditResult("canary in all noisy counts", epsilon_of_mu(mu, delta), epsilon, confidence, trials)


def lower_bound_of_mu(present: np.ndarray, absent: np.ndarray, *, confidence: float) -> float:
    """A lower bound of mu, for which N(0, 1) and N(mu, 1) are as easily told apart as these scores.

    The threshold is chosen on one half of the trials, error rates are bounded on the other.

    Args:
        present, absent: float64[n], scores of trials with the unit and without it; higher is more likely present.
    """
    choose, test = (present[::2], absent[::2]), (present[1::2], absent[1::2])
    error = (1 - confidence) / 2

    def bound(pair: tuple[np.ndarray, np.ndarray], threshold: float) -> float:
        missed, wrong = int((pair[0] <= threshold).sum()), int((pair[1] > threshold).sum())
        rates = [beta.ppf(1 - error, k + 1, len(p) - k) if k < len(p) else 1.0 for k, p in
                 zip((missed, wrong), pair, strict=True)]  # fmt: skip
        return float(norm.ppf(1 - rates[1]) - norm.ppf(rates[0]))

    candidates = np.quantile(np.concatenate(choose), np.linspace(0.02, 0.98, 49))
    return max(0.0, bound(test, max(candidates, key=lambda t: bound(choose, t))))


def epsilon_of_mu(mu: float, delta: float) -> float:
    """Epsilon at `delta` of a Gaussian mechanism of sensitivity mu and noise 1 (Balle and Wang 2018, theorem 8)."""
    if mu <= 0 or gaussian_delta(0.0, 1 / mu) <= delta:
        return 0.0
    low, high = 0.0, 1.0
    while gaussian_delta(high, 1 / mu) > delta:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if gaussian_delta(middle, 1 / mu) > delta else (low, middle)
    return low


def _attack(noise: float, trials: int, *, present: bool) -> np.ndarray:
    """float64[trials]: the log-likelihood ratio of a canary's presence over its absence, given every table.

    All trials are counted at once: each has a canary of its own, in cells of its own, and noise of its own.
    """
    shares = tables_of("flow", FLOW_RECORD_COLUMNS)
    counter = NoisyCounts(shares, CountingNoise(noise, 1.0, SecureRandomness()))
    canary, score = np.arange(trials if present else 0), np.zeros(trials)
    weights = np.full(len(canary), float(CANARY_WEIGHT))
    for table in shares:
        cells = CELLS_A_TABLE * canary
        noisy = counter.count(table, cells, CELLS_A_TABLE * trials, canary, weights)[::CELLS_A_TABLE]
        score += (noisy - 0.5) / counter.deviation(table) ** 2
    return score
