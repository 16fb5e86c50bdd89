"""From series in natural units to encoded arrays and back: the codec of time series that are no traces.

    codec = SeriesCodec.fit(series, style="autoregressive")
    encoded = codec.encode(series)            # what a generator learns from
    synthetic = codec.decode(drawn, seed=1)   # what it made, as series again

Integers are encoded as multiples of their greatest common divisor above their least value, so that hourly times stay
whole hours. Measurements whose level differs much between series are *auto-normalised*
(`netshare.preprocess.fields.autonorm`): the middle and the half range of each series become metadata, the half range as a
share of the middle if no value is negative. With `fold` S, an encoded record stands for S records of a series
(`netshare.preprocess.timeseries.folding`; the batched generation of the DoppelGANger paper, 4.1.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from netshare.preprocess.encoded import Column, Encoded, Schema
from netshare.preprocess.errors import FieldError
from netshare.preprocess.fields import (
    Choice,
    Constant,
    Exact,
    FieldEncoding,
    Numeric,
    NumericTokens,
    Style,
    field_from_json,
)
from netshare.preprocess.fields.autonorm import HALF_RANGE, MIDDLE, denormalize_series, normalize_series
from netshare.preprocess.fields.base import category
from netshare.preprocess.fields.choose import fit_field
from netshare.preprocess.stored import check_types
from netshare.preprocess.stored_codec import check_whole
from netshare.preprocess.timeseries.folding import best_fold, fold_records, unfold_records
from netshare.preprocess.timeseries.stored_series import MAX_FOLD, check_series_codec
from netshare.preprocess.timeseries.table import STEP, Layout, TimeSeries

MIN_LEVEL_RATIO = 3.0  # 95th over 5th percentile of the series' greatest sizes, from which they are normalised
MIN_TAIL_RATIO = 20.0  # whole range over interquartile range, from which a GAN is given quantiles
TOKEN_SPIKES = 128
LARGEST_ROUNDED = 1e9  # beyond, six decimal places are more than float64 has
RECORDS_IN_LAST_ROW = "records_in_last_row"


@dataclass(frozen=True)
class Normalized:
    """A measurement that is scaled per series; `relative` says that half ranges are shares of the middle."""

    name: str
    low: float
    high: float
    relative: bool


@dataclass(frozen=True)
class SeriesCodec:
    """How every column of some series is encoded; made by `fit`, kept as JSON with the models.

    whole: integer column -> its least value and unit
    decimals: continuous column -> decimal places, where its values have few
    fixed_length: records of each series where all have as many, else None
    """

    style: Style
    metadata: tuple[FieldEncoding, ...]
    measurements: tuple[FieldEncoding, ...]
    normalized: tuple[Normalized, ...]
    whole: dict[str, tuple[int, int]]
    decimals: dict[str, int]
    template: TimeSeries  # without series: kinds, categories, layout
    max_length: int
    fixed_length: int | None
    fold: int = 1
    schema: Schema = field(init=False, compare=False)

    def __post_init__(self) -> None:
        metadata = [column for part in self.metadata for column in part.columns()]
        if self.fold > 1 and self.fixed_length is None:
            metadata.append(Column(RECORDS_IN_LAST_ROW, RECORDS_IN_LAST_ROW, "categorical", self.fold))
        single = [column for part in self.measurements for column in part.columns()]
        folded = [_slot(column, k) for k in range(self.fold) for column in single] if self.fold > 1 else single
        object.__setattr__(self, "schema", Schema(tuple(metadata), tuple(folded), -(-self.max_length // self.fold)))

    @classmethod
    def fit(
        cls,
        series: TimeSeries,
        *,
        encodings: Mapping[str, Choice] | None = None,
        style: Style = "gan",
        auto_normalize: bool | None = None,
        fold: int | None = None,
    ) -> SeriesCodec:
        """Choose and measure the encodings of all columns.

        Args:
            series: what to train on.
            encodings: column -> encoding (`linear`, `log1p`, `quantile`, `tokens`, `onehot`, `constant`), where the
                style's default is not wanted.
            style: whose defaults.
            auto_normalize: scale every numeric measurement per series; None: those whose level differs between series.
            fold: records in an encoded record; None: 1 for `"gan"`, which batches by itself, else by `best_fold`.

        Raises:
            FieldError: there are no series, nothing varies, or an encoding does not exist or fit its column.
        """
        if not len(series):
            raise FieldError("no series to fit a codec on; give a table that holds some")
        whole = {name: _unit(values) for name, values in _all(series).items() if series.kinds[name] == "integer"}
        normalized = tuple(_normalized(series, auto_normalize))
        fold = fold or (1 if style == "gan" else best_fold(series))
        for each in normalized:
            if taken := {each.name + MIDDLE, each.name + HALF_RANGE} & set(_all(series)):
                raise FieldError(f"column {taken.pop()}: this name is needed for the range of {each.name}; rename it")
        once, records = _transformed(series, whole, normalized)
        chosen = dict(encodings or {})
        if unknown := sorted(set(chosen) - set(once) - set(records)):
            raise FieldError(f"encodings: no column {unknown[0]!r}; there are {', '.join([*once, *records])}")

        def fitted(name: str, values: np.ndarray) -> FieldEncoding:
            if name in chosen:
                labels = len(series.categories[name]) if name in series.categories else None
                return fit_field(name, values, chosen[name], labels=labels)
            shape = any(each.name == name for each in normalized)
            return _default(name, values, style, series.categories.get(name), shape)

        lengths = series.lengths
        codec = cls(
            style=style,
            metadata=tuple(fitted(name, values) for name, values in once.items()),
            measurements=tuple(fitted(name, values) for name, values in records.items()),
            normalized=normalized,
            whole=whole,
            decimals={n: d for n, v in _all(series).items() if series.kinds[n] == "continuous" and (d := _decimals(v))},
            template=_without_series(series),
            max_length=int(lengths.max()),
            fixed_length=int(lengths[0]) if bool((lengths == lengths[0]).all()) else None,
            fold=min(fold, int(lengths.max())),
        )
        if not codec.schema.measurements:
            raise FieldError(f"measurements ({', '.join(records)}): all are constant, so there is nothing to learn")
        return codec

    def encode(self, series: TimeSeries) -> Encoded:
        """The encoded arrays of series with the columns that this codec was fitted on.

        Raises:
            FieldError: a value is outside what the codec was fitted on.
        """
        once, records = _transformed(series, self.whole, self.normalized)
        metadata = _encode(self.metadata, once, len(series))
        values = _encode(self.measurements, records, int(series.offsets[-1]))
        offsets, last = np.asarray(series.offsets, np.int64), None
        if self.fold > 1:
            values, offsets, last = fold_records(values, offsets, self.fold)
            if self.fixed_length is None:
                metadata = np.column_stack([metadata, last - 1]).astype(np.float32)
        return Encoded(metadata, values, offsets, self.schema)

    def decode(self, encoded: Encoded, *, seed: int) -> TimeSeries:
        """Series in natural units; `seed` fixes what is drawn.

        Where all training series had one length, series drawn shorter repeat their last record and longer ones are cut;
        a note counts them.

        Raises:
            FieldError: the arrays have not this codec's columns, or numbers that are not finite.
        """
        rng = np.random.default_rng(seed)
        for name, array, columns in (
            ("metadata", encoded.metadata, self.schema.metadata),
            ("measurements", encoded.measurements, self.schema.measurements),
        ):
            if array.ndim != 2 or array.shape[1] != len(columns):
                raise FieldError(f"encoded {name} have the shape {array.shape}, this codec has {len(columns)} columns")
            if not bool(np.isfinite(array).all()):
                raise FieldError(f"encoded {name} hold numbers that are not finite; the generator has diverged")
        values, offsets = np.asarray(encoded.measurements), np.asarray(encoded.offsets, np.int64)
        if self.fold > 1:
            last = np.full(len(encoded), ((self.fixed_length or 1) - 1) % self.fold + 1)
            if self.fixed_length is None:
                last = category(encoded.metadata[:, -1], self.fold) + 1
            values, offsets = unfold_records(values, offsets, last, self.fold)
        notes: tuple[str, ...] = ()
        if self.fixed_length is not None:
            values, offsets, mended = _of_length(values, offsets, self.fixed_length)
            notes = (f"{mended:,} series brought to {self.fixed_length} records",) if mended else ()
        once = _decode(self.metadata, encoded.metadata, rng)
        records = _decode(self.measurements, values, rng)
        return self._natural(once, records, offsets, notes)

    def describe(self) -> list[dict[str, Any]]:
        """One row a column: `field`, `table`, `encoding`, number of `columns`, `bounds` (public or measured)."""
        return [
            {"field": part.name, "table": table, "encoding": part.encoding, "columns": len(part.columns()),
             "bounds": part.bounds}
            for table, parts in (("metadata", self.metadata), ("measurements", self.measurements))
            for part in parts
        ]  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "style": self.style,
            "metadata": [part.to_json() for part in self.metadata],
            "measurements": [part.to_json() for part in self.measurements],
            "normalized": [asdict(each) for each in self.normalized],
            "whole": {name: list(unit) for name, unit in self.whole.items()},
            "decimals": self.decimals,
            "kinds": self.template.kinds,
            "categories": {name: list(texts) for name, texts in self.template.categories.items()},
            "layout": asdict(self.template.layout),
            "columns": [list(self.template.metadata), list(self.template.measurements)],
            "max_length": self.max_length,
            "fixed_length": self.fixed_length,
            "fold": self.fold,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SeriesCodec:
        """What `to_json` wrote.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: no fitted codec is like this.
        """
        check_whole("fold", value["fold"], MAX_FOLD)  # before columns are made by it
        layout = value["layout"]
        check_types(Layout, layout)
        for each in value["normalized"]:
            check_types(Normalized, each)
        families = {name: tuple(columns) for name, columns in layout["families"].items()}
        template = TimeSeries(
            {name: np.zeros(0) for name in value["columns"][0]},
            {name: np.zeros(0) for name in value["columns"][1]},
            np.zeros(1, np.int64),
            dict(value["kinds"]),
            {name: tuple(texts) for name, texts in value["categories"].items()},
            Layout(**{**layout, "columns": tuple(layout["columns"]), "families": families}),
        )
        codec = cls(
            style=value["style"],
            metadata=tuple(field_from_json(part) for part in value["metadata"]),
            measurements=tuple(field_from_json(part) for part in value["measurements"]),
            normalized=tuple(Normalized(**each) for each in value["normalized"]),
            whole={name: (int(unit[0]), int(unit[1])) for name, unit in value["whole"].items()},
            decimals=dict(value["decimals"]),
            template=template,
            max_length=value["max_length"],
            fixed_length=value["fixed_length"],
            fold=value["fold"],
        )
        check_series_codec(codec)
        return codec

    def _natural(
        self, once: dict[str, np.ndarray], records: dict[str, np.ndarray], offsets: np.ndarray, notes: tuple[str, ...]
    ) -> TimeSeries:
        for each in self.normalized:
            middle, half = once.pop(each.name + MIDDLE), once.pop(each.name + HALF_RANGE)
            if each.relative:
                half = half * middle
            values = denormalize_series(records[each.name], middle, half, offsets, name=each.name)
            records[each.name] = np.clip(values, each.low, each.high)
        for columns in (once, records):
            for name, values in columns.items():
                columns[name] = self._typed(name, values)
        order = self.template
        return replace(
            order,
            metadata={name: once[name] for name in order.metadata},
            measurements={name: records[name] for name in order.measurements},
            offsets=offsets,
            notes=notes,
        )

    def _typed(self, name: str, values: np.ndarray) -> np.ndarray:
        kind = self.template.kinds[name]
        if kind == "integer":
            if any(each.name == name for each in self.normalized):
                return np.rint(values).astype(np.int64)
            low, unit = self.whole[name]
            return np.rint(values).astype(np.int64) * unit + low
        if kind == "categorical":
            return values.astype(np.int32)
        return np.round(values, self.decimals[name]) if name in self.decimals else values.astype(np.float64)


def _normalized(series: TimeSeries, wanted: bool | None) -> list[Normalized]:
    if wanted is False or int(series.lengths.max()) < 2:
        return []
    found = []
    for name, values in series.measurements.items():
        if series.kinds[name] == "categorical" or name.endswith(STEP):
            continue
        starts = series.offsets[:-1]
        least, greatest = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
        if bool((least == greatest).all()):
            continue
        size = np.maximum(np.abs(least), np.abs(greatest)).astype(np.float64)
        differ = np.quantile(size, 0.95) > MIN_LEVEL_RATIO * np.quantile(size, 0.05)
        if wanted or differ:
            low, high = float(values.min()), float(values.max())
            found.append(Normalized(name, low, high, relative=low >= 0))
    return found


def _transformed(
    series: TimeSeries, whole: Mapping[str, tuple[int, int]], normalized: tuple[Normalized, ...]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Metadata and measurements as they are encoded: normalised ones scaled, integers in their units."""
    once, records = dict(series.metadata), dict(series.measurements)
    scaled = {each.name for each in normalized}
    for columns in (once, records):
        for name, values in columns.items():
            if name in whole and name not in scaled:
                columns[name] = (values - whole[name][0]) // whole[name][1]
    for each in normalized:
        values, middle, half = normalize_series(records[each.name], series.offsets, name=each.name)
        records[each.name] = values
        once[each.name + MIDDLE] = middle
        once[each.name + HALF_RANGE] = (
            np.divide(half, middle, out=np.zeros_like(half), where=middle > 0) if each.relative else half
        )
    return once, records


