"""Counts of which values followed a context in the training trace; addresses, spans and lengths are interpolated with them.

A net alone needs many flows before it knows the hosts of a network. Interpolating it with relative frequencies given
several contexts ("deleted interpolation", Jelinek and Mercer, "Interpolated estimation of Markov source parameters from
sparse data", 1980) needs few: for each byte of an address the contexts are the bytes before it, alone and together with
each earlier field; for the span and length of a series the service, alone and together with when it starts, how long it
lasts and who takes part. How far each context is trusted is learnt on flows that its counts leave out, so that hosts of the
training trace come back about as often as they do in other traffic of the same network, and not more often.

The counts are made from metadata rows that are kept with the model: whoever holds the model's file can read addresses
of the training trace from it. Models under differential privacy must do without (the setting `recall: false`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netshare.generators.autoregressive.lengths import LENGTH
from netshare.generators.autoregressive.tokens import TokenLayout
from netshare.preprocess.encoded import Column
from netshare.preprocess.hashing import GOLDEN_GAMMA, mix64
from netshare.preprocess.ragged import offsets_of

MIN_DIGITS = 3  # fields of so many equal columns, not bits, are interpolated: addresses, but neither ports nor tags
TOKEN_MASK = np.uint64(2**16 - 1)
SPAN = "span.token"
NUMBERS = (SPAN, LENGTH)  # interpolated columns that are no digits of addresses
COARSE = 16
FEATURES = 3  # of each context: how often seen, how many values, how concentrated


@dataclass(frozen=True)
class CountedShares:
    """Shares by count of one column of some rows, after each of K contexts.

    probability: float32[n, K], relative frequency of the row's own token (0 where the context was never seen)
    features: float32[n, K, FEATURES], of the context alone
    """

    probability: np.ndarray
    features: np.ndarray

    def take(self, index: np.ndarray) -> CountedShares:
        """The rows at `index` (int[k])."""
        return CountedShares(self.probability[index], self.features[index])

    def followed_by(self, other: CountedShares) -> CountedShares:
        """These rows, then the other's."""
        return CountedShares(
            np.concatenate([self.probability, other.probability]), np.concatenate([self.features, other.features])
        )


def learning_order(columns: Sequence[Column]) -> list[int]:
    """Positions of the columns in the order in which they are learnt: as in the schema, but interpolated fields last.

    What a flow does is then drawn before who does it, so that addresses that are new do not distort it.
    """
    last = [i for own in _interpolated_fields(columns) for i in own]
    return [i for i in range(len(columns)) if i not in last] + last


def interpolated_columns(layout: TokenLayout) -> dict[int, list[list[int]]]:
    """For each column to interpolate, its contexts as lists of earlier columns: the columns of its field before it, alone;
    with the first columns of the categorical fields (protocol, port tokens ...) together; with these and each other.
    Spans and lengths have contexts of their own: the service, when a series starts, and for lengths how long it lasts and
    who takes part; times coarsely too. A column's number plus that of all columns means its coarse values; that of the
    interpolated column itself means that its coarse values are what is counted.
    """
    fields = _fields(layout.columns)
    contexts: dict[int, list[list[int]]] = {}
    interpolated = _interpolated_fields(layout.columns)
    for own in interpolated:
        earlier = [other for other in fields.values() if other[-1] < own[0]]
        services = [other[0] for other in earlier if other not in interpolated and _is_categorical(layout, other)]
        finer = [
            [i for i in other if layout.columns[i].kind == "categorical" and i not in services] for other in earlier
        ]
        known = [[], services, *(services + other for other in finer if other)]
        for k, i in enumerate(own):
            contexts[i] = [own[:k] + others for others in known]
    for i, column in enumerate(layout.columns):
        if column.name in NUMBERS:
            contexts[i] = _contexts_of_number(layout, i)
    return contexts


