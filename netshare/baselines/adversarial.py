"""What the adversarial baselines share: one step of each kind of loss.

Wasserstein with gradient penalty: Gulrajani et al., NeurIPS 2017 (the closed form of `doppelganger.losses`). Standard:
Goodfellow et al., NeurIPS 2014, with the generator's non-saturating loss.
"""

from __future__ import annotations

import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from netshare.baselines.base import Baseline
from netshare.generators.doppelganger.losses import critic_loss
from netshare.generators.doppelganger.modules import Critic

PENALTY = 10.0


def wasserstein_step(model: Baseline, real: torch.Tensor, fake: torch.Tensor) -> float:
    """One step of the network and optimiser `critic` on float32[n, width] each; its loss."""
    critic = model.networks["critic"]
    assert isinstance(critic, Critic)
    mixing = torch.rand(len(real), 1, generator=model.random)
    loss, _ = critic_loss(critic, real, fake.detach(), mixing, PENALTY)
    model.descend("critic", loss)
    return float(loss.detach())


def standard_step(model: Baseline, real: torch.Tensor, fake: torch.Tensor) -> float:
    """One step of the network and optimiser `critic`, which gives logits of being real; its loss."""
    critic = model.networks["critic"]
    of_real, of_fake = critic(real), critic(fake.detach())
    loss = cross_entropy(of_real, torch.ones_like(of_real)) + cross_entropy(of_fake, torch.zeros_like(of_fake))
    model.descend("critic", loss)
    return float(loss.detach())


def convincing(scores: torch.Tensor) -> torch.Tensor:
    """The generator's loss under the standard loss, from the critic's logits of its samples."""
    return cross_entropy(scores, torch.ones_like(scores))
