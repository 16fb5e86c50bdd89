"""Clipped sums of per-sample gradients of the critics' loss, gradient penalty included, at about the cost of a plain step.

A sample is a real row with its fake (generated) row and a point between them; its loss is

    D(fake) - D(real) + 10 (|grad D(point)| - 1)^2.

With the penalty in closed form (`netshare.generators.doppelganger.losses`) a sample uses every weight matrix three times: for
the real row, for the fake row, and in the penalty's product of matrices. So its gradient is a sum of three outer products.
Its norm follows from two 3 x 3 Gram matrices, and the sum over samples, each scaled by its own factor, is one matrix
product. A penalty through `autograd.grad(..., create_graph=True)` would need a backward pass for each sample.

    sums, norms = clipped_critic_sums([CriticInput(critic, real, fake)], mixing, penalty_weight=10, clip_norm=1.0)

Private: `real`, and what belongs to single real rows: `fake` and `mixing`. Public: the critics' weights, and the settings.
Sensitivity: each sample's gradient is scaled to a norm of at most `clip_norm` over all weights of all critics. Adding or
removing one sample changes the sum by at most that, provided that no other sample's fake row and point change with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from netshare.generators.doppelganger.losses import TINY, active_units
from netshare.generators.doppelganger.modules import Critic

ROUNDING_OF_SUMS = 100  # machine epsilons by which a sum of products may be off, relative to the sum of their sizes
ROUNDING = 1000  # machine epsilons by which clipping stays below the norm, as in `ghost_clipping`


@dataclass(frozen=True)
class CriticInput:
    """A critic, the real and fake rows that it compares (float[n, width] each), and its weight in the loss."""

    critic: Critic
    real: torch.Tensor
    fake: torch.Tensor
    weight: float = 1.0


@dataclass
class _Use:
    """The three uses of a weight matrix: its gradient for sample i is the sum over s of outer(inputs[s][i], outputs[s][i]).

    Attributes:
        parameters: the blocks that the matrix is kept as, one after another along the inputs' axis; or one transposed
            matrix.
        transposed: which of the two.
        bias: of the layer, if it has one.
        inputs: what the matrix is multiplied with: float[n, inputs] for the real rows, the fake rows, the penalty.
        outputs: gradients at its results: float[n, outputs] for the same.
    """

    parameters: list[torch.Tensor]
    transposed: bool
    bias: torch.Tensor | None
    inputs: list[torch.Tensor]
    outputs: list[torch.Tensor]


def clipped_critic_sums(
    critics: Sequence[CriticInput], mixing: torch.Tensor, *, penalty_weight: float, clip_norm: float
) -> tuple[dict[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The sum over samples of the gradients of the critics' losses together, each scaled to at most `clip_norm`.

    Args:
        critics: the joint critic and, if there is one, the auxiliary critic; n rows each.
        mixing: float[n, 1], in [0, 1]: where between its fake and its real row each penalty point lies.
        penalty_weight: 10 in the papers.
        clip_norm: over all weights of all critics.

    Returns:
        a gradient for each weight that was used, and float[n]: norms before clipping. A sample whose gradient is not
        finite contributes nothing. With n = 0 there are no gradients.
    """
    if len(mixing) == 0:
        return {}, mixing.new_zeros(0)
    uses = [each for one in critics for each in _uses(one, mixing, penalty_weight)]
    with torch.no_grad():
        norms = torch.stack([_squares(each) for each in uses]).sum(0).clamp_min(0.0).sqrt()
        target = clip_norm * (1 - ROUNDING * torch.finfo(mixing.dtype).eps)
        factor = torch.where(norms.isfinite(), (target / norms.clamp_min(1e-30)).clamp(max=1.0), 0.0)
        factor = factor.to(mixing.dtype).unsqueeze(1)
        sums: dict[torch.Tensor, torch.Tensor] = {}
        for each in uses:
            sums |= _sums(each, factor)
    return sums, norms


