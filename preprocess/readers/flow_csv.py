"""Tables of flow records in text: which dialect one is in, and its records as a trace.

The dialect shows in the header line or, where there is none, in the first row; see `flow_dialects`. Ports of ICMP
records stay as the exporter gives them. Rows with a value that cannot be read are left out and counted by reason.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from netshare.preprocess.errors import InputError
from netshare.preprocess.layouts.flow_forms import FlowTable
from netshare.preprocess.readers.contents import READABLE, Contents, NotATraceError, Stream
from netshare.preprocess.readers.flow_tables import (
    CsvLayout,
    Head,
    TextTable,
    json_names,
    parse_csv,
    parse_json_lines,
    read_head,
)
from netshare.preprocess.readers.reader import Reader, ReadOptions
from netshare.preprocess.tables.flow_dialects import (
    Dialect,
    dialect_of_names,
    dialect_of_values,
    find_dialect,
    nearest_dialect,
    shorten,
)
from netshare.preprocess.tables.flow_mapping import check_mapping, from_mapping, kind_of
from netshare.preprocess.trace import Source, Trace, make_trace

_SAMPLE_BYTES = 1 << 16  # bytes by which a text is known
_LEFT_OUT_HEADER = "the header line does not fit the rows and is left out, they are read as UNSW-NB15's raw files"


def is_text(head: bytes) -> bool:
    """Whether a file that begins so is text: no zero byte in its first 64 KiB, and not only white space."""
    start = head[:_SAMPLE_BYTES]
    return b"\x00" not in start and bool(start.strip())


def is_known_table(head: bytes) -> bool:
    """Whether a file that begins so is a text with the columns of a dialect."""
    if not is_text(head):
        return False
    if head.startswith(b"{"):
        return dialect_of_names(json_names(head)) is not None
    begin = read_head(np.frombuffer(head, np.uint8))
    return _known_by_values(begin) is not None or dialect_of_names(_lowered(begin.header)) is not None


def read_text(stream: Stream, options: ReadOptions) -> Trace:
    """The flow records of a text file; see `read_text_table`."""
    return read_text_table(stream.name, stream.contents(), options)


def read_text_table(path: str, contents: Contents, options: ReadOptions) -> Trace:
    """The records of a CSV or of JSON lines, in file order, as one source.

    Args:
        path: for messages.
        contents: the file.
        options: `columns` says which column is which, for a layout of the user's own; see `flow_mapping`.

    Raises:
        NotATraceError: the header is of no known layout.
        InputError: columns of the layout or of the mapping are missing, or the file cannot be parsed.
    """
    if contents.buffer[:1].tobytes() == b"{":
        return trace_of_table(path, contents, parse_json_lines(path, contents.buffer), options)
    head = read_head(contents.buffer)
    dialect = None
    if options.columns is None:
        head, dialect, note = _recognise(path, head)
        contents = replace(contents, notes=(*contents.notes, *note))
    else:
        check_mapping(path, options.columns, _lowered(head.header))
    names = _lowered(head.header)
    layout = CsvLayout(tuple(names), head.delimiter, head.lines)
    if dialect is not None:
        required = dialect.table.required
        twice = sorted({name for name in names if names.count(name) > 1 and name in required})
        if twice:
            raise InputError(f"{path}: the columns {', '.join(twice)} stand twice in the header, keep one of each")
        layout = replace(
            layout, wanted=_wanted(dialect.table), integers=_integers(dialect.table, names, head.first_row)
        )
    table = parse_csv(path, contents.buffer, layout)
    header = list(table.texts) if len(table.texts) > len(head.header) else head.header
    details: dict[str, object] = {"header": header, "delimiter": head.delimiter}
    return _trace(path, contents, dialect, table, options, details)


def trace_of_table(path: str, contents: Contents, table: TextTable, options: ReadOptions) -> Trace:
    """The records of a table whose columns have names of their own: JSON lines or Parquet."""
    header, dialect = list(table.texts), None
    if options.columns is None:
        dialect = _dialect(path, header, str(header))
        dialect = replace(dialect, table=replace(dialect.table, name=dialect.table.name.replace("-csv", "-json")))
    else:
        check_mapping(path, options.columns, header)
    return _trace(path, contents, dialect, table, options, {"header": header, "delimiter": None})


def _trace(
    path: str,
    contents: Contents,
    dialect: Dialect | None,
    table: TextTable,
    options: ReadOptions,
    details: dict[str, object],
) -> Trace:
    """The usable rows of a table, converted by its dialect or, without one, by the mapping of the options; the others
    are counted."""
    mapping = options.columns or {}
    flows = from_mapping(table.texts, mapping) if dialect is None else dialect.convert(table.texts)
    skipped = dict(table.skipped)
    usable = np.ones(table.rows, dtype=bool)
    for reason, bad in flows.unusable.items():
        if count := int(np.count_nonzero(bad & usable)):
            skipped[reason] = count
        usable &= ~bad
    index = np.flatnonzero(usable)[: options.limit]
    source = Source(
        path=path,
        format="mapped" if dialect is None else dialect.table.name,
        records=len(index),
        skipped=skipped,
        notes=contents.notes,
        details={**details, **flows.details},
    )
    made = make_trace(kind_of(mapping), flows.columns, categories=flows.categories, sources=[source])
    return made if len(index) == table.rows else made.take(index)


def _wanted(table: FlowTable) -> set[str] | None:
    """The columns to parse, None where all are."""
    return None if table.reads_all else {key for column in table.columns for key in column.keys}


def _integers(table: FlowTable, names: list[str], row: list[str]) -> tuple[str, ...]:
    """The columns of integers that hold one in this row."""
    cells = dict(zip(names, row, strict=False))
    integers = (column.keys[0] for column in table.columns if column.integer)
    return tuple(name for name in integers if cells.get(name, "").isdigit())


def _lowered(names: list[str]) -> list[str]:
    return [name.strip().lower() for name in names]


def _recognise(path: str, head: Head) -> tuple[Head, Dialect, tuple[str, ...]]:
    """The dialect of a text, and its header as it should be."""
    found = _known_by_values(head)
    if found is not None:
        return found
    return head, _dialect(path, _lowered(head.header), head.delimiter.join(head.header)), ()


def _known_by_values(head: Head) -> tuple[Head, Dialect, tuple[str, ...]] | None:
    """The dialect of a text that is known by a row of values, as `_recognise` gives it: the text has no header line, or
    one that is not the rows'."""
    found = dialect_of_values(head.header)
    if found is not None:
        return replace(head, header=found[1], lines=0), found[0], ()
    found = dialect_of_values(head.first_row)
    if found is None or found[0].table.header or dialect_of_names(_lowered(head.header)) is found[0]:
        return None
    return replace(head, header=found[1]), found[0], (_LEFT_OUT_HEADER,)


def _dialect(path: str, names: list[str], shown: str) -> Dialect:
    """The dialect with these column names (in lower case).

    Raises:
        NotATraceError: there is none.
        InputError: columns that it needs are missing.
    """
    dialect = find_dialect(path, names)
    if dialect is None:
        near = nearest_dialect(names)
        raise NotATraceError(
            f"{path}: not a trace (a text that begins with {shorten(shown)!r}), "
            f"{f'it would be {near}' if near else f'expected {READABLE}'}; "
            f"any other table is read with a mapping (columns)"
        )
    return dialect


TEXT_TABLE = Reader("csv", None, read=read_text, recognises=is_known_table)
