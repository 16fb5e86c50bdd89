"""What the columns of each NetFlow CSV layout mean in canonical terms; see `dialects` for the layouts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from netshare.preprocess.addresses import parse_addresses
from netshare.preprocess.layouts.csv_columns import (
    cast_all,
    category_codes,
    counts,
    date_times,
    nanoseconds,
    numbers,
    ports,
    ports_or_icmp,
    tcp_flags,
    time_unit,
)
from netshare.preprocess.protocols import ICMP, ICMPV6, protocol_number

_ENDS = ("orig", "resp")
UNSET = frozenset({"", "-", "(empty)"})


@dataclass
class FlowColumns:
    """Canonical columns of n rows, and which rows are unusable (bool[n] by reason)."""

    columns: dict[str, np.ndarray] = field(default_factory=dict)
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unusable: dict[str, np.ndarray] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    def put(self, name: str, parsed: tuple[np.ndarray, np.ndarray], source: str) -> None:
        """Set a column from (values, readable); `source` is its name in the file."""
        self.columns[name], readable = parsed
        self.unusable[f"{source} cannot be read"] = ~readable

    def put_category(self, name: str, texts: pa.Array, unset: frozenset[str]) -> None:
        """Set a column of codes and its categories."""
        self.columns[name], self.categories[name] = category_codes(texts, unset)


def from_netshare(texts: dict[str, pa.Array]) -> FlowColumns:
    """NetShare's layout: `type` alone is the label (as in ugr16); beside a `label` it is the attack type."""
    flows = FlowColumns()
    unit = time_unit(texts["ts"])
    flows.put("time", nanoseconds(texts["ts"], unit), "ts")
    put_five_tuple(flows, texts, "srcip", "dstip", "srcport", "dstport", "proto")
    put_duration(flows, texts["td"], "td")
    flows.put("packets", counts(texts["pkt"]), "pkt")
    flows.put("bytes", counts(texts["byt"]), "byt")
    nothing = frozenset({""})
    if "label" in texts:
        flows.put_category("label", texts["label"], nothing)
        if "type" in texts:
            flows.put_category("attack_type", texts["type"], nothing)
    elif "type" in texts:
        flows.put_category("label", texts["type"], nothing)
    flows.details = {
        "time_unit": unit,
        "duration_unit": "s",
        "address_format": _address_format(texts["srcip"]),
        "protocol_format": "number" if numbers(texts["proto"][:1])[1].all() else "name",
    }
    return flows


def from_nfdump(texts: dict[str, pa.Array]) -> FlowColumns:
    """nfdump's layout. Exporters count in the in- or in the out-counters: the pair that is not zero counts; where
    both are, the out-counters are the reverse direction's."""
    flows = FlowColumns()
    flows.put("time", date_times(texts["ts"]), "ts")
    put_five_tuple(flows, texts, "sa", "da", "sp", "dp", "pr")
    put_icmp_ports(flows, texts["dp"], "dp")
    put_duration(flows, texts["td"], "td")
    flows.put("packets", counts(texts["ipkt"]), "ipkt")
    flows.put("bytes", counts(texts["ibyt"]), "ibyt")
    if "opkt" in texts and "obyt" in texts:
        flows.put("packets_rev", counts(texts["opkt"]), "opkt")
        flows.put("bytes_rev", counts(texts["obyt"]), "obyt")
        only_out = (flows.columns["packets"] == 0) & (flows.columns["bytes"] == 0)
        for name in ("packets", "bytes"):
            out = flows.columns[f"{name}_rev"]
            flows.columns[name] = np.where(only_out, out, flows.columns[name])
            flows.columns[f"{name}_rev"] = np.where(only_out, 0, out)
        if not flows.columns["packets_rev"].any() and not flows.columns["bytes_rev"].any():
            del flows.columns["packets_rev"], flows.columns["bytes_rev"]  # a unidirectional source
    if "flg" in texts:
        flows.put("tcp_flags", tcp_flags(texts["flg"]), "flg")
    if "stos" in texts:
        put_tos(flows, texts["stos"], "stos")
    flows.details = {"time_unit": "text", "duration_unit": "s", "address_format": _address_format(texts["sa"])}
    return flows


