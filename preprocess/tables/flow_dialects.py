"""The dialects of flow records in text: each a layout, and what reading it needs beside the forms of its columns.

| dialect | times | what its counters hold |
|---|---|---|
| NetShare | number, unit by magnitude | IP packets and bytes of one direction |
| nfdump csv, older and newer | UTC text | the same, or both directions |
| UGR16 (13 columns, no header) | end, as UTC text | of one direction |
| Zeek conn (its own log, JSON lines, CSV) | start, s | both directions, IP bytes |
| CIDDS-001/002 | start, as UTC text | of one direction; bytes may read `1.2 M`; addresses may be pseudonyms, `10001_34` |
| TON_IoT | start, s | Zeek's |
| CICFlowMeter | start, day first; duration in us | both directions; bytes are of payloads only |
| Argus binetflow | start, text | the sum of both directions (split where the file has both), link layer included |
| UNSW-NB15 | start, s | both directions |

A new dialect is a `FlowTable` in `preprocess.layouts.flow_tables`, and its place in `DIALECTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from netshare.preprocess.addresses import parse_addresses
from netshare.preprocess.errors import InputError
from netshare.preprocess.layouts.flow_forms import FlowTable
from netshare.preprocess.layouts.flow_tables import (
    ARGUS,
    CICFLOWMETER,
    CIDDS,
    NETSHARE,
    NFDUMP,
    NFDUMP_SHORT,
    TON_IOT,
    UGR16,
    UNSW,
    UNSW_COLUMNS,
    ZEEK,
)
from netshare.preprocess.protocols import ICMP, ICMPV6
from netshare.preprocess.tables.csv_columns import numbers, time_unit
from netshare.preprocess.tables.flow_columns import FlowColumns, address_format, read_columns

Texts = dict[str, pa.Array]  # columns of texts by name in lower case

_MESSAGE_CHARACTERS = 120  # characters of a header in messages
_ARGUS_PROTOCOLS = {"rtp": "udp", "rtcp": "udp", "udt": "udp", "ipnip": "ipip"}
_PSEUDONYM_BASE = 240 << 24  # 240.0.0.0/4, reserved (RFC 1112, 4): pseudonyms cannot meet a real address there
_CIDDS_NAMES = ("EXT_SERVER", "OPENSTACK_NET", "DNS", "ATTACKER1", "ATTACKER2", "ATTACKER3")


@dataclass(frozen=True)
class Dialect:
    """How a layout is read.

    Attributes:
        table: the layout.
        prepare: changes the texts before they are parsed.
        finish: completes the columns, given the texts.
    """

    table: FlowTable
    prepare: Callable[[Texts], Texts] | None = None
    finish: Callable[[FlowColumns, Texts], None] | None = None

    def convert(self, texts: Texts) -> FlowColumns:
        """The trace's columns of a table."""
        texts = texts if self.prepare is None else self.prepare(texts)
        flows = read_columns(self.table, texts)
        if self.finish is not None:
            self.finish(flows, texts)
        return flows


def _finish_netshare(flows: FlowColumns, texts: Texts) -> None:
    """`type` alone is the label (as in ugr16); beside a `label` it is the attack type."""
    if "type" in texts and "label" not in texts:
        flows.columns["label"] = flows.columns.pop("attack_type")
        flows.categories["label"] = flows.categories.pop("attack_type")
    flows.details = {
        "time_unit": time_unit(texts["ts"]),
        "duration_unit": "s",
        "address_format": address_format(texts["srcip"]),
        "protocol_format": "number" if numbers(texts["proto"][:1])[1].all() else "name",
    }


def _both_counters(texts: Texts, first: str, second: str) -> Texts:
    """The texts without either of two columns where the other one is not there."""
    if first in texts and second in texts:
        return texts
    return {name: values for name, values in texts.items() if name not in (first, second)}


