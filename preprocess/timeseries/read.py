"""Series of any kind from plain tables: CSV and Parquet, long or wide, and the three arrays of DoppelGANger's authors.

    series = read_series("usage.csv", key="customer", order="day")
    series = read_series("pages.parquet")          # wide: v0, v1, v2 ... or list columns

*Long*: one row a record; `key` names the series that it belongs to, `order` (numbers, dates or times) sorts its
records, else they stay in the file's order. *Wide*: one row a series, each measurement in columns that are numbered
through (`v0`, `v1` ... or `views_1`, `views_2` ...) or, in Parquet, in a list column; empty cells at a row's end end the
series. Columns that are neither key nor order nor measurement are metadata.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from netshare.preprocess.errors import ConfigError, InputError
from netshare.preprocess.ragged import offsets_of
from netshare.preprocess.readers import list_files
from netshare.preprocess.readers.contents import MAXIMUM_BYTES, open_contents
from netshare.preprocess.readers.registry import recognise
from netshare.preprocess.timeseries.columns import TypedColumn, fill_measurement, fill_metadata, typed_column
from netshare.preprocess.timeseries.order import OrderKind, order_columns, order_numbers
from netshare.preprocess.timeseries.table import ColumnKind, Form, Layout, TimeSeries
from netshare.preprocess.timeseries.three_arrays import read_three_arrays

MIN_NUMBERED_COLUMNS = 3  # columns numbered through that are taken for one measurement although not named as one
TableFormat = Literal["csv", "parquet"]
_NUMBERED = re.compile(r"^(.*?)[ _.\-]?(\d+)$")


@dataclass(frozen=True)
class SeriesColumns:
    """Which columns of a table are what, where the table itself does not show it.

    Attributes:
        metadata: columns with one value a series; by default, in the long form, those that never change within a series.
        measurements: columns with one value a record; by default the rest. In the wide form these are the names without
            their numbers.
        types: column -> `categorical`, `integer` or `continuous`, where the kind that its content suggests is wrong.
        ignore: columns to leave out.
    """

    metadata: Sequence[str] | None = None
    measurements: Sequence[str] | None = None
    types: Mapping[str, ColumnKind] = field(default_factory=dict)
    ignore: Sequence[str] = ()


def read_series(
    source: str | Path | Sequence[str | Path] | pd.DataFrame | pa.Table,
    *,
    key: str | None = None,
    order: str | None = None,
    columns: SeriesColumns = SeriesColumns(),
    layout: Form | None = None,
    limit: int | None = None,
    max_bytes: int = MAXIMUM_BYTES,
) -> TimeSeries:
    """Read series with metadata.

    Args:
        source: a file, a pattern, a folder or a list of these (several files are read as one table), a pandas data frame or
            an Arrow table.
        key: the column that names a series; its values are not learnt. In the long form it is needed.
        order: the column that orders the records of a series (long form only).
        columns: which other columns are metadata, which are measurements, and of what kind; see `SeriesColumns`.
        layout: `long` or `wide`; by default long if there is a key and no list or numbered columns, else wide.
        limit: read no more rows than this.
        max_bytes: how many bytes a compressed file may unpack to.

    Raises:
        InputError: a file cannot be read, is empty, or does not fit the arguments.
        ConfigError: the arguments contradict one another.
    """
    file_format: TableFormat
    if isinstance(source, pd.DataFrame | pa.Table):
        path, file_format, table = "the table", "csv", _in_memory(source, limit)
    else:
        files = list_files(source)
        path = str(files[0])
        if any(file.suffix == ".npz" for file in files):
            if len(files) > 1 or key or order or columns.metadata or columns.measurements:
                raise ConfigError(f"{path}: the three arrays are one file, described by its JSON file and nothing else")
            return read_three_arrays(files[0])
        table, file_format = _read_tables(files, limit, max_bytes)
    placed = [name for name in (key, order) if name]
    for name in [*placed, *(columns.metadata or ()), *columns.types, *columns.ignore]:
        if name not in table.column_names and name not in (columns.measurements or ()):
            raise InputError(f"{path}: no column {name}; it has {', '.join(table.column_names[:20])}")
    table = table.drop_columns(list(columns.ignore))
    lists = [f.name for f in table.schema if pa.types.is_list(f.type) or pa.types.is_large_list(f.type)]
    families = {} if layout == "long" else _families(table.column_names, key, order, columns)
    reader = _Table(
        path, columns, Layout(file_format=file_format, columns=tuple(table.column_names), key=key, order=order)
    )
    if lists and layout != "long":
        return reader.read_lists(table, lists)
    if families and (layout == "wide" or key is None or order is None):
        return reader.read_wide(table.to_pandas(), families)
    if layout == "wide":
        raise InputError(f"{path}: no columns that are numbered through (v0, v1, v2 ...) and no list columns: not wide")
    if key is None:
        raise InputError(
            f"{path}: which rows make up a series? name its column as series.key (long), or number the columns of a "
            f"measurement through, v0, v1, v2 ... (wide); it has {', '.join(table.column_names[:12])}"
        )
    return reader.read_long(table.to_pandas())


class _Table:
    """The ways to read one table; `layout` has its key and order, and gets its form where it is read."""

    def __init__(self, path: str, columns: SeriesColumns, layout: Layout) -> None:
        self.path, self.key, self.order = path, layout.key, layout.order
        self.metadata, self.measurements, self.types = columns.metadata, columns.measurements, columns.types
        self.layout = layout
        self.notes: list[str] = []

    def read_long(self, frame: pd.DataFrame) -> TimeSeries:
        assert self.key is not None
        if bool((unnamed := frame[self.key].isna()).any()):
            self.notes.append(f"{int(unnamed.sum()):,} rows without a {self.key} are left out")
            frame = frame[~unnamed]
        numbers: np.ndarray | None = None
        order_kind: OrderKind = "integer"
        if self.order is not None:
            numbers, order_kind = order_numbers(self.order, frame[self.order], self.path)
            if bool((unordered := np.isnan(numbers) if numbers.dtype.kind == "f" else numbers == _NAT).any()):
                self.notes.append(f"{int(unordered.sum()):,} rows without a {self.order} are left out")
                frame, numbers = frame[~unordered], numbers[~unordered]
        if not len(frame):
            raise InputError(f"{self.path}: it holds no usable rows; give a table of series")
        codes, found = pd.factorize(frame[self.key])
        sorting = np.lexsort((numbers, codes)) if numbers is not None else np.argsort(codes, kind="stable")
        frame, codes = frame.iloc[sorting], codes[sorting]
        offsets = offsets_of(np.bincount(codes, minlength=len(found)))
        metadata, measurements = self._long_columns(frame, codes, offsets)
        ordered: tuple[dict[str, np.ndarray], dict[str, np.ndarray]] = ({}, {})
        if numbers is not None and self.order is not None:
            ordered = order_columns(self.order, numbers[sorting], offsets)
        return self._series(
            frame.iloc[offsets[:-1]], metadata, {name: frame[name] for name in measurements}, offsets, ordered,
            replace(self.layout, form="long", order_kind=order_kind),
        )  # fmt: skip

    def read_wide(self, frame: pd.DataFrame, families: dict[str, list[str]]) -> TimeSeries:
        if self.order is not None:
            raise ConfigError(f"{self.path}: in the wide form columns are ordered by their numbers; drop series.order")
        wide = {name: frame[columns].to_numpy().ravel() for name, columns in families.items()}
        widths = {len(columns) for columns in families.values()}
        if len(widths) > 1:
            sizes = ", ".join(f"{name} has {len(columns)}" for name, columns in families.items())
            raise InputError(f"{self.path}: measurements have different numbers of columns: {sizes}")
        width = widths.pop()
        present = np.zeros((len(frame), width), bool)
        for values in wide.values():
            present |= pd.notna(values).reshape(len(frame), width)
        lengths = width - np.argmax(present[:, ::-1], axis=1)
        some = np.asarray(present.any(axis=1))
        kept = self._with_records(some)
        inside = (np.arange(width) < lengths[:, None]) & some[:, None]
        offsets = offsets_of(lengths[kept])
        columns = {
            name: _whole_where_written_so(
                pd.Series(values.reshape(len(frame), width)[inside]).infer_objects(), frame[families[name]]
            )
            for name, values in wide.items()
        }
        others = [n for n in frame.columns if n != self.key and not any(n in each for each in families.values())]
        named = {name: tuple(columns) for name, columns in families.items()}
        return self._series(
            frame.iloc[kept], self._chosen_metadata(others), columns, offsets, ({}, {}),
            replace(self.layout, form="wide", families=named),
        )  # fmt: skip

    def read_lists(self, table: pa.Table, lists: list[str]) -> TimeSeries:
        if self.order is not None:
            raise ConfigError(f"{self.path}: the values of a list column are in order already; drop series.order")
        table = table.combine_chunks()
        lengths = {n: np.asarray(pa.compute.list_value_length(table.column(n)).fill_null(0)) for n in lists}
        first = lengths[lists[0]]
        for name, own in lengths.items():
            if not np.array_equal(own, first):
                row = int(np.flatnonzero(own != first)[0])
                raise InputError(
                    f"{self.path}: {name} has {own[row]} values in data row {row + 1}, {lists[0]} has {first[row]}"
                )
        kept = self._with_records(first > 0)
        flat = {name: pa.compute.list_flatten(table.column(name)).to_pandas() for name in lists}
        others = [name for name in table.column_names if name not in lists and name != self.key]
        frame = table.drop_columns(lists).to_pandas() if others or self.key else pd.DataFrame(index=range(len(first)))
        offsets = offsets_of(first[kept])
        return self._series(
            frame.iloc[kept], self._chosen_metadata(others), flat, offsets, ({}, {}), replace(self.layout, form="list")
        )  # fmt: skip

    def _series(
        self,
        rows: pd.DataFrame,
        metadata: list[str],
        measurements: Mapping[str, pd.Series],
        offsets: np.ndarray,
        ordered: tuple[dict[str, np.ndarray], dict[str, np.ndarray]],
        layout: Layout,
    ) -> TimeSeries:
        once = self._typed({name: rows[name] for name in metadata})
        records = self._typed(measurements)
        if not records:
            raise InputError(f"{self.path}: no measurement columns; name them in series.measurements")
        kinds: dict[str, ColumnKind] = {}
        for name in (*ordered[0], *ordered[1]):
            values = ordered[0].get(name, ordered[1].get(name))
            kinds[name] = "integer" if values is not None and values.dtype.kind == "i" else "continuous"
        kinds |= {name: column.kind for name, column in (*once.items(), *records.items())}
        return TimeSeries(
            {**{name: fill_metadata(column) for name, column in once.items()}, **ordered[0]},
            {**ordered[1], **{name: fill_measurement(column, offsets) for name, column in records.items()}},
            offsets,
            kinds,
            {n: c.categories for n, c in (*once.items(), *records.items()) if c.kind == "categorical"},
            layout,
            tuple(self.notes),
        )

    def _typed(self, columns: Mapping[str, pd.Series]) -> dict[str, TypedColumn]:
        typed: dict[str, TypedColumn] = {}
        for name, values in columns.items():
            if not bool(values.notna().any()):
                self.notes.append(f"column {name} holds no values and is left out")
                continue
            typed[name] = typed_column(name, values, self.types.get(name), self.path)
            if missing := typed[name].missing:
                self.notes.append(f"column {name}: {missing:,} missing values are filled in")
        return typed

    def _long_columns(self, frame: pd.DataFrame, codes: np.ndarray, offsets: np.ndarray) -> tuple[list[str], list[str]]:
        """Names of the metadata columns and of the measurement columns."""
        others = [name for name in frame.columns if name not in (self.key, self.order)]
        changing = [name for name in others if _changes(frame[name], offsets)]
        if self.metadata is not None:
            for name in self.metadata:
                if name in changing:
                    raise InputError(
                        f"{self.path}: {name} is named as metadata, but changes within a series; make it a measurement"
                    )
            rest = [name for name in others if name not in self.metadata]
            return list(self.metadata), list(self.measurements) if self.measurements is not None else rest
        if self.measurements is not None:
            missing = [name for name in self.measurements if name not in frame.columns]
            if missing:
                raise InputError(f"{self.path}: no column {missing[0]}; it has {', '.join(frame.columns[:20])}")
            metadata = [name for name in others if name not in self.measurements and name not in changing]
            unused = [name for name in others if name not in self.measurements and name in changing]
            self.notes += [
                f"column {name} changes within a series, is no measurement, and is left out" for name in unused
            ]
            return metadata, list(self.measurements)
        if not changing:
            raise InputError(
                f"{self.path}: no column changes within a series of {self.key}, so it is not clear which are measurements; "
                "name them in series.measurements"
            )
        return [name for name in others if name not in changing], changing

    def _chosen_metadata(self, others: list[str]) -> list[str]:
        return others if self.metadata is None else list(self.metadata)

    def _with_records(self, some: np.ndarray) -> np.ndarray:
        """int64: positions of the series that have records."""
        if not bool(some.any()):
            raise InputError(f"{self.path}: no series has a record; give a table of series")
        if empty := int((~some).sum()):
            self.notes.append(f"{empty:,} series without a record are left out")
        return np.flatnonzero(some)


_NAT = np.iinfo(np.int64).min


def _in_memory(source: pd.DataFrame | pa.Table, limit: int | None) -> pa.Table:
    """A table that is in memory already, its first `limit` rows."""
    try:
        table = source if isinstance(source, pa.Table) else pa.Table.from_pandas(source, preserve_index=False)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise InputError(f"the table: cannot be read ({str(error).strip().splitlines()[0]})") from None
    if table.num_rows == 0:
        raise InputError("the table: has no rows; give one that holds series")
    return table if limit is None else table.slice(0, limit)


def _read_tables(files: list[Path], limit: int | None, max_bytes: int) -> tuple[pa.Table, TableFormat]:
    formats: list[TableFormat] = []
    tables, left = [], limit
    for path in files:
        if left is not None and left <= 0:
            break
        contents = open_contents(path, max_bytes)
        found = recognise(str(path), contents.buffer[:1_048_576], as_table=True).name
        if found not in ("csv", "parquet"):
            raise InputError(f"{path}: is a {found} file, series are read from CSV, Parquet or npz")
        formats.append("csv" if found == "csv" else "parquet")
        try:
            if found == "csv":
                frame = pd.read_csv(io.BytesIO(contents.buffer.tobytes()), low_memory=False, nrows=left)
                table = pa.Table.from_pandas(_arrow_ready(frame), preserve_index=False)
            else:
                table = pq.read_table(pa.BufferReader(pa.py_buffer(contents.buffer)))
                table = table if left is None else table.slice(0, left)
        except (pa.ArrowException, ValueError, OSError) as error:
            raise InputError(f"{path}: cannot be read as a table ({str(error).strip().splitlines()[0]})") from None
        left = None if left is None else left - table.num_rows
        tables.append(table)
    if any(set(table.column_names) != set(tables[0].column_names) for table in tables):
        raise InputError(f"{files[0]} and the other files have different columns; read them one by one")
    whole = pa.concat_tables([t.select(tables[0].column_names) for t in tables], promote_options="permissive")
    if whole.num_rows == 0:
        raise InputError(f"{files[0]}: a table without rows; give one that holds series")
    return whole, formats[0]


def _arrow_ready(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with mixed columns as texts, since an Arrow column has one type."""
    for name in frame.columns:
        if frame[name].dtype == object:
            frame[name] = frame[name].map(lambda value: value if value is None or value != value else str(value))
    return frame.rename(columns=str)


