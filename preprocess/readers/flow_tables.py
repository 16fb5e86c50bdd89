"""Tables of texts, whatever they were written in: CSV, Zeek's own log, JSON lines, Parquet.

A table is a dict of Arrow string arrays of equal length, by column name as the file writes it, in lower case.
"""

from __future__ import annotations

import codecs
import csv
import json
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from netshare.preprocess.errors import InputError

_HEADER_BYTES = 1 << 16
_UTF8_CHECK_BYTES = 1 << 20
_NFDUMP_SUMMARY = ("Summary", "flows,bytes,packets,")
_BLOCK_BYTES = 1 << 24


@dataclass
class TextTable:
    """Columns of texts, and what was left out while parsing, by reason."""

    texts: dict[str, pa.Array]
    rows: int
    skipped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Head:
    """How a text begins: the names in its header line, the delimiter, the lines before the first row, and the first
    row after the header."""

    header: list[str]
    delimiter: str
    lines: int
    first_row: list[str]


def read_head(buffer: np.ndarray) -> Head:
    """The beginning of a text; whether its first line is a header is for the caller to know."""
    start = buffer[:_HEADER_BYTES].tobytes().decode("utf-8-sig", errors="replace")
    lines = start.splitlines() or [""]
    length = 1
    line = lines[0]
    if line.startswith("#"):  # Zeek's own log: a block of `#` lines, of which one begins with #fields
        length = next((at for at, text in enumerate(lines) if not text.startswith("#")), len(lines))
        line = next((text[len("#fields") + 1 :] for text in lines[:length] if text.startswith("#fields")), line)
    delimiter = max(",\t;", key=line.count)
    row = lines[length] if length < len(lines) else ""
    return Head(_cells(line, delimiter), delimiter, length, _cells(row, delimiter))


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:  # a line of binary rubbish, or a field without end
        return line.split(delimiter)


@dataclass(frozen=True)
class CsvLayout:
    """How a CSV is laid out, and what is wanted of it.

    Attributes:
        names: of all columns, in lower case.
        delimiter: between two values.
        lines: before the first row.
        wanted: the columns to parse; None: all.
        integers: the columns that are parsed as integers if every row allows it; all others are texts.
    """

    names: tuple[str, ...]
    delimiter: str
    lines: int
    wanted: set[str] | None = None
    integers: tuple[str, ...] = ()

    @property
    def kept(self) -> list[str]:
        """The columns to parse, each once."""
        return list(dict.fromkeys(name for name in self.names if self.wanted is None or name in self.wanted))


def parse_csv(path: str, buffer: np.ndarray, layout: CsvLayout) -> TextTable:
    """All rows of a CSV, columns as texts. nfdump's summary at the end and Zeek's lines that begin with `#` are no rows.

    Raises:
        InputError: the CSV cannot be parsed.
    """
    text = _as_utf8(buffer)
    try:
        try:
            table, skipped = _rows(text, layout)
        except pa.ArrowInvalid:
            if not layout.integers:
                raise
            table, skipped = _rows(text, replace(layout, integers=()))
    except pa.ArrowInvalid as error:
        if "Empty CSV" not in str(error):
            raise InputError(f"{path}: the CSV cannot be parsed ({str(error).splitlines()[0]})") from None
        table, skipped = pa.table({name: pa.array([], pa.string()) for name in layout.kept}), {}
    texts = {name: _trimmed(table.column(name)) for name in layout.kept}
    return TextTable(_split_labels(texts), table.num_rows, skipped)


def _rows(text: pa.Buffer, layout: CsvLayout) -> tuple[pa.Table, dict[str, int]]:
    """The table, and the rows that are none, by reason."""
    skipped: dict[str, int] = {}
    in_summary = False

    def leave_out(row: pa_csv.InvalidRow) -> str:
        nonlocal in_summary
        line = row.text or ""
        in_summary |= line.startswith(_NFDUMP_SUMMARY)
        if not in_summary and not line.startswith("#"):
            reason = f"{row.actual_columns} values where the header has {row.expected_columns}"
            skipped[reason] = skipped.get(reason, 0) + 1
        return "skip"

    # A header may name a column twice that nobody needs: what is not the first gets a name of its own.
    names = [name if layout.names.index(name) == at else f"{name}#{at}" for at, name in enumerate(layout.names)]
    read = pa_csv.ReadOptions(use_threads=False, column_names=names, skip_rows=layout.lines, block_size=_BLOCK_BYTES)
    parse = pa_csv.ParseOptions(delimiter=layout.delimiter, invalid_row_handler=leave_out)
    convert = pa_csv.ConvertOptions(
        column_types={name: pa.int64() if name in layout.integers else pa.string() for name in names},
        include_columns=layout.kept,
        null_values=[],
        strings_can_be_null=False,
        check_utf8=False,  # the text is known to be UTF-8
    )
    return pa_csv.read_csv(pa.BufferReader(text), read, parse, convert), skipped


