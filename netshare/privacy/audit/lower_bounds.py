"""What an audit has shown, and lower bounds of epsilon from the outcomes of an attack, with a stated confidence.

An audit can refute a claim, never confirm it: an attack that fails may be a weak one.

Private: the scores of an attack on private data. Public: none of it before it is released; an audit's result is a statement
about the data that was attacked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, binom

from netshare.preprocess.errors import ConfigError

MIN_TRIALS = 40  # with fewer, no attack can show anything
GUESSES = (20, 50, 100, 200, 500, 1000)  # how many are tried; fixed beforehand


@dataclass(frozen=True)
class AuditResult:
    """What an attack has shown.

    Attributes:
        attack: its name.
        lower_bound: epsilon is at least this, with `confidence`; 0 where the attack shows nothing.
        claimed: the epsilon that is claimed, None where none is.
        confidence: of the lower bound.
        trials: models trained, tables counted, or flows guessed at.
    """

    attack: str
    lower_bound: float
    claimed: float | None
    confidence: float
    trials: int

    @property
    def broken(self) -> bool:
        """Whether the claim is refuted."""
        return self.claimed is not None and self.lower_bound > self.claimed

    def text(self) -> str:
        """One line."""
        against = "no epsilon was claimed" if self.claimed is None else f"claimed: at most {self.claimed:.3g}"
        verdict = "REFUTED" if self.broken else "not refuted" if self.claimed is not None else "no guarantee to test"
        return (
            f"{self.attack}: epsilon is at least {self.lower_bound:.3g} ({self.confidence:.0%} confidence, "
            f"{self.trials:,} trials); {against}; {verdict}"
        )


def check_trials(trials: int, confidence: float) -> None:
    """Refuse an audit that could show nothing.

    Raises:
        ConfigError: fewer than MIN_TRIALS, or a confidence outside 0.5 to 1.
    """
    if trials < MIN_TRIALS or not 0.5 < confidence < 1:
        raise ConfigError(
            f"privacy audit: {trials} trials at {confidence:g} confidence show nothing; give at least "
            f"{MIN_TRIALS} and a confidence between 0.5 and 1"
        )


def lower_bound_of(present: np.ndarray, absent: np.ndarray, *, delta: float, confidence: float) -> float:
    """A lower bound of epsilon from the scores of trials with the unit and without it (higher: more likely present).

    A threshold, and whether scores above it (presence) or below it (absence) are the evidence, are chosen on one half of
    the trials. Both error rates are bounded on the other half by Clopper and Pearson, each with half of the error
    probability. For (epsilon, delta)-DP, true positives <= e^epsilon false positives + delta, and the same with presence
    and absence exchanged.

    Args:
        present: float64[n], scores of trials with the unit.
        absent: float64[m], scores of trials without it.
    """
    choose_in, choose_out, test_in, test_out = present[::2], absent[::2], present[1::2], absent[1::2]
    error = (1 - confidence) / 2

    def bound(hits: int, n: int, false: int, m: int) -> float:
        sure = beta.ppf(error, hits, n - hits + 1) if hits else 0.0
        wrong = beta.ppf(1 - error, false + 1, m - false) if false < m else 1.0
        return math.log((sure - delta) / wrong) if sure > delta else 0.0

    def evidence(own: np.ndarray, other: np.ndarray, threshold: float, side: int) -> float:
        hits, false = int((side * own > side * threshold).sum()), int((side * other > side * threshold).sum())
        return bound(hits, len(own), false, len(other))

    values = np.unique(np.concatenate([choose_in, choose_out]))
    candidates = (values[1:] + values[:-1]) / 2 if len(values) > 1 else values
    tried = [(evidence(choose_in, choose_out, t, 1), t, 1) for t in candidates]
    tried += [(evidence(choose_out, choose_in, t, -1), t, -1) for t in candidates]
    _, threshold, side = max(tried)
    pair = (test_in, test_out) if side == 1 else (test_out, test_in)
    return max(0.0, evidence(*pair, threshold, side))


def lower_bound_of_guesses(correct: int, guesses: int, *, chance: float, confidence: float) -> float:
    """A lower bound of epsilon from one run: of `guesses` guesses of membership, `correct` were right.

    Under epsilon-DP each guess is right with a probability of at most o / (1 + o), o = e^epsilon chance / (1 - chance),
    whatever the others are (Steinke et al. 2023, theorem 5.2, for delta = 0). So the number of right guesses is bounded
    by a binomial distribution.

    Args:
        chance: with which the guessed answer is right without any knowledge.
    """
    low, high = 0.0, 50.0
    odds = chance / (1 - chance)

    def plausible(epsilon: float) -> bool:
        share = odds * math.exp(epsilon) / (1 + odds * math.exp(epsilon))
        return bool(binom.sf(correct - 1, guesses, share) > 1 - confidence)

    if plausible(low):
        return 0.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if plausible(middle) else (middle, high)
    return low


def membership_bound(members: np.ndarray, others: np.ndarray, *, chance: float, confidence: float) -> tuple[float, int]:
    """A lower bound of epsilon from the scores of members and of others, and the number of guesses that showed it.

    The flows with the lowest scores are guessed not to be members, or those with the highest scores to be members. How
    many are guessed at is one of `GUESSES`; each such number and each direction gets its share of the error probability.

    Args:
        members, others: float64[n], float64[m]; higher scores are more like a member's.
        chance: with which a flow was a member.

    Raises:
        ConfigError: fewer than 80 flows.
    """
    scores, inside = np.concatenate([members, others]), np.repeat([True, False], [len(members), len(others)])
    order = np.argsort(scores, kind="stable")
    sizes = [size for size in GUESSES if 4 * size <= len(order)]
    if not sizes:
        raise ConfigError(f"privacy audit: {len(order)} flows are too few to attack; give a run of at least 80 flows")
    level = 1 - (1 - confidence) / (2 * len(sizes))
    found = [(0.0, sizes[0])]
    for size in sizes:
        right_out, right_in = int((~inside[order[:size]]).sum()), int(inside[order[-size:]].sum())
        found.append((lower_bound_of_guesses(right_out, size, chance=1 - chance, confidence=level), size))
        found.append((lower_bound_of_guesses(right_in, size, chance=chance, confidence=level), size))
    return max(found)
