"""What every field encoding can do: say its columns, encode, decode, and be written as JSON.

A field encoding is an immutable description of one field (`"src_port"`, `"length"`), made once by a `fit` class method
and kept with the model: what encoded a trace also decodes the synthetic one. `bounds` says whether it holds constants
that were measured on the data (refused under differential privacy) or only public ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from netshare.preprocess.encoded import Column
from netshare.preprocess.errors import FieldError

Bounds = Literal["public", "measured"]


@dataclass(frozen=True, kw_only=True)
class FieldEncoding(ABC):
    """One field's encoding; subclasses add their constants as JSON-able dataclass fields (tuples, numbers, texts)."""

    kind: ClassVar[str]
    name: str
    bounds: Bounds = "public"

    @property
    def encoding(self) -> str:
        """The name under which a user chooses this encoding."""
        return self.kind

    @abstractmethod
    def columns(self) -> tuple[Column, ...]:
        """The columns that `encode` fills, in order; none for a constant."""

    @abstractmethod
    def encode(self, values: np.ndarray) -> np.ndarray:
        """float32[n, k] for natural values [n] (addresses: uint64[n, 2], tags: uint8[n, chunks]).

        Raises:
            FieldError: a value lies outside what this encoding can hold.
        """

    @abstractmethod
    def decode(self, encoded: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Natural values of float32[n, k]; any valid input gives valid values. `rng` serves what is drawn, if any."""

    def nearest(self, values: np.ndarray) -> np.ndarray:
        """`values` with those that `encode` would refuse replaced by the nearest that it takes."""
        return values

    def to_json(self) -> dict[str, Any]:
        """A JSON-able form, `kind` included."""
        return {"kind": self.kind, **asdict(self)}


def check_range(name: str, values: np.ndarray, low: int, high: int) -> None:
    """Refuse values outside low..high.

    Raises:
        FieldError: naming the field and the worst value.
    """
    if len(values) == 0:
        return
    least, most = values.min(), values.max()
    if least < low or most > high:
        found = least if least < low else most
        raise FieldError(
            f"field {name}: found {found}, outside {low} to {high}; fit the codec on these records as well"
        )


def find(known: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of `values` in the sorted array `known`, and whether each is there (the position counts only then)."""
    if len(known) == 0:
        return np.zeros(len(values), np.int64), np.zeros(len(values), bool)
    position = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return position, known[position] == values


def nearest_of(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The member of the sorted, non-empty array `known` nearest to each of `values`, the lower of two."""
    above = np.clip(np.searchsorted(known, values), 1, max(len(known) - 1, 1))
    low, high = known[above - 1], known[np.minimum(above, len(known) - 1)]
    return np.where(values - low <= high - values, low, high)


def category(column: np.ndarray, cardinality: int) -> np.ndarray:
    """int64[n]: category indices of an encoded column, forced into 0..cardinality - 1."""
    return np.clip(np.rint(column), 0, cardinality - 1).astype(np.int64)
