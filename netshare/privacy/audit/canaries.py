"""Try to break the guarantee, and say how far one gets: lower bounds of epsilon that hold with a stated confidence.

Two attacks, both of which can convict and never acquit:

`audit_mechanism` runs the very code of private training many times on the worst case that there is: an input of one
unit, the canary, or of none. The attacker sees every noisy gradient, as the proof allows, and decides by the likelihood
ratio (Nasr, Songi, Thakurta, Papernot, Carlini: "Adversary instantiation", 2021). It tests sampling, clipping, noise
and accounting together.

`audit_run` attacks a finished run of any kind, private or not: flows were held back by a hash, so each was a member
with a known chance, and the attacker guesses membership from the likelihood that the models give to a flow (Steinke,
Nasr, Jagielski: "Privacy auditing with one (1) training run", 2023). It convicts models that recite their training data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import beta, binom

from netshare.generators.autoregressive.settings import AutoregressiveSettings
from netshare.preprocess.encoded import Column, Encoded, Schema
from netshare.preprocess.errors import ConfigError
from netshare.privacy.accounting.accountant import noise_multiplier_for
from netshare.privacy.gradients.autoregressive import PrivateAutoregressive, PrivateSchedule
from netshare.privacy.noise import SecureRandomness

CANARY = Schema(
    (Column("a", "a", "categorical", 8), Column("b", "b", "continuous")), (Column("r", "r", "categorical", 4),), 4
)
TINY = AutoregressiveSettings(
    recall=False, metadata_state=8, metadata_hidden=8, record_state=8, record_hidden=8, condition=8,
    continuous_bins=4, warmup_steps=0,
)  # fmt: skip
FEWEST_TRIALS = 40


@dataclass(frozen=True)
class AuditResult:
    """What an attack has shown.

    lower_bound: epsilon is at least this, with `confidence`; 0 where the attack shows nothing
    claimed: the epsilon that is claimed, None where none is
    trials: models trained, or flows guessed at
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
        ConfigError: fewer than FEWEST_TRIALS, or a confidence outside 0.5 to 1.
    """
    if trials < FEWEST_TRIALS or not 0.5 < confidence < 1:
        raise ConfigError(
            f"privacy audit: {trials} trials at {confidence:g} confidence show nothing; give at least "
            f"{FEWEST_TRIALS} and a confidence between 0.5 and 1"
        )


def audit_mechanism(
    *,
    epsilon: float = 1.0,
    delta: float = 1e-5,
    sampling_rate: float = 0.5,
    steps: int = 2,
    trials: int = 600,
    confidence: float = 0.95,
    noise_factor: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> AuditResult:
    """Attack private training at a budget.

    Args:
        trials: trainings with the canary and without it, half of them each; half of all choose the attack's threshold,
            the other half measure it.
        noise_factor: of the noise that the budget needs, how much is really added: below 1 the implementation is
            broken on purpose, and the audit should say so.

    Raises:
        ConfigError: too few trials, or a budget that cannot be met.
    """
    check_trials(trials, confidence)
    noise = noise_multiplier_for(epsilon, delta, sampling_rate=sampling_rate, steps=steps)
    schedule = PrivateSchedule(noise * noise_factor, sampling_rate, 1.0, 1.0)
    generator = _canary_generator(schedule)
    scores: list[list[float]] = [[], []]
    for trial in range(trials):
        scores[trial % 2].append(_attack(generator, bool(trial % 2), steps, noise * noise_factor))
        if progress is not None:
            progress(trial + 1, trials)
    absent, present = (np.array(own) for own in scores)
    bound = lower_bound_of(present, absent, delta=delta, confidence=confidence)
    return AuditResult("canary in the worst case", bound, epsilon, confidence, trials)


def lower_bound_of(present: np.ndarray, absent: np.ndarray, *, delta: float, confidence: float) -> float:
    """A lower bound of epsilon from scores of trials with the unit and without it (higher: more likely present).

    The threshold, and the direction (is being sure of presence or of absence the stronger evidence), are chosen on one
    half of the trials; both error rates are bounded on the other half by Clopper and Pearson, each with half of the
    error probability. For (epsilon, delta)-DP, true positives <= e^epsilon false positives + delta, and the same with
    presence and absence exchanged.
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
    whatever the others are (Steinke et al. 2023, theorem 5.2, for delta = 0), so that the number of right ones is at
    most binomial. `chance` is that of the guessed answer without any knowledge.
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
    """A lower bound of epsilon from the scores of members and of others (higher: more like a member), and the guesses.

    Guesses are made for the lowest scores ("was not there") or the highest ("was"), as many as one of a few numbers
    that are fixed beforehand; each number of guesses and direction gets its share of the error probability.

    Args:
        chance: with which a flow was a member.
    """
    scores, inside = np.concatenate([members, others]), np.repeat([True, False], [len(members), len(others)])
    order = np.argsort(scores, kind="stable")
    sizes = [size for size in (20, 50, 100, 200, 500, 1000) if 4 * size <= len(order)]
    if not sizes:
        raise ConfigError(f"privacy audit: {len(order)} flows are too few to attack; give a run of at least 80 flows")
    level = 1 - (1 - confidence) / (2 * len(sizes))
    found = [(0.0, sizes[0])]
    for size in sizes:
        right_out, right_in = int((~inside[order[:size]]).sum()), int(inside[order[-size:]].sum())
        found.append((lower_bound_of_guesses(right_out, size, chance=1 - chance, confidence=level), size))
        found.append((lower_bound_of_guesses(right_in, size, chance=chance, confidence=level), size))
    return max(found)


def _canary_generator(schedule: PrivateSchedule) -> PrivateAutoregressive:
    canary = Encoded(
        np.array([[7, 0.99]], np.float32), np.array([[3], [3], [0], [3]], np.float32), np.array([0, 4]), CANARY
    )
    generator = PrivateAutoregressive(CANARY, TINY, schedule=schedule, units=np.zeros(1), randomness=SecureRandomness())
    generator.prepare(canary, seed=0, steps=1_000)
    return generator


def _attack(generator: PrivateAutoregressive, present: bool, steps: int, noise: float) -> float:
    """The log-likelihood ratio of presence over absence, given every noisy gradient of a training."""
    generator.count = 1
    generator.prepare(generator.data, seed=0, steps=steps)
    rate, score = generator.schedule.sampling_rate, 0.0
    for _ in range(steps):
        generator.count = 1
        learnt = [p for net in generator.networks().values() for p in net.parameters() if p.requires_grad]
        own = generator.clipped_sums(np.zeros(1, np.int64))
        canary = torch.cat([own.get(p, torch.zeros_like(p)).flatten() for p in learnt]).double()
        generator.count = int(present)
        generator.privatise()
        seen = torch.cat([p.grad.flatten() for p in learnt if p.grad is not None]).double()
        length = float(canary.norm())
        along = float(seen @ canary) / max(length, 1e-12)
        score += float(np.logaddexp(math.log1p(-rate) if rate < 1 else -np.inf,
                                    math.log(rate) + (along * length - length**2 / 2) / noise**2))  # fmt: skip
        generator._apply()
    return score
