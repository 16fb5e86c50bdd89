"""What one of the generator's three nets is trained on: its batches of an epoch and its loss on each.

Every part gives a batch's loss summed over what it counts (rows of columns), so that training and validation divide by
the same number: the records or series looked at.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import nn

from netshare.generators.autoregressive.columns_net import ColumnsNet
from netshare.generators.autoregressive.interpolated_counts import (
    ContextCounts,
    CountedShares,
    counted_shares,
    shares_by_other_folds,
)
from netshare.generators.autoregressive.networks import RecordNet
from netshare.generators.autoregressive.row_model import ColumnCounts
from netshare.generators.autoregressive.settings import AutoregressiveSettings
from netshare.generators.autoregressive.tokens import TokenLayout, shares
from netshare.generators.autoregressive.windows import batches_of, cut_windows, pack
from netshare.preprocess.encoded import Encoded

MARGINAL_ROWS = 200_000  # rows that a column's overall distribution is counted on
FOLDS = 8  # of conversations, each of which the counts of the others are tried on
VALIDATION_BATCH = 4  # a validation batch is so many times as large as one for training


class Part(ABC):
    """One net with the series that it learns from (`chosen` numbers of them)."""

    net: nn.Module
    layout: TokenLayout  # the columns that the net learns

    def __init__(self, data: Encoded, settings: AutoregressiveSettings, device: torch.device) -> None:
        self.data, self.settings, self.device = data, settings, device
        self.marginals: list[torch.Tensor] = []

    @property
    def groups(self) -> list[tuple[str, list[int]]]:
        """Sets of weights that stop learning independently: the prefix of their names, the columns they serve."""
        return [("", list(range(len(self.layout))))]

    @abstractmethod
    def size(self, chosen: np.ndarray) -> int:
        """How many rows the chosen series have."""

    @abstractmethod
    def batches(self, chosen: np.ndarray, rows: int, rng: np.random.Generator) -> list[object]:
        """The chosen series in random batches of about `rows` rows."""

    @abstractmethod
    def losses(self, batch: object, smoothing: float) -> tuple[list[torch.Tensor | None], int]:
        """Summed negative log-likelihood of each column, and the number of rows."""

    @abstractmethod
    def column_counts(self, batch: object) -> ColumnCounts:
        """For each column whose shares the net alone decides: how often each token is expected in the rows where the column
        is open, and these rows' tokens."""

    @abstractmethod
    def output_biases(self) -> dict[int, torch.Tensor]:
        """The bias of each learnt column's logits."""

    @abstractmethod
    def example_rows(self, chosen: np.ndarray) -> torch.Tensor:
        """int64[n, columns]: tokens of the chosen series' rows, or of some of them."""

    def default_batch(self, chosen: np.ndarray) -> int:
        """Rows of a training batch."""
        return int(np.clip(self.size(chosen) // 64, 64, 1024))

    def set_marginals(self, chosen: np.ndarray, initialise: bool) -> None:
        """Count the columns' overall distributions; `initialise` starts the net's heads there."""
        counts = self.layout.counts(self.example_rows(chosen))
        self.marginals = [shares(c).to(self.device) for c in counts]
        if initialise:
            self.start_at([c.to(self.device) for c in counts])

    @abstractmethod
    def start_at(self, counts: list[torch.Tensor]) -> None:
        """Start the net at the columns' overall distributions."""


class ColumnsPart(Part):
    """Columns of series, one row each. The counts for a row never include its own conversation: for a training row they
    are taken over the other folds of the training series, for a row held back over all training series.

    tokens: int64[n_series, columns], those that the net is given and those that it learns
    """

    def __init__(
        self, net: ColumnsNet, tokens: torch.Tensor, data: Encoded, settings: AutoregressiveSettings,
        device: torch.device, *, train: np.ndarray, held: np.ndarray, conversations: np.ndarray,
    ) -> None:  # fmt: skip
        super().__init__(data, settings, device)
        self.net = self.columns_net = net
        self.layout, self.tokens = net.layout, tokens
        rows = tokens.numpy()
        self._counted_shares: dict[int, tuple[np.ndarray, CountedShares]] = {}  # with where each series stands in it
        for column, contexts in net.contexts.items():
            is_open = rows[:, column] < net.layout.sizes[column]
            own, other = train[is_open[train]], held[is_open[held]]
            inside = shares_by_other_folds(rows[own], conversations[own] % FOLDS, net.layout, column, contexts)
            outside = counted_shares([ContextCounts(rows[own], net.layout, column, c) for c in contexts], rows[other])
            place = np.zeros(len(rows), np.int32)
            place[np.concatenate([own, other])] = np.arange(len(own) + len(other))
            self._counted_shares[column] = place, inside.followed_by(outside)

    @property
    def groups(self) -> list[tuple[str, list[int]]]:
        """Each column stops on its own."""
        return [(f"columns.{name}.", [int(name)]) for name in self.columns_net.columns]

    def size(self, chosen: np.ndarray) -> int:
        """How many series there are."""
        return len(chosen)

    def default_batch(self, chosen: np.ndarray) -> int:
        """Series of a training batch."""
        return self.settings.batch_series or super().default_batch(chosen)

    def batches(self, chosen: np.ndarray, rows: int, rng: np.random.Generator) -> list[object]:
        """Random batches of series numbers."""
        return [*np.array_split(rng.permutation(chosen), max(1, round(len(chosen) / rows)))]

    def start_at(self, counts: list[torch.Tensor]) -> None:
        """See `Part.start_at`."""
        self.columns_net.set_marginals(counts)

    def losses(self, batch: object, smoothing: float) -> tuple[list[torch.Tensor | None], int]:
        """See `Part.losses`."""
        assert isinstance(batch, np.ndarray)
        tokens = self.tokens[torch.from_numpy(batch)].to(self.device)
        shares_of = {}
        for i, (place, found) in self._counted_shares.items():
            open_rows = self.layout.open_rows(tokens, i)
            shares_of[i] = found.take(place[batch if open_rows is None else batch[open_rows.cpu().numpy()]])
        return self.columns_net.negative_log_likelihood(tokens, shares_of, smoothing, self.marginals), len(batch)

    def column_counts(self, batch: object) -> ColumnCounts:
        """See `Part.column_counts`."""
        assert isinstance(batch, np.ndarray)
        return self.columns_net.column_counts(self.tokens[torch.from_numpy(batch)].to(self.device))

    def output_biases(self) -> dict[int, torch.Tensor]:
        """See `Part.output_biases`."""
        return self.columns_net.output_biases()

    def example_rows(self, chosen: np.ndarray) -> torch.Tensor:
        """See `Part.example_rows`."""
        return self.tokens[torch.from_numpy(chosen)]


class RecordPart(Part):
    """Records of series, given their metadata and lengths."""

    def __init__(
        self, net: RecordNet, tokens: torch.Tensor, data: Encoded, settings: AutoregressiveSettings,
        device: torch.device,
    ) -> None:  # fmt: skip
        super().__init__(data, settings, device)
        self.net = self.record_net = net
        self.layout = net.rows.layout
        self.tokens = tokens

    def start_at(self, counts: list[torch.Tensor]) -> None:
        """See `Part.start_at`."""
        self.record_net.rows.set_marginals(counts)

    def size(self, chosen: np.ndarray) -> int:
        """How many records there are."""
        return int(self.data.lengths[chosen].sum())

    def default_batch(self, chosen: np.ndarray) -> int:
        """Records of a training batch."""
        return self.settings.batch_records or int(np.clip(self.size(chosen) // 64, 256, 4096))

    def batches(self, chosen: np.ndarray, rows: int, rng: np.random.Generator) -> list[object]:
        """Windows of the chosen series, about `rows` records a batch."""
        windows = cut_windows(
            chosen,
            self.data.lengths[chosen],
            window=self.settings.window_records,
            burn_in=self.settings.burn_in_records,
        )
        return [windows.take(index) for index in batches_of(windows, rows, rng)]

    def losses(self, batch: object, smoothing: float) -> tuple[list[torch.Tensor | None], int]:
        """See `Part.losses`."""
        tokens, context = self._inputs(batch)
        rows = self.record_net.rows
        return rows.negative_log_likelihood(tokens, context, smoothing, self.marginals), len(tokens)

    def column_counts(self, batch: object) -> ColumnCounts:
        """See `Part.column_counts`."""
        return self.record_net.rows.column_counts(*self._inputs(batch))

    def output_biases(self) -> dict[int, torch.Tensor]:
        """See `Part.output_biases`."""
        return self.record_net.rows.output_biases()

    def _inputs(self, batch: object) -> tuple[torch.Tensor, torch.Tensor]:
        packed = pack(batch)  # type: ignore[arg-type]
        series = batch.series[packed.order]  # type: ignore[attr-defined]
        record = self.data.offsets[series][packed.window] + packed.position
        remaining = self.data.lengths[series][packed.window] - 1 - packed.position
        tokens = self._tokens(record)
        first = torch.from_numpy(packed.position == 0)
        previous = self._tokens(np.maximum(record - 1, 0))
        net, device = self.record_net, self.device
        conditioned = net.conditioned(self.tokens[torch.from_numpy(series)].to(device))
        place = conditioned[torch.from_numpy(packed.window).to(device)] + net.places(
            torch.from_numpy(packed.position).to(device), torch.from_numpy(remaining).to(device)
        )
        context = net.contexts(previous.to(device), first.to(device), place, torch.from_numpy(packed.sizes))
        counted = int(packed.counted.sum())
        tokens = tokens.to(device)
        if counted < len(tokens):
            select = torch.from_numpy(np.flatnonzero(packed.counted))
            context, tokens = context[select.to(device)], tokens[select.to(device)]
        return tokens, context

    def example_rows(self, chosen: np.ndarray) -> torch.Tensor:
        """See `Part.example_rows`."""
        total = self.size(chosen)
        picked = np.linspace(0, total - 1, min(total, MARGINAL_ROWS)).astype(np.int64)
        ends = np.cumsum(self.data.lengths[chosen])
        owner = np.searchsorted(ends, picked, side="right")
        within = picked - (ends - self.data.lengths[chosen])[owner]
        return self._tokens(self.data.offsets[chosen][owner] + within)

    def _tokens(self, record: np.ndarray) -> torch.Tensor:
        return self.layout.encode(torch.from_numpy(np.asarray(self.data.measurements[record])))
