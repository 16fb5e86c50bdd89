"""Records as units (numbers, bits, one-hot groups) with two more that say *continue* or *stop*, and their likelihood.

Shared by all methods that model a record by a distribution: a number has a normal distribution, a bit a Bernoulli, a
group a categorical one. A number that is gated out of its record (see `netshare.preprocess.encoded.Column`) has no part in the
likelihood.
"""

from __future__ import annotations

import math

import torch

from netshare.generators.doppelganger.layout import ColumnLayout
from netshare.generators.doppelganger.modules import FLAG_UNITS
from netshare.preprocess.encoded import Column, Encoded

MIN_SCALE = 0.01  # of a normal distribution of values in [0, 1]; a narrower one would recite single values


class RecordUnits:
    """Units of a record: those of `ColumnLayout`, then the flags."""

    def __init__(self, columns: tuple[Column, ...], device: torch.device) -> None:
        self.layout = ColumnLayout(columns, device)
        self.width = self.layout.width + FLAG_UNITS
        self.numbers = self.layout.n_numbers
        self.bits = slice(self.layout.n_numbers, self.layout.n_sigmoid)
        self.groups: list[slice] = []
        start = self.layout.n_sigmoid
        for size, places in self.layout.slabs:
            for _ in range(len(places)):
                self.groups.append(slice(start, start + size))
                start += size
        self.groups.append(slice(start, start + FLAG_UNITS))
        self._gates, self._open = self._gate_matrix(columns)

    def of(self, data: Encoded) -> torch.Tensor:
        """float32[n_records, width]: all records, flags included."""
        flags = torch.zeros(len(data.measurements), FLAG_UNITS)
        flags[:, 0] = 1
        ends = torch.from_numpy(data.offsets[1:] - 1)
        flags[ends, 0], flags[ends, 1] = 0.0, 1.0
        return torch.cat([self.layout.expand(torch.from_numpy(data.measurements.astype("float32"))), flags], -1)

    def active(self, units: torch.Tensor) -> torch.Tensor:
        """float32[..., numbers]: 1 where a number has meaning."""
        return units @ self._gates + self._open

    def loss(self, outputs: torch.Tensor, log_scale: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
        """Negative log-likelihood float32[...] of records, in nats.

        Args:
            outputs: float32[..., width]: means of the numbers, logits of the others.
            log_scale: float32[numbers], of the normal distributions' deviations.
            units: float32[..., width], the records.
        """
        scale = log_scale.exp() + MIN_SCALE
        deviation = (units[..., : self.numbers] - outputs[..., : self.numbers]) / scale
        normal = 0.5 * deviation.square() + scale.log() + 0.5 * math.log(2 * math.pi)
        total = (normal * self.active(units)).sum(-1)
        binary = torch.nn.functional.binary_cross_entropy_with_logits
        total = total + binary(outputs[..., self.bits], units[..., self.bits], reduction="none").sum(-1)
        for group in self.groups:
            total = total - (torch.log_softmax(outputs[..., group], -1) * units[..., group]).sum(-1)
        return total

    def draw(self, outputs: torch.Tensor, log_scale: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """Records float32[..., width] from their distributions, hard categories, numbers within [0, 1]."""
        units = torch.zeros_like(outputs)
        noise = torch.randn(outputs[..., : self.numbers].shape, generator=random)
        scale = log_scale.exp() + MIN_SCALE
        units[..., : self.numbers] = (outputs[..., : self.numbers] + scale * noise).clamp(0, 1)
        chances = torch.sigmoid(outputs[..., self.bits])
        units[..., self.bits] = (torch.rand(chances.shape, generator=random) < chances).float()
        for group in self.groups:
            units[..., group] = one_hot(torch.softmax(outputs[..., group], -1), random)
        return units

    def columns(self, units: torch.Tensor) -> torch.Tensor:
        """float32[..., F]: columns of hard units, flags left out."""
        return self.layout.collapse(units[..., : self.layout.width].clamp(0, 1), "argmax", torch.Generator())

    def stops(self, units: torch.Tensor) -> torch.Tensor:
        """bool[...]: records that say stop."""
        return units[..., -1] > 0.5

    def _gate_matrix(self, columns: tuple[Column, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        gates, free = torch.zeros(self.width, self.numbers), torch.ones(self.numbers)
        names = [column.name for column in columns]
        sigmoid = self.layout.sigmoid_columns.tolist()
        grouped = [place for _, places in self.layout.slabs for place in places.tolist()]
        for i in range(self.numbers):
            gate = columns[sigmoid[i]].gate
            if gate is None:
                continue
            place, values = names.index(gate), columns[sigmoid[i]].gate_values
            if place in grouped:
                start = self.groups[grouped.index(place)].start
                gates[[start + value for value in values], i] = 1
                free[i] = 0
            elif place in sigmoid:
                gates[sigmoid.index(place), i] = float(1 in values) - float(0 in values)
                free[i] = float(0 in values)
        return gates, free


def one_hot(chances: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """float32[..., k]: a category drawn from float32[..., k] of chances, as one-hot."""
    below = chances.cumsum(-1) <= torch.rand((*chances.shape[:-1], 1), generator=random)
    chosen = below.sum(-1).clamp_(max=chances.shape[-1] - 1)
    return torch.nn.functional.one_hot(chosen, chances.shape[-1]).to(chances.dtype)
