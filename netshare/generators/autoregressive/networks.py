"""The net of the measurement slot: records given metadata and the number of records.

`RecordNet` is P(records | A, number of records): a gated recurrent unit reads the record before, the metadata's encoding
and where in the series we are, and a `RowModel` draws the next record's columns one after another from its state. It sees
tokens only (`TokenLayout`).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from netshare.generators.autoregressive.row_model import RowModel
from netshare.generators.autoregressive.settings import AutoregressiveSettings
from netshare.generators.autoregressive.token_table import TokenTable
from netshare.generators.autoregressive.tokens import TokenLayout

EXACT_POSITIONS = 16
POSITION_BINS_PER_DOUBLING = 2
POSITION_BINS = EXACT_POSITIONS + POSITION_BINS_PER_DOUBLING * 28  # positions up to 2**32


class RecordNet(nn.Module):
    """P(records | A, number of records)."""

    def __init__(self, metadata: TokenLayout, records: TokenLayout, settings: AutoregressiveSettings) -> None:
        super().__init__()
        state = settings.record_state
        self.layout = records
        self.condition = Condition(metadata, settings)
        self.from_condition = nn.Linear(settings.condition, 2 * state)
        self.previous = TokenTable(records, state, more=1)  # the last token: no record before
        self.index = nn.Embedding(POSITION_BINS, 2 * state)
        self.remaining = nn.Embedding(POSITION_BINS, 2 * state)
        for table in (self.index, self.remaining):
            nn.init.normal_(table.weight, std=0.1)
        self.recurrent = nn.GRU(state, state)
        self.to_rows = nn.Linear(state, state)
        self.rows = RowModel(records, state=state, hidden=settings.record_hidden, dropout=settings.record_dropout)

    def conditioned(self, metadata: torch.Tensor) -> torch.Tensor:
        """float32[n, 2 * state]: what the metadata (int64[n, A] tokens) adds to each record's input and context."""
        encoded: torch.Tensor = self.from_condition(self.condition(metadata))
        return encoded

    def contexts(
        self, previous: torch.Tensor, first: torch.Tensor, place: torch.Tensor, sizes: torch.Tensor
    ) -> torch.Tensor:
        """float32[n, state]: the row model's context of each record of a packed batch.

        Args:
            previous: int64[n, F], tokens of the record before each record, anything where there is none.
            first: bool[n], whether there is none.
            place: float32[n, 2 * state], the sum of `conditioned` and `places` of each record.
            sizes: int64[steps], series at each step, on the CPU.
        """
        into, beside = place.chunk(2, dim=1)
        packed = PackedSequence(functional.relu(self.previous_vectors(previous, first) + into), sizes)
        states, _ = self.recurrent(packed)
        context: torch.Tensor = self.to_rows(states.data) + beside
        return context

    def previous_vectors(self, previous: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
        """float32[n, state]: what the record before adds to each record's input."""
        numbered = self.layout.numbered(previous)
        weights = torch.ones(numbered.shape, device=numbered.device)
        none = first.unsqueeze(1)
        numbered = torch.where(none, self.layout.total, numbered)
        weights = torch.where(none, 1.0 / max(len(self.layout), 1), weights)
        return self.previous.total(numbered, weights)

    def previous_of_none(self) -> torch.Tensor:
        """float32[1, state]: `previous_vectors` of a first record."""
        device = self.to_rows.weight.device
        return self.previous_vectors(
            torch.zeros(1, len(self.layout), dtype=torch.int64, device=device),
            torch.ones(1, dtype=torch.bool, device=device),
        )

    def places(self, index: torch.Tensor, remaining: torch.Tensor) -> torch.Tensor:
        """float32[n, 2 * state]: what being record `index` with `remaining` more to come (int64[n]) adds."""
        places: torch.Tensor = self.index(position_bin(index)) + self.remaining(position_bin(remaining))
        return places


class Condition(nn.Module):
    """Encoding of a metadata row: one learnt vector a token, summed, and two layers."""

    def __init__(self, layout: TokenLayout, settings: AutoregressiveSettings) -> None:
        super().__init__()
        self.layout = layout
        self.column_dropout = settings.column_dropout
        width = settings.condition
        self.table = TokenTable(layout, width)
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """float32[n, condition] of int64[n, A] tokens."""
        keep = torch.ones(tokens.shape, device=tokens.device)
        if self.training and self.column_dropout > 0:
            keep = (torch.rand(tokens.shape, device=tokens.device) >= self.column_dropout).to(keep.dtype)
        if tokens.shape[1]:
            total = self.table.total(self.layout.numbered(tokens), keep)
        else:
            total = torch.zeros(len(tokens), self.first.in_features, device=tokens.device)
        h = self.dropout(functional.relu(self.first(total)))
        out: torch.Tensor = total + self.dropout(functional.relu(self.second(h)))
        return out


def position_bin(position: torch.Tensor) -> torch.Tensor:
    """Positions (int64, from 0) as bins: 16 exact ones, then two for each doubling."""
    log = torch.log2(position.clamp(min=EXACT_POSITIONS).float() / EXACT_POSITIONS)
    coarse = EXACT_POSITIONS + (log * POSITION_BINS_PER_DOUBLING).long()
    return torch.where(position < EXACT_POSITIONS, position, coarse).clamp_(max=POSITION_BINS - 1)
