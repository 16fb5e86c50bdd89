"""The layouts of flow records that data sets and meters have: nfdump's newer CSV, TON_IoT, CICFlowMeter and Argus.

Columns that the canonical trace does not know (services, states, statistics of packets) hold what "unset" is there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from netshare.postprocess.writers.flow_layouts import (
    COMMON,
    UNITS,
    Columns,
    Layout,
    addresses,
    category_texts,
    date_times,
    dotted_icmp,
    flow_words,
    seconds_text,
)
from netshare.preprocess.protocols import protocol_name
from netshare.preprocess.trace import Trace

_NFDUMP_HEADER = flow_words(
    "firstSeen duration proto srcAddr srcPort dstAddr dstPort packets bytes bps bpp flows flags srcTos"
)
_TON_HEADER = flow_words(
    "ts src_ip src_port dst_ip dst_port proto service duration src_bytes dst_bytes conn_state missed_bytes src_pkts "
    "src_ip_bytes dst_pkts dst_ip_bytes label type"
)
_CIC_HEADER = (
    "Flow ID", "Src IP", "Src Port", "Dst IP", "Dst Port", "Protocol", "Timestamp", "Flow Duration", "Tot Fwd Pkts",
    "Tot Bwd Pkts", "TotLen Fwd Pkts", "TotLen Bwd Pkts", "Label",
)  # fmt: skip
_ARGUS_HEADER = flow_words(
    "StartTime Dur Proto SrcAddr Sport Dir DstAddr Dport State sTos dTos TotPkts TotBytes SrcPkts SrcBytes Label"
)


def _nfdump_short(trace: Trace, details: dict[str, Any]) -> Columns:
    seconds = np.maximum(trace["duration"] / UNITS["s"], 1e-3)
    return {
        "firstseen": date_times(trace["time"]),
        "duration": seconds_text(trace["duration"], 3),
        "proto": pa.array(protocol_name(trace["protocol"])),
        "srcaddr": pa.array(addresses(trace, "src")),
        "srcport": pa.array(trace["src_port"]),
        "dstaddr": pa.array(addresses(trace, "dst")),
        "dstport": dotted_icmp(trace),
        "packets": pa.array(trace["packets"]),
        "bytes": pa.array(trace["bytes"]),
        "bps": pa.array(np.where(trace["duration"] > 0, trace["bytes"] * 8 / seconds, 0).astype(np.int64)),
        "bpp": pa.array(trace["bytes"] // np.maximum(trace["packets"], 1)),
        "flows": pa.repeat("1", len(trace)),
        "flags": pa.array(_or_zeros(trace, "tcp_flags") & 0x1FF),
        "srctos": pa.array(_or_zeros(trace, "tos")),
    }


def _ton_iot(trace: Trace, details: dict[str, Any]) -> Columns:
    return {
        "ts": seconds_text(trace["time"], 9),
        "src_ip": pa.array(addresses(trace, "src")),
        "src_port": pa.array(trace["src_port"]),
        "dst_ip": pa.array(addresses(trace, "dst")),
        "dst_port": pa.array(trace["dst_port"]),
        "proto": pc.utf8_lower(pa.array(protocol_name(trace["protocol"]))),
        "duration": seconds_text(trace["duration"], 9),
        "src_pkts": pa.array(trace["packets"]),
        "src_ip_bytes": pa.array(trace["bytes"]),
        "dst_pkts": pa.array(_or_zeros(trace, "packets_rev")),
        "dst_ip_bytes": pa.array(_or_zeros(trace, "bytes_rev")),
        "label": category_texts(trace, "label", "-"),
        "type": category_texts(trace, "attack_type", "-"),
    }


def _cicflowmeter(trace: Trace, details: dict[str, Any]) -> Columns:
    year_first = np.datetime_as_string((trace["time"] // UNITS["s"]).astype("datetime64[s]"))
    stamp = pc.replace_substring_regex(pa.array(year_first), r"^(\d+)-(\d\d)-(\d\d)T", r"\3/\2/\1 ")
    ends = [pa.array(addresses(trace, side)) for side in ("src", "dst")]
    numbers = [pa.array(trace[name]).cast(pa.string()) for name in ("src_port", "dst_port", "protocol")]
    return {
        "flow id": pc.binary_join_element_wise(*ends, *numbers, "-"),
        "src ip": ends[0],
        "src port": numbers[0],
        "dst ip": ends[1],
        "dst port": numbers[1],
        "protocol": numbers[2],
        "timestamp": stamp,
        "flow duration": pa.array(trace["duration"] // UNITS["us"]),
        "tot fwd pkts": pa.array(trace["packets"]),
        "tot bwd pkts": pa.array(_or_zeros(trace, "packets_rev")),
        "totlen fwd pkts": pa.array(trace["bytes"]),
        "totlen bwd pkts": pa.array(_or_zeros(trace, "bytes_rev")),
        "label": category_texts(trace, "label", "-"),
    }


def _argus(trace: Trace, details: dict[str, Any]) -> Columns:
    dated = np.datetime_as_string((trace["time"] // UNITS["us"]).astype("datetime64[us]"))
    packets, octets = _or_zeros(trace, "packets_rev"), _or_zeros(trace, "bytes_rev")
    both = packets > 0
    return {
        "starttime": pc.replace_substring_regex(pa.array(dated), r"^(\d+)-(\d\d)-(\d\d)T", r"\1/\2/\3 "),
        "dur": seconds_text(trace["duration"], 6),
        "proto": pc.utf8_lower(pa.array(protocol_name(trace["protocol"]))),
        "srcaddr": pa.array(addresses(trace, "src")),
        "sport": pa.array(trace["src_port"]),
        "dir": pc.if_else(pa.array(both), "  <->", "   ->"),
        "dstaddr": pa.array(addresses(trace, "dst")),
        "dport": pa.array(trace["dst_port"]),
        "stos": pa.array(_or_zeros(trace, "tos")),
        "totpkts": pa.array(trace["packets"] + packets),
        "totbytes": pa.array(trace["bytes"] + octets),
        "srcpkts": pa.array(trace["packets"]),
        "srcbytes": pa.array(trace["bytes"]),
        "label": category_texts(trace, "label", "-"),
    }


def _or_zeros(trace: Trace, name: str) -> np.ndarray:
    return trace[name].astype(np.int64) if name in trace else np.zeros(len(trace), dtype=np.int64)


_TON_HELD = {
    **dict.fromkeys(COMMON, "ts"),
    "packets": "src_pkts",
    "bytes": "src_ip_bytes",
    "packets_rev": "dst_pkts",
    "bytes_rev": "dst_ip_bytes",
    "label": "label",
    "attack_type": "type",
}
_CIC_HELD = {
    **dict.fromkeys(COMMON, "timestamp"),
    "packets": "tot fwd pkts",
    "bytes": "totlen fwd pkts",
    "packets_rev": "tot bwd pkts",
    "bytes_rev": "totlen bwd pkts",
    "label": "label",
}
_ARGUS_HELD = {
    **dict.fromkeys(COMMON, "starttime"),
    "packets": "totpkts",
    "bytes": "totbytes",
    "packets_rev": "srcpkts",
    "bytes_rev": "srcbytes",
    "tos": "stos",
    "label": "label",
}
_NFDUMP_HELD = {
    **dict.fromkeys(COMMON, "firstseen"),
    "packets": "packets",
    "bytes": "bytes",
    "tcp_flags": "flags",
    "tos": "srctos",
}

DATA_SET_LAYOUTS: dict[str, Layout] = {
    "nfdump-short-csv": Layout(
        _nfdump_short, _NFDUMP_HEADER, _NFDUMP_HELD, unset=lambda name: "0", step=UNITS["ms"], duration_step=UNITS["ms"]
    ),
    "ton-iot-csv": Layout(_ton_iot, _TON_HEADER, _TON_HELD, unset=lambda name: "-"),
    "cicflowmeter-csv": Layout(
        _cicflowmeter, _CIC_HEADER, _CIC_HELD, unset=lambda name: "0", step=UNITS["s"], duration_step=UNITS["us"]
    ),
    "argus-csv": Layout(_argus, _ARGUS_HEADER, _ARGUS_HELD, step=UNITS["us"], duration_step=UNITS["us"]),
}
