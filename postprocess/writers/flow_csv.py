"""Write flow records as text, a record a line, in the layouts of `flow_layouts`.

netshare-csv, nfdump-csv, cidds-csv, ugr16-csv (without a header line), zeek-csv
nfdump-short-csv, ton-iot-csv, cicflowmeter-csv, argus-csv
zeek-tsv    Zeek's own conn.log, with its lines that begin with `#`
zeek-json   the same, a JSON object a line
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from netshare.postprocess.writers.flow_columns import Columns
from netshare.postprocess.writers.flow_layouts import FLOW_LAYOUTS, FileStyle, Layout
from netshare.postprocess.writers.flow_losses import losses
from netshare.postprocess.writers.output import atomic_output
from netshare.preprocess.layouts.flow_forms import UNIT_NS
from netshare.preprocess.trace import Source, Trace

BATCH_RECORDS = 200_000
FLOW_TEXTS = tuple(FLOW_LAYOUTS)
_LABELS = {"label": "label", "type": "attack_type", "detailed-label": "attack_type"}
_ZEEK_TYPES = {
    "ts": "time", "id.orig_h": "addr", "id.orig_p": "port", "id.resp_h": "addr", "id.resp_p": "port", "proto": "enum",
    "duration": "interval", "local_orig": "bool", "local_resp": "bool", "tunnel_parents": "set[string]",
    **dict.fromkeys(("orig_bytes", "resp_bytes", "missed_bytes"), "count"),
    **dict.fromkeys(("orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes"), "count"),
}  # fmt: skip  # all others are strings


def write_flow_csv(trace: Trace, path: Path, *, layout_name: str, source: Source | None) -> list[str]:
    """Write a flow trace; returns what the layout cannot hold, one line each.

    Args:
        layout_name: one of `FLOW_TEXTS`.
        source: followed in header, delimiter, time unit and address format if its format is `layout_name`.
    """
    layout = FLOW_LAYOUTS[layout_name]
    mimicked = source if layout.mimics and source is not None and source.format == layout_name else None
    details: dict[str, Any] = {} if mimicked is None else mimicked.details
    header = _header(trace, layout, details)
    delimiter = details.get("delimiter", layout.table.delimiter)
    if layout.style is FileStyle.JSON_LINES:
        lines = _json_lines(trace, layout, header)
    else:
        lines = _delimited(trace, layout, header, delimiter, details)
    with atomic_output(path) as out:
        if layout.style is FileStyle.ZEEK_LOG:
            out.write(_zeek_head(trace, header))
        elif layout.style is FileStyle.DELIMITED and layout.table.has_header:
            out.write((delimiter.join(header) + "\n").encode())
        for block in lines:
            out.write(block)
        if layout.style is FileStyle.ZEEK_LOG:
            out.write(b"#close\t" + _zeek_date(trace["time"][-1:]))
    return losses(trace, layout, [name.strip().lower() for name in header], details)


def _header(trace: Trace, layout: Layout, details: dict[str, Any]) -> list[str]:
    if details.get("header"):
        return list(details["header"])
    return [*layout.table.header, *(name for name in layout.extra if _LABELS[name] in trace)]


def _batches(trace: Trace, layout: Layout, details: dict[str, Any]) -> Iterator[tuple[int, Columns]]:
    for start in range(0, len(trace), BATCH_RECORDS):
        rows = trace.take(np.arange(start, min(start + BATCH_RECORDS, len(trace))))
        yield len(rows), layout.columns(rows, {**details, "first_row": start})


def _delimited(
    trace: Trace, layout: Layout, header: list[str], delimiter: str, details: dict[str, Any]
) -> Iterator[pa.Buffer]:
    keys = [name.strip().lower() for name in header]
    for count, made in _batches(trace, layout, details):
        empty = {name: pa.repeat(layout.unset(name), count) for name in keys if name not in made}
        columns = [made.get(name, empty.get(name)) for name in keys]
        yield _as_text(pa.table(columns, names=[str(position) for position in range(len(keys))]), delimiter)


def _as_text(table: pa.Table, delimiter: str) -> pa.Buffer:
    """Rows of delimited text, without quotes unless a value holds a delimiter or a quote."""
    for style in ("none", "needed"):
        sink = pa.BufferOutputStream()
        options = pa_csv.WriteOptions(include_header=False, delimiter=delimiter, quoting_style=style)
        try:
            pa_csv.write_csv(table, sink, options)
        except pa.ArrowInvalid:
            continue
        break
    return sink.getvalue()


def _json_lines(trace: Trace, layout: Layout, header: list[str]) -> Iterator[bytes]:
    """Objects without the fields that are unset, as Zeek writes them."""
    for count, made in _batches(trace, layout, {}):
        parts: list[Any] = []
        for name in (key for key in header if key in made):
            values = made[name].cast(pa.string())
            lead = ("{" if not parts else ",") + json.dumps(name) + ":"
            if _ZEEK_TYPES.get(name, "string") in ("string", "addr", "enum"):
                member = pc.binary_join_element_wise(lead, _quoted(values), "")
                parts.append(pc.if_else(pc.equal(values, "-"), "", member))
            else:
                parts.append(pc.binary_join_element_wise(lead, values, ""))
        lines = pc.binary_join_element_wise(*parts, pa.repeat("}\n", count), "")
        yield "".join(lines.to_pylist()).encode()


def _quoted(values: pa.Array) -> pa.Array:
    """As JSON strings."""
    encoded = values.dictionary_encode()
    words = pa.array([json.dumps(word) for word in encoded.dictionary.to_pylist()], pa.string())
    return words.take(encoded.indices)


def _zeek_head(trace: Trace, header: list[str]) -> bytes:
    """The lines that Zeek puts before a log; it is opened when its first record begins, so that equal traces give
    equal files."""
    types = [_ZEEK_TYPES.get(name, "string") for name in header]
    lines = [
        "#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-", "#path\tconn",
        "#open\t" + _zeek_date(trace["time"][:1]).decode().strip(), "\t".join(["#fields", *header]),
        "\t".join(["#types", *types]),
    ]  # fmt: skip
    return ("\n".join(lines) + "\n").encode()


def _zeek_date(time: np.ndarray) -> bytes:
    seconds = np.append(time, 0)[0] // UNIT_NS["s"]
    text = str(np.datetime64(int(seconds), "s"))
    return (text.replace("T", "-").replace(":", "-") + "\n").encode()
