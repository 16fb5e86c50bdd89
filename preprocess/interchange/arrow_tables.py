"""A trace's columns as an Arrow table, and an Arrow table of packets or flow records as a trace's columns.

`table_of` copies no column of numbers or times: the table looks at the memory of the numpy arrays, as every library that
takes Arrow (polars, DuckDB, pandas, datasets) then may. Kind, categories and sources stand in the schema's metadata, as
JSON under the key `netshare`, which Parquet files keep.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from netshare.preprocess.addresses import format_addresses
from netshare.preprocess.columns import CATEGORY_COLUMNS, FIVE_TUPLE, Kind, Records, Source, required_columns
from netshare.preprocess.errors import InputError
from netshare.preprocess.interchange.frames import records_of_frame

_KEY = b"netshare"
_VERSION = 1
_HALVES = tuple(name for name in FIVE_TUPLE if name.endswith(("_hi", "_lo")))
_INTERVAL = np.dtype([("months", "i4"), ("days", "i4"), ("nanoseconds", "i8")])  # Arrow's MonthDayNano
_TYPES = {"time": pa.timestamp("ns", "UTC"), "duration": pa.duration("ns")}


def table_of(records: Records, *, texts: bool) -> pa.Table:
    """An Arrow table with one row a record.

    Args:
        records: what a trace is made of.
        texts: addresses as texts (`src_ip`, `dst_ip`) instead of two numbers each, and labels as texts instead of
            dictionaries, for tools that have neither; these columns are then made anew.

    Returns:
        `time` as timestamp[ns, UTC], `duration` as duration[ns], labels as dictionaries of texts (null where unset), all
        other columns with their own types.
    """
    arrays: dict[str, pa.Array] = {}
    for name, values in records.columns.items():
        end = name[:3]
        if texts and name in _HALVES:
            if f"{end}_ip" not in arrays:
                hi, lo = records.columns[f"{end}_hi"], records.columns[f"{end}_lo"]
                written = format_addresses(records.columns["ip_version"], hi, lo)
                arrays[f"{end}_ip"] = pa.array(written, pa.string())
        elif name in _TYPES:
            arrays[name] = pa.array(values).view(_TYPES[name])
        elif name in CATEGORY_COLUMNS:
            codes = pa.array(values, mask=values < 0)
            labels = pa.DictionaryArray.from_arrays(codes, pa.array(records.categories.get(name, ()), pa.string()))
            arrays[name] = labels.dictionary_decode() if texts else labels
        else:
            arrays[name] = pa.array(values)
    return pa.table(arrays).replace_schema_metadata(metadata_of(records.kind, records.categories, records.sources))


def metadata_of(kind: Kind, categories: Mapping[str, Sequence[str]], sources: Sequence[Source]) -> dict[bytes, bytes]:
    """What a table's schema says of the trace beside its columns."""
    meaning = {
        "version": _VERSION,
        "kind": kind,
        "categories": {name: list(values) for name, values in categories.items()},
        "sources": [asdict(source) for source in sources],
    }
    return {_KEY: json.dumps(meaning).encode()}


def records_of_table(
    table: pa.Table,
    *,
    kind: Kind | None = None,
    columns: Mapping[str, str] | None = None,
    path: str = "Arrow table",
    format: str = "arrow",
) -> Records:
    """The packets or flow records of a table, in its order.

    Args:
        table: of `table_of`, of a Parquet file that netshare wrote (its columns are then taken as they are, without a
            copy where they lie in one piece), or any that `netshare.preprocess.interchange.frames.records_of_frame` would
            read as a data frame.
        kind, columns, path, format: as `records_of_frame` has them.

    Raises:
        InputError: as `records_of_frame`, or what the metadata says contradicts the columns.
    """
    try:
        meaning = json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))
        sources = tuple(_source(value) for value in meaning.get("sources", []))
        known: Kind | None = meaning["kind"] if meaning.get("kind") in ("packet", "flow") else None
        categories = {name: tuple(str(text) for text in texts) for name, texts in meaning.get("categories", {}).items()}
        if known is not None and columns is None and kind in (None, known):
            wanted = [name for name in required_columns(known) if name != "epoch"]
            if all(name in table.column_names for name in wanted):
                found = _canonical(table, known, categories)
                return replace(found, sources=sources or (Source(path, format, table.num_rows),))
    except (ValueError, TypeError, KeyError, AttributeError, pa.ArrowException) as error:
        raise InputError(
            f"{path}: its netshare metadata or columns are damaged ({str(error).splitlines()[0]})"
        ) from None
    frame = _without_intervals(table).to_pandas(split_blocks=True)
    for name in CATEGORY_COLUMNS:
        if name in categories and name in frame:
            frame[name] = _categorical(frame[name], list(categories[name]))
    records = records_of_frame(frame, kind=kind or known, columns=columns, path=path, format=format)
    if len(sources) != len(records.sources):
        return records
    pairs = zip(sources, records.sources, strict=True)
    kept = [
        replace(old, records=new.records, notes=tuple(dict.fromkeys((*old.notes, *new.notes)))) for old, new in pairs
    ]
    return replace(records, sources=tuple(kept))


def _canonical(table: pa.Table, kind: Kind, categories: Mapping[str, tuple[str, ...]]) -> Records:
    """The columns of a table that netshare made."""
    columns: dict[str, np.ndarray] = {}
    texts = dict(categories)
    for name in table.column_names:
        column = table.column(name)
        array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        array = pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
        if name in _TYPES and not pa.types.is_integer(array.type):
            array = pc.cast(array, _TYPES[name]).view(pa.int64())
        if pa.types.is_dictionary(array.type):
            texts[name] = tuple(array.dictionary.to_pylist())
            array = pc.fill_null(pc.cast(array.indices, pa.int32()), -1)
        if array.null_count:
            raise ValueError(f"{name} has {array.null_count} missing values")
        columns[name] = array.to_numpy(zero_copy_only=False)
    return Records(kind, columns, texts, ())


def _without_intervals(table: pa.Table) -> pa.Table:
    """The table with intervals of days and nanoseconds (what DuckDB makes of durations) as durations."""
    for at, (name, kind) in enumerate(zip(table.column_names, table.schema.types, strict=True)):
        if kind != pa.month_day_nano_interval():
            continue
        array = table.column(name).combine_chunks()
        array = pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
        if not len(array) or array.null_count:
            continue
        parts = np.frombuffer(array.buffers()[1], _INTERVAL)[array.offset : array.offset + len(array)]
        if not parts["months"].any():
            nanoseconds = parts["nanoseconds"] + parts["days"] * np.int64(86_400 * 10**9)
            table = table.set_column(at, name, pa.array(nanoseconds).view(pa.duration("ns")))
    return table


def _categorical(values: pd.Series, known: list[str]) -> pd.Series | pd.Categorical:
    """Codes of these texts, or the texts themselves, as a categorical of them; other values as they are."""
    if values.dtype.kind == "i" and values.between(-1, len(known) - 1).all():
        return pd.Categorical.from_codes(values, known)
    if isinstance(values.dtype, pd.CategoricalDtype) or not values.dropna().isin(known).all():
        return values
    return pd.Categorical(values, categories=known)


def _source(value: dict[str, Any]) -> Source:
    return Source(**{**value, "notes": tuple(value.get("notes", ()))})
