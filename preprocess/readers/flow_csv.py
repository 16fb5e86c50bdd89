"""Flow records in text, the dialect told by the header line or, where there is none, by the first row.

`netshare.preprocess.layouts.dialects` lists the dialects. Rows with a value that cannot be read are left out and counted by
reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from netshare.preprocess.errors import InputError
from netshare.preprocess.layouts.dialects import (
    UGR16,
    UNSW_NB15,
    Dialect,
    find_dialect,
    nearest_dialect,
    shorten,
)
from netshare.preprocess.layouts.flow_datasets import UGR16_COLUMNS, is_ugr16, unsw_columns
from netshare.preprocess.layouts.flow_mapping import check_mapping, from_mapping, kind_of
from netshare.preprocess.readers.contents import READABLE, Contents, NotATraceError
from netshare.preprocess.readers.flow_tables import (
    Head,
    TextTable,
    parse_csv,
    parse_json_lines,
    parse_parquet_texts,
    read_head,
)
from netshare.preprocess.trace import Source, Trace, make_trace

_LEFT_OUT_HEADER = "the header line does not fit the rows and is left out, they are read as UNSW-NB15's raw files"


def read_flow_csv(
    path: str, contents: Contents, limit: int | None = None, columns: Mapping[str, str] | None = None
) -> Trace:
    """The records of a CSV, of JSON lines or (with `columns`) of a Parquet file, in file order, as one source.

    Args:
        path: for messages.
        contents: the file.
        limit: no more than this many records.
        columns: which column is which, for a layout of the user's own; see `flow_mapping`.

    Raises:
        NotATraceError: the header is of no known layout.
        InputError: columns of the layout or of the mapping are missing, or the file cannot be parsed.
    """
    if contents.format != "csv" or contents.buffer[:1].tobytes() == b"{":
        parse = parse_parquet_texts if contents.format == "parquet" else parse_json_lines
        table = parse(path, contents.buffer)
        header, delimiter = list(table.texts), None
        dialect = _dialect(path, header, str(header), columns)
        dialect = replace(dialect, name=dialect.name.replace("-csv", "-json"))
    else:
        head = read_head(contents.buffer)
        if columns is None:
            head, dialect, note = _recognise(path, head)
            contents = replace(contents, notes=(*contents.notes, *note))
        else:
            dialect = _dialect(path, [name.lower() for name in head.header], "", columns)
        header, delimiter = head.header, head.delimiter
        names = [name.strip().lower() for name in header]
        twice = sorted({name for name in names if names.count(name) > 1 and name in dialect.required})
        if twice:
            raise InputError(f"{path}: the columns {', '.join(twice)} stand twice in the header, keep one of each")
        wanted = None if dialect.others is None else {*dialect.required, *dialect.others}
        table = parse_csv(
            path, contents.buffer, names, delimiter, head.lines, wanted, _integers(dialect, names, head.first_row)
        )
        header = list(table.texts) if len(table.texts) > len(header) else header
    details: dict[str, object] = {"header": header, "delimiter": delimiter}
    return _trace(path, contents, dialect, table, limit, details, kind_of(columns or {}))


def _trace(
    path: str,
    contents: Contents,
    dialect: Dialect,
    table: TextTable,
    limit: int | None,
    details: dict[str, object],
    kind: str,
) -> Trace:
    """The usable rows of a table, converted; the others are counted."""
    flows = dialect.convert(table.texts)
    skipped = dict(table.skipped)
    usable = np.ones(table.rows, dtype=bool)
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
        details={**details, **flows.details},
    )
    made = make_trace(
        "packet" if kind == "packet" else "flow", flows.columns, categories=flows.categories, sources=[source]
    )
    return made if len(index) == table.rows else made.take(index)


def _integers(dialect: Dialect, names: list[str], row: list[str]) -> tuple[str, ...]:
    """The columns of the dialect's integers that hold one in this row."""
    cells = dict(zip(names, row, strict=False))
    return tuple(name for name in dialect.integers if cells.get(name, "").isdigit())


def _recognise(path: str, head: Head) -> tuple[Head, Dialect, tuple[str, ...]]:
    """The dialect of a text, and its header as it should be."""
    for row, lines in ((head.header, 0), (head.first_row, head.lines)):
        if lines == 0 and is_ugr16(row):
            return replace(head, header=list(UGR16_COLUMNS), lines=0), UGR16, ()
        fitted = unsw_columns(row)
        if fitted and not (lines and "stime" in (name.lower() for name in head.header)):
            return replace(head, header=fitted, lines=lines), UNSW_NB15, (_LEFT_OUT_HEADER,) if lines else ()
    names = [name.strip().lower() for name in head.header]
    return head, _dialect(path, names, head.delimiter.join(head.header), None), ()


def _dialect(path: str, names: list[str], shown: str, columns: Mapping[str, str] | None) -> Dialect:
    """The dialect with these column names (in lower case)."""
    if columns is not None:
        check_mapping(path, columns, names)
        return Dialect("mapped", (), (), lambda texts: from_mapping(texts, columns))
    dialect = find_dialect(path, names)
    if dialect is None:
        near = nearest_dialect(names)
        raise NotATraceError(
            f"{path}: not a trace (a text that begins with {shorten(shown)!r}), "
            f"{f'it would be {near}' if near else f'expected {READABLE}'}; "
            f"any other table is read with a mapping (columns)"
        )
    return dialect
