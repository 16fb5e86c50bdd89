"""Tensors by name: several sets in one mapping, and a module's weights from one, with a message where they do not fit."""

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


def load(module: nn.Module, weights: dict[str, torch.Tensor], what: str) -> None:
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
