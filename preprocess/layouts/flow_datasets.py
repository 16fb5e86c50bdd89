"""What the columns of public NetFlow data sets mean in canonical terms: CIDDS, TON_IoT, CICFlowMeter, Argus, UNSW-NB15.

| dialect | times | what its counters hold |
|---|---|---|
| UGR16 (13 columns, no header) | end, as UTC text | IP packets and bytes of one direction |
| CIDDS-001/002 | start, as UTC text | the same; bytes may read `1.2 M`; addresses may be pseudonyms, `10001_34` |
| TON_IoT | start, s | Zeek's: both directions, IP bytes |
| CICFlowMeter | start, day first; duration in us | both directions; bytes are of payloads only |
| Argus binetflow | start, text | the sum of both directions (split where the file has both), link layer included |
| UNSW-NB15 | start, s | both directions |
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from netshare.preprocess.addresses import parse_addresses
from netshare.preprocess.layouts.csv_columns import (
    abbreviated_counts,
    any_ports,
    counts,
    date_times,
    day_first_times,
    nanoseconds,
    tcp_flags,
)
from netshare.preprocess.layouts.flow_dialects import (
    UNSET,
    FlowColumns,
    from_nfdump,
    put_duration,
    put_five_tuple,
    put_icmp_ports,
    put_tos,
    zero_where_unset,
)

UGR16_COLUMNS = ("te", "td", "sa", "da", "sp", "dp", "pr", "flg", "fwd", "stos", "pkt", "byt", "label")
UNSW_COLUMNS = (
    "srcip", "sport", "dstip", "dsport", "proto", "state", "dur", "sbytes", "dbytes", "sttl", "dttl", "sloss", "dloss",
    "service", "sload", "dload", "spkts", "dpkts", "swin", "dwin", "stcpb", "dtcpb", "smeansz", "dmeansz",
    "trans_depth", "res_bdy_len", "sjit", "djit", "stime", "ltime", "sintpkt", "dintpkt", "tcprtt", "synack", "ackdat",
    "is_sm_ips_ports", "ct_state_ttl", "ct_flw_http_mthd", "is_ftp_login", "ct_ftp_cmd", "ct_srv_src", "ct_srv_dst",
    "ct_dst_ltm", "ct_src_ltm", "ct_src_dport_ltm", "ct_dst_sport_ltm", "ct_dst_src_ltm", "attack_cat", "label",
)  # fmt: skip
_ARGUS_PROTOCOLS = {"rtp": "udp", "rtcp": "udp", "udt": "udp", "ipnip": "ipip"}
_CIDDS_UNSET = frozenset({"", "---"})
_BASE = 240 << 24  # 240.0.0.0/4, reserved (RFC 1112, 4): pseudonyms cannot meet a real address there
_CIDDS_NAMES = ("EXT_SERVER", "OPENSTACK_NET", "DNS", "ATTACKER1", "ATTACKER2", "ATTACKER3")


def from_ugr16(texts: dict[str, pa.Array]) -> FlowColumns:
    """UGR16 as published: nfdump's columns with the end of a flow instead of its start, and a label."""
    end, readable = date_times(texts["te"])
    flows = from_nfdump({**texts, "ts": texts["te"], "ipkt": texts["pkt"], "ibyt": texts["byt"]})
    flows.put("time", (end - flows.columns["duration"], readable), "te")
    flows.put_category("label", texts["label"], UNSET)
    return flows


def from_cidds(texts: dict[str, pa.Array]) -> FlowColumns:
    """CIDDS: nfdump's long output with spelt-out names. A pseudonym of an address becomes an address of 240.0.0.0/4:
    `10001_34` 240.39.17.34, a name such as `EXT_SERVER` 250.0.0.n."""
    flows = FlowColumns()
    flows.put("time", date_times(texts["date first seen"]), "date first seen")
    ends = {name: _real_addresses(texts[name]) for name in ("src ip addr", "dst ip addr")}
    put_five_tuple(flows, {**texts, **ends}, "src ip addr", "dst ip addr", "src pt", "dst pt", "proto")
    put_icmp_ports(flows, texts["dst pt"], "dst pt")
    put_duration(flows, texts["duration"], "duration")
    flows.put("packets", abbreviated_counts(texts["packets"]), "packets")
    flows.put("bytes", abbreviated_counts(texts["bytes"]), "bytes")
    if "flags" in texts:
        flows.put("tcp_flags", tcp_flags(texts["flags"]), "flags")
    if "tos" in texts:
        put_tos(flows, texts["tos"], "tos")
    label = next((name for name in ("class", "label") if name in texts), None)
    if label:
        flows.put_category("label", texts[label], _CIDDS_UNSET)
    if "attacktype" in texts:
        flows.put_category("attack_type", texts["attacktype"], _CIDDS_UNSET)
    return flows


def from_ton_iot(texts: dict[str, pa.Array]) -> FlowColumns:
    """TON_IoT's network data: Zeek's counters under other names; `label` 0 or 1, `type` the attack."""
    flows = FlowColumns()
    flows.put("time", date_times(texts["ts"]), "ts")
    put_five_tuple(flows, texts, "src_ip", "dst_ip", "src_port", "dst_port", "proto")
    put_duration(flows, zero_where_unset(texts["duration"]), "duration")
    pairs = {"packets": "src_pkts", "bytes": "src_ip_bytes", "packets_rev": "dst_pkts", "bytes_rev": "dst_ip_bytes"}
    for name, source in pairs.items():
        flows.put(name, counts(zero_where_unset(texts[source])), source)
    for name, source in (("label", "label"), ("attack_type", "type")):
        if source in texts:
            flows.put_category(name, texts[source], UNSET)
    return flows


