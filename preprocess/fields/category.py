"""Fields of few values: constants, one category a value, and ports as tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from netshare.preprocess.encoded import Column
from netshare.preprocess.errors import FieldError
from netshare.preprocess.fields.base import FieldEncoding, category, check_range, find, nearest_of

MAX_EXACT_VALUES = 512  # values with a category of their own, where the user does not set `cap`
MAX_PORT_TOKENS = 1024  # ports with a token of their own, where the user does not set `cap`
MIN_PORT_COUNT = 3  # how often a port must occur to have a token of its own


@dataclass(frozen=True, kw_only=True)
class Constant(FieldEncoding):
    """A field that has one value in all rows: it takes no column, and decoding restores the value.

    value: a number, or a tuple for fields with several numbers a row (addresses, tags)
    """

    kind: ClassVar[str] = "constant"
    value: int | float | tuple[int, ...]

    @classmethod
    def fit(cls, name: str, values: np.ndarray) -> Constant | None:
        """The constant if all rows of `values` are equal; None if they differ or there are none."""
        if len(values) == 0 or not bool(np.all(values == values[:1])):
            return None
        return cls(name=name, value=_as_json(values[0]), bounds="measured")

    def columns(self) -> tuple[Column, ...]:
        """The columns that `encode` fills, in order."""
        return ()

    def encode(self, values: np.ndarray) -> np.ndarray:
        """float32[n, k] of natural values [n]."""
        if not bool(np.all(values == np.asarray(self.value, values.dtype))):
            raise FieldError(f"field {self.name}: declared as always {self.value}, but other values are in the trace")
        return np.zeros((len(values), 0), np.float32)

    def nearest(self, values: np.ndarray) -> np.ndarray:
        """The constant, throughout."""
        return np.broadcast_to(np.asarray(self.value, values.dtype), values.shape)

    def decode(self, encoded: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """int64[n]: natural values of float32[n, k]."""
        value = np.asarray(self.value, np.uint64 if isinstance(self.value, tuple) else None)  # address halves
        return np.broadcast_to(value, (len(encoded), *value.shape)).copy()


@dataclass(frozen=True, kw_only=True)
class Exact(FieldEncoding):
    """A category for each of some values, and perhaps a last category "other" for all values besides them.

    values: the integers with a category of their own, ascending
    other: None, or the least and greatest of the values that "other" stands for; it decodes to one of them that has no
        category of its own, drawn uniformly
    """

    kind: ClassVar[str] = "exact"
    values: tuple[int, ...]
    other: tuple[int, ...] | None = None

    @property
    def encoding(self) -> str:
        """The name under which a user chooses this encoding."""
        return "onehot"

    @classmethod
    def fit(
        cls,
        name: str,
        values: np.ndarray,
        *,
        other: tuple[int, int],
        cap: int = MAX_EXACT_VALUES,
        always_other: bool = False,
    ) -> Exact:
        """Categories for the `cap` most frequent values.

        There is a category "other" for the range `other` if some values have no category, or with `always_other`.
        """
        seen, counts = np.unique(values, return_counts=True)
        kept = np.sort(seen[np.argsort(-counts, kind="stable")[:cap]])
        complete = len(kept) == len(seen) and len(kept) > 0
        rest = None if complete and not always_other else other
        return cls(name=name, values=_as_ints(kept), other=rest, bounds="measured")

    @classmethod
    def declared(cls, name: str, values: Sequence[int], *, other: tuple[int, int] | None = None) -> Exact:
        """Categories for the given values; nothing is measured."""
        return cls(name=name, values=_as_ints(np.unique(np.asarray(values, np.int64))), other=other, bounds="public")

    def __post_init__(self) -> None:
        if self.other is not None and len(self._unlisted()) == 0:
            object.__setattr__(self, "other", None)

    @property
    def cardinality(self) -> int:
        """Categories, "other" included."""
        return len(self.values) + (self.other is not None)

    def columns(self) -> tuple[Column, ...]:
        """The columns that `encode` fills, in order."""
        return (Column(self.name, self.name, "categorical", self.cardinality),)

    def encode(self, values: np.ndarray) -> np.ndarray:
        """float32[n, k] of natural values [n]."""
        position, found = find(np.asarray(self.values, np.int64), values.astype(np.int64))
        if not bool(found.all()):
            if self.other is None:
                value = values[~found][0]
                raise FieldError(f"field {self.name}: {value} is not among its {len(self.values)} known values")
            position = np.where(found, position, len(self.values))
        return position[:, None].astype(np.float32)

    def nearest(self, values: np.ndarray) -> np.ndarray:
        """Where there is no category "other", values without a category become the nearest one with a category."""
        return values if self.other else nearest_of(np.asarray(self.values, np.int64), values.astype(np.int64))

    def decode(self, encoded: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """int64[n]: natural values of float32[n, k]."""
        index = category(encoded[:, 0], self.cardinality)
        if self.other is None:
            return np.asarray(self.values, np.int64)[index]
        drawn = rng.choice(self._unlisted(), size=len(index))
        table = np.append(np.asarray(self.values, np.int64), 0)
        return np.where(index == len(self.values), drawn, table[index])

    def _unlisted(self) -> np.ndarray:
        assert self.other is not None
        return np.setdiff1d(np.arange(self.other[0], self.other[1] + 1), np.asarray(self.values, np.int64))


@dataclass(frozen=True, kw_only=True)
class PortTokens(FieldEncoding):
    """A token for each frequent port, and one for all other ports, whose two bytes are two further columns.

    Every port from 0 to 65,535 is encoded exactly. The columns of bytes are gated by the token.

    ports: those with a token of their own, ascending
    """

    kind: ClassVar[str] = "port_tokens"
    ports: tuple[int, ...]

    @property
    def encoding(self) -> str:
        """The name under which a user chooses this encoding."""
        return "tokens"

    @classmethod
    def fit(
        cls, name: str, values: np.ndarray, *, cap: int = MAX_PORT_TOKENS, count: int = MIN_PORT_COUNT
    ) -> PortTokens:
        """Tokens for the `cap` most frequent ports among those seen at least `count` times."""
        seen, counts = np.unique(values, return_counts=True)
        seen, counts = seen[counts >= count], counts[counts >= count]
        kept = np.sort(seen[np.argsort(-counts, kind="stable")[:cap]])
        return cls(name=name, ports=_as_ints(kept), bounds="measured")

    @classmethod
    def declared(cls, name: str, ports: Sequence[int]) -> PortTokens:
        """Tokens for the given ports; nothing is measured."""
        return cls(name=name, ports=_as_ints(np.unique(np.asarray(ports, np.int64))))

    def columns(self) -> tuple[Column, ...]:
        """The columns that `encode` fills, in order."""
        token, other = f"{self.name}.token", (len(self.ports),)
        return (
            Column(token, self.name, "categorical", len(self.ports) + 1),
            Column(f"{self.name}.byte0", self.name, "categorical", 256, token, other),
            Column(f"{self.name}.byte1", self.name, "categorical", 256, token, other),
        )

    def encode(self, values: np.ndarray) -> np.ndarray:
        """float32[n, k] of natural values [n]."""
        check_range(self.name, values, 0, 65535)
        values = values.astype(np.int64)
        position, found = find(np.asarray(self.ports, np.int64), values)
        encoded = np.stack([np.where(found, position, len(self.ports)), values >> 8, values & 255], axis=1)
        encoded[found, 1:] = 0
        return encoded.astype(np.float32)

    def decode(self, encoded: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """int64[n]: natural values of float32[n, k]."""
        token = category(encoded[:, 0], len(self.ports) + 1)
        spelt = category(encoded[:, 1], 256) * 256 + category(encoded[:, 2], 256)
        return np.where(token == len(self.ports), spelt, np.append(np.asarray(self.ports, np.int64), 0)[token])


def _as_ints(values: np.ndarray) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _as_json(value: np.ndarray) -> int | float | tuple[int, ...]:
    return _as_ints(value) if np.ndim(value) else value.item()
