"""Series of different lengths kept one after another, without padding.

The values of all series lie in one array, series by series. `offsets`, int64[n_series + 1], says where each begins:
series i has the records offsets[i] to offsets[i + 1] - 1, and offsets[0] is 0.

    offsets_of([2, 0, 3])             # [0, 2, 2, 5]
    positions_within([2, 0, 3])       # [0, 1, 0, 1, 2]
    table.take(np.array([2, 0]))      # the third series, then the first: any `Ragged`
    SeriesTable.concatenate(tables)   # all series of all tables
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, Self, TypeVar

import numpy as np

from netshare.preprocess.errors import FieldError

Columns = TypeVar("Columns", np.ndarray, dict[str, np.ndarray])


@dataclass(frozen=True)
class Ragged(Generic[Columns]):
    """Series with metadata (one value a series) and measurements (one value a record).

    Both are either one array or a dictionary of arrays. Subclasses add what holds for all series at once.

    metadata: [n_series] or [n_series, ...]
    measurements: [n_records] or [n_records, ...], the series one after another
    offsets: int64[n_series + 1]
    """

    metadata: Columns
    measurements: Columns
    offsets: np.ndarray

    def __post_init__(self) -> None:
        for what, columns, rows, unit in (
            ("metadata", self.metadata, len(self.offsets) - 1, "series"),
            ("measurement", self.measurements, int(self.offsets[-1]), "records"),
        ):
            for name, values in _named(columns):
                if len(values) != rows:
                    raise FieldError(f"{what}{name}: {len(values)} rows, but the offsets are those of {rows} {unit}")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """int64[n_series]: records of each series."""
        return np.diff(self.offsets)

    @property
    def series_of_record(self) -> np.ndarray:
        """int64[n_records]: the series that each record belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def take(self, index: np.ndarray) -> Self:
        """The series at the positions `index` (int64[k]), in that order."""
        records, offsets = records_of(self.offsets, index)
        return replace(
            self,
            metadata=_rows(self.metadata, index),
            measurements=_rows(self.measurements, records),
            offsets=offsets,
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """The series of all parts (at least one), one part after another; a single part is given back as it is.

        Raises:
            FieldError: there is no part, or the parts differ in their columns or in what holds for all of their series.
        """
        if not parts:
            raise FieldError("no series to put together; give at least one part")
        first = parts[0]
        if len(parts) == 1:
            return first
        for other in parts[1:]:
            for field in fields(first):
                if field.compare and field.name not in ("metadata", "measurements", "offsets"):
                    here, there = getattr(first, field.name), getattr(other, field.name)
                    if here != there:
                        raise FieldError(f"series to be put together differ in {field.name}: {here} and {there}")
            for columns, others in ((first.metadata, other.metadata), (first.measurements, other.measurements)):
                if isinstance(columns, dict) and set(columns) != set(others):
                    odd = sorted(set(columns) ^ set(others))[0]
                    raise FieldError(f"series to be put together have different fields: only some have {odd}")
        return replace(
            first,
            metadata=_joined([part.metadata for part in parts]),
            measurements=_joined([part.measurements for part in parts]),
            offsets=offsets_of(np.concatenate([part.lengths for part in parts])),
        )


def offsets_of(lengths: np.ndarray | Sequence[int]) -> np.ndarray:
    """int64[n + 1]: where each of n series of these lengths begins, and at the end how many records there are."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def positions_within(lengths: np.ndarray | Sequence[int]) -> np.ndarray:
    """int64[n_records]: the position of each record in its series, from 0 on, for series of these lengths."""
    offsets = offsets_of(lengths)
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)


def records_of(offsets: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The records of the series at the positions `index` (int64[k]), in that order: their rows, int64, and their own
    offsets, int64[k + 1]."""
    lengths = np.diff(offsets)[index]
    own = offsets_of(lengths)
    return np.repeat(offsets[:-1][index] - own[:-1], lengths) + np.arange(own[-1]), own


def sums_since_first(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """[n_records]: the sum of the values of a series from its second record to each one, 0 at the first.

    With interarrival times as values this is the time since the first record. Every series has at least one record.
    """
    total = np.cumsum(values)
    return total - np.repeat(total[offsets[:-1]], np.diff(offsets))


def run_starts(begins: np.ndarray) -> np.ndarray:
    """int64[n]: the position of the first row of each row's run, from bool[n], true where a run begins (as at row 0)."""
    return np.maximum.accumulate(np.where(begins, np.arange(len(begins)), 0))


def _named(columns: np.ndarray | dict[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    if isinstance(columns, dict):
        return [(f" {name}", values) for name, values in columns.items()]
    return [("", columns)]


def _rows(columns: Any, index: np.ndarray) -> Any:
    if isinstance(columns, dict):
        return {name: values[index] for name, values in columns.items()}
    return columns[index]


def _joined(parts: Sequence[Any]) -> Any:
    first = parts[0]
    if isinstance(first, dict):
        return {name: np.concatenate([part[name] for part in parts]) for name in first}
    return np.concatenate(parts)
