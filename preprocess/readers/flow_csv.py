"""Flow records in text, the dialect told by the header line or, where there is none, by the first row.

| dialect | columns that it is known by | times |
|---|---|---|
| NetShare | srcip dstip srcport dstport proto ts td pkt byt, and label, type | number, unit by magnitude; td in s |
| nfdump csv | ts td sa da sp dp pr ipkt ibyt, and flg stos opkt obyt | texts, as UTC; td in s |
| nfdump csv, newer | firstSeen duration proto srcAddr srcPort dstAddr dstPort packets bytes | UTC texts or numbers |
| Zeek conn (its own log, JSON lines, CSV) | ts id.orig_h id.orig_p id.resp_h id.resp_p proto orig_pkts ... | seconds |
| UGR16, CIDDS, TON_IoT, CICFlowMeter, Argus, UNSW-NB15 | see `flow_datasets` | |

Ports of ICMP records stay as the exporter gives them. Rows with a value that cannot be read are left out and counted
by reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from netshare.preprocess.errors import InputError
from netshare.preprocess.readers.contents import READABLE, Contents, NotATraceError, Stream
from netshare.preprocess.readers.flow_datasets import (
    UGR16_COLUMNS,
    cic_missing,
    from_argus,
    from_cicflowmeter,
    from_cidds,
    from_ton_iot,
    from_ugr16,
    from_unsw,
    is_ugr16,
    unsw_columns,
)
from netshare.preprocess.readers.flow_dialects import (
    FlowColumns,
    from_netshare,
    from_nfdump,
    from_nfdump_names,
    from_zeek,
)
from netshare.preprocess.readers.flow_mapping import check_mapping, from_mapping, kind_of
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
from netshare.preprocess.trace import Source, Trace, make_trace

_SHOWN = 120  # characters of a header in messages
_LOOKED_AT = 1 << 16  # bytes by which a text is known
_LEFT_OUT_HEADER = "the header line does not fit the rows and is left out, they are read as UNSW-NB15's raw files"


@dataclass(frozen=True)
class Dialect:
    """A layout of flow records: how it is known, what it must have, and how it becomes columns. `others` are columns that
    are also read where they are there; None: any. `integers` are columns that hold nothing else in most files."""

    name: str
    known_by: tuple[str, ...]
    required: tuple[str, ...]
    convert: Callable[[dict[str, pa.Array]], FlowColumns]
    others: tuple[str, ...] | None = None
    integers: tuple[str, ...] = ()


_UGR16 = Dialect("ugr16-csv", UGR16_COLUMNS, UGR16_COLUMNS, from_ugr16, integers=("sp", "stos", "pkt", "byt"))
_UNSW = Dialect(
    "unsw-nb15-csv",
    ("srcip", "dstip", "stime"),
    ("srcip", "sport", "dstip", "dsport", "proto", "dur", "sbytes", "dbytes", "spkts", "dpkts", "stime"),
    from_unsw,
)
_CICFLOWMETER, _NFDUMP_SHORT = "cicflowmeter-csv", "nfdump-short-csv"
DIALECTS = (
    _UNSW,
    Dialect(
        "netshare-csv",
        ("srcip", "dstip"),
        ("srcip", "dstip", "srcport", "dstport", "proto", "ts", "td", "pkt", "byt"),
        from_netshare,
        integers=("ts", "srcport", "dstport", "pkt", "byt"),
    ),
    Dialect("nfdump-csv", ("sa", "da"), ("ts", "td", "sa", "da", "sp", "dp", "pr", "ipkt", "ibyt"), from_nfdump,
            ("flg", "stos", "opkt", "obyt"), integers=("sp", "ipkt", "ibyt", "stos", "opkt", "obyt")),
    Dialect(
        _NFDUMP_SHORT,
        ("firstseen", "srcaddr"),
        ("firstseen", "proto", "srcaddr", "srcport", "dstaddr", "dstport", "packets", "bytes"),
        from_nfdump_names,
    ),
    Dialect(
        "zeek-csv",
        ("id.orig_h", "id.resp_h"),
        ("ts", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "duration", "orig_pkts"),
        from_zeek,
        integers=("id.orig_p", "id.resp_p", "orig_pkts", "orig_ip_bytes"),
    ),
    Dialect(
        "cidds-csv",
        ("date first seen", "src ip addr"),
        ("date first seen", "duration", "proto", "src ip addr", "src pt", "dst ip addr", "dst pt", "packets", "bytes"),
        from_cidds,
    ),
    Dialect(
        "ton-iot-csv",
        ("src_ip", "dst_ip", "src_ip_bytes"),
        ("ts", "src_ip", "src_port", "dst_ip", "dst_port", "proto", "duration", "src_pkts", "src_ip_bytes", "dst_pkts",
         "dst_ip_bytes"),
        from_ton_iot,
    ),
    Dialect(
        "argus-csv",
        ("starttime", "srcaddr", "totpkts"),
        ("starttime", "dur", "proto", "srcaddr", "sport", "dstaddr", "dport", "totpkts", "totbytes"),
        from_argus,
    ),
    Dialect(_CICFLOWMETER, ("timestamp", "flow duration"), (), from_cicflowmeter),
    Dialect(_CICFLOWMETER, ("timestamp", "flow_duration"), (), from_cicflowmeter),
)  # fmt: skip


def is_text(head: bytes) -> bool:
    """Whether a file that begins so is text: no zero byte in its first 64 KiB, and not only white space."""
    start = head[:_LOOKED_AT]
    return b"\x00" not in start and bool(start.strip())


def is_known_table(head: bytes) -> bool:
    """Whether a file that begins so is a text with the columns of a dialect."""
    if not is_text(head):
        return False
    if head.startswith(b"{"):
        return _dialect_of(json_names(head)) is not None
    begin = read_head(np.frombuffer(head, np.uint8))
    return _without_header(begin) is not None or _dialect_of(_lowered(begin.header)) is not None


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
    if options.columns is None:
        head, dialect, note = _recognise(path, head)
        contents = replace(contents, notes=(*contents.notes, *note))
    else:
        dialect = _mapped(path, _lowered(head.header), options.columns)
    names = _lowered(head.header)
    twice = sorted({name for name in names if names.count(name) > 1 and name in dialect.required})
    if twice:
        raise InputError(f"{path}: the columns {', '.join(twice)} stand twice in the header, keep one of each")
    wanted = None if dialect.others is None else {*dialect.required, *dialect.others}
    layout = CsvLayout(tuple(names), head.delimiter, head.lines, wanted, _integers(dialect, names, head.first_row))
    table = parse_csv(path, contents.buffer, layout)
    header = list(table.texts) if len(table.texts) > len(head.header) else head.header
    return _trace(path, contents, dialect, table, options, {"header": header, "delimiter": head.delimiter})


def trace_of_table(path: str, contents: Contents, table: TextTable, options: ReadOptions) -> Trace:
    """The records of a table whose columns have names of their own: JSON lines or Parquet."""
    header = list(table.texts)
    mapping = options.columns
    dialect = _dialect(path, header, str(header)) if mapping is None else _mapped(path, header, mapping)
    dialect = replace(dialect, name=dialect.name.replace("-csv", "-json"))
    return _trace(path, contents, dialect, table, options, {"header": header, "delimiter": None})


def _trace(
    path: str,
    contents: Contents,
    dialect: Dialect,
    table: TextTable,
    options: ReadOptions,
    details: dict[str, object],
) -> Trace:
    """The usable rows of a table, converted; the others are counted."""
    flows = dialect.convert(table.texts)
    skipped = dict(table.skipped)
    usable = np.ones(table.rows, dtype=bool)
    for reason, bad in flows.unusable.items():
        if count := int(np.count_nonzero(bad & usable)):
            skipped[reason] = count
        usable &= ~bad
    index = np.flatnonzero(usable)[: options.limit]
    source = Source(
        path=path,
        format=dialect.name,
        records=len(index),
        skipped=skipped,
        notes=contents.notes,
        details={**details, **flows.details},
    )
    made = make_trace(kind_of(options.columns or {}), flows.columns, categories=flows.categories, sources=[source])
    return made if len(index) == table.rows else made.take(index)


def _integers(dialect: Dialect, names: list[str], row: list[str]) -> tuple[str, ...]:
    """The columns of the dialect's integers that hold one in this row."""
    cells = dict(zip(names, row, strict=False))
    return tuple(name for name in dialect.integers if cells.get(name, "").isdigit())


