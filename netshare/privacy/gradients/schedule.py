"""What all private trainers share: the public schedule of a training, and the noise that its gradients get.

Private: the clipped sums. Public: the schedule, and the noisy gradients. Sensitivity: adding or removing one unit changes a
clipped sum by at most the clip norm, over all weights together; that is what each trainer has to hold to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from netshare.privacy.noise import Randomness


@dataclass(frozen=True)
class PrivateSchedule:
    """How a private training samples, clips and adds noise; all of it public.

    Attributes:
        noise_multiplier: standard deviation of the noise over the clip norm.
        sampling_rate: probability with which a unit takes part in a step.
        clip_norm: Euclidean norm that a unit's gradient is clipped to, over all weights.
        expected_batch: sampling rate times the declared number of units; sums of gradients are divided by it.
    """

    noise_multiplier: float
    sampling_rate: float
    clip_norm: float
    expected_batch: float


def set_noisy_gradients(
    weights: Sequence[torch.nn.Parameter],
    sums: Mapping[torch.Tensor, torch.Tensor],
    schedule: PrivateSchedule,
    randomness: Randomness,
    step: int,
) -> None:
    """Give every weight its clipped sum with noise, over the expected batch, as gradient.

    Args:
        sums: clipped sums by weight; a weight without one has a sum of zeros, and gets noise all the same.
        step: number of the update, under which noise is asked for once.
    """
    noise = randomness.normal(sum(p.numel() for p in weights), step)
    deviation, begin = schedule.noise_multiplier * schedule.clip_norm, 0
    for parameter in weights:
        own = torch.from_numpy(noise[begin : begin + parameter.numel()]).reshape(parameter.shape)
        begin += parameter.numel()
        total = sums.get(parameter, torch.zeros_like(parameter)).to(torch.float64).cpu() + deviation * own
        parameter.grad = (total / schedule.expected_batch).to(parameter.dtype).to(parameter.device)