_CIC = {  # the names of its versions, as published with CIC-IDS2017, with CSE-CIC-IDS2018, and of its Python port
    "src": ("source ip", "src ip", "src_ip"),
    "dst": ("destination ip", "dst ip", "dst_ip"),
    "src_port": ("source port", "src port", "src_port"),
    "dst_port": ("destination port", "dst port", "dst_port"),
    "protocol": ("protocol",),
    "time": ("timestamp",),
    "duration": ("flow duration", "flow_duration"),
    "packets": ("total fwd packets", "total fwd packet", "tot fwd pkts", "tot_fwd_pkts"),
    "packets_rev": ("total backward packets", "total bwd packets", "tot bwd pkts", "tot_bwd_pkts"),
    "bytes": ("total length of fwd packets", "total length of fwd packet", "totlen fwd pkts", "totlen_fwd_pkts"),
    "bytes_rev": ("total length of bwd packets", "total length of bwd packet", "totlen bwd pkts", "totlen_bwd_pkts"),
}


def cic_missing(names: list[str]) -> list[str]:
    """What a CICFlowMeter file lacks, by its first known name."""
    return [known[0] for known in _CIC.values() if not any(name in names for name in known)]


def from_cicflowmeter(texts: dict[str, pa.Array]) -> FlowColumns:
    """CICFlowMeter: both directions, durations in microseconds; bytes are those of payloads, headers not counted."""
    flows = FlowColumns()
    of = {name: next(found for found in known if found in texts) for name, known in _CIC.items()}
    flows.put("time", day_first_times(texts[of["time"]]), of["time"])
    put_five_tuple(flows, texts, *(of[name] for name in ("src", "dst", "src_port", "dst_port", "protocol")))
    flows.put("duration", nanoseconds(texts[of["duration"]], "us"), of["duration"])
    flows.unusable[f"{of['duration']} is negative"] = flows.columns["duration"] < 0
    for name in ("packets", "bytes", "packets_rev", "bytes_rev"):
        flows.put(name, counts(texts[of[name]]), of[name])
    if "label" in texts:
        flows.put_category("label", texts["label"], UNSET)
    flows.details["bytes_count"] = "payload"
    return flows


def from_argus(texts: dict[str, pa.Array]) -> FlowColumns:
    """Argus' binetflow: rtp, rtcp and udt are UDP to it; ports may be hexadecimal; a missing port is 0."""
    flows = FlowColumns()
    times = pc.replace_substring_regex(texts["starttime"], r"^(\d{4})/(\d\d)/(\d\d)[ T]?(\d\d:)", r"\1-\2-\3 \4")
    flows.put("time", date_times(times), "starttime")
    named = {**texts, "proto": _ip_protocols(texts["proto"])}
    put_five_tuple(flows, named, "srcaddr", "dstaddr", None, None, "proto")
    for name, source in (("src_port", "sport"), ("dst_port", "dport")):
        flows.put(name, any_ports(texts[source]), source)
    put_duration(flows, texts["dur"], "dur")
    total = {"packets": counts(texts["totpkts"]), "bytes": counts(texts["totbytes"])}
    for name, source in (("packets", "srcpkts"), ("bytes", "srcbytes")):
        values, readable = total[name]
        if source in texts and "srcpkts" in texts and "srcbytes" in texts:
            own, own_readable = counts(texts[source])
            flows.put(f"{name}_rev", (np.maximum(values - own, 0), readable & own_readable), source)
            values = own
        flows.put(name, (values, readable), f"tot{'pkts' if name == 'packets' else 'bytes'}")
    if "stos" in texts:
        put_tos(flows, zero_where_unset(texts["stos"]), "stos")
    if "label" in texts:
        flows.put_category("label", texts["label"], UNSET)
    return flows


def from_unsw(texts: dict[str, pa.Array]) -> FlowColumns:
    """UNSW-NB15's raw files: start in whole seconds, `label` 0 or 1, `attack_cat` the attack."""
    flows = FlowColumns()
    flows.put("time", nanoseconds(texts["stime"], "s"), "stime")
    named = {**texts, "proto": _ip_protocols(texts["proto"])}
    put_five_tuple(flows, named, "srcip", "dstip", None, None, "proto")
    for name, source in (("src_port", "sport"), ("dst_port", "dsport")):
        flows.put(name, any_ports(texts[source]), source)
    put_duration(flows, texts["dur"], "dur")
    pairs = {"packets": "spkts", "bytes": "sbytes", "packets_rev": "dpkts", "bytes_rev": "dbytes"}
    for name, source in pairs.items():
        flows.put(name, counts(texts[source]), source)
    for name, source in (("label", "label"), ("attack_type", "attack_cat")):
        if source in texts:
            flows.put_category(name, texts[source], UNSET)
    return flows


def is_ugr16(row: list[str]) -> bool:
    """Whether a row without header is UGR16's."""
    return len(row) == len(UGR16_COLUMNS) and _is_time(row[0]) and all(_is_address(text) for text in row[2:4])


def unsw_columns(row: list[str]) -> list[str] | None:
    """The columns of a row of UNSW-NB15's raw files, None where it is none. Copies lack some of the last columns: what
    stands behind the times is then not named."""
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
        number = _BASE + int(network) * 256 + int(host)
    elif text in _CIDDS_NAMES:
        number = _BASE + (10 << 24) + _CIDDS_NAMES.index(text) + 1
    else:
        return text
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
