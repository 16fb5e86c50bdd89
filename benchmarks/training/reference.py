"""DoppelGANger's training step in the layout of NetShare's public code, written anew, with the sizes of our networks.

What is like there: each output field is a module of its own (a linear layer and its activation), for each of the S
records of a pass; the LSTM is called step by step; every series is padded to the longest and kept as one-hot units;
fakes are made anew for the critic's and for the generator's update, and not detached in the former; the gradient
penalty differentiates a gradient; critics have a batch each for real and fake; the optimiser is Adam as it comes.
Given our settings, the networks have as many layers and units as ours, and a step is as many updates.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from netshare.generators.doppelganger.settings import DoppelGANgerSettings
from netshare.preprocess.encoded import Column, Encoded


class Field(nn.Module):
    """Linear layer and activation of one field."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, units)
        self.activation: nn.Module = nn.Softmax(-1) if units > 1 else nn.Sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32[n, inputs] -> float32[n, units]."""
        return self.activation(self.linear(x))


class Metadata(nn.Module):
    """Perceptron with one output module a field."""

    def __init__(self, noise: int, layers: int, units: int, widths: list[int]) -> None:
        super().__init__()
        stack: list[nn.Module] = []
        for i in range(layers):
            stack += [nn.Linear(units if i else noise, units), nn.ReLU(), nn.BatchNorm1d(units)]
        self.stack, self.fields = nn.Sequential(*stack), nn.ModuleList(Field(units, width) for width in widths)

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        """Units of all fields."""
        hidden = self.stack(noise)
        return torch.cat([field(hidden) for field in self.fields], 1)


class Measurements(nn.Module):
    """LSTM called a step at a time, with one output module for each field of each record of a pass."""

    def __init__(self, condition: int, noise: int, units: int, widths: list[int], records: int, passes: int) -> None:
        super().__init__()
        self.noise, self.units, self.records, self.passes = noise, units, records, passes
        self.lstm = nn.LSTM(condition + noise, units)
        self.fields = nn.ModuleList(Field(units, width) for _ in range(records) for width in [*widths, 2])
        self.per_record = len(widths) + 1

    def forward(self, metadata: torch.Tensor) -> torch.Tensor:
        """float32[n, passes * records * width]; nothing after the record that says stop."""
        n, device = len(metadata), metadata.device
        state = (torch.randn(1, n, self.units, device=device), torch.randn(1, n, self.units, device=device))
        going, out = torch.ones(n, 1, device=device), []
        for _ in range(self.passes):
            step = torch.cat([metadata, torch.randn(n, self.noise, device=device)], 1).unsqueeze(0)
            hidden, state = self.lstm(step, state)
            values = [field(hidden[0]) for field in self.fields]
            for record in range(self.records):
                own = values[record * self.per_record : (record + 1) * self.per_record]
                out += [value * going for value in own]
                going = going * (own[-1][:, :1] > 0.5)
        return torch.cat(out, 1)


def critic(inputs: int, layers: int, units: int) -> nn.Sequential:
    """A perceptron with one score."""
    stack: list[nn.Module] = []
    for i in range(layers):
        stack += [nn.Linear(units if i else inputs, units), nn.ReLU()]
    return nn.Sequential(*stack, nn.Linear(units, 1))


class Reference:
    """Networks, optimisers and padded data; `step` is one step."""

    def __init__(self, data: Encoded, settings: DoppelGANgerSettings, device: str) -> None:
        torch.manual_seed(0)
        self.settings, self.device = settings, torch.device(device)
        passes, records = settings.passes_of(data.schema.max_length)
        self.metadata, self.series = _padded(data, passes * records)
        widths = [_units(column) for column in data.schema.metadata]
        inside = [_units(column) for column in data.schema.measurements]
        layers, units, noise = settings.metadata_layers, settings.metadata_units, settings.metadata_noise
        self.from_noise = Metadata(noise, layers, units, widths).to(self.device)
        self.measurements = Measurements(
            sum(widths), settings.measurement_noise, settings.lstm_units, inside, records, passes
        ).to(self.device)
        whole, size = self.series.shape[1], (settings.critic_layers, settings.critic_units)
        self.joint = critic(sum(widths) + whole, *size).to(self.device)
        self.auxiliary = critic(sum(widths), *size).to(self.device)
        betas = (settings.adam_beta1, 0.999)
        generators = [*self.from_noise.parameters(), *self.measurements.parameters()]
        self.generator_optimizer = torch.optim.Adam(generators, settings.generator_learning_rate, betas)
        self.critic_optimizers = [
            torch.optim.Adam(judge.parameters(), settings.critic_learning_rate, betas)
            for judge in (self.joint, self.auxiliary)
        ]
        self.random = np.random.default_rng(0)

    def step(self) -> int:
        """`critic_rounds` updates of the critics and one of the generators; records looked at."""
        n, records = self.settings.batch_size, 0
        for _ in range(self.settings.critic_rounds):
            chosen = torch.from_numpy(self.random.integers(len(self.metadata), size=n))
            real = self.metadata[chosen].to(self.device), self.series[chosen].to(self.device)
            fake = self._fake(n)
            losses = []
            for judge, shown in ((self.joint, _together), (self.auxiliary, _metadata)):
                rows = shown(*real), shown(*fake)
                score = judge(rows[1]).mean() - judge(rows[0]).mean()
                losses.append(score + self.settings.penalty_weight * _penalty(judge, *rows))
            for optimizer in self.critic_optimizers:
                optimizer.zero_grad()
            (losses[0] + self.settings.auxiliary_weight * losses[1]).backward()
            for optimizer in self.critic_optimizers:
                optimizer.step()
            records += n
        fake = self._fake(n)
        loss = -self.joint(_together(*fake)).mean()
        loss = loss - self.settings.auxiliary_weight * self.auxiliary(_metadata(*fake)).mean()
        self.generator_optimizer.zero_grad()
        loss.backward()
        self.generator_optimizer.step()
        float(loss.detach())  # the loss is logged, as ours is
        return records

    def _fake(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        metadata = self.from_noise(torch.randn(n, self.settings.metadata_noise, device=self.device))
        return metadata, self.measurements(metadata)


def _together(metadata: torch.Tensor, series: torch.Tensor) -> torch.Tensor:
    return torch.cat([metadata, series], 1)


def _metadata(metadata: torch.Tensor, series: torch.Tensor) -> torch.Tensor:
    return metadata


def _penalty(judge: nn.Module, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    mixing = torch.rand(len(real), 1, device=real.device)
    between = (mixing * real + (1 - mixing) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(judge(between).sum(), between, create_graph=True)
    return ((gradient.square().sum(1) + 1e-12).sqrt() - 1).square().mean()


def _units(column: Column) -> int:
    return column.cardinality if column.kind == "categorical" and column.cardinality > 2 else 1


def _one_hot(columns: tuple[Column, ...], values: np.ndarray) -> np.ndarray:
    parts = []
    for i, column in enumerate(columns):
        own = values[:, i : i + 1]
        parts.append((own == np.arange(_units(column))).astype(np.float32) if _units(column) > 1 else own)
    return np.hstack(parts)


def _padded(data: Encoded, longest: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One-hot metadata float32[n, A'], and series float32[n, longest * F'] padded with zeros, generation flags last."""
    records = _one_hot(data.schema.measurements, np.asarray(data.measurements))
    series = np.zeros((len(data), longest, records.shape[1] + 2), np.float32)
    for i, (begin, end) in enumerate(zip(data.offsets[:-1], data.offsets[1:], strict=True)):
        series[i, : end - begin, :-2] = records[begin:end]
        series[i, : end - begin, -2] = 1
        series[i, end - begin - 1, -2:] = 0, 1
    metadata = _one_hot(data.schema.metadata, np.asarray(data.metadata))
    return torch.from_numpy(metadata), torch.from_numpy(series.reshape(len(data), -1))
