"""Tensors by name: several sets in one mapping, the weights of a module and the state of an optimiser from one of them."""

from __future__ import annotations

import torch
from torch import nn

from netshare.preprocess.errors import TrainingError


def named(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors under `prefix`."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def part_of(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """What `named` put under `prefix`."""
    start = len(prefix) + 1
    return {name[start:]: tensor for name, tensor in tensors.items() if name.startswith(prefix + ".")}


def load_module(module: nn.Module, weights: dict[str, torch.Tensor], what: str) -> None:
    """Set all of `module`'s weights, or raise a TrainingError that says what does not fit."""
    own = module.state_dict()
    for name in sorted(own.keys() | weights.keys()):
        found = tuple(weights[name].shape) if name in weights else "missing"
        expected = tuple(own[name].shape) if name in own else "absent"
        if found != expected:
            raise TrainingError(
                f"{what}: '{name}' is {found}, this model needs {expected}; use the schema and settings that it was "
                "trained with"
            )
    module.load_state_dict(weights)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The moments and counters of an optimiser, under `"{number of the parameter}.{name}"`; not copied."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": value for number, own in state.items() for name, value in own.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Give an optimiser of the same parameters copies of what `optimizer_tensors` returned."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value.clone()
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