def from_zeek(texts: dict[str, pa.Array]) -> FlowColumns:
    """Zeek's conn log: unset counters and durations are 0, ICMP between IPv6 addresses is ICMPv6, the responder's
    counters are the reverse direction's, `detailed-label` is the attack type."""
    flows = FlowColumns()
    flows.put("time", date_times(texts["ts"]), "ts")
    put_five_tuple(flows, texts, "id.orig_h", "id.resp_h", "id.orig_p", "id.resp_p", "proto")
    protocol = flows.columns["protocol"]
    flows.columns["protocol"] = np.where(
        (protocol == ICMP) & (flows.columns["ip_version"] == 6), np.uint8(ICMPV6), protocol
    )
    put_duration(flows, zero_where_unset(texts["duration"]), "duration")
    orig_bytes, resp_bytes = (f"{end}_ip_bytes" if f"{end}_ip_bytes" in texts else f"{end}_bytes" for end in _ENDS)
    pairs = {"packets": "orig_pkts", "bytes": orig_bytes, "packets_rev": "resp_pkts", "bytes_rev": resp_bytes}
    for name, source in pairs.items():
        if source in texts:
            flows.put(name, counts(zero_where_unset(texts[source])), source)
    if "label" in texts:
        flows.put_category("label", texts["label"], UNSET)
    if "detailed-label" in texts:
        flows.put_category("attack_type", texts["detailed-label"], UNSET)
    flows.details = {"time_unit": "s", "duration_unit": "s", "address_format": "text"}
    return flows


def from_nfdump_names(texts: dict[str, pa.Array]) -> FlowColumns:
    """nfdump's newer layouts, with spelt-out names: `-o csv` since 1.7.3 and `-o csv-fast`."""
    names = {"firstseen": "ts", "srcaddr": "sa", "dstaddr": "da", "srcport": "sp", "dstport": "dp", "proto": "pr",
             "flags": "flg", "srctos": "stos", "packets": "ipkt", "bytes": "ibyt", "duration": "td"}  # fmt: skip
    renamed = {new: texts[old] for old, new in names.items() if old in texts}
    if "td" in renamed:
        return from_nfdump(renamed)
    flows = from_nfdump({**renamed, "td": pa.array(["0"] * len(texts["firstseen"]), pa.string())})
    end, readable = date_times(texts["lastseen"])
    flows.put("duration", (end - flows.columns["time"], readable), "lastseen")
    flows.unusable["lastseen is before firstseen"] = flows.columns["duration"] < 0
    return flows


def put_five_tuple(
    flows: FlowColumns,
    texts: dict[str, pa.Array],
    src: str,
    dst: str,
    src_port: str | None,
    dst_port: str | None,
    protocol: str,
) -> None:
    """Set addresses, protocol, and ports where their columns are named."""
    versions = {}
    for end, name in (("src", src), ("dst", dst)):
        version, hi, lo, readable = parse_addresses(_integers_or_texts(texts[name]))
        versions[end] = version
        flows.columns[f"{end}_hi"], flows.columns[f"{end}_lo"] = hi, lo
        flows.unusable[f"{name} is no IP address"] = ~readable
    flows.columns["ip_version"] = versions["src"]
    flows.unusable["one address is IPv4, the other IPv6"] = versions["src"] != versions["dst"]
    for name, source in (("src_port", src_port), ("dst_port", dst_port)):
        if source is not None:
            flows.put(name, ports(texts[source]), source)
    number, known = protocol_number(texts[protocol].to_pandas())
    flows.columns["protocol"] = number
    flows.unusable[f"{protocol} is no known protocol"] = ~known


def put_icmp_ports(flows: FlowColumns, texts: pa.Array, source: str) -> None:
    """Set the destination port where nfdump prints ICMP's `type.code` in its place."""
    is_icmp = np.isin(flows.columns["protocol"], (ICMP, ICMPV6))
    flows.put("dst_port", ports_or_icmp(texts, is_icmp), source)


def put_tos(flows: FlowColumns, texts: pa.Array, source: str) -> None:
    """Set the type of service."""
    tos, readable = counts(texts)
    flows.put("tos", (tos.astype(np.uint8), readable & (tos <= 255)), source)


def put_duration(flows: FlowColumns, texts: pa.Array, source: str) -> None:
    """Set the duration from seconds; a negative one makes a row unusable."""
    flows.put("duration", nanoseconds(texts, "s"), source)
    flows.unusable[f"{source} is negative"] = flows.columns["duration"] < 0


def zero_where_unset(texts: pa.Array) -> pa.Array:
    """The texts with `0` where there is no value."""
    if not pa.types.is_string(texts.type):
        return texts
    return pc.if_else(pc.is_in(texts, value_set=pa.array(sorted(UNSET))), "0", texts)


def _integers_or_texts(texts: pa.Array) -> np.ndarray | pd.Series:
    """int64 where every text is an integer."""
    integers = cast_all(texts, pa.int64())
    return texts.to_pandas() if integers is None else integers.to_numpy()


def _address_format(texts: pa.Array) -> str:
    """How the file writes addresses: `int` or `text`."""
    return "int" if len(texts) and numbers(texts[:1])[1].all() else "text"