def json_names(head: bytes) -> list[str]:
    """The names in the first of JSON lines, in lower case, an object within it as `outer.inner`; none where it is no
    object or is not whole."""
    try:
        first = json.loads(head.partition(b"\n")[0])
    except ValueError:
        return []
    return [name.strip().lower() for name in _flattened(first)] if isinstance(first, dict) else []


def _flattened(values: dict[str, object]) -> list[str]:
    names = []
    for name, value in values.items():
        names += [f"{name}.{inner}" for inner in _flattened(value)] if isinstance(value, dict) else [name]
    return names


def parse_json_lines(path: str, buffer: np.ndarray) -> TextTable:
    """One object a line; an object within it gives `outer.inner`. Texts and numbers are kept, lists are not.

    Raises:
        InputError: the lines cannot be parsed.
    """
    read = pa_json.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES)
    try:
        table = pa_json.read_json(pa.BufferReader(_as_utf8(buffer)), read)
        while any(pa.types.is_struct(kind) for kind in table.schema.types):
            table = table.flatten()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"{path}: the JSON lines cannot be parsed ({str(error).splitlines()[0]})") from None
    return _from_table(table)


def parse_parquet_texts(path: str, buffer: np.ndarray) -> TextTable:
    """The columns of a Parquet file that hold texts, numbers or times.

    Raises:
        InputError: it is no whole Parquet file.
    """
    try:
        return _from_table(pq.read_table(pa.BufferReader(pa.py_buffer(buffer))))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: not a whole Parquet file ({str(error).splitlines()[0]})") from None


def _from_table(table: pa.Table) -> TextTable:
    texts: dict[str, pa.Array] = {}
    for name in table.column_names:
        try:
            column = pc.cast(table.column(name), pa.string())
        except pa.ArrowException:
            continue
        texts.setdefault(name.strip().lower(), _trimmed(pc.fill_null(column, "")))
    return TextTable(texts, table.num_rows)


def _trimmed(column: pa.ChunkedArray) -> pa.Array:
    """One array, texts without white space at their ends."""
    combined = column.combine_chunks()
    array = pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined
    return pc.utf8_trim_whitespace(array) if pa.types.is_string(array.type) and _may_have_spaces(array) else array


def _may_have_spaces(array: pa.Array) -> bool:
    """Whether any of the texts holds a byte that is, or may be a part of, white space."""
    data = array.buffers()[2]
    if data is None:
        return False
    used = np.frombuffer(data, np.uint8)
    return bool(len(used)) and (int(used.min()) <= ord(" ") or int(used.max()) > 127)


def _split_labels(texts: dict[str, pa.Array]) -> dict[str, pa.Array]:
    """IoT-23's labelled Zeek logs end with a column `tunnel_parents   label   detailed-label`: three of them."""
    joined = next((name for name in texts if name.split()[-2:] == ["label", "detailed-label"]), None)
    if joined is None:
        return texts
    parts = pc.split_pattern_regex(texts.pop(joined), r"\s{2,}|\t")
    names = joined.split()
    for at, name in enumerate(names):
        whole = pc.equal(pc.list_value_length(parts), len(names))
        padded = pc.if_else(whole, parts, pa.scalar([""] * len(names), parts.type))
        texts[name] = pc.list_element(padded, at)
    return texts


def _as_utf8(buffer: np.ndarray) -> pa.Buffer:
    """The text as UTF-8; what is none is taken as Latin-1."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(buffer), _UTF8_CHECK_BYTES):
            decoder.decode(buffer.data[start : start + _UTF8_CHECK_BYTES])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return pa.py_buffer(buffer.tobytes().decode("latin-1").encode())
    return pa.py_buffer(buffer)