def _finish_nfdump(flows: FlowColumns, texts: Texts) -> None:
    """Exporters count in the in- or in the out-counters: the pair that is not zero counts; where both are, the
    out-counters are the reverse direction's."""
    flows.details = {
        "time_unit": "text",
        "duration_unit": "s",
        "address_format": address_format(texts["sa"] if "sa" in texts else texts["srcaddr"]),
    }
    if "packets_rev" not in flows.columns:
        return
    only_out = (flows.columns["packets"] == 0) & (flows.columns["bytes"] == 0)
    for name in ("packets", "bytes"):
        out = flows.columns[f"{name}_rev"]
        flows.columns[name] = np.where(only_out, out, flows.columns[name])
        flows.columns[f"{name}_rev"] = np.where(only_out, 0, out)
    if not flows.columns["packets_rev"].any() and not flows.columns["bytes_rev"].any():
        del flows.columns["packets_rev"], flows.columns["bytes_rev"]  # a unidirectional source


def _finish_zeek(flows: FlowColumns, texts: Texts) -> None:
    """ICMP between IPv6 addresses is ICMPv6."""
    protocol = flows.columns["protocol"]
    is_icmpv6 = (protocol == ICMP) & (flows.columns["ip_version"] == 6)
    flows.columns["protocol"] = np.where(is_icmpv6, np.uint8(ICMPV6), protocol)
    flows.details = {"time_unit": "s", "duration_unit": "s", "address_format": "text"}


def _prepare_cidds(texts: Texts) -> Texts:
    """A pseudonym of an address becomes an address of 240.0.0.0/4: `10001_34` 240.39.17.34, a name such as `EXT_SERVER`
    250.0.0.n."""
    return {**texts, **{name: _real_addresses(texts[name]) for name in ("src ip addr", "dst ip addr")}}


def _finish_cicflowmeter(flows: FlowColumns, texts: Texts) -> None:
    flows.details["bytes_count"] = "payload"


def _prepare_argus(texts: Texts) -> Texts:
    """rtp, rtcp and udt are UDP to Argus."""
    return _both_counters({**texts, "proto": _ip_protocols(texts["proto"])}, "srcpkts", "srcbytes")


def _finish_argus(flows: FlowColumns, texts: Texts) -> None:
    """The sum of both directions less the source's is the reverse direction's; where only the sum is known, it counts
    as the source's."""
    for name in ("packets", "bytes"):
        both = flows.columns.pop(f"{name}_both")
        if "srcpkts" in texts:
            flows.columns[f"{name}_rev"] = both - flows.columns[name]
        else:
            flows.columns[name] = both


def _prepare_unsw(texts: Texts) -> Texts:
    return {**texts, "proto": _ip_protocols(texts["proto"])}


_UGR16, _UNSW = Dialect(UGR16, finish=_finish_nfdump), Dialect(UNSW, prepare=_prepare_unsw)
# Asked in this order: UNSW-NB15's columns hold NetShare's.
DIALECTS = (
    _UNSW,
    Dialect(NETSHARE, finish=_finish_netshare),
    Dialect(NFDUMP, lambda texts: _both_counters(texts, "opkt", "obyt"), _finish_nfdump),
    Dialect(NFDUMP_SHORT, finish=_finish_nfdump),
    Dialect(ZEEK, finish=_finish_zeek),
    Dialect(CIDDS, prepare=_prepare_cidds),
    Dialect(TON_IOT),
    Dialect(ARGUS, _prepare_argus, _finish_argus),
    Dialect(CICFLOWMETER, finish=_finish_cicflowmeter),
)


def dialect_of_names(names: list[str]) -> Dialect | None:
    """The first dialect that is known by some of these column names (in lower case)."""
    return next((d for d in DIALECTS if any(all(name in names for name in known) for known in d.table.known_by)), None)


