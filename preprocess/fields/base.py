"""The interface of all field encodings.

A field encoding turns the values of one field (`"src_port"`, `"length"`) into columns of numbers and back. It is an
immutable object, made once by a class method such as `fit` and kept with the model, so that the encoding of the real
trace also decodes the synthetic one. `bounds` is `"measured"` if it holds constants measured on the data, which
differential privacy forbids, and `"public"` if all its constants are public or declared.
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
        """float32[n, k], the columns for n values ([n]; addresses: uint64[n, 2]; tags: uint8[n, n_chunks]).

        Raises:
            FieldError: a value lies outside what this encoding can hold.
        """

    @abstractmethod
    def decode(self, encoded: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The values that float32[n, k] stands for; `rng` makes the random choices of encodings that have some.

        Any finite numbers give valid values of the field.
        """

    def nearest(self, values: np.ndarray) -> np.ndarray:
        """`values`, each that `encode` would refuse replaced by the nearest that it accepts."""
        return values

    def to_json(self) -> dict[str, Any]:
        """A JSON-able form, `kind` included."""
        return {"kind": self.kind, **asdict(self)}


def check_range(name: str, values: np.ndarray, low: int, high: int) -> None:
    """Check that values of field `name` lie within low..high.

    Raises:
        FieldError: a value lies outside.
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
    """The positions of `values` in the sorted array `known` (int64[n]), and whether each is in it (bool[n]).

    The position of a value that is not in `known` is meaningless.
    """
    if len(known) == 0:
        return np.zeros(len(values), np.int64), np.zeros(len(values), bool)
    position = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return position, known[position] == values


def nearest_of(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """[n]: the member of the sorted, non-empty array `known` nearest to each of `values`, the lower one of two."""
    above = np.clip(np.searchsorted(known, values), 1, max(len(known) - 1, 1))
    low, high = known[above - 1], known[np.minimum(above, len(known) - 1)]
    return np.where(values - low <= high - values, low, high)


def category(column: np.ndarray, cardinality: int) -> np.ndarray:
    """int64[n]: the categories that an encoded column stands for, rounded and clipped to 0..cardinality - 1."""
    return np.clip(np.rint(column), 0, cardinality - 1).astype(np.int64)
