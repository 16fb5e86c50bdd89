"""Traces on disk: Parquet with the canonical columns, readable by any Parquet tool.

    save_parquet(trace, Path("trace.parquet"))
    trace = load_parquet(Path("trace.parquet"))

Kind, categories and sources are kept in the schema's metadata; see `netshare.preprocess.interchange.arrow_tables`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from netshare.preprocess.atomic import atomic_file
from netshare.preprocess.errors import FieldError, InputError
from netshare.preprocess.interchange.arrow_tables import metadata_of, records_of_table
from netshare.preprocess.trace import Trace, make_trace


def save_parquet(trace: Trace, path: str | Path) -> None:
    """Write a trace, zstd-compressed; the file appears whole or not at all."""
    path = Path(path)
    table = pa.table({name: pa.array(values) for name, values in trace.columns.items()})
    table = table.replace_schema_metadata(metadata_of(trace.kind, trace.categories, trace.sources))
    with atomic_file(path) as stream:
        pq.write_table(table, stream, compression="zstd")


def load_parquet(path: str | Path) -> Trace:
    """Read what `save_parquet` wrote, or any Parquet file with packets or flow records as
    `netshare.preprocess.trace.Trace.from_arrow` takes them.

    Raises:
        InputError: the file is missing, is no Parquet file, or lacks columns.
    """
    try:
        buffer = np.frombuffer(Path(path).read_bytes(), np.uint8)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return parse_parquet(str(path), buffer)


def parse_parquet(path: str, buffer: np.ndarray) -> Trace:
    """As `load_parquet`, from the file's bytes (uint8[size]); `path` is for messages."""
    try:
        table = pq.read_table(pa.BufferReader(pa.py_buffer(buffer)))
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not a whole Parquet file ({str(error).splitlines()[0]})") from None
    try:
        records = records_of_table(table, path=path, format="parquet")
        return make_trace(records.kind, records.columns, categories=records.categories, sources=records.sources)
    except (FieldError, ValueError, TypeError) as error:
        raise InputError(f"{path}: a Parquet file whose netshare metadata or columns are damaged ({error})") from None
