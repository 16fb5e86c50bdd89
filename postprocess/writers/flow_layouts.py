"""How each layout of flow records names and writes what the canonical trace knows.

Columns of a layout that the trace does not know hold what the layout writes for "unset".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from netshare.preprocess.addresses import format_addresses
from netshare.preprocess.protocols import ICMP, ICMPV6, protocol_name
from netshare.preprocess.trace import Trace


def flow_words(text: str) -> tuple[str, ...]:
    """The names of columns that have no blanks in them."""
    return tuple(text.split())


_NETSHARE_HEADER = ("srcip", "dstip", "srcport", "dstport", "proto", "ts", "td", "pkt", "byt")
_NFDUMP_HEADER = flow_words(
    "ts te td sa da sp dp pr flg fwd stos ipkt ibyt opkt obyt in out sas das smk dmk dtos dir nh nhb svln dvln ismc "
    "odmc idmc osmc mpls1 mpls2 mpls3 mpls4 mpls5 mpls6 mpls7 mpls8 mpls9 mpls10 cl sl al ra eng exid tr"
)
_NFDUMP_UNSET = {
    **dict.fromkeys(("nh", "nhb", "ra"), "0.0.0.0"),
    **dict.fromkeys(("ismc", "odmc", "idmc", "osmc"), "00:00:00:00:00:00"),
    **{f"mpls{number}": "0-0-0" for number in range(1, 11)},
    **dict.fromkeys(("cl", "sl", "al"), "0.000"),
    "eng": "0/0",
}
_ZEEK_HEADER = flow_words(
    "ts id.orig_h id.orig_p id.resp_h id.resp_p proto duration orig_pkts orig_ip_bytes resp_pkts resp_ip_bytes label "
    "detailed-label"
)
_ZEEK_LOG_HEADER = flow_words(
    "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration orig_bytes resp_bytes conn_state local_orig "
    "local_resp missed_bytes history orig_pkts orig_ip_bytes resp_pkts resp_ip_bytes tunnel_parents"
)
_CIDDS_HEADER = tuple(
    name.replace("_", " ")
    for name in flow_words(
        "Date_first_seen Duration Proto Src_IP_Addr Src_Pt Dst_IP_Addr Dst_Pt Packets Bytes Flows Flags Tos class "
        "attackType attackID attackDescription"
    )
)
_UGR16_HEADER = flow_words("te td sa da sp dp pr flg fwd stos pkt byt label")  # the file has no header line
ZEEK_NAMES = {6: "tcp", 17: "udp", 1: "icmp", 58: "icmp"}
UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_FLAG_LETTERS = "CEUAPRSF"  # nfdump: CWR, ECE, URG, ACK, PSH, RST, SYN, FIN

Columns = dict[str, pa.Array]


@dataclass(frozen=True)
class Layout:
    """A layout of flow records.

    columns: the layout's columns (by lower-case name) of a trace, following the details of the source that it mimics.
    header: the names of all columns, in order.
    held: the layout's column that holds each canonical column; what is not there is lost.
    unset: what stands in columns that the trace does not know.
    step, duration_step: times and durations are cut to multiples of so many nanoseconds.
    header_line: whether the file begins with one.
    """

    columns: Callable[[Trace, dict[str, Any]], Columns]
    header: tuple[str, ...]
    held: dict[str, str]
    unset: Callable[[str], str] = lambda name: ""
    step: int = 1
    duration_step: int = 1
    header_line: bool = True
    delimiter: str = ","


def _netshare(trace: Trace, details: dict[str, Any]) -> Columns:
    as_integers = details.get("address_format") == "int" and not (trace["ip_version"] == 6).any()
    unit = details.get("time_unit", "us")
    names = trace["protocol"] if details.get("protocol_format") == "number" else protocol_name(trace["protocol"])
    columns: Columns = {
        "srcip": pa.array(trace["src_lo"] if as_integers else addresses(trace, "src")),
        "dstip": pa.array(trace["dst_lo"] if as_integers else addresses(trace, "dst")),
        "srcport": pa.array(trace["src_port"]),
        "dstport": pa.array(trace["dst_port"]),
        "proto": pa.array(names),
        "ts": seconds_text(trace["time"], 9) if unit == "s" else pa.array(trace["time"] // UNITS.get(unit, 1000)),
        "td": pa.array(trace["duration"] / 1e9),
        "pkt": pa.array(trace["packets"]),
        "byt": pa.array(trace["bytes"]),
    }
    header = [name.strip().lower() for name in details.get("header", ())]
    if header and "label" not in header:
        columns["type"] = category_texts(trace, "label", "")
    else:
        columns |= {"label": category_texts(trace, "label", ""), "type": category_texts(trace, "attack_type", "")}
    return columns


def _nfdump(trace: Trace, details: dict[str, Any]) -> Columns:
    reverse = "packets_rev" in trace and "bytes_rev" in trace
    zeros = np.zeros(len(trace), dtype=np.int64)
    return {
        "ts": date_times(trace["time"]),
        "te": date_times(trace["time"] + trace["duration"]),
        "td": seconds_text(trace["duration"], 3),
        "sa": pa.array(addresses(trace, "src")),
        "da": pa.array(addresses(trace, "dst")),
        "sp": pa.array(trace["src_port"]),
        "dp": pa.array(trace["dst_port"]),
        "pr": pa.array(protocol_name(trace["protocol"])),
        "flg": _flag_texts(trace.columns.get("tcp_flags", zeros)),
        "stos": pa.array(trace.columns.get("tos", zeros)),
        "ipkt": pa.array(trace["packets"]),
        "ibyt": pa.array(trace["bytes"]),
        "opkt": pa.array(trace["packets_rev"] if reverse else zeros),
        "obyt": pa.array(trace["bytes_rev"] if reverse else zeros),
        "tr": date_times(trace["time"] + trace["duration"]),
    }


def _zeek(trace: Trace, details: dict[str, Any]) -> Columns:
    names = np.array([ZEEK_NAMES.get(number, "unknown_transport") for number in range(256)], dtype=object)
    columns: Columns = {
        "ts": seconds_text(trace["time"], 9),
        "id.orig_h": pa.array(addresses(trace, "src")),
        "id.orig_p": pa.array(trace["src_port"]),
        "id.resp_h": pa.array(addresses(trace, "dst")),
        "id.resp_p": pa.array(trace["dst_port"]),
        "proto": pa.array(names[trace["protocol"]]),
        "duration": seconds_text(trace["duration"], 9),
        "orig_pkts": pa.array(trace["packets"]),
        "orig_ip_bytes": pa.array(trace["bytes"]),
        "label": category_texts(trace, "label", "-"),
        "detailed-label": category_texts(trace, "attack_type", "-"),
    }
    if "packets_rev" in trace and "bytes_rev" in trace:
        columns |= {"resp_pkts": pa.array(trace["packets_rev"]), "resp_ip_bytes": pa.array(trace["bytes_rev"])}
    return columns


def _cidds(trace: Trace, details: dict[str, Any]) -> Columns:
    zeros = np.zeros(len(trace), dtype=np.int64)
    return {
        "date first seen": date_times(trace["time"]),
        "duration": seconds_text(trace["duration"], 3),
        "proto": pc.utf8_rpad(pa.array(protocol_name(trace["protocol"])), 5, " "),
        "src ip addr": pa.array(addresses(trace, "src")),
        "src pt": pa.array(trace["src_port"]),
        "dst ip addr": pa.array(addresses(trace, "dst")),
        "dst pt": dotted_icmp(trace),
        "packets": pa.array(trace["packets"]),
        "bytes": pa.array(trace["bytes"]),
        "flows": pa.repeat("1", len(trace)),
        "flags": _flag_texts(trace.columns.get("tcp_flags", zeros), letters=6),
        "tos": pa.array(trace.columns.get("tos", zeros)),
        "class": category_texts(trace, "label", "---"),
        "attacktype": category_texts(trace, "attack_type", "---"),
    }


def _ugr16(trace: Trace, details: dict[str, Any]) -> Columns:
    zeros = np.zeros(len(trace), dtype=np.int64)
    seconds = np.datetime_as_string(((trace["time"] + trace["duration"]) // UNITS["s"]).astype("datetime64[s]"))
    return {
        "te": pc.replace_substring(pa.array(seconds), "T", " "),
        "td": seconds_text(trace["duration"], 3),
        "sa": pa.array(addresses(trace, "src")),
        "da": pa.array(addresses(trace, "dst")),
        "sp": pa.array(trace["src_port"]),
        "dp": pa.array(trace["dst_port"]),
        "pr": pa.array(protocol_name(trace["protocol"])),
        "flg": _flag_texts(trace.columns.get("tcp_flags", zeros), letters=6),
        "stos": pa.array(trace.columns.get("tos", zeros)),
        "pkt": pa.array(trace["packets"]),
        "byt": pa.array(trace["bytes"]),
        "label": category_texts(trace, "label", "background"),
    }


def _zeek_log(trace: Trace, details: dict[str, Any]) -> Columns:
    number = pc.utf8_lpad(pa.array(np.arange(len(trace)) + details.get("first_row", 0)).cast(pa.string()), 17, "0")
    return {**_zeek(trace, details), "uid": pc.binary_join_element_wise("C", number, "")}


def addresses(trace: Trace, side: str) -> np.ndarray:
    """object[n]: texts of the addresses of a side, `src` or `dst`."""
    return format_addresses(trace["ip_version"], trace[f"{side}_hi"], trace[f"{side}_lo"])


def category_texts(trace: Trace, name: str, unset: str) -> pa.Array:
    """Texts of a column of codes, `unset` where there is none."""
    if name not in trace:
        return pa.repeat(unset, len(trace))
    values = np.array([*trace.categories.get(name, ()), unset], dtype=object)
    return pa.array(values[trace[name]])  # the code -1 is the last entry


def seconds_text(nanoseconds: np.ndarray, digits: int) -> pa.Array:
    """Exact decimal seconds: a float would lose nanoseconds of today's epoch."""
    seconds, rest = np.divmod(nanoseconds, 1_000_000_000)
    fraction = pc.utf8_lpad(pa.array(rest // 10 ** (9 - digits)).cast(pa.string()), digits, "0")
    return pc.binary_join_element_wise(pa.array(seconds).cast(pa.string()), fraction, ".")


def date_times(time: np.ndarray) -> pa.Array:
    """Texts such as `2015-09-08 14:49:59.123` of int64 ns."""
    texts = np.datetime_as_string((time // UNITS["ms"]).astype("datetime64[ms]"))
    return pc.replace_substring(pa.array(texts), "T", " ")


def _flag_texts(flags: np.ndarray, letters: int = 8) -> pa.Array:
    table = [
        "".join(letter if number >> (7 - bit) & 1 else "." for bit, letter in enumerate(_FLAG_LETTERS))[-letters:]
        for number in range(256)
    ]
    return pa.array(np.array(table, dtype=object)[flags.astype(np.int64) & 0xFF])


def _nfdump_unset(name: str) -> str:
    return _NFDUMP_UNSET.get(name, "0")


def dotted_icmp(trace: Trace) -> pa.Array:
    """Destination ports; of ICMP as `type.code`."""
    port = pa.array(trace["dst_port"]).cast(pa.string())
    icmp = np.isin(trace["protocol"], (ICMP, ICMPV6))
    if not icmp.any():
        return port
    kind, code = (pa.array(values).cast(pa.string()) for values in np.divmod(trace["dst_port"], 256))
    return pc.if_else(pa.array(icmp), pc.binary_join_element_wise(kind, code, "."), port)


COMMON = ("time", "duration", "ip_version", "src_hi", "src_lo", "dst_hi", "dst_lo", "src_port", "dst_port", "protocol")
_ZEEK_HELD = {
    **dict.fromkeys(COMMON, "ts"),
    "packets": "orig_pkts",
    "bytes": "orig_ip_bytes",
    "packets_rev": "resp_pkts",
    "bytes_rev": "resp_ip_bytes",
    "label": "label",
    "attack_type": "detailed-label",
}

FLOW_LAYOUTS: dict[str, Layout] = {
    "netshare-csv": Layout(
        _netshare,
        _NETSHARE_HEADER,
        {**dict.fromkeys(COMMON, "ts"), "packets": "pkt", "bytes": "byt", "label": "label", "attack_type": "type"},
    ),
    "nfdump-csv": Layout(
        _nfdump,
        _NFDUMP_HEADER,
        {
            **dict.fromkeys(COMMON, "ts"),
            "packets": "ipkt",
            "bytes": "ibyt",
            "packets_rev": "opkt",
            "bytes_rev": "obyt",
            "tcp_flags": "flg",
            "tos": "stos",
        },
        unset=_nfdump_unset,
        step=UNITS["ms"],
        duration_step=UNITS["ms"],
    ),
    "cidds-csv": Layout(
        _cidds,
        _CIDDS_HEADER,
        {
            **dict.fromkeys(COMMON, "date first seen"),
            "packets": "packets",
            "bytes": "bytes",
            "tcp_flags": "flags",
            "tos": "tos",
            "label": "class",
            "attack_type": "attacktype",
        },
        unset=lambda name: "---",
        step=UNITS["ms"],
        duration_step=UNITS["ms"],
    ),
    "ugr16-csv": Layout(
        _ugr16,
        _UGR16_HEADER,
        {
            **dict.fromkeys(COMMON, "te"),
            "packets": "pkt",
            "bytes": "byt",
            "tcp_flags": "flg",
            "tos": "stos",
            "label": "label",
        },
        unset=lambda name: "0",
        step=UNITS["s"],
        duration_step=UNITS["ms"],
        header_line=False,
    ),
    "zeek-csv": Layout(_zeek, _ZEEK_HEADER, _ZEEK_HELD, unset=lambda name: "-"),
    "zeek-tsv": Layout(_zeek_log, _ZEEK_LOG_HEADER, _ZEEK_HELD, unset=lambda name: "-", delimiter="\t"),
}
