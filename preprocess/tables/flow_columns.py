"""Columns of texts as columns of a trace: each parsed in the form that its layout declares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from netshare.preprocess.addresses import parse_addresses
from netshare.preprocess.columns import CATEGORY_COLUMNS
from netshare.preprocess.layouts.flow_forms import Column, FlowTable, Form
from netshare.preprocess.protocols import ICMP, ICMPV6, protocol_number
from netshare.preprocess.tables.csv_columns import (
    abbreviated_counts,
    any_ports,
    cast_all,
    category_codes,
    counts,
    date_times,
    day_first_times,
    nanoseconds,
    numbers,
    ports,
    ports_or_icmp,
    tcp_flags,
    time_unit,
)

UNSET = frozenset({"", "-", "(empty)"})
Parsed = tuple[np.ndarray, np.ndarray]  # values[n], and bool[n], whether each could be read


def _seconds(texts: pa.Array) -> Parsed:
    return nanoseconds(texts, "s")


def _epoch_number(texts: pa.Array) -> Parsed:
    return nanoseconds(texts, time_unit(texts))


def _slashed_times(texts: pa.Array) -> Parsed:
    return date_times(pc.replace_substring_regex(texts, r"^(\d{4})/(\d\d)/(\d\d)[ T]?(\d\d:)", r"\1-\2-\3 \4"))


def _bytes(texts: pa.Array) -> Parsed:
    values, readable = counts(texts)
    return values.astype(np.uint8), readable & (values <= 255)


# Of all forms but those of addresses, protocols and labels, which give more than one column or none of their own.
_PARSERS: dict[Form, Callable[[pa.Array], Parsed]] = {
    Form.PORT: ports,
    Form.PORT_OR_ICMP: ports,
    Form.DOTTED_ICMP_PORT: ports,
    Form.LOOSE_PORT: any_ports,
    Form.UTC_TEXT: date_times,
    Form.UTC_SECONDS_TEXT: date_times,
    Form.SLASHED_TEXT: _slashed_times,
    Form.DAY_FIRST_TEXT: day_first_times,
    Form.EPOCH_SECONDS: date_times,
    Form.WHOLE_EPOCH_SECONDS: _seconds,
    Form.EPOCH_NUMBER: _epoch_number,
    Form.SECONDS: _seconds,
    Form.MILLI_SECONDS: _seconds,
    Form.MICRO_SECONDS: _seconds,
    Form.WHOLE_MICROSECONDS: lambda texts: nanoseconds(texts, "us"),
    Form.COUNT: counts,
    Form.ABBREVIATED_COUNT: abbreviated_counts,
    Form.FLAG_LETTERS: tcp_flags,
    Form.SIX_FLAG_LETTERS: tcp_flags,
    Form.FLAG_NUMBER: tcp_flags,
    Form.BYTE: _bytes,
}
_REST = ("packets", "bytes", "packets_rev", "bytes_rev", "packets_both", "bytes_both", "tcp_flags", "tos")


@dataclass
class FlowColumns:
    """Columns of a trace of n records, and which of them are unusable (bool[n] by reason)."""

    columns: dict[str, np.ndarray] = field(default_factory=dict)
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unusable: dict[str, np.ndarray] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    def put(self, name: str, parsed: Parsed, source: str) -> None:
        """Set a column from (values, readable); `source` is its name in the file."""
        self.columns[name], readable = parsed
        self.unusable[f"{source} cannot be read"] = ~readable

    def put_category(self, name: str, texts: pa.Array, unset: frozenset[str]) -> None:
        """Set a column of codes and its categories."""
        self.columns[name], self.categories[name] = category_codes(texts, unset)


def read_columns(table: FlowTable, texts: dict[str, pa.Array]) -> FlowColumns:
    """The trace's columns in a table of this layout.

    A row's first value that cannot be read is the reason for which it is left out, in this order: time, addresses,
    ports, protocol, duration, counters, flags.
    """
    flows = FlowColumns()
    found = {column.holds: (column, name) for column in table.columns if (name := name_in(column, texts)) is not None}
    loose = {holds for holds in ("src_port", "dst_port") if found[holds][0].form is Form.LOOSE_PORT}
    if "time" in found:
        _put(flows, texts, *found["time"])
    put_addresses(flows, texts, found["src"][1], found["dst"][1])
    for holds in ("src_port", "dst_port"):
        if holds not in loose:
            _put(flows, texts, *found[holds])
    protocol = found["protocol"][1]
    put_protocol(flows, texts[protocol], protocol)
    port, name = found["dst_port"]
    if port.form in (Form.PORT_OR_ICMP, Form.DOTTED_ICMP_PORT):
        is_icmp = np.isin(flows.columns["protocol"], (ICMP, ICMPV6))
        flows.put("dst_port", ports_or_icmp(texts[name], is_icmp), name)
    for holds in ("src_port", "dst_port"):
        if holds in loose:
            _put(flows, texts, *found[holds])
    _put_duration(flows, texts, found)
    for holds in _REST:
        if holds in found:
            _put(flows, texts, *found[holds])
    for holds in CATEGORY_COLUMNS:
        if holds in found:
            flows.put_category(holds, texts[found[holds][1]], table.unset_labels)
    return flows


def name_in(column: Column, texts: dict[str, pa.Array]) -> str | None:
    """The name that a column has in a table, None where it is not there."""
    return next((name for name in column.keys if name in texts), None)


def put_addresses(flows: FlowColumns, texts: dict[str, pa.Array], src: str, dst: str) -> None:
    """Set the addresses and their version, from the columns of these names."""
    versions = {}
    for end, name in (("src", src), ("dst", dst)):
        version, hi, lo, readable = parse_addresses(_integers_or_texts(texts[name]))
        versions[end] = version
        flows.columns[f"{end}_hi"], flows.columns[f"{end}_lo"] = hi, lo
        flows.unusable[f"{name} is no IP address"] = ~readable
    flows.columns["ip_version"] = versions["src"]
    flows.unusable["one address is IPv4, the other IPv6"] = versions["src"] != versions["dst"]


def put_protocol(flows: FlowColumns, texts: pa.Array, source: str) -> None:
    """Set the protocol from names or numbers; `source` is the column's name in the file."""
    flows.columns["protocol"], known = protocol_number(texts.to_pandas())
    flows.unusable[f"{source} is no known protocol"] = ~known


