"""NetFlow records in CSV: the columns of NetShare, of nfdump, or of Zeek's conn log, told apart by the header line.

| dialect | columns that it is known by | times |
|---|---|---|
| NetShare | srcip dstip srcport dstport proto ts td pkt byt, and label, type | number, unit by magnitude; td in s |
| nfdump csv | ts td sa da sp dp pr ipkt ibyt, and flg stos opkt obyt | texts, as UTC; td in s |
| Zeek conn (CSV, or its own log) | ts id.orig_h id.orig_p id.resp_h id.resp_p proto orig_pkts ... | seconds |

Ports of ICMP records stay as the exporter gives them. Rows with a value that cannot be read are left out and counted
by reason.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from preprocess.errors import InputError
from preprocess.readers.contents import READABLE, Contents, NotATraceError
from preprocess.readers.flow_dialects import FlowColumns, from_netshare, from_nfdump, from_zeek
from preprocess.trace import Source, Trace, make_trace

_HEADER_BYTES = 1 << 16
_SHOWN = 120
_CHECKED_AT_ONCE = 1 << 20
_NFDUMP_SUMMARY = ("Summary", "flows,bytes,packets,")


@dataclass(frozen=True)
class Dialect:
    """A layout of flow records: how it is known, what it must have, and how it becomes columns."""

    name: str
    known_by: tuple[str, ...]
    required: tuple[str, ...]
    convert: Callable[[dict[str, pa.Array]], FlowColumns]


DIALECTS = (
    Dialect(
        "netshare-csv",
        ("srcip", "dstip"),
        ("srcip", "dstip", "srcport", "dstport", "proto", "ts", "td", "pkt", "byt"),
        from_netshare,
    ),
    Dialect("nfdump-csv", ("sa", "da"), ("ts", "td", "sa", "da", "sp", "dp", "pr", "ipkt", "ibyt"), from_nfdump),
    Dialect(
        "zeek-csv",
        ("id.orig_h", "id.resp_h"),
        ("ts", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "duration", "orig_pkts", "orig_ip_bytes"),
        from_zeek,
    ),
)


def read_flow_csv(path: str, contents: Contents, limit: int | None = None) -> Trace:
    """The flow records of a CSV, in file order, as a trace of one source.

    Raises:
        NotATraceError: the header is of no known layout.
        InputError: columns of the layout are missing, or the CSV cannot be parsed.
    """
    header, delimiter, header_lines = _header(contents.buffer)
    names = [name.strip().lower() for name in header]
    dialect = next((d for d in DIALECTS if all(name in names for name in d.known_by)), None)
    if dialect is None:
        shown = _shorten(delimiter.join(header))
        raise NotATraceError(f"{path}: not a trace (a text that begins with {shown!r}), expected {READABLE}")
    missing = [name for name in dialect.required if name not in names]
    if missing:
        found = _shorten(", ".join(header))
        raise InputError(f"{path}: a {dialect.name} file without the columns {', '.join(missing)} (found {found})")
    twice = sorted({name for name in names if names.count(name) > 1 and name in dialect.required})
    if twice:
        raise InputError(f"{path}: the columns {', '.join(twice)} stand twice in the header, keep one of each")
    table, skipped = _parse(path, contents.buffer, names, delimiter, header_lines)
    flows = dialect.convert({name: _texts(table, name) for name in dict.fromkeys(names)})
    usable = np.ones(table.num_rows, dtype=bool)
    for reason, bad in flows.unusable.items():
        if count := int(np.count_nonzero(bad & usable)):
            skipped[reason] = count
        usable &= ~bad
    index = np.flatnonzero(usable)[:limit]
    source = Source(
        path=path,
        format=dialect.name,
        records=len(index),
        skipped=skipped,
        notes=contents.notes,
        details={"header": header, "delimiter": delimiter, **flows.details},
    )
    return make_trace("flow", flows.columns, categories=flows.categories, sources=[source]).take(index)


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _header(buffer: np.ndarray) -> tuple[list[str], str, int]:
    """The names of the columns, the delimiter between them, and how many lines come before the first row."""
    start = buffer[:_HEADER_BYTES].tobytes().decode("utf-8-sig", errors="replace")
    lines = start.splitlines() or [""]
    length = 1
    line = lines[0]
    if line.startswith("#"):  # Zeek's own log: a block of `#` lines, of which one begins with #fields
        length = next((at for at, text in enumerate(lines) if not text.startswith("#")), len(lines))
        line = next((text[len("#fields") + 1 :] for text in lines[:length] if text.startswith("#fields")), line)
    delimiter = max(",\t;", key=line.count)
    return next(csv.reader([line], delimiter=delimiter), []), delimiter, length


def _parse(
    path: str, buffer: np.ndarray, names: list[str], delimiter: str, header_lines: int
) -> tuple[pa.Table, dict[str, int]]:
    """All rows as texts, and how many lines were left out, by reason. nfdump's summary at the end and Zeek's lines that
    begin with `#` are no rows."""
    skipped: dict[str, int] = {}
    in_summary = False

    def leave_out(row: pa_csv.InvalidRow) -> str:
        nonlocal in_summary
        text = row.text or ""
        in_summary |= text.startswith(_NFDUMP_SUMMARY)
        if not in_summary and not text.startswith("#"):
            reason = f"{row.actual_columns} values where the header has {row.expected_columns}"
            skipped[reason] = skipped.get(reason, 0) + 1
        return "skip"

    # Positions as names: a header may name a column twice that nobody needs.
    positions = [f"{name}" if names.index(name) == at else f"{name}#{at}" for at, name in enumerate(names)]
    read = pa_csv.ReadOptions(use_threads=False, column_names=positions, skip_rows=header_lines, block_size=1 << 24)
    parse = pa_csv.ParseOptions(delimiter=delimiter, invalid_row_handler=leave_out)
    convert = pa_csv.ConvertOptions(column_types=dict.fromkeys(positions, pa.string()), strings_can_be_null=False)
    try:
        return pa_csv.read_csv(pa.BufferReader(_as_utf8(buffer)), read, parse, convert), skipped
    except pa.ArrowInvalid as error:
        if "Empty CSV" not in str(error):
            raise InputError(f"{path}: the CSV cannot be parsed ({str(error).splitlines()[0]})") from None
    return pa.table({name: pa.array([], pa.string()) for name in positions}), skipped


def _as_utf8(buffer: np.ndarray) -> pa.Buffer:
    """The text as UTF-8; what is none is taken as Latin-1."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(buffer), _CHECKED_AT_ONCE):
            decoder.decode(buffer.data[start : start + _CHECKED_AT_ONCE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return pa.py_buffer(buffer.tobytes().decode("latin-1").encode())
    return pa.py_buffer(buffer)


def _texts(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name).combine_chunks()
    array = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    return pc.utf8_trim_whitespace(array)
