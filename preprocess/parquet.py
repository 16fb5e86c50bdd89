"""Traces on disk: Parquet with the canonical columns, readable by any Parquet tool.

    save_parquet(trace, Path("trace.parquet"))
    trace = load_parquet(Path("trace.parquet"))

Kind, categories and sources are kept in the schema's metadata, as JSON under the key `netshare`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from netshare.preprocess.atomic import atomic_file
from netshare.preprocess.errors import FieldError, InputError
from netshare.preprocess.trace import FLOW_COLUMNS, PACKET_COLUMNS, Kind, Source, Trace, make_trace

_KEY = b"netshare"
_VERSION = 1


def save_parquet(trace: Trace, path: str | Path) -> None:
    """Write a trace, zstd-compressed; the file appears whole or not at all."""
    path = Path(path)
    meaning = {
        "version": _VERSION,
        "kind": trace.kind,
        "categories": {name: list(values) for name, values in trace.categories.items()},
        "sources": [asdict(source) for source in trace.sources],
    }
    table = pa.table({name: pa.array(values) for name, values in trace.columns.items()})
    table = table.replace_schema_metadata({_KEY: json.dumps(meaning).encode()})
    with atomic_file(path) as stream:
        pq.write_table(table, stream, compression="zstd")


def load_parquet(path: str | Path) -> Trace:
    """Read what `save_parquet` wrote, or any Parquet file with all canonical columns of one kind.

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
        columns = {name: table.column(name).to_numpy() for name in table.column_names}
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not a whole Parquet file ({str(error).splitlines()[0]})") from None
    try:
        meaning = json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))
        kind = meaning["kind"] if meaning.get("kind") in ("packet", "flow") else _kind_of(path, columns)
        sources = [_source(value) for value in meaning.get("sources", [])]
        return make_trace(
            kind,
            columns,
            categories=meaning.get("categories", {}),
            sources=sources or [Source(path=path, format="parquet", records=table.num_rows)],
        )
    except (FieldError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: a Parquet file whose netshare metadata or columns are damaged ({error})") from None


def _kind_of(path: str, columns: dict[str, np.ndarray]) -> Kind:
    required: dict[Kind, dict[str, np.dtype]] = {"packet": PACKET_COLUMNS, "flow": FLOW_COLUMNS}
    missing = {kind: [n for n in names if n != "epoch" and n not in columns] for kind, names in required.items()}
    kind = min(missing, key=lambda name: len(missing[name]))
    if missing[kind]:
        raise InputError(
            f"{path}: Parquet without the columns {', '.join(missing[kind])} of a {kind} trace "
            f"(found {', '.join(columns) or 'none'})"
        )
    return kind


def _source(value: dict[str, Any]) -> Source:
    return Source(**{**value, "notes": tuple(value.get("notes", ()))})
