"""Attack private training by gradients in the worst case, with all that the proof gives to an attacker.

`audit_gradients` runs the very code of private training many times on an input of one unit, the canary, or of none. The
attacker sees every noisy gradient, as the proof allows, and decides by the likelihood ratio (Nasr, Songi, Thakurta,
Papernot, Carlini: "Adversary instantiation", 2021). It tests sampling, clipping, noise and accounting together.

Private: nothing; the canary is made up. Public: everything.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from netshare.generators.autoregressive.settings import AutoregressiveSettings
from netshare.preprocess.encoded import Column, Encoded, Schema
from netshare.privacy.accounting.accountant import noise_multiplier_for
from netshare.privacy.audit.lower_bounds import AuditResult, check_trials, lower_bound_of
from netshare.privacy.gradients import PrivateAutoregressive, PrivateSchedule
from netshare.privacy.noise import SecureRandomness

CANARY_SCHEMA = Schema(
    (Column("a", "a", "categorical", 8), Column("b", "b", "continuous")), (Column("r", "r", "categorical", 4),), 4
)
TINY_NETS = AutoregressiveSettings(
    recall=False, metadata_state=8, metadata_hidden=8, record_state=8, record_hidden=8, condition=8,
    continuous_bins=4, warmup_steps=0,
)  # fmt: skip


def audit_gradients(
    *,
    epsilon: float = 1.0,
    delta: float = 1e-5,
    sampling_rate: float = 0.5,
    steps: int = 2,
    trials: int = 600,
    confidence: float = 0.95,
    noise_factor: float = 1.0,
) -> AuditResult:
    """Attack private training at a budget.

    Args:
        trials: trainings, half of them with the canary and half without it. One half of each chooses the attack's
            threshold, the other measures its error rates.
        noise_factor: share of the noise that the budget needs which is really added. Below 1 the implementation is
            broken on purpose, and the audit should refute the claim.

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
    absent, present = (np.array(own) for own in scores)
    bound = lower_bound_of(present, absent, delta=delta, confidence=confidence)
    return AuditResult("canary in the worst case", bound, epsilon, confidence, trials)


def _canary_generator(schedule: PrivateSchedule) -> PrivateAutoregressive:
    canary = Encoded(
        np.array([[7, 0.99]], np.float32), np.array([[3], [3], [0], [3]], np.float32), np.array([0, 4]), CANARY_SCHEMA
    )
    generator = PrivateAutoregressive(
        CANARY_SCHEMA, TINY_NETS, schedule=schedule, units=np.zeros(1), randomness=SecureRandomness()
    )
    generator.prepare(canary, seed=0, steps=1_000)
    return generator


def _attack(generator: PrivateAutoregressive, present: bool, steps: int, noise: float) -> float:
    """The log-likelihood ratio of presence over absence, given every noisy gradient of a training."""
    generator.count = 1
    generator.prepare(generator.data, seed=0, steps=steps)
    rate, score = generator.schedule.sampling_rate, 0.0
    for _ in range(steps):
        generator.count = 1
        learnt = generator.learnt_weights()
        own = generator.clipped_sums(np.zeros(1, np.int64))
        canary = torch.cat([own.get(p, torch.zeros_like(p)).flatten() for p in learnt]).double()
        generator.count = int(present)
        generator.privatise()
        seen = torch.cat([p.grad.flatten() for p in learnt if p.grad is not None]).double()
        length = float(canary.norm())
        along = float(seen @ canary) / max(length, 1e-12)
        score += float(np.logaddexp(math.log1p(-rate) if rate < 1 else -np.inf,
                                    math.log(rate) + (along * length - length**2 / 2) / noise**2))  # fmt: skip
        generator.apply()
    return score