def _uses(one: CriticInput, mixing: torch.Tensor, penalty_weight: float) -> list[_Use]:
    """Every matrix of a critic with its three uses."""
    critic, n, width = one.critic, len(one.real), one.real.shape[1]
    rows = torch.cat([one.real, one.fake])
    before, after = [rows], [critic.enter(rows)]
    for layer in [*critic.hidden, critic.last]:
        before.append(torch.relu(after[-1]))
        after.append(layer(before[-1]))
    scores = after[-1].squeeze(-1)

    with torch.no_grad():
        between = mixing * after[0][:n] + (1 - mixing) * after[0][n:]
    active = active_units(critic, between)
    path = [critic.last.weight * active[-1]]  # the gradient with respect to each layer's value, from the last downwards
    down = []
    for layer, units in zip(reversed(critic.hidden), reversed(active[:-1]), strict=True):
        down.append(path[-1] @ layer.get_parameter("weight"))
        path.append(down[-1] * units)
    blocks = critic.first_blocks(width)
    down.append(path[-1] @ torch.cat(blocks).T)
    lengths = (down[-1].square().sum(1) + TINY).sqrt()
    loss = (scores[n:] - scores[:n] + penalty_weight * (lengths - 1).square()).sum() * one.weight

    found = torch.autograd.grad(loss, [*after, path[0], *down])
    up, first, below = found[: len(after)], found[len(after)], found[len(after) + 1 :]
    path = [each.detach() for each in path]

    def halves(tensor: torch.Tensor) -> list[torch.Tensor]:
        return [tensor[:n].detach(), tensor[n:].detach()]

    ones = torch.ones(n, 1, dtype=rows.dtype, device=rows.device)
    uses = [
        _Use(
            list(critic.first[: len(blocks)]), False, critic.first_bias,
            [*halves(rows), below[-1]], [*halves(up[0]), path[-1]],
        )
    ]  # fmt: skip
    for k, layer in enumerate(critic.hidden):
        place = len(critic.hidden) - 1 - k  # the penalty's product goes through the layers in reverse
        uses.append(
            _Use(
                [layer.get_parameter("weight")], True, layer.get_parameter("bias"),
                [*halves(before[k + 1]), below[place]], [*halves(up[k + 1]), path[place]],
            )
        )  # fmt: skip
    uses.append(
        _Use(
            [critic.last.weight], True, critic.last.bias,
            [*halves(before[-1]), first * active[-1]], [*halves(up[-1]), ones],
        )
    )  # fmt: skip
    return uses


def _squares(use: _Use) -> torch.Tensor:
    """float[n]: upper bounds of the squared norms of the gradients of matrix and bias.

    Where large terms cancel, rounding may leave a norm that is too small; so the largest possible rounding error is added.
    """
    dot = torch.linalg.vecdot
    squares = terms = torch.zeros(len(use.outputs[0]), dtype=use.outputs[0].dtype, device=use.outputs[0].device)
    for s in range(3):
        own = dot(use.inputs[s], use.inputs[s]) * dot(use.outputs[s], use.outputs[s])
        squares, terms = squares + own, terms + own.sqrt()
        for t in range(s):
            squares = squares + 2 * dot(use.inputs[s], use.inputs[t]) * dot(use.outputs[s], use.outputs[t])
    if use.bias is not None:  # the penalty does not use it
        squares = squares + (use.outputs[0] + use.outputs[1]).square().sum(1)
    return squares + ROUNDING_OF_SUMS * torch.finfo(squares.dtype).eps * terms.square()


def _sums(use: _Use, factor: torch.Tensor) -> dict[torch.Tensor, torch.Tensor]:
    inputs, outputs = use.inputs, [each * factor for each in use.outputs]
    if not bool((factor > 0).all()):  # nothing times infinity would not be nothing
        inputs = [torch.where(factor > 0, each, 0.0) for each in inputs]
        outputs = [torch.where(factor > 0, each, 0.0) for each in outputs]
    whole = inputs[0].T @ outputs[0]
    for own, out in zip(inputs[1:], outputs[1:], strict=True):
        whole.addmm_(own.T, out)
    found: dict[torch.Tensor, torch.Tensor] = {}
    if use.transposed:
        found[use.parameters[0]] = whole.T
    else:
        start = 0
        for block in use.parameters:
            own = whole[start : start + len(block)]
            start += len(own)
            short = len(block) - len(own)
            found[block] = own if short == 0 else torch.cat([own, own.new_zeros(short, own.shape[1])])
    if use.bias is not None:
        found[use.bias] = (outputs[0] + outputs[1]).sum(0)
    return found
