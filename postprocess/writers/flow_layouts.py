"""The layouts of flow records that are written: each a table, and what it has beyond one column after the other.

A new layout is a `FlowTable` in `preprocess.layouts.flow_tables`, and its place in `FLOW_LAYOUTS`. Columns that a trace
does not know (services, states, statistics of packets) hold what the layout writes for "unset".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from netshare.postprocess.writers.flow_columns import (
    Columns,
    addresses,
    category_texts,
    date_times,
    seconds_text,
    values_or_zeros,
    write_columns,
)
from netshare.preprocess.layouts.flow_forms import UNIT_NS, FlowTable
from netshare.preprocess.layouts.flow_tables import (
    ARGUS,
    CICFLOWMETER,
    CIDDS,
    NETSHARE,
    NFDUMP,
    NFDUMP_SHORT,
    TON_IOT,
    UGR16,
    ZEEK,
    ZEEK_LOG_HEADER,
)
from netshare.preprocess.trace import FIVE_TUPLE, Trace

_FIXED_COLUMNS = ("time", "duration", *FIVE_TUPLE)  # what every layout holds


class FileStyle(Enum):
    """What a file of records is."""

    DELIMITED = auto()  # a header line, if the table has one, and a line a record
    ZEEK_LOG = auto()  # the same between Zeek's lines that begin with `#`
    JSON_LINES = auto()  # an object a record, without what is unset


@dataclass(frozen=True)
class Layout:
    """How a layout is written.

    Attributes:
        table: its columns.
        more: further columns of a trace, or columns in other forms, given the details of the source that is mimicked and
            `first_row`, the number of the trace's first record in the file.
        mimics: whether the header, delimiter and forms of a source in this layout are followed.
        extra: columns that are written after the header where the trace holds something for them.
        style: what the file is.
        caveats: further things of a trace that are not kept, one line each.
    """

    table: FlowTable
    more: Callable[[Trace, dict[str, Any]], Columns] | None = None
    mimics: bool = True
    extra: tuple[str, ...] = ()
    style: FileStyle = FileStyle.DELIMITED
    caveats: Callable[[Trace], list[str]] | None = None

    def columns(self, trace: Trace, details: dict[str, Any]) -> Columns:
        """The layout's columns of a trace, by their names in lower case."""
        return write_columns(self.table, trace, {} if self.more is None else self.more(trace, details))

    @property
    def held(self) -> dict[str, str]:
        """For each column of a trace the one of the layout that holds it, in lower case; what is not there is lost."""
        first = self.table.columns[0].keys[0]
        held = dict.fromkeys(_FIXED_COLUMNS, first)
        for column in self.table.columns:
            name = column.holds.removesuffix("_both")
            if name not in ("src", "dst", "end"):
                held.setdefault(name, column.keys[0])
            if name != column.holds:
                held[f"{name}_rev"] = column.keys[0]
        return held

    def unset(self, name: str) -> str:
        """What stands in a column that the trace does not know."""
        return self.table.unset.get(name, self.table.unset_else)