def _contexts_of_number(layout: TokenLayout, column: int) -> list[list[int]]:
    fields = {name: own for name, own in _fields(layout.columns).items() if own[-1] < column}
    whom = [own for own in _interpolated_fields(layout.columns) if own[-1] < column]
    services = [own[0] for own in fields.values() if own not in whom and _is_categorical(layout, own)]
    service = [i for name in ("protocol", "dst_port") for i in fields.get(name, [])]  # to the very port
    times = [fields[name][0] for name in ("start", "span") if name in fields]
    coarsely = [i + len(layout) for i in times]
    itself = [column + len(layout)]
    if layout.columns[column].name == SPAN:
        return [services, service, service + coarsely, services + itself, service + itself]
    lasting, exactly = coarsely[-1:], times[-1:]
    everyone = [i for own in whom for i in own]
    known = [coarsely, lasting, services + lasting, services + exactly, services + coarsely]
    for others in (service, *whom, everyone):
        known += [services + others, services + others + lasting]
    return [*known, services + lasting + itself, service + itself, service + lasting + itself]


class ContextCounts:
    """Tokens of one column after each context seen in some rows.

    They are one sorted array of 64-bit codes: 48 bits of the context's hash, 16 of the token.

    Args:
        rows: int64[n, columns], tokens of metadata rows.
        column: the column to interpolate; rows in which it is off are left out.
        context: columns before it; with the number of all columns added, their coarse values. With it, the column
            itself: its coarse values are counted, and shared out among their tokens as they are in all the rows.
    """

    def __init__(self, rows: np.ndarray, layout: TokenLayout, column: int, context: list[int]) -> None:
        self.column, self._size = column, layout.sizes[column]
        self.context = [i for i in context if i < len(layout)]
        coarsely = [i - len(layout) for i in context if i >= len(layout)]
        self._coarse = [(i, _coarse_values(layout.columns[i], layout.sizes[i])) for i in coarsely if i != column]
        self._places = _Places(layout.columns[column], self._size) if column in coarsely else None
        self._codes = np.zeros(0, np.uint64)
        self.add(rows)

    def add(self, rows: np.ndarray) -> None:
        """Count these rows too."""
        seen = rows[rows[:, self.column] < self._size]
        if self._places is not None:
            self._places.add(seen[:, self.column])
        added = self._contexts(seen) | self._counted(seen)
        self._codes = np.sort(np.concatenate([self._codes, added]))
        new = np.ones(len(self._codes), dtype=np.int64)
        new[1:] = self._codes[1:] != self._codes[:-1]
        self._distinct = offsets_of(new)

    def find(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where each row's context stands among the counts (`begin`, `end`: int64[n]) and its features
        (float32[n, FEATURES]); needs only the columns of the context."""
        contexts, back = np.unique(self._contexts(rows), return_inverse=True)  # few, and in order, are soon found
        begin = np.searchsorted(self._codes, contexts, side="left")
        end = np.searchsorted(self._codes, contexts | TOKEN_MASK, side="right")
        total, values = (end - begin).astype(np.float32), self._distinct[end] - self._distinct[begin]
        share = np.where(total > 0, values / np.maximum(total, 1), 0.0)
        features = np.stack([np.log1p(total), np.log1p(values), share], axis=1).astype(np.float32)
        return begin[back], end[back], features[back]

    def probability(self, rows: np.ndarray, total: np.ndarray) -> np.ndarray:
        """float32[n]: relative frequency of each row's token after its context, which was seen `total` times."""
        codes = self._contexts(rows) | self._counted(rows)
        count = np.searchsorted(self._codes, codes, side="right") - np.searchsorted(self._codes, codes, side="left")
        share = count / np.maximum(total, 1)
        if self._places is not None:
            share = share * self._places.share[rows[:, self.column]]
        return share.astype(np.float32)

    def draw(self, begin: np.ndarray, end: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """int64[n]: a token that followed the contexts at `begin`..`end`, in proportion to its count."""
        exact = uniform * (end - begin)
        whole = np.minimum(np.floor(exact).astype(np.int64), end - begin - 1)
        found = (self._codes[begin + whole] & TOKEN_MASK).astype(np.int64)
        return found if self._places is None else self._places.draw(found, np.minimum(exact - whole, 1.0))

    def _counted(self, rows: np.ndarray) -> np.ndarray:
        tokens = rows[:, self.column]
        return (tokens if self._places is None else self._places.of[tokens]).astype(np.uint64)

    def _contexts(self, rows: np.ndarray) -> np.ndarray:
        """uint64[n]: hashes of the rows' contexts with the token's bits clear."""
        exact = rows[:, self.context]
        coarse = [table[rows[:, i]] for i, table in self._coarse]
        return _hash(np.column_stack([exact, *coarse]) if coarse else exact) & ~TOKEN_MASK


class _Places:
    """Coarse values of a number, and how each is shared among its tokens.

    of: int64[size], the place of each token (spikes come before bins, so that tokens do not ascend).
    share: float64[size], of each token in its place: one more than it was seen.
    """

    def __init__(self, column: Column, size: int) -> None:
        self.of = _coarse_values(column, size)[:size]
        self._order = np.argsort(self.of, kind="stable")
        self._sorted = self.of[self._order]
        self._seen = np.ones(size)
        self.add(np.zeros(0, np.int64))

    def add(self, tokens: np.ndarray) -> None:
        self._seen += np.bincount(tokens, minlength=len(self._seen))
        self.share = self._seen / np.bincount(self.of, self._seen)[self.of]
        self._until = np.cumsum(self.share[self._order])

    def draw(self, places: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """int64[n]: a token of each place."""
        first = np.searchsorted(self._sorted, places, side="left")
        last = np.searchsorted(self._sorted, places, side="right") - 1
        target = self._until[last] - 1.0 + uniform
        return self._order[np.clip(np.searchsorted(self._until, target, side="right"), first, last)]


def counted_shares(tables: list[ContextCounts], rows: np.ndarray) -> CountedShares:
    """The shares of rows by the counts of one column."""
    probability = np.zeros((len(rows), len(tables)), np.float32)
    features = np.zeros((len(rows), len(tables), FEATURES), np.float32)
    for k, table in enumerate(tables):
        begin, end, features[:, k] = table.find(rows)
        probability[:, k] = table.probability(rows, end - begin)
    return CountedShares(probability, features)


def shares_by_other_folds(
    rows: np.ndarray, folds: np.ndarray, layout: TokenLayout, column: int, contexts: list[list[int]]
) -> CountedShares:
    """The shares of each row by counts over the rows of the other folds; folds: int64[n], the fold of each row."""
    probability = np.zeros((len(rows), len(contexts)), np.float32)
    features = np.zeros((len(rows), len(contexts), FEATURES), np.float32)
    for fold in np.unique(folds):
        own = folds == fold
        found = counted_shares([ContextCounts(rows[~own], layout, column, context) for context in contexts], rows[own])
        probability[own], features[own] = found.probability, found.features
    return CountedShares(probability, features)


def _coarse_values(column: Column, size: int) -> np.ndarray:
    """int64[size + 1]: of each token of a number, and of *off*, the sixteenth of its scale that it lies in."""
    places = np.minimum(np.asarray(column.positions) * COARSE, COARSE - 1) if column.positions else np.arange(size)
    return np.append(places.astype(np.int64), max(size, COARSE))


def _is_categorical(layout: TokenLayout, columns: list[int]) -> bool:
    return all(layout.columns[i].kind == "categorical" for i in columns)


def _fields(columns: Sequence[Column]) -> dict[str, list[int]]:
    fields: dict[str, list[int]] = {}
    for i, column in enumerate(columns):
        fields.setdefault(column.field, []).append(i)
    return fields


def _interpolated_fields(columns: Sequence[Column]) -> list[list[int]]:
    """Columns of each field that is interpolated."""
    return [
        own
        for own in _fields(columns).values()
        if len(own) >= MIN_DIGITS and len({(columns[i].kind, columns[i].cardinality) for i in own}) == 1
        and columns[own[0]].cardinality > 2
    ]  # fmt: skip


def _hash(rows: np.ndarray) -> np.ndarray:
    """uint64[n] of int64[n, k]."""
    result = np.full(len(rows), GOLDEN_GAMMA, np.uint64)
    for column in rows.T:
        result = mix64(result ^ column.astype(np.uint64))
    return result