def address_format(texts: pa.Array) -> str:
    """How the file writes addresses: `int` or `text`."""
    return "int" if len(texts) and numbers(texts[:1])[1].all() else "text"


def zero_where_unset(texts: pa.Array) -> pa.Array:
    """The texts with `0` where there is no value."""
    if not pa.types.is_string(texts.type):
        return texts
    return pc.if_else(pc.is_in(texts, value_set=pa.array(sorted(UNSET))), "0", texts)


def _put(flows: FlowColumns, texts: dict[str, pa.Array], column: Column, name: str) -> None:
    values = zero_where_unset(texts[name]) if column.may_be_unset else texts[name]
    flows.put(column.holds, _PARSERS[column.form](values), name)


def _put_duration(flows: FlowColumns, texts: dict[str, pa.Array], found: dict[str, tuple[Column, str]]) -> None:
    """Set the duration, or what is missing of start and duration from the end; a negative one makes a row unusable."""
    if "duration" in found:
        _put(flows, texts, *found["duration"])
        flows.unusable[f"{found['duration'][1]} is negative"] = flows.columns["duration"] < 0
        if "time" in found:
            return
    column, name = found["end"]
    end, readable = _PARSERS[column.form](texts[name])
    if "duration" in found:
        flows.put("time", (end - flows.columns["duration"], readable), name)
    else:
        flows.put("duration", (end - flows.columns["time"], readable), name)
        flows.unusable[f"{name} is before {found['time'][1]}"] = flows.columns["duration"] < 0


def _integers_or_texts(texts: pa.Array) -> np.ndarray | pd.Series:
    """int64 where every text is an integer."""
    integers = cast_all(texts, pa.int64())
    return texts.to_pandas() if integers is None else integers.to_numpy()
