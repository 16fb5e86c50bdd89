"""Clipped sums of per-sample gradients of the critics' loss, gradient penalty included, at about the cost of a plain step.

A sample is a real row with its fake row and the point between them; its loss is D(fake) - D(real) + 10 (|grad D| - 1)^2.
With the penalty in closed form (`netshare.generators.doppelganger.losses`) every weight matrix is met three times by a
sample: by the real row, by the fake row, and by the penalty's product of matrices. So its gradient is a sum of three
outer products, whose norm follows from two 3 x 3 Gram matrices, and the sum over samples, each scaled by its own factor,
is one matrix product. A penalty through `autograd.grad(..., create_graph=True)` would need a backward pass a sample.

    sums, norms = clipped_critic_sums([CriticInput(critic, real, fake)], mixing, penalty_weight=10, clip_norm=1.0)

Private: `real`. Public: the critics' weights, `fake` and `mixing`, which are drawn without looking at data. Nothing
calls this from a run yet: private runs train the autoregressive kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from netshare.generators.doppelganger.losses import TINY, active_units
from netshare.generators.doppelganger.modules import Critic

ROUNDING_OF_SUMS = 100  # machine epsilons by which a sum of products may be off, of the sum of their sizes
ROUNDING = 1000  # machine epsilons by which clipping stays below the norm, as in `ghost`


@dataclass(frozen=True)
class CriticInput:
    """A critic and the rows that it compares: float[n, width] each; its share `weight` in the loss."""

    critic: Critic
    real: torch.Tensor
    fake: torch.Tensor
    weight: float = 1.0


@dataclass
class _Met:
    """A weight matrix and what meets it: its gradient for sample i is the sum over s of outer(inputs[s][i], outputs[s][i]).

    parameters: blocks that lie one after another along the inputs' axis, or one matrix to be transposed
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
        a gradient for each weight that was met, and float[n]: norms before clipping. A sample whose gradient is not
        finite contributes nothing. With n = 0 there are no gradients.
    """
    if len(mixing) == 0:
        return {}, mixing.new_zeros(0)
    met = [each for one in critics for each in _meetings(one, mixing, penalty_weight)]
    with torch.no_grad():
        norms = torch.stack([_squares(each) for each in met]).sum(0).clamp_min(0.0).sqrt()
        target = clip_norm * (1 - ROUNDING * torch.finfo(mixing.dtype).eps)
        factor = torch.where(norms.isfinite(), (target / norms.clamp_min(1e-30)).clamp(max=1.0), 0.0)
        factor = factor.to(mixing.dtype).unsqueeze(1)
        sums: dict[torch.Tensor, torch.Tensor] = {}
        for each in met:
            sums |= _sums(each, factor)
    return sums, norms


def _meetings(one: CriticInput, mixing: torch.Tensor, penalty_weight: float) -> list[_Met]:
    """Every matrix of a critic with the three inputs and the three output gradients that meet it."""
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
    met = [
        _Met(
            list(critic.first[: len(blocks)]), False, critic.first_bias,
            [*halves(rows), below[-1]], [*halves(up[0]), path[-1]],
        )
    ]  # fmt: skip
    for k, layer in enumerate(critic.hidden):
        place = len(critic.hidden) - 1 - k  # the penalty meets the layers in reverse
        met.append(
            _Met(
                [layer.get_parameter("weight")], True, layer.get_parameter("bias"),
                [*halves(before[k + 1]), below[place]], [*halves(up[k + 1]), path[place]],
            )
        )  # fmt: skip
    met.append(
        _Met(
            [critic.last.weight], True, critic.last.bias,
            [*halves(before[-1]), first * active[-1]], [*halves(up[-1]), ones],
        )
    )  # fmt: skip
    return met


def _squares(met: _Met) -> torch.Tensor:
    """float[n]: squared norms of the gradients of matrix and bias, from above.

    Large terms may cancel, and leave a norm too small by rounding; so what rounding can amount to is added.
    """
    dot = torch.linalg.vecdot
    squares = terms = torch.zeros(len(met.outputs[0]), dtype=met.outputs[0].dtype, device=met.outputs[0].device)
    for s in range(3):
        own = dot(met.inputs[s], met.inputs[s]) * dot(met.outputs[s], met.outputs[s])
        squares, terms = squares + own, terms + own.sqrt()
        for t in range(s):
            squares = squares + 2 * dot(met.inputs[s], met.inputs[t]) * dot(met.outputs[s], met.outputs[t])
    if met.bias is not None:  # met by the rows, not by the penalty
        squares = squares + (met.outputs[0] + met.outputs[1]).square().sum(1)
    return squares + ROUNDING_OF_SUMS * torch.finfo(squares.dtype).eps * terms.square()


def _sums(met: _Met, factor: torch.Tensor) -> dict[torch.Tensor, torch.Tensor]:
    inputs, outputs = met.inputs, [each * factor for each in met.outputs]
    if not bool((factor > 0).all()):  # nothing times infinity would not be nothing
        inputs = [torch.where(factor > 0, each, 0.0) for each in inputs]
        outputs = [torch.where(factor > 0, each, 0.0) for each in outputs]
    whole = inputs[0].T @ outputs[0]
    for own, out in zip(inputs[1:], outputs[1:], strict=True):
        whole.addmm_(own.T, out)
    found: dict[torch.Tensor, torch.Tensor] = {}
    if met.transposed:
        found[met.parameters[0]] = whole.T
    else:
        start = 0
        for block in met.parameters:
            own = whole[start : start + len(block)]
            start += len(own)
            short = len(block) - len(own)
            found[block] = own if short == 0 else torch.cat([own, own.new_zeros(short, own.shape[1])])
    if met.bias is not None:
        found[met.bias] = (outputs[0] + outputs[1]).sum(0)
    return found
