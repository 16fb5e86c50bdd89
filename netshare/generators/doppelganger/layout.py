"""From encoded columns to network units and back.

A continuous column and a bit are one sigmoid unit each, a categorical column of K > 2 categories is K softmax units,
and a column of one category has no unit at all. Units are ordered by kind: first one slab of all sigmoid units, then a
slab for each K, so that a whole array is activated in as many operations as there are distinct cardinalities, however
many columns it has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, Protocol

import torch

from netshare.preprocess.encoded import Column

Discretize = Literal["mixed", "sample", "argmax"]
DIGITS = 4  # columns of a field from which they are digits of one number: addresses as bits or bytes, not single tags


class RowRandom(Protocol):
    """Random numbers of which each row of a batch has its own, whatever the other rows are."""

    def uniform(self, shape: Sequence[int]) -> torch.Tensor:
        """Numbers in [0, 1) of this shape, whose first axis is the rows."""

    def normal(self, shape: Sequence[int]) -> torch.Tensor:
        """Standard normal numbers of this shape, whose first axis is the rows, or the second where the first is 1."""


Random = torch.Generator | RowRandom


class ColumnLayout:
    """Where the units of `columns` lie; all methods take and give tensors with any leading shape."""

    def __init__(self, columns: tuple[Column, ...], device: torch.device) -> None:
        self.columns = columns
        numbers = [i for i, column in enumerate(columns) if column.kind == "continuous"]
        bits = [i for i, column in enumerate(columns) if column.kind == "categorical" and column.cardinality == 2]
        many: dict[int, list[int]] = {}
        for i, column in enumerate(columns):
            if column.kind == "categorical" and column.cardinality > 2:
                many.setdefault(column.cardinality, []).append(i)
        self.device = device
        self.n_numbers = len(numbers)
        self.n_sigmoid = len(numbers) + len(bits)
        self.number_columns = torch.tensor(numbers, dtype=torch.long, device=device)
        self.sigmoid_columns = torch.tensor(numbers + bits, dtype=torch.long, device=device)
        self.slabs = [(k, torch.tensor(places, device=device)) for k, places in sorted(many.items())]
        self.width = self.n_sigmoid + sum(k * len(places) for k, places in self.slabs)
        many_digits = {field for field, count in Counter(column.field for column in columns).items() if count >= DIGITS}
        is_digit = torch.tensor([column.field in many_digits for column in columns], dtype=torch.bool, device=device)
        self.digit_bits = is_digit[bits]
        self.digit_places = [is_digit[places] for _, places in self.slabs]

    def expand(self, values: torch.Tensor) -> torch.Tensor:
        """float32[..., columns] of numbers and indices -> float32[..., width] of numbers, bits and one-hot groups."""
        parts = [values.index_select(-1, self.sigmoid_columns)]
        for k, places in self.slabs:
            indices = values.index_select(-1, places).unsqueeze(-1)
            parts.append((indices == torch.arange(k, device=values.device)).flatten(-2).to(values.dtype))
        return torch.cat(parts, -1) if len(parts) > 1 else parts[0]

    def activate(self, logits: torch.Tensor) -> torch.Tensor:
        """float[..., width] -> probabilities and numbers in [0, 1], the same shape, float32."""
        widths = [self.n_sigmoid, *(k * len(places) for k, places in self.slabs)]
        of_sigmoid, *of_slabs = logits.float().split(widths, -1)  # one gradient for all, where slices have one each
        parts = [torch.sigmoid(of_sigmoid)]
        for (k, places), slab in zip(self.slabs, of_slabs, strict=True):
            parts.append(torch.softmax(slab.unflatten(-1, (len(places), k)), -1).flatten(-2))
        return torch.cat(parts, -1) if len(parts) > 1 else parts[0]

    def collapse(self, units: torch.Tensor, how: Discretize, random: Random) -> torch.Tensor:
        """Activated units -> float32[..., columns]: numbers as they are, categories drawn from their probabilities or
        the most likely ones; `mixed`: the most likely digits of fields that have several, all else drawn. `random` lives
        on the CPU, so that the same seed draws the same on every device."""
        values = units.new_zeros((*units.shape[:-1], len(self.columns)))
        sigmoid = units[..., : self.n_sigmoid].clone()
        if self.n_sigmoid > self.n_numbers:
            bits = sigmoid[..., self.n_numbers :]
            drawn = (uniform_like(bits, random) if how != "argmax" else 0.5) < bits
            bits.copy_(torch.where(self.digit_bits, bits > 0.5, drawn) if how == "mixed" else drawn)
        values[..., self.sigmoid_columns] = sigmoid
        start = self.n_sigmoid
        for (k, places), digits in zip(self.slabs, self.digit_places, strict=True):
            slab = units[..., start : start + k * len(places)].unflatten(-1, (len(places), k))
            if how == "argmax":
                chosen = slab.argmax(-1)
            else:
                below = slab.cumsum(-1) <= uniform_like(slab[..., :1], random)
                chosen = below.sum(-1).clamp_(max=k - 1)
                if how == "mixed":
                    chosen = torch.where(digits, slab.argmax(-1), chosen)
            values[..., places] = chosen.to(values.dtype)
            start += k * len(places)
        return values

    def harden(self, units: torch.Tensor, how: Discretize, random: Random) -> torch.Tensor:
        """The units that `expand` would give for what `collapse` reads off; gradients pass as if nothing was done."""
        with torch.no_grad():
            step = self.expand(self.collapse(units, how, random)) - units
        return units + step


def uniform_like(tensor: torch.Tensor, random: Random) -> torch.Tensor:
    """Uniform numbers in [0, 1) of the shape and device of `tensor`, drawn on the CPU."""
    if isinstance(random, torch.Generator):
        return torch.rand(tensor.shape, generator=random).to(tensor.device)
    return random.uniform(tensor.shape).to(tensor.device)
