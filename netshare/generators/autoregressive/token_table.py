"""Vectors and logits of tokens, alike for tokens that are neighbours on a scale.

A token of a number has a vector of its own, and one shared with its neighbours: that of its place on a coarse scale,
interpolated between two knots. What is learnt of a span of two seconds then holds for one of three, long before either
has been seen often.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from netshare.generators.autoregressive.tokens import TokenLayout

KNOTS = 12
OWN_SCALE = 0.02  # of a number's own vector at first; names have 0.1


class Scale(nn.Module):
    """A vector for each of some places on [0, 1], interpolated between knots that it learns."""

    def __init__(self, positions: tuple[float, ...], width: int) -> None:
        super().__init__()
        place = torch.tensor(positions).clamp(0, 1) * (KNOTS - 1)
        low = place.floor().clamp(max=KNOTS - 2)
        self.knots = nn.Parameter(torch.randn(KNOTS, width) * 0.1)
        self.lower_knot: torch.Tensor
        self.upper_share: torch.Tensor
        self.register_buffer("lower_knot", low.long(), persistent=False)
        self.register_buffer("upper_share", (place - low).unsqueeze(1), persistent=False)

    def forward(self) -> torch.Tensor:
        """float32[places, width]: the vectors of all places."""
        between: torch.Tensor = torch.lerp(
            self.knots[self.lower_knot], self.knots[self.lower_knot + 1], self.upper_share
        )
        return between


class TokenHead(nn.Linear):
    """Logits of one column's tokens, from `hidden` numbers."""

    def __init__(self, hidden: int, size: int, positions: tuple[float, ...]) -> None:
        super().__init__(hidden, size)
        self.scale = Scale(positions, hidden) if positions else None
        if self.scale is not None:
            with torch.no_grad():
                self.weight *= OWN_SCALE / 0.1

    def rows(self) -> torch.Tensor:
        """float32[size, hidden]: the weights of each token's logit."""
        return self.weight if self.scale is None else self.weight + self.scale()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """float32[n, size] of float32[n, hidden]."""
        return functional.linear(hidden, self.rows(), self.bias)


class TokenTable(nn.Module):
    """A vector of `width` numbers for each token of a layout's first `columns` columns, and `more` others behind them."""

    def __init__(self, layout: TokenLayout, width: int, *, columns: int | None = None, more: int = 0) -> None:
        super().__init__()
        columns = len(layout) if columns is None else columns
        tokens = layout.total if columns == len(layout) else layout.offsets[columns]
        self.own = nn.Parameter(torch.randn(tokens + more, width) * 0.1)
        self.scales = nn.ModuleDict()
        self.scaled_rows: dict[str, slice] = {}
        for column, offset in zip(layout.columns[:columns], layout.offsets, strict=False):
            if column.positions:
                name = str(offset)
                self.scales[name] = Scale(column.positions, width)
                self.scaled_rows[name] = slice(offset, offset + len(column.positions))
                with torch.no_grad():
                    self.own[self.scaled_rows[name]] *= OWN_SCALE / 0.1

    def vectors(self) -> torch.Tensor:
        """float32[tokens, width]: the vectors of all tokens."""
        if not self.scaled_rows:
            return self.own
        shared = torch.zeros_like(self.own)
        for name, rows in self.scaled_rows.items():
            shared[rows] = self.scales[name]()
        return self.own + shared

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """float32[..., width] of int64[...] numbered tokens."""
        return functional.embedding(tokens, self.vectors())

    def total(self, tokens: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """float32[n, width]: weighted sums over int64[n, k] numbered tokens."""
        return functional.embedding_bag(tokens, self.vectors(), mode="sum", per_sample_weights=weights)
