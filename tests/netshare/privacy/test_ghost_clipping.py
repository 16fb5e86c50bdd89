"""Clipped sums of per-unit gradients, against a loop over units."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_sequence

from netshare.privacy.gradients.ghost_clipping import SteppedGRU, Tape


class Mixed(nn.Module):
    """Every kind of layer that the nets have, with rows that are selected in between."""

    def __init__(self, width: int, values: int) -> None:
        super().__init__()
        self.table = nn.Embedding(values, width)
        self.bag = nn.EmbeddingBag(values, width, mode="sum")
        self.first = nn.Linear(width, 3)
        self.wide = nn.Linear(width, 2 * width, bias=False)
        self.last = nn.Linear(2 * width + 3, values)
        self.gru = SteppedGRU(nn.GRU(width, width))

    def loss(self, tokens, targets, units, tape):
        """Each unit's rows are one sequence (they lie together)."""
        tape.rows = units
        x = self.table(tokens).sum(1) + self.bag(tokens, per_sample_weights=torch.full(tokens.shape, 0.7).to(DOUBLE))
        parts = [x[units == u] for u in units.unique()]
        packed = pack_sequence(parts, enforce_sorted=False)
        order = pack_sequence([torch.arange(len(units))[units == u] for u in units.unique()], enforce_sorted=False)
        tape.rows = units[order.data]
        states, _ = self.gru(packed)
        back = torch.empty_like(states.data).index_copy(0, order.data, states.data)
        some = (tokens[:, 0] != 1).nonzero().squeeze(1)
        tape.rows = units
        wide = self.wide(x + back)
        tape.rows = units[some]
        logits = self.last(torch.cat([torch.tanh(self.first(x[some])), wide[some]], 1))
        return functional.cross_entropy(logits, targets[some], reduction="sum")


DOUBLE = torch.float64


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=7),
    width=st.integers(1, 8),
    clip=st.floats(0.01, 20),
    seed=st.integers(0, 1000),
)
def test_clipped_sums_equal_a_loop_over_units(sizes, width, clip, seed):
    torch.manual_seed(seed)
    net = Mixed(width, 5).to(DOUBLE)
    units = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    tokens, targets = torch.randint(5, (len(units), 3)), torch.randint(5, (len(units),))
    with Tape(net) as tape:
        loss = net.loss(tokens, targets, units, tape)
    found, norms = tape.clipped(loss, units=len(sizes), clip_norm=clip)

    expected = [torch.zeros_like(p) for p in net.parameters()]
    for unit in range(len(sizes)):
        own = units == unit
        with Tape(net) as other:
            loss = net.loss(tokens[own], targets[own], torch.zeros(int(own.sum()), dtype=torch.int64), other)
        gradient = torch.autograd.grad(loss, list(net.parameters()), materialize_grads=True)
        norm = torch.sqrt(sum((g**2).sum() for g in gradient))
        assert float(norms[unit]) == pytest.approx(float(norm), rel=1e-10, abs=1e-12)
        for total, g in zip(expected, gradient, strict=True):
            total += g * min(1.0, clip / max(float(norm), 1e-300))
    for parameter, value in zip(net.parameters(), expected, strict=True):
        assert float((found[parameter] - value).abs().max()) < 1e-10
    if len(sizes) == 1:
        assert sum(float((v**2).sum()) for v in found.values()) <= clip**2 * (1 + 1e-12)


@pytest.mark.parametrize("rows", [1, 3, 40, 300])
def test_long_units_take_the_other_way_to_the_same_norm(rows):
    torch.manual_seed(rows)
    layer = nn.Sequential(nn.Linear(6, 4)).to(DOUBLE)
    x = torch.randn(2 * rows + 1, 6, dtype=DOUBLE)
    units = torch.tensor([0] * rows + [1] + [2] * rows)
    with Tape(layer) as tape:
        tape.rows = units
        loss = layer(x).square().sum()
    _, norms = tape.clipped(loss, units=3, clip_norm=1.0)
    for unit in range(3):
        gradient = torch.autograd.grad(layer(x[units == unit]).square().sum(), list(layer.parameters()))
        assert float(norms[unit]) == pytest.approx(float(torch.cat([g.flatten() for g in gradient]).norm()), rel=1e-10)


def test_the_stepped_gru_is_the_gru():
    torch.manual_seed(0)
    gru = nn.GRU(5, 7)
    packed = pack_sequence([torch.randn(n, 5) for n in (6, 4, 4, 1)])
    expected = gru(packed)[0].data
    assert torch.allclose(SteppedGRU(gru)(packed)[0].data, expected, atol=1e-6)


def test_a_gradient_that_is_not_finite_is_left_out():
    layer = nn.Sequential(nn.Linear(2, 1))
    x = torch.tensor([[1.0, 2.0], [float("inf"), 0.0]])
    with Tape(layer) as tape:
        tape.rows = torch.arange(2)
        loss = layer(x).square().sum()
    found, _ = tape.clipped(loss, units=2, clip_norm=1.0)
    assert all(bool(value.isfinite().all()) for value in found.values())


def test_weights_that_no_tape_sees_are_an_error():
    class Stray(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.scale = nn.Linear(2, 2), nn.Parameter(torch.ones(2))

    net = Stray()
    with Tape(net) as tape:
        tape.rows = torch.arange(3)
        loss = (net.layer(torch.randn(3, 2)) * net.scale).sum()
    with pytest.raises(RuntimeError, match="scale"):
        tape.clipped(loss, units=3, clip_norm=1.0)


def test_a_layer_used_twice_is_an_error():
    layer = nn.Sequential(nn.Linear(2, 2))
    with Tape(layer) as tape:
        tape.rows = torch.arange(3)
        loss = layer(layer(torch.randn(3, 2))).sum()
    with pytest.raises(RuntimeError, match="twice"):
        tape.clipped(loss, units=3, clip_norm=1.0)


def test_rows_without_units_are_an_error():
    layer = nn.Sequential(nn.Linear(2, 2))
    with Tape(layer) as tape:
        tape.rows = torch.arange(2)
        loss = layer(torch.randn(3, 2)).sum()
    with pytest.raises(RuntimeError, match="3 rows"):
        tape.clipped(loss, units=3, clip_norm=1.0)
    assert bool(loss.isfinite())
