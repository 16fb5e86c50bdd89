"""Series written as they were read: CSV or Parquet, long or wide, list columns, or the three arrays.

    write_series(series, Path("synthetic.csv"))

The form is that of `series.layout` where the file format allows; a CSV of list columns becomes wide. Names of series
are new ones, 0, 1, 2 ...; columns keep their order and their texts, numbers and dates their form. The three arrays come
with the JSON file that describes them.
"""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from netshare.preprocess.atomic import write_bytes, write_text
from netshare.preprocess.errors import FieldError, InputError
from netshare.preprocess.outputs import check_outputs
from netshare.preprocess.timeseries.order import order_values
from netshare.preprocess.timeseries.table import START, STEP, Form, TimeSeries
from netshare.preprocess.timeseries.three_arrays import RANGES, descriptions_path, output_columns

SUFFIXES = (".csv", ".csv.gz", ".parquet", ".npz")
TimeUnit = Literal["D", "s", "ms", "us", "ns"]
TIME_UNITS: tuple[tuple[TimeUnit, int], ...] = (
    ("D", 86_400 * 10**9),
    ("s", 10**9),
    ("ms", 10**6),
    ("us", 10**3),
)  # in ns


def write_series(series: TimeSeries, path: Path, *, form: Form | None = None, force: bool = False) -> Form:
    """Write series; the suffix of `path` decides the file format. Returns the form that was written.

    Args:
        form: `"long"`, `"wide"` or `"list"`; by default as the series were read.
        force: replace files that exist.

    Raises:
        InputError: the suffix is unknown, the file cannot be written, or exists.
        FieldError: the form cannot hold these series.
    """
    if not path.name.endswith(SUFFIXES):
        raise InputError(f"{path}: series are written as {', '.join(SUFFIXES)}; choose one of these suffixes")
    check_outputs([path, descriptions_path(path) if path.suffix == ".npz" else None], force=force)
    try:
        if path.suffix == ".npz":
            _write_arrays(series, path)
            return "arrays"
        chosen = _form_for(series, path, form)
        if path.suffix == ".parquet":
            table = _list_table(series) if chosen == "list" else pa.Table.from_pandas(_frame(series, chosen))
            sink = io.BytesIO()
            pq.write_table(table.replace_schema_metadata(None), sink, compression="zstd")
            write_bytes(path, sink.getvalue())
        else:
            text = _frame(series, chosen).to_csv(index=False).encode()
            write_bytes(path, gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another file") from None
    return chosen


def _form_for(series: TimeSeries, path: Path, form: Form | None) -> Form:
    read_as = series.layout.form
    wanted = form or (("wide" if _one_name_a_value(series) else "long") if read_as == "arrays" else read_as)
    if wanted == "list" and path.suffix != ".parquet":
        wanted = "wide"
    if wanted in ("wide", "list") and series.layout.order is not None:
        raise FieldError(f"{series.layout.order}: the wide form has no place for it; write the long form")
    return wanted


def _one_name_a_value(series: TimeSeries) -> bool:
    return len(series.measurements) == 1


def _frame(series: TimeSeries, form: Form) -> pd.DataFrame:
    return _long_frame(series) if form == "long" else _wide_frame(series)


def _long_frame(series: TimeSeries) -> pd.DataFrame:
    layout, lengths = series.layout, series.lengths
    key = layout.key or "series"
    columns: dict[str, Any] = {key: np.repeat(np.arange(len(series)), lengths)}
    if layout.order is not None and layout.order + STEP in series.measurements:
        columns[layout.order] = _order(series)
    for name in series.metadata:
        if not (layout.order and name == layout.order + START):
            columns[name] = np.repeat(_values(series, name), lengths)
    for name in series.measurements:
        if not (layout.order and name == layout.order + STEP):
            columns[name] = _values(series, name)
    return _in_order(pd.DataFrame(columns), layout.columns)


def _wide_frame(series: TimeSeries) -> pd.DataFrame:
    layout, lengths = series.layout, series.lengths
    columns: dict[str, Any] = {layout.key or "series": np.arange(len(series))}
    if layout.form in ("wide", "list") and layout.key is None:
        columns = {}
    columns |= {name: _values(series, name) for name in series.metadata}
    width = max(int(lengths.max(initial=1)), *(len(names) for names in layout.families.values()), 1)
    exists = np.arange(width) < lengths[:, None]
    for name in series.measurements:
        values = _values(series, name)
        grid = np.full(exists.shape, None, dtype=object)
        grid[exists] = values
        typed = pd.DataFrame(grid)
        if values.dtype.kind == "i":
            typed = typed.astype("Int64")
        elif values.dtype.kind == "f":
            typed = typed.astype(np.float64)
        known = layout.families.get(name, ())
        names = [known[i] if i < len(known) else f"{name}{i}" for i in range(width)]
        columns |= {names[i]: typed[i] for i in range(width)}
    return _in_order(pd.DataFrame(columns), layout.columns)


def _list_table(series: TimeSeries) -> pa.Table:
    layout = series.layout
    columns: dict[str, Any] = {} if layout.key is None else {layout.key: pa.array(np.arange(len(series)))}
    columns |= {name: pa.array(_values(series, name)) for name in series.metadata}
    offsets = pa.array(series.offsets.astype(np.int32)) if series.offsets[-1] < 2**31 else pa.array(series.offsets)
    kind = pa.ListArray if series.offsets[-1] < 2**31 else pa.LargeListArray
    columns |= {n: kind.from_arrays(offsets, pa.array(_values(series, n))) for n in series.measurements}
    table = pa.table(columns)
    known = [name for name in layout.columns if name in columns]
    return table.select([*known, *(name for name in columns if name not in known)])


def _write_arrays(series: TimeSeries, path: Path) -> None:
    """The three arrays: numbers that are not in a declared range are scaled to [0, 1], as the JSON file describes."""
    lengths = series.lengths
    exists = np.arange(int(lengths.max(initial=1))) < lengths[:, None]
    features, feature_descriptions = _outputs(series, "features", series.measurements)
    attributes, attribute_descriptions = _outputs(series, "attributes", series.metadata)
    padded = np.zeros((*exists.shape, features.shape[1]), np.float32)
    padded[exists] = features
    sink = io.BytesIO()
    np.savez_compressed(sink, data_feature=padded, data_attribute=attributes, data_gen_flag=exists.astype(np.float32))
    write_bytes(path, sink.getvalue())
    descriptions = {"features": feature_descriptions, "attributes": attribute_descriptions}
    write_text(descriptions_path(path), json.dumps(descriptions, indent=1) + "\n")


def _outputs(series: TimeSeries, part: str, columns: dict[str, np.ndarray]) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """float32[rows, width] of one-hot and scaled columns, and their descriptions."""
    rows = len(next(iter(columns.values()))) if columns else len(series)
    blocks, descriptions = [np.zeros((rows, 0), np.float32)], []
    known = series.layout.descriptions.get(part, [])
    declared = {
        each: output["normalization"]
        for i, output in enumerate(known)
        if output["type"] == "continuous" and "minimum" not in output
        for each in output_columns(output, part[:-1], i)
    }
    for name, values in columns.items():
        if series.kinds[name] == "categorical":
            texts = series.categories[name]
            blocks.append(np.eye(len(texts), dtype=np.float32)[values])
            descriptions.append({"name": name, "type": "discrete", "dim": len(texts), "values": list(texts)})
            continue
        normalization = declared.get(name, "ZERO_ONE")
        low, high = RANGES[normalization]
        output: dict[str, Any] = {"name": name, "type": "continuous", "dim": 1, "normalization": normalization}
        numbers = values.astype(np.float64)
        if name not in declared and len(numbers):
            least, greatest = float(numbers.min()), float(numbers.max())
            numbers = (numbers - least) / ((greatest - least) or 1.0)
            output |= {"minimum": least, "maximum": greatest, "integer": series.kinds[name] == "integer"}
        blocks.append(np.clip(numbers, low, high).astype(np.float32)[:, None])
        descriptions.append(output)
    return np.hstack(blocks), descriptions


def _values(series: TimeSeries, name: str) -> np.ndarray:
    if series.kinds[name] != "categorical":
        return series.metadata[name] if name in series.metadata else series.measurements[name]
    texts = series.texts(name)
    texts[texts == ""] = None
    return texts


def _order(series: TimeSeries) -> np.ndarray:
    order = series.layout.order or ""
    values = order_values(series.metadata[order + START], series.measurements[order + STEP], series.offsets)
    if series.layout.order_kind != "time":
        return values
    times = values.astype("datetime64[ns]")
    if series.layout.file_format == "parquet":
        return times
    # The coarsest unit in which every time is exact.
    unit: TimeUnit = next((name for name, size in TIME_UNITS if bool((values % size == 0).all())), "ns")
    return np.datetime_as_string(times, unit=unit)


def _in_order(frame: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    known = [name for name in columns if name in frame.columns]
    return frame[[*known, *(name for name in frame.columns if name not in known)]]
