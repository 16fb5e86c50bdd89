"""Unsigned numbers written in bits or bytes: addresses, ports, flags.

Each digit is a categorical column of cardinality 2 or 256, the most significant first. Nothing is measured on the data,
every value can be encoded, and the round trip is exact. Addresses are the pair (upper, lower 64 bits); an IPv4 address
is the low 32 bits. A trace that mixes both versions has 128 bits, of which the upper 96 carry meaning (gate) only
where `ip_version` says 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from netshare.preprocess.encoded import Column
from netshare.preprocess.fields.base import FieldEncoding, category, check_range

DIGIT_NAMES = {1: "bit", 8: "byte"}


@dataclass(frozen=True, kw_only=True)
class Digits(FieldEncoding):
    """An unsigned integer 0..maximum in digits of `width` bits (1 or 8); decoding clips to `maximum`."""

    kind: ClassVar[str] = "digits"
    maximum: int
    width: int = 1

    @property
    def encoding(self) -> str:
        """The name under which a user chooses this encoding."""
        return "bits" if self.width == 1 else "bytes"

    @property
    def count(self) -> int:
        """How many digits there are."""
        return max(-(-self.maximum.bit_length() // self.width), 1)

    def columns(self) -> tuple[Column, ...]:
        """The columns that `encode` fills, in order."""
        return tuple(
            Column(f"{self.name}.{DIGIT_NAMES[self.width]}{i}", self.name, "categorical", 2**self.width)
            for i in range(self.count)
        )

    def encode(self, values: np.ndarray) -> np.ndarray:
        """float32[n, k] of natural values [n]."""
        check_range(self.name, values, 0, self.maximum)
        return split_digits(values.astype(np.uint64), self.count, self.width)

    def decode(self, encoded: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """int64[n]: natural values of float32[n, k]."""
        return np.minimum(join_digits(encoded, self.width), self.maximum).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Address(FieldEncoding):
    """uint64[n, 2] (upper and lower half) in bits or bytes; `versions` is what occurs: (4,), (6,) or (4, 6)."""

    kind: ClassVar[str] = "address"
    versions: tuple[int, ...] = (4, 6)
    width: int = 1

    @property
    def encoding(self) -> str:
        """The name under which a user chooses this encoding."""
        return "bits" if self.width == 1 else "bytes"

    def columns(self) -> tuple[Column, ...]:
        """The columns that `encode` fills, in order."""
        only_v4 = self.versions == (4,)
        count = (32 if only_v4 else 128) // self.width
        gated = 96 // self.width if len(self.versions) > 1 else 0
        return tuple(
            Column(
                f"{self.name}.{DIGIT_NAMES[self.width]}{i}",
                self.name,
                "categorical",
                2**self.width,
                *(("ip_version", (1,)) if i < gated else ()),
            )
            for i in range(count)
        )

    def encode(self, values: np.ndarray) -> np.ndarray:
        """float32[n, k] of natural values [n]."""
        if self.versions == (4,):
            check_range(self.name, values[:, 0], 0, 0)
            check_range(self.name, values[:, 1], 0, 2**32 - 1)
            return split_digits(values[:, 1], 32 // self.width, self.width)
        half = 64 // self.width
        return np.hstack([split_digits(values[:, side], half, self.width) for side in (0, 1)])

    def nearest(self, values: np.ndarray) -> np.ndarray:
        """`values`; where only IPv4 is known the last 32 bits of others."""
        return values & np.array([0, 2**32 - 1], np.uint64) if self.versions == (4,) else values

    def decode(self, encoded: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """uint64[n, 2]; whoever knows the version clears the upper 96 bits of the IPv4 rows."""
        low = join_digits(encoded[:, -min(encoded.shape[1], 64 // self.width) :], self.width)
        if self.versions == (4,):
            return np.stack([np.zeros_like(low), low], axis=1)
        return np.stack([join_digits(encoded[:, : 64 // self.width], self.width), low], axis=1)


@dataclass(frozen=True, kw_only=True)
class Tags(FieldEncoding):
    """uint8[n, count] of zeros and ones, one column of cardinality 2 each (flow tags, paper section 4.1)."""

    kind: ClassVar[str] = "tags"
    count: int

    @property
    def encoding(self) -> str:
        """The name under which a user chooses this encoding."""
        return "bits"

    def columns(self) -> tuple[Column, ...]:
        """The columns that `encode` fills, in order."""
        return tuple(Column(f"{self.name}.{i}", self.name, "categorical", 2) for i in range(self.count))

    def encode(self, values: np.ndarray) -> np.ndarray:
        """float32[n, k] of natural values [n]."""
        check_range(self.name, values, 0, 1)
        return values.astype(np.float32)

    def decode(self, encoded: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """int64[n]: natural values of float32[n, k]."""
        return (encoded > 0.5).astype(np.int64)


def split_digits(values: np.ndarray, count: int, width: int) -> np.ndarray:
    """float32[n, count]: the digits of `width` bits of uint64[n], most significant first."""
    shifts = np.arange(count - 1, -1, -1, dtype=np.uint64) * np.uint64(width)
    return ((values[:, None] >> shifts) & np.uint64(2**width - 1)).astype(np.float32)


def join_digits(encoded: np.ndarray, width: int) -> np.ndarray:
    """uint64[n]: the inverse of `split_digits`."""
    digits = category(encoded, 2**width).astype(np.uint64)
    shifts = np.arange(encoded.shape[1] - 1, -1, -1, dtype=np.uint64) * np.uint64(width)
    return np.bitwise_or.reduce(digits << shifts, axis=1, initial=np.uint64(0))
