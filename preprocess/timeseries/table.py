"""Time series with metadata, of any kind, in natural units: what is read from a table and what is written again.

A series has one value a metadata column and one value a record in each measurement column. Values are numbers, or
categories as codes into a list of texts. Where records have an order or time column ORDER, it is kept as the metadata
column `ORDER.start` and the measurement `ORDER.step`, the difference to the record before, so that generated series have
an order too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from netshare.preprocess.atomic import atomic_file
from netshare.preprocess.errors import FieldError, InputError
from netshare.preprocess.ragged import Ragged, offsets_of

ColumnKind = Literal["categorical", "integer", "continuous"]
Form = Literal["long", "wide", "list", "arrays"]
START, STEP = ".start", ".step"
_KEY = b"netshare-series"


@dataclass(frozen=True)
class Layout:
    """How a file lays series out, so that synthetic series can be written in the same way.

    form: `"long"`, one row a record; `"wide"`, one row a series and one column a record; `"list"`, one row a series and
        list columns (Parquet); `"arrays"`, the three arrays of the DoppelGANger repository
    file_format: `"csv"`, `"parquet"` or `"npz"`
    columns: of the file, in their order
    key, order: the column that names a series, and the one that orders its records; None where there is none
    order_kind: `"time"` where the order column holds dates or times (kept as ns since 1970)
    families: measurement -> its columns in the wide form
    descriptions: of the outputs of the three arrays, as in their JSON file
    """

    form: Form = "long"
    file_format: Literal["csv", "parquet", "npz"] = "csv"
    columns: tuple[str, ...] = ()
    key: str | None = None
    order: str | None = None
    order_kind: Literal["integer", "continuous", "time"] = "integer"
    families: dict[str, tuple[str, ...]] = field(default_factory=dict)
    descriptions: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TimeSeries(Ragged[dict[str, np.ndarray]]):
    """Ragged series with metadata.

    metadata: arrays [n_series]; measurements: arrays [n_records], the series one after another
    offsets: int64[n_series + 1]; every series has at least one record
    kinds: of every column; integers are int64, continuous ones float64, categories int32 codes
    categories: the texts of each categorical column
    layout: how the file that they were read from lays them out
    notes: one line each on what was left out or filled in at reading
    """

    kinds: dict[str, ColumnKind]
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)
    layout: Layout = Layout()
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if twice := sorted(set(self.metadata) & set(self.measurements)):
            raise FieldError(f"{twice[0]} is both metadata and a measurement; rename one of them")

    def texts(self, name: str) -> np.ndarray:
        """object[n]: the values of a categorical column as texts."""
        column = self.metadata[name] if name in self.metadata else self.measurements[name]
        return np.array([*self.categories[name], ""], dtype=object)[column]


def split_series(series: TimeSeries, share: float, seed: int) -> tuple[TimeSeries, TimeSeries | None]:
    """A random `share` of the series, and the others (None where that leaves fewer than two on either side)."""
    order = np.random.default_rng(seed).permutation(len(series))
    first = round(share * len(series))
    if first < 2 or len(series) - first < 2:
        return series, None
    return series.take(np.sort(order[:first])), series.take(np.sort(order[first:]))


def describe_series(series: TimeSeries) -> list[dict[str, Any]]:
    """One row a column: `column`, `table` (metadata or measurements), `kind`, distinct values, least and greatest."""
    rows = []
    for table, columns in (("metadata", series.metadata), ("measurements", series.measurements)):
        for name, values in columns.items():
            numbers = series.kinds[name] != "categorical" and len(values) > 0
            rows.append(
                {
                    "column": name,
                    "table": table,
                    "kind": series.kinds[name],
                    "distinct": len(np.unique(values)),
                    "least": values.min().item() if numbers else None,
                    "greatest": values.max().item() if numbers else None,
                }
            )
    return rows


def save_series(series: TimeSeries, path: Path) -> None:
    """Write as Parquet with one row a series and list columns; the file appears whole or not at all."""
    meaning = {
        "metadata": list(series.metadata),
        "measurements": list(series.measurements),
        "kinds": series.kinds,
        "categories": {name: list(texts) for name, texts in series.categories.items()},
        "layout": asdict(series.layout),
        "notes": list(series.notes),
    }
    large = pa.array(series.offsets)
    columns = {f"m.{name}": pa.array(values) for name, values in series.metadata.items()}
    columns |= {
        f"r.{name}": pa.LargeListArray.from_arrays(large, pa.array(values))
        for name, values in series.measurements.items()
    }
    columns["length"] = pa.array(series.lengths)
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(meaning).encode()})
    with atomic_file(path) as stream:
        pq.write_table(table, stream, compression="zstd")


def load_series(path: Path) -> TimeSeries:
    """Read what `save_series` wrote.

    Raises:
        InputError: the file is missing, or not such a file.
    """
    try:
        table = pq.read_table(path).combine_chunks()
        meaning = json.loads(table.schema.metadata[_KEY])
        offsets = offsets_of(table.column("length").to_numpy())
        return TimeSeries(
            {name: _plain(table.column(f"m.{name}")) for name in meaning["metadata"]},
            {name: _flat(table.column(f"r.{name}")) for name in meaning["measurements"]},
            offsets,
            meaning["kinds"],
            {name: tuple(texts) for name, texts in meaning["categories"].items()},
            _layout(meaning["layout"]),
            tuple(meaning["notes"]),
        )
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a file of series of a run folder ({str(error).splitlines()[0]})") from None


def _plain(column: pa.ChunkedArray) -> np.ndarray:
    return np.array(column.to_numpy())


def _flat(column: pa.ChunkedArray) -> np.ndarray:
    parts: Sequence[Any] = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    return np.concatenate(parts) if parts else np.zeros(0)


def _layout(value: dict[str, Any]) -> Layout:
    families = {name: tuple(columns) for name, columns in value["families"].items()}
    return Layout(**{**value, "columns": tuple(value["columns"]), "families": families})
