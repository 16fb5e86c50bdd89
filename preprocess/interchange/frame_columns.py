"""One column of a data frame as canonical values; what cannot be is an error that names row and value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from netshare.preprocess.addresses import parse_addresses
from netshare.preprocess.errors import InputError
from netshare.preprocess.protocols import protocol_number
from netshare.preprocess.tables.csv_columns import category_codes, counts, day_first_times, nanoseconds, time_unit
from netshare.preprocess.tables.flow_columns import UNSET

Parsed = tuple[np.ndarray, np.ndarray]  # values[n] and bool[n], false where there is none


@dataclass(frozen=True)
class FrameColumn:
    """A column of n values.

    Attributes:
        table: what messages call the data frame.
        name: the column's name in it.
        series: its values.
        unit: of its numbers where they are times or durations (s, ms, us, ns), None where nobody says.
        notes: receives one line for each thing that was assumed.
    """

    table: str
    name: str
    series: pd.Series
    unit: str | None
    notes: list[str]

    def times(self) -> np.ndarray:
        """int64[n]: ns since 1970. Numbers without a unit have the one that their magnitude tells; times and texts that
        name no zone are UTC. Both are noted."""
        self._refuse_missing()
        kind = self.series.dtype.kind
        if kind == "M":
            return self._instants(self.series)
        if kind == "O" and pd.api.types.infer_dtype(self.series) in ("datetime", "datetime64", "date"):
            try:
                return self._instants(pd.to_datetime(self.series))
            except ValueError as error:
                raise InputError(
                    f"{self.table}: {self.name} mixes times that cannot stand in one column ({error})"
                ) from None
        texts = self._numbers_or_texts()
        if kind in "iuf":
            unit = self.unit or time_unit(texts)
            if self.unit is None:
                self.notes.append(f"{self.name}: its numbers are taken as {unit} since 1970")
            values, readable = nanoseconds(texts, unit)
        else:
            values, readable = nanoseconds(texts, self.unit) if self.unit else day_first_times(texts)
            if self.unit is None:
                self.notes.append(f"{self.name}: times that name no zone are taken as UTC")
        self.refuse(~readable, "is no time between the years 1677 and 2262")
        return values

    def durations(self) -> np.ndarray:
        """int64[n]: ns, not negative. Numbers without a unit are seconds, which is noted."""
        self._refuse_missing()
        if self.series.dtype.kind == "m":
            values = self._as_unit(self.series).to_numpy("timedelta64[ns]").view(np.int64)
        else:
            if self.unit is None:
                self.notes.append(f"{self.name}: its numbers are taken as seconds")
            values, readable = nanoseconds(self._numbers_or_texts(), self.unit or "s")
            self.refuse(~readable, "is no duration")
        self.refuse(values < 0, "is negative, a duration is 0 or more")
        return values

    def integers(self, dtype: np.dtype, parse: Callable[[pa.Array], Parsed] = counts) -> np.ndarray:
        """dtype[n]: whole numbers from 0 to the largest that the type holds; `parse` reads them where they are texts."""
        self._refuse_missing()
        largest = int(np.iinfo(dtype).max)
        kind = self.series.dtype.kind
        if kind in "iu":
            values = self.series.to_numpy(np.uint64 if kind == "u" else np.int64)
        elif kind in "bf":
            found = self.series.to_numpy(np.float64)
            whole = (found == np.floor(found)) & (found >= 0) & (found < 2.0**63)
            self.refuse(~whole, f"is no whole number from 0 to {largest}")
            values = found.astype(np.int64)
        else:
            values, readable = parse(self.texts())
            self.refuse(~readable, f"is no whole number from 0 to {largest}")
        self.refuse((values < 0) | (values > largest), f"is no whole number from 0 to {largest}")
        return values.astype(dtype, copy=False)

    def whole_range(self, dtype: np.dtype) -> np.ndarray:
        """dtype[n]: whole numbers of any value that the type holds."""
        self._refuse_missing()
        if self.series.dtype.kind not in "iu":
            return self.integers(dtype)
        values = self.series.to_numpy()
        bounds = np.iinfo(dtype)
        self.refuse((values < bounds.min) | (values > bounds.max), f"is beyond {bounds.min} to {bounds.max}")
        return values.astype(dtype, copy=False)

    def addresses(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """uint8[n], uint64[n], uint64[n]: IP version, upper and lower half of addresses in text or as integers."""
        self._refuse_missing()
        values = self.series.astype(object) if isinstance(self.series.dtype, pd.CategoricalDtype) else self.series
        version, hi, lo, valid = parse_addresses(values)
        self.refuse(~valid, "is no IP address")
        return version, hi, lo

    def protocols(self) -> np.ndarray:
        """uint8[n]: IANA numbers of numbers or names."""
        self._refuse_missing()
        number, known = protocol_number(self.series)
        self.refuse(~known, "is no known protocol, give its IANA number")
        return number

    def categories(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """int32[n] and the texts that they stand for, -1 where there is no value. Categoricals keep their codes; texts
        have codes by first appearance, and `-` or nothing stand for no value, as in files."""
        if isinstance(self.series.dtype, pd.CategoricalDtype):
            texts = tuple(str(text) for text in self.series.cat.categories)
            return self.series.cat.codes.to_numpy(np.int32), texts
        return category_codes(self.texts(), UNSET)

    def texts(self) -> pa.Array:
        """string[n]: any values as texts, empty where there is none; times in UTC, durations in seconds."""
        series, kind = self.series, self.series.dtype.kind
        if kind == "M":
            instants = pa.array(self._instants(series), pa.timestamp("ns"), mask=series.isna().to_numpy())
            return pc.fill_null(pc.cast(instants, pa.string()), "")
        if kind == "m":
            seconds = self._as_unit(series).to_numpy("timedelta64[ns]").view(np.int64) / 1e9
            return pc.fill_null(pc.cast(pa.array(seconds, mask=series.isna().to_numpy()), pa.string()), "")
        try:
            found = pa.array(series, from_pandas=True)
            if pa.types.is_dictionary(found.type):
                found = found.dictionary_decode()
            found = pc.cast(found, pa.string())
        except (pa.ArrowException, TypeError, ValueError):  # values of several types
            found = pa.array([None if missing else str(value) for value, missing in zip(series, series.isna(), strict=True)],
                             pa.string())  # fmt: skip
        found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
        return pc.utf8_trim_whitespace(pc.fill_null(found, ""))

    def refuse(self, bad: np.ndarray, why: str) -> None:
        """Raises InputError where any row is bad, with the first one and its value."""
        if bad.any():
            row = int(np.argmax(bad))
            more = int(bad.sum()) - 1
            also = f" (and {more} more rows)" if more else ""
            raise InputError(
                f"{self.table}: row {row}: {self.name} is {_shown(self.series.iloc[row])}, which {why}{also}"
            )

    def _numbers_or_texts(self) -> pa.Array:
        """int64[n] of integers, texts of all else."""
        if self.series.dtype.kind in "iu":
            return pa.array(self.whole_range(np.dtype(np.int64)))
        return self.texts()

    def _instants(self, series: pd.Series) -> np.ndarray:
        """int64[n]: ns since 1970 of times of any unit and zone."""
        if getattr(series.dtype, "tz", None) is None and getattr(series.dt, "tz", None) is None:
            self.notes.append(f"{self.name}: times that name no zone are taken as UTC")
        else:
            series = series.dt.tz_convert("UTC").dt.tz_localize(None)
        return self._as_unit(series).to_numpy("datetime64[ns]").view(np.int64)

    def _as_unit(self, series: pd.Series) -> pd.Series:
        try:
            return series.dt.as_unit("ns")
        except (ValueError, OverflowError) as error:
            raise InputError(f"{self.table}: {self.name} holds what 64 bits of nanoseconds do not ({error})") from None

    def _refuse_missing(self) -> None:
        missing = self.series.isna().to_numpy(bool)
        if missing.any():
            row = int(np.argmax(missing))
            raise InputError(
                f"{self.table}: row {row}: {self.name} has no value; fill in or drop the {int(missing.sum())} rows without one"
            )


def _shown(value: Any) -> str:
    return repr(value.item() if isinstance(value, np.generic) else value)
