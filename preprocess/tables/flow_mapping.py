"""Any table as a trace: the user names its columns.

    read_trace("odd.csv", columns={"time": "when:ms", "src": "from", "dst": "to", "bytes": "octets"})

Keys are canonical: `time` (start), `end`, `duration`, `src`, `dst` (addresses), `src_port`, `dst_port`, `protocol`,
`packets`, `bytes`, `packets_rev`, `bytes_rev`, `tcp_flags`, `tos`, `label`, `attack_type`. With `length` the rows are
packets, and their other columns (`ttl`, `ip_id`, `tcp_window` ...) have their names in `netshare.preprocess.columns`. After a
colon stands the unit of a time or duration: s, ms, us or ns. Without one, times are texts in UTC or numbers whose
unit follows from their magnitude, and durations seconds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from netshare.preprocess.columns import CATEGORY_COLUMNS, PACKET_COLUMNS, Kind
from netshare.preprocess.errors import InputError
from netshare.preprocess.layouts.flow_forms import UNIT_NS
from netshare.preprocess.tables.csv_columns import (
    abbreviated_counts,
    any_ports,
    counts,
    day_first_times,
    nanoseconds,
    tcp_flags,
)
from netshare.preprocess.tables.flow_columns import UNSET, FlowColumns, put_addresses, put_protocol, zero_where_unset

_TIMES = ("time", "end", "duration")
_ADDRESSES = ("src", "dst")
_PORTS = ("src_port", "dst_port")
_COUNTS = ("packets", "bytes", "packets_rev", "bytes_rev")
_FLOW_NAMES = (*_TIMES, *_ADDRESSES, *_PORTS, "protocol", *_COUNTS, "tcp_flags", "tos", *CATEGORY_COLUMNS)
_NUMBERS = tuple(
    name
    for name in PACKET_COLUMNS
    if name not in ("time", "epoch", "protocol", "ip_version", "tcp_flags", *_PORTS)
    and not name.endswith(("_hi", "_lo"))
)
_REQUIRED = ("time", "src", "dst")


def kind_of(columns: Mapping[str, str]) -> Kind:
    """What the rows are: packets where their length is named."""
    return "packet" if "length" in columns else "flow"


def check_mapping(path: str, columns: Mapping[str, str], names: list[str]) -> None:
    """Whether a mapping makes sense for a file with these column names.

    Raises:
        InputError: it names an unknown column on either side, or lacks one that every trace needs.
    """
    allowed = (*_FLOW_NAMES, *_NUMBERS)
    unknown = [name for name in columns if name not in allowed]
    if unknown:
        raise InputError(f"columns: {', '.join(unknown)} is no column of a trace, use one of {', '.join(allowed)}")
    lacking = [name for name in _REQUIRED if name not in columns]
    if lacking:
        raise InputError(f"columns: {', '.join(lacking)} must be named, every trace needs them")
    missing = [theirs for value in columns.values() if (theirs := _split_unit(value)[0]) not in names]
    if missing:
        raise InputError(f"{path}: without the columns {', '.join(missing)} that are named (found {', '.join(names)})")


def from_mapping(texts: dict[str, pa.Array], columns: Mapping[str, str]) -> FlowColumns:
    """Canonical columns by the user's mapping, which `check_mapping` has accepted."""
    flows = FlowColumns()
    named = {ours: texts[_split_unit(theirs)[0]] for ours, theirs in columns.items()}
    units = {ours: _split_unit(theirs)[1] for ours, theirs in columns.items()}
    source = {ours: _split_unit(theirs)[0] for ours, theirs in columns.items()}
    protocol = named.get("protocol", pa.array(["0"] * len(named["time"]), pa.string()))
    put_addresses(flows, {source[end]: named[end] for end in _ADDRESSES}, source["src"], source["dst"])
    put_protocol(flows, protocol, "protocol of the mapping")
    flows.put("time", _times(named["time"], units["time"]), source["time"])
    if "duration" in named:
        duration = nanoseconds(zero_where_unset(named["duration"]), units["duration"] or "s")
        flows.put("duration", duration, source["duration"])
    elif "end" in named:
        end, readable = _times(named["end"], units["end"])
        flows.put("duration", (end - flows.columns["time"], readable), source["end"])
    if "duration" in flows.columns:
        flows.unusable["a flow ends before it starts"] = flows.columns["duration"] < 0
    for name in _PORTS:
        if name in named:
            flows.put(name, any_ports(named[name]), source[name])
    for name in _COUNTS:
        if name in named:
            flows.put(name, abbreviated_counts(zero_where_unset(named[name])), source[name])
    for name in _NUMBERS:
        if name in named:
            values, readable = counts(zero_where_unset(named[name]))
            fits = readable & (values <= np.iinfo(PACKET_COLUMNS[name]).max)
            flows.put(name, (np.where(fits, values, 0).astype(PACKET_COLUMNS[name]), fits), source[name])
    if "tcp_flags" in named:
        flows.put("tcp_flags", tcp_flags(zero_where_unset(named["tcp_flags"])), source["tcp_flags"])
    for name in CATEGORY_COLUMNS:
        if name in named:
            flows.put_category(name, named[name], UNSET)
    flows.details["columns"] = dict(columns)
    return flows


def _split_unit(value: str) -> tuple[str, str | None]:
    """A column's name, in lower case, and its unit."""
    name, colon, unit = value.rpartition(":")
    if colon and unit in UNIT_NS:
        return name.strip().lower(), unit
    return value.strip().lower(), None


def _times(texts: pa.Array, unit: str | None) -> tuple[np.ndarray, np.ndarray]:
    return nanoseconds(texts, unit) if unit else day_first_times(texts)