def _netshare(trace: Trace, details: dict[str, Any]) -> Columns:
    """Times, addresses and protocols in the forms of the source; `type` is the label where there is no other column."""
    made: Columns = {"td": pa.array(trace["duration"] / 1e9)}
    unit = details.get("time_unit", "us")
    made["ts"] = seconds_text(trace["time"], 9) if unit == "s" else pa.array(trace["time"] // UNIT_NS.get(unit, 1000))
    if details.get("address_format") == "int" and not (trace["ip_version"] == 6).any():
        made |= {"srcip": pa.array(trace["src_lo"]), "dstip": pa.array(trace["dst_lo"])}
    if details.get("protocol_format") == "number":
        made["proto"] = pa.array(trace["protocol"])
    header = [name.strip().lower() for name in details.get("header", ())]
    if header and "label" not in header:
        made["type"] = category_texts(trace, "label", "")
    return made


def _nfdump(trace: Trace, details: dict[str, Any]) -> Columns:
    """The end and the reception of a record; counters of the reverse direction only where there are both."""
    end = date_times(trace["time"] + trace["duration"])
    made = {"te": end, "tr": end}
    if "packets_rev" not in trace or "bytes_rev" not in trace:
        zeros = pa.array(np.zeros(len(trace), dtype=np.int64))
        made |= {"opkt": zeros, "obyt": zeros}
    return made


def _nfdump_short(trace: Trace, details: dict[str, Any]) -> Columns:
    """Rates: bits a second and bytes a packet."""
    seconds = np.maximum(trace["duration"] / UNIT_NS["s"], 1e-3)
    return {
        "bps": pa.array(np.where(trace["duration"] > 0, trace["bytes"] * 8 / seconds, 0).astype(np.int64)),
        "bpp": pa.array(trace["bytes"] // np.maximum(trace["packets"], 1)),
        "flows": pa.repeat("1", len(trace)),
    }


def _zeek_log(trace: Trace, details: dict[str, Any]) -> Columns:
    """A unique name for each connection."""
    number = pc.utf8_lpad(pa.array(np.arange(len(trace)) + details.get("first_row", 0)).cast(pa.string()), 17, "0")
    return {"uid": pc.binary_join_element_wise("C", number, "")}


def _cidds(trace: Trace, details: dict[str, Any]) -> Columns:
    return {"flows": pa.repeat("1", len(trace))}


def _cicflowmeter(trace: Trace, details: dict[str, Any]) -> Columns:
    """The five-tuple as one text."""
    made = {f"{side} ip": pa.array(addresses(trace, side)) for side in ("src", "dst")}
    numbers = (pa.array(trace[name]).cast(pa.string()) for name in ("src_port", "dst_port", "protocol"))
    return {**made, "flow id": pc.binary_join_element_wise(*made.values(), *numbers, "-")}


def _cicflowmeter_caveats(trace: Trace) -> list[str]:
    return ["bytes: those of IP packets, where CICFlowMeter counts payloads"]


def _json_caveats(trace: Trace) -> list[str]:
    if not (trace["time"] % UNIT_NS["us"] > 0).any():
        return []
    return ["times are numbers, which most JSON readers (ours too) keep to a microsecond"]


def _argus(trace: Trace, details: dict[str, Any]) -> Columns:
    both = pa.array(values_or_zeros(trace, "packets_rev") > 0)
    return {"dir": pc.if_else(both, "  <->", "   ->")}


_ZEEK_LOG = replace(
    ZEEK,
    name="zeek-tsv",
    header=ZEEK_LOG_HEADER,
    delimiter="\t",
)
_ZEEK_LABELS = ("label", "detailed-label")
FLOW_LAYOUTS: dict[str, Layout] = {
    "netshare-csv": Layout(NETSHARE, _netshare, extra=("label", "type")),
    "nfdump-csv": Layout(NFDUMP, _nfdump),
    "cidds-csv": Layout(CIDDS, _cidds),
    "ugr16-csv": Layout(UGR16),
    "zeek-csv": Layout(ZEEK),
    "zeek-tsv": Layout(_ZEEK_LOG, _zeek_log, extra=_ZEEK_LABELS, style=FileStyle.ZEEK_LOG),
    # The publishers' files of these have columns that a trace does not know: their headers are not followed.
    "nfdump-short-csv": Layout(NFDUMP_SHORT, _nfdump_short, mimics=False),
    "ton-iot-csv": Layout(TON_IOT, mimics=False),
    "cicflowmeter-csv": Layout(CICFLOWMETER, _cicflowmeter, mimics=False, caveats=_cicflowmeter_caveats),
    "argus-csv": Layout(ARGUS, _argus, mimics=False),
    "zeek-json": Layout(
        replace(_ZEEK_LOG, name="zeek-json"),
        _zeek_log,
        extra=_ZEEK_LABELS,
        style=FileStyle.JSON_LINES,
        caveats=_json_caveats,
    ),
}