def _default(name: str, values: np.ndarray, style: Style, texts: tuple[str, ...] | None, shape: bool) -> FieldEncoding:
    """The style's encoding; `shape` says that the values are those of series on one scale."""
    if constant := Constant.fit(name, values):
        return constant
    if texts is not None:
        return Exact(name=name, values=tuple(range(len(texts))), bounds="measured")
    if style == "autoregressive":
        if values.dtype.kind == "i":
            return NumericTokens.fit(name, values, cap=TOKEN_SPIKES)
        return Numeric.fit(name, values, scale="linear" if shape and not _is_heavy(values) else "quantile")
    generated = name.endswith((MIDDLE, HALF_RANGE))
    return Numeric.fit(name, values, scale="quantile" if generated or _is_heavy(values) else "linear")


def _is_heavy(values: np.ndarray) -> bool:
    low, high = np.quantile(values, [0.25, 0.75])
    return bool(np.ptp(values) > MIN_TAIL_RATIO * max(high - low, 1e-300))


def _encode(parts: tuple[FieldEncoding, ...], columns: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
    blocks = [np.zeros((rows, 0), np.float32)]
    for part in parts:
        if part.name not in columns:
            raise FieldError(f"column {part.name}: missing from these series, but the codec was fitted with it")
        blocks.append(part.encode(columns[part.name]))
    return np.ascontiguousarray(np.hstack(blocks), np.float32)


def _decode(parts: tuple[FieldEncoding, ...], array: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    columns, start = {}, 0
    for part in parts:
        end = start + len(part.columns())
        columns[part.name] = part.decode(array[:, start:end], rng)
        start = end
    return columns


def _of_length(values: np.ndarray, offsets: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Series cut, or their last record repeated, to `length` records; and how many were."""
    lengths = np.diff(offsets)
    if bool((lengths == length).all()):
        return values, offsets, 0
    rows = offsets[:-1, None] + np.minimum(np.arange(length), lengths[:, None] - 1)
    return values[rows.ravel()], np.arange(len(lengths) + 1, dtype=np.int64) * length, int((lengths != length).sum())


def _slot(column: Column, slot: int) -> Column:
    gate = None if column.gate is None else f"{column.gate}@{slot}"
    return replace(column, name=f"{column.name}@{slot}", gate=gate)


def _unit(values: np.ndarray) -> tuple[int, int]:
    """The least value and the greatest common divisor of all differences to it (1 if there are none)."""
    low = int(values.min())
    return low, int(np.gcd.reduce(values - low)) or 1


def _decimals(values: np.ndarray) -> int | None:
    """Decimal places that hold all values exactly, 1 to 6; None if they do not."""
    if float(np.abs(values).max()) > LARGEST_ROUNDED:
        return None
    return next((d for d in range(1, 7) if np.array_equal(np.round(values, d), values)), None)


def _all(series: TimeSeries) -> dict[str, np.ndarray]:
    return {**series.metadata, **series.measurements}


def _without_series(series: TimeSeries) -> TimeSeries:
    return replace(
        series,
        metadata={name: values[:0] for name, values in series.metadata.items()},
        measurements={name: values[:0] for name, values in series.measurements.items()},
        offsets=np.zeros(1, np.int64),
        notes=(),
    )
