"""Rows of columns, one column after another: a neural autoregressive distribution estimator.

P(row | context) is the product over columns of P(column | columns before it, context), after Larochelle and Murray,
"The Neural Autoregressive Distribution Estimator" (AISTATS 2011): a running sum of one learnt vector for each token
already known is all that a column's head sees. In training all columns of all rows are evaluated at once; in sampling
a token adds one vector to the sum.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional

from netshare.generators.autoregressive.dense import linear, linear_relu, padded
from netshare.generators.autoregressive.token_table import TokenHead, TokenTable
from netshare.generators.autoregressive.tokens import TokenLayout, shares

MAX_CATEGORIES = 16  # for which softmax is computed by hand
ColumnCounts = Iterator[tuple[int, torch.Tensor, torch.Tensor]]  # column, expected float32[size], targets int64[n]


class RowModel(nn.Module):
    """Distribution of rows of tokens, given a context vector of `state` numbers a row.

    Args:
        layout: the columns.
        state: width of the running sum, and of the context that it starts from.
        hidden: hidden units of each column's head.
        dropout: share of a head's hidden units left out in training.
        column_dropout: share of earlier columns hidden from a head in training.
    """

    def __init__(
        self, layout: TokenLayout, *, state: int, hidden: int, dropout: float = 0.0, column_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.layout = layout
        self.column_dropout = column_dropout
        self.start = nn.Parameter(torch.zeros(state))
        self.table = TokenTable(layout, state)
        learnt = [i for i, size in enumerate(layout.sizes) if size > 1]
        self.heads = nn.ModuleDict(
            {str(i): _Head(state, hidden, layout.sizes[i], layout.columns[i].positions, dropout) for i in learnt}
        )

    def set_marginals(self, counts: list[torch.Tensor]) -> None:
        """Start each head at the overall distribution of its column; counts: float32[size] a column."""
        with torch.no_grad():
            for i, head in self.learnt_heads():
                head.out.bias.copy_(shares(counts[i]).log())

    def negative_log_likelihood(
        self,
        tokens: torch.Tensor,
        context: torch.Tensor | None = None,
        smoothing: float = 0.0,
        marginals: list[torch.Tensor] | None = None,
    ) -> list[torch.Tensor | None]:
        """Sum over rows of -ln P(column | ...), a number a column; None where no row of the batch is open.

        Args:
            tokens: int64[n, columns].
            context: float32[n, state].
            smoothing: share of each target taken from `marginals` (float32[size] a column) instead.
        """
        known = self.table(self.layout.numbered(tokens))
        if self.training and self.column_dropout > 0:
            keep = torch.rand(tokens.shape, device=tokens.device) >= self.column_dropout
            known = known * keep.unsqueeze(2)
        total = self._begin(len(tokens), context)
        losses: list[torch.Tensor | None] = []
        for i in range(len(self.layout)):
            losses.append(self._column_loss(i, tokens, total, smoothing, marginals))
            if i + 1 < len(self.layout):
                total = total + known[:, i]
        return losses

    def column_counts(self, tokens: torch.Tensor, context: torch.Tensor | None) -> ColumnCounts:
        """For each column of more than one value: how often each token is expected in the rows where the column is open, and
        these rows' tokens.

        Args:
            tokens: int64[n, columns].
            context: float32[n, state].
        """
        known = self.table(self.layout.numbered(tokens))
        total = self._begin(len(tokens), context)
        heads = dict(self.learnt_heads())
        for i in range(len(self.layout)):
            if i in heads:
                open_rows = self.layout.open_rows(tokens, i)
                rows = slice(None) if open_rows is None else open_rows
                yield i, torch.softmax(heads[i](total[rows]), dim=1).sum(0), tokens[rows, i]
            total = total + known[:, i]

    def output_biases(self) -> dict[int, torch.Tensor]:
        """The bias of each learnt column's logits."""
        return {i: head.out.bias for i, head in self.learnt_heads()}

    def sample(self, uniform: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """int64[n, columns]: rows drawn with the uniform numbers float32[n, columns]."""
        with torch.no_grad():
            return RowSampler(self).sample(uniform, self._begin(len(uniform), context).clone())

    def _begin(self, rows: int, context: torch.Tensor | None) -> torch.Tensor:
        return self.start.expand(rows, -1) if context is None else context + self.start

    def learnt_heads(self) -> list[tuple[int, _Head]]:
        """The heads of all columns that have more than one value, with the columns' positions."""
        return [(int(name), head) for name, head in self.heads.items() if isinstance(head, _Head)]

    def _column_loss(
        self,
        column: int,
        tokens: torch.Tensor,
        total: torch.Tensor,
        smoothing: float,
        marginals: list[torch.Tensor] | None,
    ) -> torch.Tensor | None:
        if self.layout.sizes[column] == 1:
            return None
        target = tokens[:, column]
        open_rows = self.layout.open_rows(tokens, column)
        if open_rows is not None:
            if len(open_rows) == 0:
                return None
            total, target = total[open_rows], target[open_rows]
        logits = self.heads[str(column)](total)
        if smoothing == 0 or marginals is None:
            return functional.cross_entropy(logits, target, reduction="sum")
        log_p = functional.log_softmax(logits, dim=1)
        exact = functional.nll_loss(log_p, target, reduction="sum")
        return (1 - smoothing) * exact - smoothing * (log_p @ marginals[column]).sum()


class _Head(nn.Module):
    """Logits of one column from the running sum: two hidden layers, the second around a shortcut."""

    def __init__(self, state: int, hidden: int, size: int, positions: tuple[float, ...], dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(state, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.out = TokenHead(hidden, size, positions)
        self.dropout = nn.Dropout(dropout)

    def forward(self, total: torch.Tensor) -> torch.Tensor:
        h = self.dropout(functional.relu(self.first(total)))
        h = h + self.dropout(functional.relu(self.second(h)))
        out: torch.Tensor = self.out(h)
        return out

    def weights(self) -> list[torch.Tensor]:
        """Weight and bias of the three layers."""
        inner = [tensor for layer in (self.first, self.second) for tensor in (layer.weight, layer.bias)]
        return [*inner, self.out.rows(), self.out.bias]


class RowSampler:
    """A row model's weights laid out for drawing many rows in many small steps."""

    def __init__(self, model: RowModel) -> None:
        self._layout, self._table, self.start = model.layout, model.table.vectors(), model.start
        heads = dict(model.learnt_heads())
        self._heads = [heads[i].weights() if i in heads else None for i in range(len(model.layout))]

    def sample(self, uniform: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
        """int64[n, columns]: rows drawn with the uniform numbers float32[n, columns]; `total` (float32[n, state]) is
        what the running sum begins at, and is overwritten."""
        rows, columns = uniform.shape
        tokens = torch.zeros(rows, columns, dtype=torch.int64, device=uniform.device)
        for i, size in enumerate(self._layout.sizes):
            open_rows, head = self._layout.open_rows(tokens, i), self._heads[i]
            if open_rows is None:
                if head is not None:
                    tokens[:, i] = draw(_logits(total, head), uniform[:, i])
            else:
                tokens[:, i] = size
                if len(open_rows):
                    if head is None:
                        tokens[open_rows, i] = 0
                    else:
                        open_rows = padded(open_rows, rows)
                        drawn = draw(_logits(total[open_rows], head), uniform[:, i][open_rows])
                        tokens[open_rows, i] = drawn
            if i + 1 < columns:
                total += functional.embedding(tokens[:, i] + self._layout.offsets[i], self._table)
        return tokens


def _logits(total: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
    w1, b1, w2, b2, w3, b3 = weights
    h = linear_relu(total, w1, b1)
    h += linear_relu(h, w2, b2)
    return linear(h, w3, b3)


def draw(logits: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """int64[n]: one category a row by inverting the cumulative distribution."""
    cumulative = _weights(logits).cumsum(dim=1)
    threshold = uniform.unsqueeze(1) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, threshold, right=True).squeeze(1).clamp_(max=logits.shape[1] - 1)


def _weights(logits: torch.Tensor) -> torch.Tensor:
    """Numbers in proportion to the categories' probabilities; torch's softmax is slow for few categories."""
    if logits.shape[1] >= MAX_CATEGORIES:
        return torch.softmax(logits, dim=1)
    return (logits - logits.amax(dim=1, keepdim=True)).exp_()
