"""What all baselines share: the plumbing of the generator interface, so that a method's module holds its method alone.

A baseline has *fitted* tensors (statistics measured on the data, in `measure`), *networks* (built from schema and fitted
tensors, in `build`) and *optimisers* (made in `begin`). From these follow its state, its weights, and their loading.
Baselines are trained from scratch; none is fine-tuned.

Two families stand on it: `SeriesBaseline` (metadata, then records; see `series`) and `RowBaseline` (single records, see
`rows`).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import nn

from netshare.generators.base import Generator
from netshare.preprocess.encoded import Encoded, Schema
from netshare.preprocess.errors import FieldError, TrainingError

FITTED, NETWORKS = "fitted.", "networks."


class Baseline(Generator):
    """A generator of fitted tensors and networks.

    `most_updates` is how many updates its training has at most, None where only `steps` bounds it.
    """

    most_updates: int | None = None

    def __init__(self, schema: Schema, device: str = "cpu") -> None:
        super().__init__(schema, device)
        self.fitted: dict[str, torch.Tensor] = {}
        self.networks = nn.ModuleDict()
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.random = torch.Generator()
        self.seed = 0
        self._steps = 0

    def measure(self, data: Encoded) -> dict[str, torch.Tensor]:
        """Statistics of the data that sampling needs."""
        return {}

    def build(self) -> dict[str, nn.Module]:
        """Fresh networks, their shapes from `schema` and `fitted` alone."""
        return {}

    def begin(self, data: Encoded) -> None:
        """Get ready to `update`: optimisers, batches."""

    @abstractmethod
    def update(self) -> dict[str, float]:
        """One optimisation step (or the whole fit, where it has a closed form); its losses and `records`."""

    @abstractmethod
    def measurements_for(self, metadata: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """What `sample_measurements` returns, where no lengths are given."""

    def drawing_state(self) -> dict[str, Any]:
        """JSON-able state of whatever draws batches, for methods that have more than `random`."""
        return {}

    def restore_drawing(self, state: dict[str, Any]) -> None:
        """Set what `drawing_state` returned."""

    def adam(self, name: str, *networks: str, rate: float, beta1: float = 0.5) -> None:
        """Make the Adam optimiser `name` for the networks named."""
        parameters = [p for network in networks for p in self.networks[network].parameters()]
        self.optimizers[name] = torch.optim.Adam(parameters, rate, (beta1, 0.999))

    def descend(self, name: str, loss: torch.Tensor, norm: float | None = None) -> None:
        """One step of the optimiser `name` down the gradient of `loss`, scaled down to `norm` where it is longer."""
        optimizer = self.optimizers[name]
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        if norm is not None:
            nn.utils.clip_grad_norm_(parameters, norm)
        optimizer.step()

    # The interface

    def prepare(
        self, data: Encoded, *, seed: int, steps: int, initial_weights: dict[str, torch.Tensor] | None = None
    ) -> None:
        """Measure the data and build everything afresh."""
        if initial_weights is not None:
            raise TrainingError("a baseline is trained from scratch; give it no initial weights")
        if len(data) == 0:
            raise TrainingError("there are no series to learn from; give a trace with records")
        if data.schema != self.schema:
            raise TrainingError("the data's schema is not the one that the generator was built for")
        self.seed = seed
        self.optimizers = {}
        self.random.manual_seed(seed)
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            self.fitted = self.measure(data)
            self._build()
            self.begin(data)
        self._steps, self.steps_done = steps, 0

    @property
    def max_steps(self) -> int:
        """Steps asked for, or fewer where the method needs no more."""
        return self._steps if self.most_updates is None else min(self._steps, self.most_updates)

    @property
    def done(self) -> bool:
        """Whether all steps are done."""
        return self.steps_done >= self.max_steps

    def step(self) -> dict[str, float]:
        """One `update`, its losses checked."""
        losses = self.update()
        self.steps_done += 1
        for name, value in losses.items():
            if not math.isfinite(value):
                raise TrainingError(f"loss '{name}' became {value}; this method diverges on this data")
        return losses

    def sample_measurements(
        self, metadata: np.ndarray, *, seed: int, lengths: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Records given metadata; baselines draw the lengths themselves.

        Raises:
            FieldError: lengths are given.
        """
        if lengths is not None:
            raise FieldError("lengths are given, but a baseline draws them itself; leave them out")
        return self.measurements_for(metadata, seed)

    def training_state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Weights, optimiser moments and random state."""
        tensors = self.training_weights() | {"random": self.random.get_state()}
        for name, optimizer in self.optimizers.items():
            for i, state in optimizer.state_dict()["state"].items():
                tensors |= {f"{name}.{i}.{slot}": value for slot, value in state.items()}
        return tensors, {"steps_done": self.steps_done, "drawing": self.drawing_state()}

    def restore(self, tensors: dict[str, torch.Tensor], scalars: dict[str, Any]) -> None:
        """Go on from a `training_state`."""
        self._set_weights(tensors, rebuild=False)
        for name, optimizer in self.optimizers.items():
            state: dict[int, dict[str, torch.Tensor]] = {}
            for key, tensor in _part(tensors, f"{name}.").items():
                i, slot = key.split(".", 1)
                state.setdefault(int(i), {})[slot] = tensor
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        self.random.set_state(tensors["random"])
        self.restore_drawing(scalars["drawing"])
        self.steps_done = scalars["steps_done"]

    def training_weights(self) -> dict[str, torch.Tensor]:
        """All fitted tensors and networks."""
        fitted = {f"{FITTED}{name}": value for name, value in self.fitted.items()}
        return fitted | {f"{NETWORKS}{name}": value for name, value in self.networks.state_dict().items()}

    def sampling_weights(self) -> dict[str, torch.Tensor]:
        """The same: baselines are not kept small."""
        return {name: value.detach().clone() for name, value in self.training_weights().items()}

    def load_sampling_weights(self, weights: dict[str, torch.Tensor]) -> None:
        """Sample from these weights from now on."""
        self._set_weights(weights, rebuild=True)

    def _set_weights(self, tensors: dict[str, torch.Tensor], *, rebuild: bool) -> None:
        try:
            self.fitted = {name: value.clone() for name, value in _part(tensors, FITTED).items()}
            if rebuild:
                self._build()
            self.networks.load_state_dict(_part(tensors, NETWORKS))
        except (KeyError, RuntimeError, IndexError, ValueError):
            raise TrainingError("the weights do not fit the fields or the method; train again") from None

    def _build(self) -> None:
        self.networks = nn.ModuleDict(self.build()).to(self.device)


def field_groups(schema: Schema) -> dict[str, list[int]]:
    """Columns of a row [metadata, measurements] by field: a field that is in both is two."""
    groups: dict[str, list[int]] = {}
    for i, column in enumerate(schema.metadata):
        groups.setdefault(column.field, []).append(i)
    for i, column in enumerate(schema.measurements, len(schema.metadata)):
        name = f"record {column.field}" if any(c.field == column.field for c in schema.metadata) else column.field
        groups.setdefault(name, []).append(i)
    return groups


def check_width(tensor: torch.Tensor, width: int) -> None:
    """Refuse fitted rows of another schema.

    Raises:
        TrainingError: `tensor` has not `width` columns.
    """
    if tensor.ndim != 2 or tensor.shape[1] != width:
        raise TrainingError(f"the weights are for rows of another width than {width}; train again with these fields")


def seeded(seed: int) -> torch.Generator:
    """A generator of random numbers for one sample."""
    return torch.Generator().manual_seed(seed)


def as_array(rows: torch.Tensor) -> np.ndarray:
    """float32 array of a tensor."""
    return rows.detach().cpu().numpy().astype(np.float32, copy=False)


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
