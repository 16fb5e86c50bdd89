"""Metadata of flow series in natural units, as drawn from a model: columns of equal length, one row a series.

The columns are those of `netshare.preprocess.series`. A table without columns has no rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Metadata:
    """Columns by name; all have `len(self)` rows."""

    columns: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def take(self, index: Any) -> Metadata:
        """The rows at `index`, anything that indexes an array."""
        return Metadata({name: values[index] for name, values in self.columns.items()})

    def only(self, names: Sequence[str]) -> Metadata:
        """Of these columns those that there are."""
        return Metadata({name: self.columns[name] for name in names if name in self.columns})

    def having(self, **columns: Any) -> Metadata:
        """The same rows with these columns; a single number stands for all rows (as uint8)."""
        filled = {
            name: np.full(len(self), value, np.uint8) if np.isscalar(value) else value
            for name, value in columns.items()
        }
        return Metadata({**self.columns, **filled})


def concatenate(parts: Sequence[Metadata]) -> Metadata:
    """The rows of all parts, one after another; the columns are the first non-empty part's."""
    full = [part for part in parts if len(part)]
    if not full:
        return Metadata()
    return Metadata({name: np.concatenate([part[name] for part in full]) for name in full[0].columns})
