"""Which private trainer each kind of generator has.

A kind that is not listed cannot be trained by gradients; noisy counts (`privacy.method: marginals`) train any.
"""

from __future__ import annotations

import numpy as np

from netshare.generators.base import Generator
from netshare.generators.registry import GeneratorChoice
from netshare.preprocess.encoded import Schema
from netshare.preprocess.errors import ConfigError
from netshare.privacy.accounting.plan import Plan
from netshare.privacy.gradients.autoregressive import PrivateAutoregressive, PrivateSchedule
from netshare.privacy.gradients.doppelganger import PrivateDoppelGANger
from netshare.privacy.noise import Randomness


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
    if choice.kind == "doppelganger":  # its critics clip series by series: the unit is a flow
        return PrivateDoppelGANger(schema, choice.settings, schedule=schedule, randomness=randomness, device=device)
    if choice.kind == "autoregressive":
        return PrivateAutoregressive(
            schema, choice.settings, schedule=schedule, units=units, randomness=randomness, device=device
        )
    raise ConfigError(
        f"generator.kind is {choice.kind}, which cannot be trained by noisy gradients; set privacy.method to marginals"
    )


def rounds_per_step(choice: GeneratorChoice) -> int:
    """Private optimisation steps within one step of the generator: a GAN's critics are trained several times."""
    return choice.settings.critic_rounds if choice.kind == "doppelganger" else 1