def _families(names: list[str], key: str | None, order: str | None, columns: SeriesColumns) -> dict[str, list[str]]:
    """Measurement -> its columns, by number, of those that are numbered through without a gap."""
    taken, measurements = {key, order, *(columns.metadata or ())}, columns.measurements
    numbered: dict[str, dict[int, str]] = {}
    for name in names:
        match = _NUMBERED.match(name)
        if match and name not in taken:
            numbered.setdefault(match[1] or "value", {})[int(match[2])] = name
    families = {}
    for name, by_number in numbered.items():
        if measurements is not None and name not in measurements:
            continue
        least = 1 if measurements is not None else MIN_NUMBERED_COLUMNS
        if len(by_number) >= least and max(by_number) - min(by_number) + 1 == len(by_number):
            families[name] = [by_number[i] for i in sorted(by_number)]
    return families


def _whole_where_written_so(values: pd.Series, columns: pd.DataFrame) -> pd.Series:
    """Whole numbers that are floats only because some of the columns that they stood in have empty cells."""
    if values.dtype.kind != "f":
        return values
    known = values.dropna()
    written_so = all(columns[name].dtype.kind in "iu" or bool(columns[name].isna().any()) for name in columns)
    whole = bool((known == known.round()).all()) and bool((known.abs() < 2.0**53).all())
    return values.astype("Int64") if written_so and whole else values


def _changes(values: pd.Series, offsets: np.ndarray) -> bool:
    """Whether a column has two values within one series; a missing value is one, too."""
    codes = pd.factorize(values)[0]
    return bool((np.maximum.reduceat(codes, offsets[:-1]) != np.minimum.reduceat(codes, offsets[:-1])).any())
