"""DoppelGANger's networks (Lin et al., IMC 2020, section 4): metadata first, measurements given metadata, critics.

Widths are in units of a `ColumnLayout`. A record has two units more than its columns, the generation flag: a softmax
over *continue* and *stop*. After the record that says stop there is nothing: zeros, flag included.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import nn

from netshare.generators.doppelganger.layout import ColumnLayout, Random, uniform_like

FLAG_UNITS = 2

InitialState = Literal["random", "zero", "metadata"]


class Perceptron(nn.Module):
    """Noise (and whatever it is given) -> units of a layout, not yet activated; normalised by layer, not by batch, so
    that a sample does not depend on which others are drawn with it."""

    def __init__(self, inputs: int, layers: int, units: int, outputs: int) -> None:
        super().__init__()
        stack: list[nn.Module] = []
        for width_in, width_out in pairwise([inputs] + [units] * layers):
            stack += [nn.Linear(width_in, width_out), nn.LayerNorm(width_out), nn.ReLU()]
        self.stack = nn.Sequential(*stack, nn.Linear(units, outputs)) if outputs else None
        self.outputs = outputs

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """float32[n, inputs] -> float32[n, outputs]."""
        return self.stack(inputs) if self.stack is not None else inputs.new_zeros(len(inputs), 0)


class MeasurementGenerator(nn.Module):
    """An LSTM that emits `records_per_pass` records a pass from noise and, at every pass, the same condition.

    All records of all passes leave through one output layer; the LSTM is called once for all passes.
    """

    def __init__(
        self,
        condition: int,
        noise: int,
        units: int,
        layout: ColumnLayout,
        records_per_pass: int,
        initial_state: InitialState = "zero",
    ) -> None:
        super().__init__()
        self.initial_state = initial_state
        self.layout = layout
        self.noise = noise
        self.units = units
        self.records_per_pass = records_per_pass
        self.lstm = nn.LSTM(condition + noise, units, batch_first=True)
        self.output = nn.Linear(units, records_per_pass * (layout.width + FLAG_UNITS))
        self.start = nn.Linear(condition, 2 * units) if initial_state == "metadata" else None

    def first_state(self, condition: torch.Tensor, random: Random) -> tuple[torch.Tensor, torch.Tensor]:
        """The LSTM's state before the first pass, each float32[1, n, units], given float32[n, condition]."""
        shape = (1, len(condition), self.units)
        if self.start is not None:
            hidden, cell = torch.tanh(self.start(condition).float()).unsqueeze(0).chunk(2, -1)
            return hidden.contiguous(), cell.contiguous()
        if self.initial_state == "random":
            return normal(random, condition.device, *shape), normal(random, condition.device, *shape)
        zeros = condition.new_zeros(shape)
        return zeros, zeros

    def forward(
        self, condition: torch.Tensor, noise: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """Emit `passes * records_per_pass` records for each series.

        Args:
            condition: float32[n, condition], metadata units (and ranges).
            noise: float32[n, passes, noise].
            state: the LSTM's, each float32[1, n, units].

        Returns:
            units float32[n, records, width], flags float32[n, records, 2] (continue, stop), and the LSTM's state.
        """
        steps = condition.unsqueeze(1).expand(-1, noise.shape[1], -1)
        hidden, state = self.lstm(torch.cat([steps, noise], -1), state)
        logits = self.output(hidden).reshape(len(noise), -1, self.layout.width + FLAG_UNITS)
        units, flags = logits.split([self.layout.width, FLAG_UNITS], -1)
        return self.layout.activate(units), torch.softmax(flags.float(), -1), state


class Critic(nn.Module):
    """A ReLU perceptron over one flat row: metadata units, then records one after another, zeros after the end (where
    series are packed: the metadata of all, the first records of all, the second records of all, and so on).

    It takes rows shorter than `inputs` too, and gives them the score of the row padded with zeros to `inputs`: zeros
    contribute nothing to the first layer, so only the part of its matrix that meets the row is multiplied. That matrix
    is kept as blocks, so that a part that meets nothing has no gradient and costs the optimiser nothing either. Looking
    at prefixes of h records therefore costs h / max_length of looking at whole series, and is exact.
    """

    def __init__(self, inputs: int, layers: int, units: int, edges: tuple[int, ...] = ()) -> None:
        """`edges`, ascending and below `inputs`, are the widths of rows at which the first layer is cut into blocks."""
        super().__init__()
        first = nn.Linear(inputs, units)
        self.edges = (0, *edges, inputs)
        weight = first.weight.detach().T
        # Contiguous, as a checkpoint gives it back: a fused optimiser takes weights and moments to be laid out alike.
        self.first = nn.ParameterList(
            weight[start:end].clone(memory_format=torch.contiguous_format) for start, end in pairwise(self.edges)
        )
        self.first_bias = nn.Parameter(first.bias.detach().clone())
        self.hidden = nn.ModuleList(nn.Linear(units, units) for _ in range(layers - 1))
        self.last = nn.Linear(units, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """float32[n, width <= inputs] -> scores float32[n]."""
        return self.score(self.enter(rows))

    def first_blocks(self, width: int) -> list[torch.Tensor]:
        """The first layer's weights that meet a row of this width, float32[block, units] each, in order."""
        met = [(start, block) for start, block in zip(self.edges[:-1], self.first, strict=True) if start < width]
        # A slice of a whole block would cost its gradient a copy.
        return [block if len(block) <= width - start else block[: width - start] for start, block in met]

    def enter(self, rows: torch.Tensor) -> torch.Tensor:
        """The first layer before its ReLU: an affine map of the rows."""
        entered, start = self.first_bias.expand(len(rows), -1), 0
        for block in self.first_blocks(rows.shape[1]):
            entered = torch.addmm(entered, rows[:, start : start + len(block)], block)
            start += len(block)
        return entered

    def score(self, entered: torch.Tensor) -> torch.Tensor:
        """Scores float32[n] from what `enter` gave."""
        x = torch.relu(entered)
        for layer in self.hidden:
            x = torch.relu(layer(x))
        return at_least_single(self.last(x).squeeze(-1))


def mask_after_stop(flags: torch.Tensor, sample: bool, random: Random) -> tuple[torch.Tensor, torch.Tensor]:
    """Which records exist, bool[n, records]: those up to and including the first whose flag says stop; and which series
    have not stopped by the last of them, bool[n].

    Args:
        flags: float32[n, records, 2], probabilities of continue and stop.
        sample: draw stop from its probability; else it stops where that is above a half.
        random: on the CPU.
    """
    going = flags[..., 0]
    continues = ((uniform_like(going, random) if sample else 0.5) < going).cumprod(1).bool()
    exists = torch.ones_like(continues)
    exists[:, 1:] = continues[:, :-1]
    return exists, continues[:, -1]


def critic_rows(metadata: torch.Tensor, series: torch.Tensor, packing: int) -> torch.Tensor:
    """The rows that the joint critic scores, float32[n / packing, ...]: each of `packing` series after one another.

    Args:
        metadata: float32[n, condition]; n is a multiple of `packing`.
        series: float32[n, records, width].
    """
    records = series.unflatten(0, (-1, packing)).transpose(1, 2)
    return torch.cat([packed(metadata, packing), records.flatten(1)], 1)


def packed(rows: torch.Tensor, packing: int) -> torch.Tensor:
    """float32[n, width] -> float32[n / packing, packing * width]."""
    return rows.unflatten(0, (-1, packing)).flatten(1)


def normal(random: Random, device: torch.device, *shape: int) -> torch.Tensor:
    """Standard normal noise, drawn on the CPU so that every device sees the same."""
    if not isinstance(random, torch.Generator):
        return random.normal(shape).to(device)
    return torch.randn(shape, generator=random).to(device)


def at_least_single(tensor: torch.Tensor) -> torch.Tensor:
    """In single precision where it is in half (under autocast); double stays double."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
