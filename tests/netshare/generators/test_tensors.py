"""Tensors by name: sets in one mapping, weights that do not fit, and an optimiser that goes on where it was."""

import pytest
import torch

from netshare.generators.tensors import load_module, named, optimizer_tensors, part_of, restore_optimizer
from netshare.preprocess.errors import TrainingError


def test_sets_of_tensors_share_a_mapping():
    one, other = {"weight": torch.ones(2)}, {"weight": torch.zeros(3), "bias": torch.ones(1)}
    together = named("net", one) | named("nets", other)
    assert part_of(together, "net") == one and part_of(together, "nets") == other and part_of(together, "ne") == {}


@pytest.mark.parametrize(
    "change",
    [{"weight": torch.zeros(5, 3)}, {"bias": None}, {"more": torch.zeros(1)}],
    ids=["shape", "missing", "more"],
)
def test_weights_that_do_not_fit_are_named_and_nothing_is_loaded(change):
    module = torch.nn.Linear(3, 2)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    given = {name: tensor + 1 for name, tensor in before.items()} | change
    with pytest.raises(TrainingError, match=f"model x: '{next(iter(change))}'"):
        load_module(module, {name: tensor for name, tensor in given.items() if tensor is not None}, "model x")
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_an_optimiser_goes_on_where_it_was():
    def step(weight: torch.nn.Parameter, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        ((weight - 3) ** 2).sum().backward()
        optimizer.step()

    weight = torch.nn.Parameter(torch.tensor([0.0, 1.0]))
    optimizer = torch.optim.Adam([weight], 0.1)
    for _ in range(3):
        step(weight, optimizer)
    copy = torch.nn.Parameter(weight.detach().clone())
    restored = torch.optim.Adam([copy], 0.1)
    restore_optimizer(restored, optimizer_tensors(optimizer))
    step(weight, optimizer)
    step(copy, restored)
    assert torch.equal(weight, copy)
