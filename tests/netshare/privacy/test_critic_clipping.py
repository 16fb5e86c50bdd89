"""Clipped sums of the critics' per-sample gradients, against a loop over samples."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netshare.generators.doppelganger.losses import critic_loss, input_gradient_norms_by_autograd
from netshare.generators.doppelganger.modules import Critic
from netshare.privacy.gradients.critic_clipping import CriticInput, clipped_critic_sums

DOUBLE = torch.float64


def rows(n, width):
    return torch.randn(n, width, dtype=DOUBLE), torch.randn(n, width, dtype=DOUBLE)


def looped(critics, mixing, clip):
    """The same, one sample after the other."""
    parameters = [p for one in critics for p in one.critic.parameters()]
    total, norms = [torch.zeros_like(p) for p in parameters], []
    for i in range(len(mixing)):
        loss = sum(
            one.weight * critic_loss(one.critic, one.real[i : i + 1], one.fake[i : i + 1], mixing[i : i + 1], 10.0)[0]
            for one in critics
        )
        own = torch.autograd.grad(loss, parameters, materialize_grads=True)
        norms.append(float(torch.sqrt(sum((g**2).sum() for g in own))))
        for sum_, g in zip(total, own, strict=True):
            sum_ += g * min(1.0, clip / max(norms[-1], 1e-300))
    return dict(zip(parameters, total, strict=True)), norms


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 6),
    width=st.integers(2, 12),
    layers=st.integers(1, 4),
    units=st.integers(1, 9),
    clip=st.floats(0.01, 100),
    shorter=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_clipped_sums_equal_a_loop_over_samples(n, width, layers, units, clip, shorter, seed):
    torch.manual_seed(seed)
    joint = Critic(width, layers, units, edges=(width // 2,)).to(DOUBLE)
    alone = Critic(3, layers, units).to(DOUBLE)
    seen = max(1, width // 2 - 1) if shorter else width
    critics = [CriticInput(joint, *rows(n, seen)), CriticInput(alone, *rows(n, 3), weight=0.7)]
    mixing = torch.rand(n, 1, dtype=DOUBLE)
    sums, norms = clipped_critic_sums(critics, mixing, penalty_weight=10.0, clip_norm=clip)
    expected, lengths = looped(critics, mixing, clip)
    for parameter, value in expected.items():
        found = sums.get(parameter, torch.zeros_like(parameter))
        assert float((found - value).abs().max()) < 1e-10
    assert norms.tolist() == pytest.approx(lengths, rel=1e-9, abs=1e-6)
    if n == 1:
        assert sum(float((value**2).sum()) for value in sums.values()) ** 0.5 <= clip * (1 + 1e-12)


def test_the_penalty_is_the_one_of_a_double_backward():
    torch.manual_seed(1)
    critic = Critic(6, 3, 8).to(DOUBLE)
    (real, fake), mixing = rows(1, 6), torch.rand(1, 1, dtype=DOUBLE)
    between = mixing * real + (1 - mixing) * fake
    loss = critic(fake) - critic(real) + 10 * (input_gradient_norms_by_autograd(critic, between) - 1).square()
    expected = dict(zip(critic.parameters(), torch.autograd.grad(loss.sum(), list(critic.parameters())), strict=True))
    sums, _ = clipped_critic_sums([CriticInput(critic, real, fake)], mixing, penalty_weight=10.0, clip_norm=1e9)
    for parameter, value in sums.items():
        assert float((value - expected[parameter]).abs().max()) < 1e-10


def test_no_sample_and_a_broken_sample_add_nothing():
    critic = Critic(4, 2, 5)
    nothing = torch.zeros(0, 4)
    assert (
        clipped_critic_sums([CriticInput(critic, nothing, nothing)], torch.zeros(0, 1), penalty_weight=10, clip_norm=1)[
            0
        ]
        == {}
    )
    real = torch.tensor([[1.0, 0, 0, 0], [float("inf"), 0, 0, 0]])
    sums, _ = clipped_critic_sums(
        [CriticInput(critic, real, torch.zeros(2, 4))], torch.full((2, 1), 0.5), penalty_weight=10, clip_norm=1
    )
    assert all(bool(value.isfinite().all()) for value in sums.values())
