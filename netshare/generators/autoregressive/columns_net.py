"""Metadata, and lengths given metadata: a small net of its own for each column, which sees all columns before it.

Nothing is shared between columns, so that each can stop learning at its own time: a start time that depends on nothing
is over-fitted after a pass or two, an address byte learns for many. Address bytes, spans and lengths are interpolated
with what followed the same context in the training trace (`interpolated_counts`); a gate of their own weighs the sources.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from netshare.generators.autoregressive.dense import linear, linear_relu, padded
from netshare.generators.autoregressive.interpolated_counts import (
    FEATURES,
    NUMBERS,
    ContextCounts,
    CountedShares,
    interpolated_columns,
)
from netshare.generators.autoregressive.quasi_random import QuasiRandomBatch
from netshare.generators.autoregressive.row_model import ColumnCounts, draw
from netshare.generators.autoregressive.settings import AutoregressiveSettings
from netshare.generators.autoregressive.token_table import TokenHead, TokenTable
from netshare.generators.autoregressive.tokens import TokenLayout, shares

GATE_HIDDEN = 16
MAX_SMALL_COLUMN = 16  # categories of a column that gets a quarter of the width
NOVELTY_DECAY = 0.5  # new hosts turn up at a rate that falls with this power of the flows seen (Heaps' law)


class ColumnsNet(nn.Module):
    """P(columns from `first` on | those before), see the module's docstring.

    `counted_rows` are what interpolated columns are counted over: int16[n, columns] tokens of training rows (none where the
    setting `recall` is off).
    """

    def __init__(self, layout: TokenLayout, settings: AutoregressiveSettings, *, first: int = 0) -> None:
        super().__init__()
        self.layout, self.first = layout, first
        contexts = interpolated_columns(layout) if settings.recall else {}
        self.contexts = {column: own for column, own in contexts.items() if column >= first}
        self.columns = nn.ModuleDict(
            {
                str(i): ColumnNet(layout, i, len(self.contexts.get(i, ())), settings)
                for i, size in enumerate(layout.sizes)
                if size > 1 and i >= first
            }
        )
        self.counted_rows = torch.zeros(0, len(layout), dtype=torch.int16)
        self._tables: dict[int, list[ContextCounts]] = {}
        self._drawn, self._novelty = 0, 1.0

    def count_rows(self, rows: torch.Tensor) -> None:
        """Count over these rows, and no others: int[n, columns] tokens."""
        self._drawn, self._novelty = 0, 1.0
        self.counted_rows = rows.to("cpu", torch.int16) if self.contexts else self.counted_rows
        tokens = self.counted_rows.numpy().astype(np.int64)
        self._tables = {
            column: [ContextCounts(tokens, self.layout, column, context) for context in contexts]
            for column, contexts in self.contexts.items()
        }

    def count_too(self, tokens: torch.Tensor) -> None:
        """Count these rows too, until `count_rows` is called again."""
        self._drawn += len(tokens)
        self._novelty = (1 + self._drawn / max(len(self.counted_rows), 1)) ** -NOVELTY_DECAY
        for tables in self._tables.values():
            for table in tables:
                table.add(tokens.numpy())

    def set_marginals(self, counts: list[torch.Tensor]) -> None:
        """Start each column at its overall distribution; counts: float32[size] a column."""
        with torch.no_grad():
            for name, net in self.columns.items():
                net.out.bias.copy_(shares(counts[int(name)]).log())  # type: ignore[union-attr,operator]

    def negative_log_likelihood(
        self, tokens: torch.Tensor, shares_of: dict[int, CountedShares], smoothing: float, marginals: list[torch.Tensor]
    ) -> list[torch.Tensor | None]:
        """Sum over rows of -ln P(column | ...), a number a column; None where no row of the batch is open.

        Args:
            tokens: int64[n, columns].
            shares_of: for each interpolated column, the counted shares of the rows in which it is open.
            smoothing: share of each target taken from `marginals` (float32[size] a column) instead.
        """
        losses: list[torch.Tensor | None] = []
        numbered = self.layout.numbered(tokens)
        for i in range(len(self.layout)):
            open_rows = self.layout.open_rows(tokens, i)
            if str(i) not in self.columns or (open_rows is not None and len(open_rows) == 0):
                losses.append(None)
                continue
            before, target, found = numbered[:, :i], tokens[:, i], shares_of.get(i)
            arrays = () if found is None else (found.features, found.probability)
            sources = [torch.from_numpy(array).to(tokens.device) for array in arrays]
            if open_rows is not None:
                before, target = before[open_rows], target[open_rows]
            net = self.columns[str(i)]
            log_p = functional.log_softmax(net(before), dim=1)
            own = log_p.gather(1, target.unsqueeze(1)).squeeze(1)
            if sources:
                trust = net.trust(sources[0])  # type: ignore[operator]
                own = torch.logaddexp(
                    trust[:, 0] + own, (trust[:, 1:].exp() * sources[1]).sum(1).clamp_min(1e-30).log()
                )
            loss = -own.sum()
            if smoothing > 0:
                loss = (1 - smoothing) * loss - smoothing * (log_p @ marginals[i]).sum()
            losses.append(loss)
        return losses

    def column_counts(self, tokens: torch.Tensor) -> ColumnCounts:
        """For each column but addresses: how often each token is expected in the rows where the column is open, and these
        rows' tokens. Where counts have a part in it, each row draws once between the net and the counts.

        Args:
            tokens: int64[n, columns].
        """
        numbered = self.layout.numbered(tokens)
        for i in map(int, self.columns):
            if i in self.contexts and self.layout.columns[i].name not in NUMBERS:
                continue
            open_rows = self.layout.open_rows(tokens, i)
            rows = torch.arange(len(tokens), device=tokens.device) if open_rows is None else open_rows
            own = torch.softmax(self.columns[str(i)](numbered[rows, :i]), dim=1)
            if i in self.contexts and len(rows):
                uniform = torch.rand(len(rows), generator=torch.Generator().manual_seed(i))
                trust, drawn = self._interpolate(i, tokens[rows].cpu(), uniform)
                own = own * trust[:, :1].to(own)
                own = own.sum(0).index_add_(0, drawn.flatten().to(own.device), trust[:, 1:].flatten().to(own))
                yield i, own, tokens[rows, i]
            else:
                yield i, own.sum(0), tokens[rows, i]

    def output_biases(self) -> dict[int, torch.Tensor]:
        """The bias of each learnt column's logits."""
        return {int(name): net.out.bias for name, net in self.columns.items()}  # type: ignore[union-attr,misc]

    @torch.no_grad()
    def sample(self, uniform: QuasiRandomBatch, given: torch.Tensor | None = None) -> torch.Tensor:
        """int64[n, columns] on the CPU: a batch of rows, drawn with two numbers for each column.

        Args:
            uniform: the batch of uniform numbers, two for each column.
            given: int64[n, first], the columns that are not drawn.
        """
        rows, columns = uniform.rows, len(self.layout)
        tokens = torch.empty(rows, columns, dtype=torch.int64)
        if given is not None:
            tokens[:, : self.first] = given
        for i, size in enumerate(self.layout.sizes):
            if i >= self.first:
                open_rows = self.layout.open_rows(tokens, i)
                tokens[:, i] = size
                index = torch.arange(rows) if open_rows is None else open_rows
                if size == 1:
                    tokens[index, i] = 0
                elif len(index):
                    tokens[index, i] = self._draw(i, tokens[index], uniform, index)
            uniform.know(tokens[:, i])
        return tokens

    def _draw(self, column: int, tokens: torch.Tensor, uniform: QuasiRandomBatch, index: torch.Tensor) -> torch.Tensor:
        """int64[n]: tokens of a column for the rows numbered `index`, whose columns before it are given."""
        chosen, which = uniform.numbers(2 * column, index), uniform.numbers(2 * column + 1, index)
        source, found = self._choose_source(column, tokens, which, chosen)
        by_net = (source == 0).nonzero().squeeze(1)
        if len(by_net):
            net = self.columns[str(column)]
            by_net = padded(by_net, uniform.rows)
            before = tokens[by_net, :column] + torch.tensor(self.layout.offsets[:column], dtype=torch.int64)
            logits = net.sampling_logits(before.to(net.out.weight.device))  # type: ignore[operator,union-attr,arg-type]
            found[by_net] = draw(logits, chosen[by_net].to(logits.device)).cpu()
        return found

    def _choose_source(
        self, column: int, tokens: torch.Tensor, uniform: torch.Tensor, within: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The source of each row's token (0: the net), and the tokens of those that are drawn from counts; both int64[n]."""
        if column not in self.contexts:
            none = torch.zeros(len(tokens), dtype=torch.int64)
            return none, none.clone()
        trust, drawn = self._interpolate(column, tokens, within)
        known = (trust[:, 1:] > 0).any(dim=1)
        trust[known, 0] *= self._novelty
        source = (trust.cumsum(1) <= uniform.unsqueeze(1) * trust.sum(1, keepdim=True)).sum(1)
        source = source.clamp_(max=drawn.shape[1])
        return source, drawn.gather(1, (source - 1).clamp(min=0).unsqueeze(1)).squeeze(1)

    def _interpolate(
        self, column: int, tokens: torch.Tensor, within: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The trust in each source (float32[n, 1 + K], the net's first), and a token drawn from each context with the
        uniform numbers `within` (int64[n, K], 0 where it was never seen); all on the CPU."""
        tables, rows = self._tables[column], tokens.numpy()
        found = [table.find(rows) for table in tables]
        net = self.columns[str(column)]
        features = torch.from_numpy(np.stack([features for _, _, features in found], axis=1))
        trust = net.trust(features.to(net.out.weight.device)).exp().cpu()  # type: ignore[operator,union-attr,arg-type]
        drawn = np.zeros((len(rows), len(tables)), np.int64)
        for k, (table, (begin, end, _)) in enumerate(zip(tables, found, strict=True)):
            seen = end > begin
            drawn[seen, k] = table.draw(begin[seen], end[seen], within.double().numpy()[seen])
        return trust, torch.from_numpy(drawn)


class ColumnNet(nn.Module):
    """Logits of one column given all tokens before it, and the trust in each source of an interpolated one."""

    def __init__(self, layout: TokenLayout, column: int, contexts: int, settings: AutoregressiveSettings) -> None:
        super().__init__()
        self.column_dropout = settings.column_dropout
        state, hidden = settings.metadata_state, settings.metadata_hidden
        if layout.sizes[column] <= MAX_SMALL_COLUMN or layout.gates[column] is not None:
            state = max(state // 4, 8)  # few categories, or few rows with a value; tables are the larger part of a net
        self.table = TokenTable(layout, state, columns=column)
        self.first = nn.Linear(state, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.out = TokenHead(hidden, layout.sizes[column], layout.columns[column].positions)
        self.dropout = nn.Dropout(settings.dropout)
        if contexts:
            self.gate = nn.Sequential(
                nn.Linear(contexts * FEATURES, GATE_HIDDEN), nn.ReLU(), nn.Linear(GATE_HIDDEN, contexts + 1)
            )

    def forward(self, before: torch.Tensor) -> torch.Tensor:
        """float32[n, size]: logits; before: int64[n, columns before], numbered tokens."""
        if before.shape[1]:
            keep = torch.ones(before.shape, device=before.device)
            if self.training and self.column_dropout > 0:
                keep = (torch.rand(before.shape, device=before.device) >= self.column_dropout).to(keep.dtype)
            total = self.table.total(before, keep)
        else:
            total = torch.zeros(len(before), self.first.in_features, device=before.device)
        h = self.dropout(functional.relu(self.first(total)))
        h = h + self.dropout(functional.relu(self.second(h)))
        out: torch.Tensor = self.out(h)
        return out

    def sampling_logits(self, before: torch.Tensor) -> torch.Tensor:
        """The same as `forward` in evaluation mode, without gradients."""
        if before.shape[1]:
            total = functional.embedding_bag(before, self.table.vectors(), mode="sum")
        else:
            total = torch.zeros(len(before), self.first.in_features, device=before.device)
        h = linear_relu(total, self.first.weight, self.first.bias)
        h += linear_relu(h, self.second.weight, self.second.bias)
        return linear(h, self.out.rows(), self.out.bias)

    def trust(self, features: torch.Tensor) -> torch.Tensor:
        """float32[n, 1 + K]: log weights of the net and of each context; features: float32[n, K, FEATURES]."""
        weights = self.gate(features.flatten(1))
        never_seen = functional.pad(features[:, :, 0] == 0, (1, 0))
        return functional.log_softmax(weights.masked_fill(never_seen, -torch.inf), dim=1)