def _lowered(names: list[str]) -> list[str]:
    return [name.strip().lower() for name in names]


def _recognise(path: str, head: Head) -> tuple[Head, Dialect, tuple[str, ...]]:
    """The dialect of a text, and its header as it should be."""
    found = _without_header(head)
    if found is not None:
        return found
    return head, _dialect(path, _lowered(head.header), head.delimiter.join(head.header)), ()


def _without_header(head: Head) -> tuple[Head, Dialect, tuple[str, ...]] | None:
    """The dialect of a text that is known by a row of values, as `_recognise` gives it."""
    for row, lines in ((head.header, 0), (head.first_row, head.lines)):
        if lines == 0 and is_ugr16(row):
            return replace(head, header=list(UGR16_COLUMNS), lines=0), _UGR16, ()
        fitted = unsw_columns(row)
        if fitted and not (lines and "stime" in (name.lower() for name in head.header)):
            return replace(head, header=fitted, lines=lines), _UNSW, (_LEFT_OUT_HEADER,) if lines else ()
    return None


def _mapped(path: str, names: list[str], columns: Mapping[str, str]) -> Dialect:
    """The dialect that the user's mapping makes of a table with these column names (in lower case)."""
    check_mapping(path, columns, names)
    return Dialect("mapped", (), (), lambda texts: from_mapping(texts, columns))


