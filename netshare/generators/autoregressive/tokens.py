"""Columns as tokens: the one alphabet in which the autoregressive nets read and write encoded rows.

A categorical column of cardinality c has the tokens 0 .. c - 1; a continuous column is cut into equal bins of [0, 1],
one token each, and a value is drawn evenly within its bin. Every column has one token more, *off*, for rows in which
its gate says that it carries no meaning. Tokens of all columns are numbered through, so that one embedding table
serves them all.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from netshare.preprocess.encoded import Column
from netshare.preprocess.errors import FieldError


class TokenLayout:
    """How the columns of one encoded array map to tokens.

    sizes: tokens of each column, *off* not counted
    offsets: number of each column's first token in the numbering of all
    total: tokens of all columns, *off* included
    gates: for each column, its gate's position and the gate's values that switch it on, or None
    """

    def __init__(self, columns: Sequence[Column], continuous_bins: int) -> None:
        self.columns = tuple(columns)
        self.sizes = [c.cardinality if c.kind == "categorical" else continuous_bins for c in columns]
        self.offsets = [0]
        for size in self.sizes:
            self.offsets.append(self.offsets[-1] + size + 1)
        self.total = self.offsets.pop()
        position = {column.name: i for i, column in enumerate(columns)}
        self.gates: list[tuple[int, torch.Tensor] | None] = []
        for i, column in enumerate(columns):
            if column.gate is None:
                self.gates.append(None)
                continue
            gate = position.get(column.gate, i)
            if gate >= i:
                raise FieldError(f"column {column.name} is gated by {column.gate}, which does not come before it")
            opens = torch.zeros(self.sizes[gate] + 1, dtype=torch.bool)
            opens[list(column.gate_values)] = True
            self.gates.append((gate, opens))
        self._continuous = torch.tensor([c.kind == "continuous" for c in columns], dtype=torch.bool)
        sizes = torch.tensor(self.sizes, dtype=torch.int64)
        self._scale = torch.where(self._continuous, sizes, 1).float()
        self._shift = torch.where(self._continuous, 0.0, 0.5)
        self._largest = sizes - 1
        self._constants: dict[torch.device, tuple[torch.Tensor, list[torch.Tensor | None]]] = {}

    def __len__(self) -> int:
        return len(self.columns)

    def encode(self, values: torch.Tensor) -> torch.Tensor:
        """Tokens of encoded rows: float32[n, columns] -> int64[n, columns], counted from 0 within each column."""
        tokens = torch.floor(values * self._scale + self._shift).long()
        tokens = torch.minimum(tokens.clamp_(min=0), self._largest)
        for i, gate in enumerate(self.gates):
            if gate is not None:
                tokens[:, i].masked_fill_(~gate[1][tokens[:, gate[0]]], self.sizes[i])
        return tokens

    def decode(self, tokens: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        """Encoded rows of tokens: int64[n, columns] -> float32[n, columns]; `uniform` (same shape, in [0, 1)) places
        continuous values within their bins."""
        values = torch.where(self._continuous, tokens + uniform, tokens.float()) / self._scale
        off = tokens > self._largest
        return values.masked_fill_(off, 0.0)

    def numbered(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens in the numbering of all columns: int64[n, columns]."""
        return tokens + self._on(tokens.device)[0]

    def open_rows(self, tokens: torch.Tensor, column: int) -> torch.Tensor | None:
        """int64[k]: the rows in which the column carries meaning; None for all. Needs only the columns before it."""
        gate, opens = self.gates[column], self._on(tokens.device)[1][column]
        if gate is None or opens is None:
            return None
        return opens[tokens[:, gate[0]]].nonzero().squeeze(1)

    def _on(self, device: torch.device) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
        """Offsets and open values of gates on a device, brought there once."""
        if device not in self._constants:
            with torch.inference_mode(False):
                offsets = torch.tensor(self.offsets, dtype=torch.int64, device=device)
                opens = [None if gate is None else gate[1].to(device) for gate in self.gates]
            self._constants[device] = offsets, opens
        return self._constants[device]

    def counts(self, tokens: torch.Tensor) -> list[torch.Tensor]:
        """float32[size] a column: how often each of its tokens occurs, *off* not counted."""
        return [torch.bincount(tokens[:, i], minlength=size + 1)[:size].float() for i, size in enumerate(self.sizes)]


def shares(counts: torch.Tensor) -> torch.Tensor:
    """float32[size]: shares of tokens that were seen `counts` (float32[size]) times, none of them 0.

    Those never seen share what those seen once have (I. J. Good, "The population frequencies of species and the
    estimation of population parameters", Biometrika 40, 1953): with few rows and many tokens, a fixed count for each
    would be most of the tail.
    """
    unseen = counts == 0
    once = float((counts == 1).sum()) + 0.5
    smoothed = torch.where(unseen, once / max(int(unseen.sum()), 1), counts)
    return smoothed / smoothed.sum()
