"""Columns of a table typed by their content: categories, whole numbers, other numbers; and missing values filled.

Numbers are `integer` where all are whole and written so, else `continuous`; texts and truth values are `categorical`.
A column that mixes numbers and texts is refused unless its kind is declared. Missing values (empty cells, NaN,
infinities) are filled, and counted: in a measurement by linear interpolation within the series (the nearest value at
its ends), in numeric metadata by the median; a missing category is a category of its own, written as an empty cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from netshare.preprocess.errors import InputError
from netshare.preprocess.timeseries.table import ColumnKind

MAX_CATEGORIES = 4096
LARGEST_EXACT_INTEGER = 2.0**53  # beyond, float64 does not hold every integer


@dataclass(frozen=True)
class TypedColumn:
    """A column's kind, its values (float64 with NaN where missing, or int32 codes), and the texts of its codes."""

    kind: ColumnKind
    values: np.ndarray
    categories: tuple[str, ...] = ()

    @property
    def missing(self) -> int:
        """How many values are missing."""
        return int(np.isnan(self.values).sum()) if self.kind != "categorical" else 0


def typed_column(name: str, values: pd.Series, declared: ColumnKind | None, path: str) -> TypedColumn:
    """A column by its content, or as declared.

    Args:
        name, path: for messages.
        values: as pandas read them.

    Raises:
        InputError: numbers and texts are mixed, the values are not of the declared kind, there are too many categories.
    """
    if declared == "categorical" or (declared is None and values.dtype == bool):
        return _categorical(name, values, path)
    if pd.api.types.is_numeric_dtype(values) and values.dtype != bool:
        return _number(name, values, declared, path)
    numbers = pd.to_numeric(values.astype(object), errors="coerce")
    texts = values.notna() & numbers.isna() & (values.astype(str).str.strip() != "")
    if declared is None and not bool(numbers.notna().any()):
        return _categorical(name, values, path)
    if bool(texts.any()):
        row = int(np.flatnonzero(texts.to_numpy())[0])
        raise InputError(
            f"{path}: column {name} mixes numbers and texts: {int(texts.sum())} of {len(values)} values are not "
            f"numbers, such as {str(values.iloc[row])[:40]!r} in data row {row + 1}; mend them, or declare the column "
            "categorical in series.types"
        )
    return _number(name, numbers, declared, path)


def fill_metadata(column: TypedColumn) -> np.ndarray:
    """int64, float64 or codes [n]: the values, missing numbers replaced by the median (0 if all are missing)."""
    if column.kind == "categorical":
        return column.values
    known = column.values[~np.isnan(column.values)]
    return _cast(np.where(np.isnan(column.values), np.median(known) if len(known) else 0.0, column.values), column.kind)


def fill_measurement(column: TypedColumn, offsets: np.ndarray) -> np.ndarray:
    """int64, float64 or codes [n_records]: the values, missing numbers interpolated within their series."""
    if column.kind == "categorical" or not column.missing:
        return column.values if column.kind == "categorical" else _cast(column.values, column.kind)
    values, known = column.values, ~np.isnan(column.values)
    place, number = np.arange(len(values)), np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    before = np.maximum.accumulate(np.where(known, place, -1))
    after = np.minimum.accumulate(np.where(known, place, len(values))[::-1])[::-1]
    has_before = (before >= 0) & (number[np.maximum(before, 0)] == number)
    has_after = (after < len(values)) & (number[np.minimum(after, len(values) - 1)] == number)
    low = values[np.where(has_before, before, np.minimum(after, len(values) - 1))]
    high = values[np.where(has_after, after, np.maximum(before, 0))]
    share = np.where(has_before & has_after, (place - before) / np.maximum(after - before, 1), 0.0)
    filled = np.where(has_before, low, high) + share * (high - low)
    filled = np.where(has_before | has_after, filled, np.median(values[known]) if known.any() else 0.0)
    return _cast(np.where(known, values, filled), column.kind)


def _categorical(name: str, values: pd.Series, path: str) -> TypedColumn:
    codes, found = pd.factorize(values.astype(object).where(values.notna(), None).map(_text), sort=True)
    if len(found) > MAX_CATEGORIES:
        raise InputError(
            f"{path}: column {name} holds {len(found):,} distinct texts, at most {MAX_CATEGORIES:,} can be categories; "
            "name it series.key if it names the series, or leave it out by series.ignore"
        )
    texts = tuple(str(text) for text in found)
    if bool((codes < 0).any()):
        codes, texts = np.where(codes < 0, len(texts), codes), (*texts, "")
    return TypedColumn("categorical", codes.astype(np.int32), texts)


def _text(value: object) -> str | None:
    if value is None:
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _number(name: str, values: pd.Series, declared: ColumnKind | None, path: str) -> TypedColumn:
    numbers = values.to_numpy(np.float64, na_value=np.nan)
    numbers = np.where(np.isfinite(numbers), numbers, np.nan)
    known = numbers[~np.isnan(numbers)]
    whole = bool(np.all(known == np.rint(known))) and bool(np.all(np.abs(known) <= LARGEST_EXACT_INTEGER))
    if declared == "integer" and not whole:
        worst = known[(known != np.rint(known)) | (np.abs(known) > LARGEST_EXACT_INTEGER)][0]
        raise InputError(f"{path}: column {name} is declared integer, but holds {worst}; declare it continuous")
    written_whole = pd.api.types.is_integer_dtype(values.dtype) or (len(known) < len(numbers) and len(known) > 0)
    kind = declared or ("integer" if whole and written_whole else "continuous")
    return TypedColumn(kind, numbers)


def _cast(values: np.ndarray, kind: ColumnKind) -> np.ndarray:
    return np.rint(values).astype(np.int64) if kind == "integer" else values.astype(np.float64)