def _dialect_of(names: list[str]) -> Dialect | None:
    """The first dialect that is known by some of these column names (in lower case)."""
    return next((d for d in DIALECTS if all(name in names for name in d.known_by)), None)


def _dialect(path: str, names: list[str], shown: str) -> Dialect:
    """The dialect with these column names (in lower case).

    Raises:
        NotATraceError: there is none.
        InputError: columns that it needs are missing.
    """
    dialect = _dialect_of(names)
    if dialect is None:
        near = _nearly(names)
        raise NotATraceError(
            f"{path}: not a trace (a text that begins with {_shorten(shown)!r}), "
            f"{f'it would be {near}' if near else f'expected {READABLE}'}; "
            f"any other table is read with a mapping (columns)"
        )
    missing = [name for name in dialect.required if name not in names]
    missing += cic_missing(names) if dialect.name == _CICFLOWMETER else []
    if dialect.name == _NFDUMP_SHORT and not {"duration", "lastseen"} & set(names):
        missing.append("duration (or lastSeen)")
    if missing:
        found = _shorten(", ".join(names))
        raise InputError(f"{path}: a {dialect.name} file without the columns {', '.join(missing)} (found {found})")
    return dialect


def _nearly(names: list[str]) -> str:
    """The layout of which most columns are there, and those that are not; empty where it is less than half of them."""
    wanted = [(d.name, list(dict.fromkeys((*d.known_by, *d.required)))) for d in DIALECTS]
    lacking = [(name, [n for n in columns if n not in names], len(columns)) for name, columns in wanted if columns]
    name, missing, of = min(lacking, key=lambda entry: len(entry[1]) / entry[2])
    return f"{name} with the columns {', '.join(missing)}" if 2 * len(missing) < of else ""


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


TEXT_TABLE = Reader("csv", None, read=read_text, recognises=is_known_table)
