"""Which private trainer each kind of generator has.

A kind that is not listed cannot be trained by gradients; noisy counts (`privacy.method: marginals`) train any.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from netshare.generators.base import Generator
from netshare.generators.registry import GeneratorChoice
from netshare.preprocess.encoded import Schema
from netshare.preprocess.errors import ConfigError
from netshare.privacy.accounting.plan import Plan
from netshare.privacy.gradients.autoregressive import PrivateAutoregressive, PrivateSchedule
from netshare.privacy.gradients.doppelganger import PrivateDoppelGANger
from netshare.privacy.noise import Randomness


@dataclass(frozen=True)
class PrivateTrainer:
    """How one kind is trained.

    create: makes the generator whose optimisation steps are private
    rounds: settings -> private optimisation steps within one step of the generator
    """

    create: Callable[..., Generator]
    rounds: Callable[[Any], int]


def _doppelganger(schema: Schema, settings: Any, *, units: np.ndarray, **how: Any) -> Generator:
    """DoppelGANger's critics clip series by series: the unit is a flow, so `units` need not be known."""
    return PrivateDoppelGANger(schema, settings, **how)


TRAINERS = {
    "autoregressive": PrivateTrainer(PrivateAutoregressive, lambda settings: 1),
    "doppelganger": PrivateTrainer(_doppelganger, lambda settings: settings.critic_rounds),
}


def private_trainer(kind: str) -> PrivateTrainer:
    """The private trainer of a kind of generator.

    Raises:
        ConfigError: there is none.
    """
    if kind not in TRAINERS:
        raise ConfigError(
            f"generator.kind is {kind}, which cannot be trained by noisy gradients ({' and '.join(TRAINERS)} can); "
            "set privacy.method to marginals"
        )
    return TRAINERS[kind]


def private_generator(
    choice: GeneratorChoice, schema: Schema, plan: Plan, *, units: np.ndarray, randomness: Randomness, device: str
) -> Generator:
    """The generator with DP-SGD in its optimisation steps.

    Args:
        choice: kind and settings.
        schema: of the encoded series.
        plan: noise, sampling rate, clipping norm and batch.
        units: int64[n_series], the unit of privacy that each training series belongs to.
        randomness: of noise and of batches.
        device: `cpu` or `cuda`.

    Raises:
        ConfigError: this kind has no private trainer.
    """
    schedule = PrivateSchedule(plan.noise_multiplier, plan.sampling_rate, plan.clip_norm, float(plan.batch))
    create = private_trainer(choice.kind).create
    return create(schema, choice.settings, schedule=schedule, units=units, randomness=randomness, device=device)
