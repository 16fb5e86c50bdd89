"""Wasserstein loss with gradient penalty (Gulrajani et al., 2017), the penalty in closed form.

The penalty asks for the gradient of the critic's score with respect to its input, at points between a real and a fake
row, and then for the gradient of *that* with respect to the weights. A ReLU perceptron is linear wherever its units do
not switch, so the former is a product of its weight matrices with the rows of inactive units struck out:

    grad D(x) = W1' M1 W2' M2 ... w,    Mk = diag(unit k active at x)

Written out like this, an ordinary backward pass gives the latter: no differentiation through a differentiation. And
since the first layer is affine, its value between a real and a fake row lies between its values at the two, which the
Wasserstein loss has computed already.
"""

from __future__ import annotations

import torch

from netshare.generators.doppelganger.modules import Critic, at_least_single

TINY = 1e-12  # keeps the square root's derivative finite where a gradient vanishes


def critic_loss(
    critic: Critic, real: torch.Tensor, fake: torch.Tensor, mixing: torch.Tensor, penalty_weight: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the critic minimises: D(fake) - D(real) + penalty, and its part D(real) - D(fake), for the log.

    Args:
        critic: scores rows.
        real: float32[n, width].
        fake: float32[n, width], detached.
        mixing: float32[n, 1], uniform in [0, 1]: where between its fake and its real row each penalty point lies.
        penalty_weight: 10 in the papers.
    """
    n = len(real)
    entered = critic.enter(torch.cat([real, fake]))
    scores = critic.score(entered)
    distance = scores[:n].mean() - scores[n:].mean()
    with torch.no_grad():
        between = mixing * entered[:n] + (1 - mixing) * entered[n:]
    norms = input_gradient_norms(critic, between, real.shape[1])
    return penalty_weight * (norms - 1).square().mean() - distance, distance.detach()


def input_gradient_norms(critic: Critic, entered: torch.Tensor, width: int) -> torch.Tensor:
    """Norms float32[n] of the gradient of the score with respect to the row, differentiable by the critic's weights.

    Args:
        critic: scores rows.
        entered: float32[n, units], the first layer's value (before its ReLU) at the rows in question.
        width: of the rows.
    """
    active = active_units(critic, entered)
    gradient = critic.last.weight * active[-1]
    for layer, units in zip(reversed(critic.hidden), reversed(active[:-1]), strict=True):
        gradient = (gradient @ layer.get_parameter("weight")) * units
    parts = [at_least_single(gradient @ block.T).square().sum(1) for block in critic.first_blocks(width)]
    return (torch.stack(parts).sum(0) + TINY).sqrt()


def input_gradient_norms_by_autograd(critic: Critic, rows: torch.Tensor) -> torch.Tensor:
    """The same from the rows themselves, for any differentiable critic: the reference that the closed form is tested
    against."""
    rows = rows.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(rows).sum(), rows, create_graph=True)
    return (gradient.square().sum(1) + TINY).sqrt()


@torch.no_grad()
def active_units(critic: Critic, entered: torch.Tensor) -> list[torch.Tensor]:
    """For each hidden layer, 1 where a unit is active and 0 where not: float[n, units]."""
    active = [entered > 0]
    x = torch.relu(entered)
    for layer in critic.hidden:
        x = torch.relu(layer(x))
        active.append(x > 0)
    return [units.to(x.dtype) for units in active]