def find_dialect(path: str, names: list[str]) -> Dialect | None:
    """As `dialect_of_names`, of a table that is to be read; `path` is for messages.

    Raises:
        InputError: columns that the dialect needs are missing.
    """
    dialect = dialect_of_names(names)
    if dialect is None:
        return None
    table = dialect.table
    missing = [
        column.keys[0] for column in table.columns if column.required and not any(key in names for key in column.keys)
    ]
    duration, end = table.column("duration"), table.column("end")
    if duration and end and not any(key in names for key in (*duration.keys, *end.keys)):
        missing.append(f"{duration.names[0]} (or {end.names[0]})")
    if missing:
        found = shorten(", ".join(names))
        raise InputError(f"{path}: a {table.name} file without the columns {', '.join(missing)} (found {found})")
    return dialect


def nearest_dialect(names: list[str]) -> str:
    """The layout of which most columns are there, and those that are not; empty where it is less than half of them."""
    wanted = [(d.table.name, list(dict.fromkeys((*d.table.known_by[0], *d.table.required)))) for d in DIALECTS]
    lacking = [(name, [n for n in columns if n not in names], len(columns)) for name, columns in wanted]
    name, missing, of = min(lacking, key=lambda entry: len(entry[1]) / entry[2])
    return f"{name} with the columns {', '.join(missing)}" if 2 * len(missing) < of else ""


def shorten(text: str) -> str:
    """The text as a message of one line shows it."""
    return text if len(text) <= _MESSAGE_CHARACTERS else text[:_MESSAGE_CHARACTERS] + "..."


def dialect_of_values(row: list[str]) -> tuple[Dialect, list[str]] | None:
    """The dialect that is known by a row of values, and the columns of such a row."""
    if _is_ugr16(row):
        return _UGR16, list(UGR16.header)
    columns = _unsw_columns(row)
    return None if columns is None else (_UNSW, columns)


def _is_ugr16(row: list[str]) -> bool:
    """Whether a row without header is UGR16's."""
    return len(row) == len(UGR16.header) and _is_time(row[0]) and all(_is_address(text) for text in row[2:4])


def _unsw_columns(row: list[str]) -> list[str] | None:
    """The columns of a row of UNSW-NB15's raw files, None where it is none. Copies lack some of the last columns: what
    stands behind the times then has no name."""
    if not 45 <= len(row) <= len(UNSW_COLUMNS) or not (_has_dots(row[0]) and _has_dots(row[2])):
        return None
    if not all(text.isdigit() and len(text) == 10 for text in row[28:30]):
        return None
    if len(row) == len(UNSW_COLUMNS):
        return list(UNSW_COLUMNS)
    return [*UNSW_COLUMNS[:30], *(f"column {at}" for at in range(31, len(row) + 1))]


def _ip_protocols(texts: pa.Array) -> pa.Array:
    """Argus' names of protocols, with those that it knows by their content under the name of what carries them."""
    for name, carrier in _ARGUS_PROTOCOLS.items():
        texts = pc.if_else(pc.equal(pc.utf8_lower(texts), name), carrier, texts)
    return texts


def _is_time(text: str) -> bool:
    return not pd.isna(pd.to_datetime(text, format="ISO8601", errors="coerce")) and "-" in text


def _is_address(text: str) -> bool:
    return _has_dots(text) or bool(parse_addresses([text])[3].all() and ":" in text)


def _has_dots(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 4 and all(part.isdecimal() for part in parts)


def _real_addresses(texts: pa.Array) -> pa.Array:
    """Texts in which a pseudonym is the address that stands for it."""
    codes, distinct = pd.factorize(texts.to_pandas())
    addresses = [_real_address(str(text)) for text in distinct]
    return pa.array(np.array([*addresses, ""], dtype=object)[codes], pa.string())


def _real_address(text: str) -> str:
    network, _, host = text.partition("_")
    if network.isdecimal() and host.isdecimal() and int(network) < 1 << 16 and int(host) < 256:
        number = _PSEUDONYM_BASE + int(network) * 256 + int(host)
    elif text in _CIDDS_NAMES:
        number = _PSEUDONYM_BASE + (10 << 24) + _CIDDS_NAMES.index(text) + 1
    else:
        return text
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
