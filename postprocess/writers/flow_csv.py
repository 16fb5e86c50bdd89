"""Write flow records as CSV in the layout they were read in: NetShare's, nfdump 1.7's, or Zeek's connection log.

Columns of a layout that the canonical trace does not know hold what the layout writes for "unset".
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from postprocess.writers.output import atomic_output
from preprocess.addresses import format_addresses
from preprocess.protocols import protocol_name
from preprocess.trace import Source, Trace

BATCH_RECORDS = 200_000
_NETSHARE_HEADER = ("srcip", "dstip", "srcport", "dstport", "proto", "ts", "td", "pkt", "byt")
_NFDUMP_HEADER = [
    "ts",
    "te",
    "td",
    "sa",
    "da",
    "sp",
    "dp",
    "pr",
    "flg",
    "fwd",
    "stos",
    "ipkt",
    "ibyt",
    "opkt",
    "obyt",
    "in",
    "out",
    "sas",
    "das",
    "smk",
    "dmk",
    "dtos",
    "dir",
    "nh",
    "nhb",
    "svln",
    "dvln",
    "ismc",
    "odmc",
    "idmc",
    "osmc",
    "mpls1",
    "mpls2",
    "mpls3",
    "mpls4",
    "mpls5",
    "mpls6",
    "mpls7",
    "mpls8",
    "mpls9",
    "mpls10",
    "cl",
    "sl",
    "al",
    "ra",
    "eng",
    "exid",
    "tr",
]
_NFDUMP_UNSET = {
    **dict.fromkeys(("nh", "nhb", "ra"), "0.0.0.0"),
    **dict.fromkeys(("ismc", "odmc", "idmc", "osmc"), "00:00:00:00:00:00"),
    **{f"mpls{number}": "0-0-0" for number in range(1, 11)},
    **dict.fromkeys(("cl", "sl", "al"), "0.000"),
    "eng": "0/0",
}
_ZEEK_HEADER = [
    "ts",
    "id.orig_h",
    "id.orig_p",
    "id.resp_h",
    "id.resp_p",
    "proto",
    "duration",
    "orig_pkts",
    "orig_ip_bytes",
    "resp_pkts",
    "resp_ip_bytes",
    "label",
    "detailed-label",
]
_ZEEK_NAMES = {6: "tcp", 17: "udp", 1: "icmp", 58: "icmp"}
_UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_FLAG_LETTERS = "CEUAPRSF"  # nfdump: CWR, ECE, URG, ACK, PSH, RST, SYN, FIN

Columns = dict[str, pa.Array]


def write_flow_csv(trace: Trace, path: Path, *, layout_name: str, source: Source | None) -> list[str]:
    """Write a flow trace; returns what the layout cannot hold, one line each.

    Args:
        layout_name: a key of `FLOW_LAYOUTS`.
        source: followed in header, delimiter, time unit and address format if its format is `layout_name`.
    """
    details: dict[str, Any] = source.details if source is not None and source.format == layout_name else {}
    convert, default_header, unset, held = FLOW_LAYOUTS[layout_name]
    header = list(details.get("header") or default_header)
    if not details and layout_name == "netshare-csv":
        header += [name for name in ("label", "type") if {"label": "label", "type": "attack_type"}[name] in trace]
    keys = [name.strip().lower() for name in header]
    options = pa_csv.WriteOptions(include_header=False, delimiter=details.get("delimiter", ","), quoting_style="needed")
    with atomic_output(path) as out:
        out.write((details.get("delimiter", ",").join(header) + "\n").encode())
        for start in range(0, len(trace), BATCH_RECORDS):
            rows = trace.take(np.arange(start, min(start + BATCH_RECORDS, len(trace))))
            made = convert(rows, details)
            empty = {name: pa.repeat(unset(name), len(rows)) for name in keys if name not in made}
            table = pa.table(
                [made.get(name, empty.get(name)) for name in keys], names=[str(i) for i in range(len(keys))]
            )
            sink = pa.BufferOutputStream()
            pa_csv.write_csv(table, sink, options)
            out.write(sink.getvalue())
    return _losses(trace, keys, details, layout_name, held)


def _netshare(trace: Trace, details: dict[str, Any]) -> Columns:
    as_integers = details.get("address_format") == "int" and not (trace["ip_version"] == 6).any()
    unit = details.get("time_unit", "us")
    names = trace["protocol"] if details.get("protocol_format") == "number" else protocol_name(trace["protocol"])
    columns: Columns = {
        "srcip": pa.array(trace["src_lo"] if as_integers else _addresses(trace, "src")),
        "dstip": pa.array(trace["dst_lo"] if as_integers else _addresses(trace, "dst")),
        "srcport": pa.array(trace["src_port"]),
        "dstport": pa.array(trace["dst_port"]),
        "proto": pa.array(names),
        "ts": _seconds_text(trace["time"], 9) if unit == "s" else pa.array(trace["time"] // _UNITS.get(unit, 1000)),
        "td": pa.array(trace["duration"] / 1e9),
        "pkt": pa.array(trace["packets"]),
        "byt": pa.array(trace["bytes"]),
    }
    header = [name.strip().lower() for name in details.get("header", ())]
    if header and "label" not in header:
        columns["type"] = _texts(trace, "label", "")
    else:
        columns |= {"label": _texts(trace, "label", ""), "type": _texts(trace, "attack_type", "")}
    return columns


def _nfdump(trace: Trace, details: dict[str, Any]) -> Columns:
    reverse = "packets_rev" in trace and "bytes_rev" in trace
    zeros = np.zeros(len(trace), dtype=np.int64)
    return {
        "ts": _date_times(trace["time"]),
        "te": _date_times(trace["time"] + trace["duration"]),
        "td": _seconds_text(trace["duration"], 3),
        "sa": pa.array(_addresses(trace, "src")),
        "da": pa.array(_addresses(trace, "dst")),
        "sp": pa.array(trace["src_port"]),
        "dp": pa.array(trace["dst_port"]),
        "pr": pa.array(protocol_name(trace["protocol"])),
        "flg": _flag_texts(trace.columns.get("tcp_flags", zeros)),
        "stos": pa.array(trace.columns.get("tos", zeros)),
        "ipkt": pa.array(trace["packets"]),
        "ibyt": pa.array(trace["bytes"]),
        "opkt": pa.array(trace["packets_rev"] if reverse else zeros),
        "obyt": pa.array(trace["bytes_rev"] if reverse else zeros),
        "tr": _date_times(trace["time"] + trace["duration"]),
    }


def _zeek(trace: Trace, details: dict[str, Any]) -> Columns:
    names = np.array([_ZEEK_NAMES.get(number, "unknown_transport") for number in range(256)], dtype=object)
    columns: Columns = {
        "ts": _seconds_text(trace["time"], 9),
        "id.orig_h": pa.array(_addresses(trace, "src")),
        "id.orig_p": pa.array(trace["src_port"]),
        "id.resp_h": pa.array(_addresses(trace, "dst")),
        "id.resp_p": pa.array(trace["dst_port"]),
        "proto": pa.array(names[trace["protocol"]]),
        "duration": _seconds_text(trace["duration"], 9),
        "orig_pkts": pa.array(trace["packets"]),
        "orig_ip_bytes": pa.array(trace["bytes"]),
        "label": _texts(trace, "label", "-"),
        "detailed-label": _texts(trace, "attack_type", "-"),
    }
    if "packets_rev" in trace and "bytes_rev" in trace:
        columns |= {"resp_pkts": pa.array(trace["packets_rev"]), "resp_ip_bytes": pa.array(trace["bytes_rev"])}
    return columns


def _losses(
    trace: Trace, keys: list[str], details: dict[str, Any], layout_name: str, held: dict[str, str]
) -> list[str]:
    named = {**held}
    if layout_name == "netshare-csv" and "label" not in keys:
        named = {**held, "label": "type", "attack_type": "label"}
    losses = [
        f"{name}: {layout_name} has no column for it"
        for name in trace
        if name in named and named[name] not in keys and np.any(trace[name])
    ]
    losses += [f"{name}: {layout_name} has no column for it" for name in trace if name not in named and name != "epoch"]
    unit = details.get("time_unit", "us") if layout_name == "netshare-csv" else "ns"
    step = {"netshare-csv": 1 if unit == "s" else _UNITS.get(unit, 1000), "nfdump-csv": _UNITS["ms"]}.get(
        layout_name, 1
    )
    if (trace["time"] % step > 0).any():
        losses.append(f"times are cut to steps of {step} nanoseconds")
    if layout_name == "nfdump-csv" and (trace["duration"] % step > 0).any():
        losses.append(f"durations are cut to steps of {step} nanoseconds")
    if layout_name == "zeek-csv" and (other := ~np.isin(trace["protocol"], list(_ZEEK_NAMES))).any():
        losses.append(f"protocol of {int(other.sum())} records: Zeek names TCP, UDP and ICMP only")
    if len(trace) and (trace["epoch"] != trace["epoch"][0]).any():
        losses.append("epoch: the layout does not say which input a record belongs to")
    return losses


def _addresses(trace: Trace, side: str) -> np.ndarray:
    return format_addresses(trace["ip_version"], trace[f"{side}_hi"], trace[f"{side}_lo"])


def _texts(trace: Trace, name: str, unset: str) -> pa.Array:
    if name not in trace:
        return pa.repeat(unset, len(trace))
    values = np.array([*trace.categories.get(name, ()), unset], dtype=object)
    return pa.array(values[trace[name]])  # the code -1 is the last entry


def _seconds_text(nanoseconds: np.ndarray, digits: int) -> pa.Array:
    """Exact decimal seconds: a float would lose nanoseconds of today's epoch."""
    seconds, rest = np.divmod(nanoseconds, 1_000_000_000)
    fraction = pc.utf8_lpad(pa.array(rest // 10 ** (9 - digits)).cast(pa.string()), digits, "0")
    return pc.binary_join_element_wise(pa.array(seconds).cast(pa.string()), fraction, ".")


def _date_times(time: np.ndarray) -> pa.Array:
    texts = np.datetime_as_string((time // _UNITS["ms"]).astype("datetime64[ms]"))
    return pc.replace_substring(pa.array(texts), "T", " ")


def _flag_texts(flags: np.ndarray) -> pa.Array:
    table = [
        "".join(letter if number >> (7 - bit) & 1 else "." for bit, letter in enumerate(_FLAG_LETTERS))
        for number in range(256)
    ]
    return pa.array(np.array(table, dtype=object)[flags.astype(np.int64) & 0xFF])


def _nfdump_unset(name: str) -> str:
    return _NFDUMP_UNSET.get(name, "0")


_COMMON = ("time", "duration", "ip_version", "src_hi", "src_lo", "dst_hi", "dst_lo", "src_port", "dst_port", "protocol")

# converter, header where the source has none, what stands for "unset", the column that holds each canonical column
FLOW_LAYOUTS: dict[
    str,
    tuple[Callable[[Trace, dict[str, Any]], Columns], Any, Callable[[str], str], dict[str, str]],
] = {
    "netshare-csv": (
        _netshare,
        _NETSHARE_HEADER,
        lambda name: "",
        {**dict.fromkeys(_COMMON, "ts"), "packets": "pkt", "bytes": "byt", "label": "label", "attack_type": "type"},
    ),
    "nfdump-csv": (
        _nfdump,
        _NFDUMP_HEADER,
        _nfdump_unset,
        {
            **dict.fromkeys(_COMMON, "ts"),
            "packets": "ipkt",
            "bytes": "ibyt",
            "packets_rev": "opkt",
            "bytes_rev": "obyt",
            "tcp_flags": "flg",
            "tos": "stos",
        },
    ),
    "zeek-csv": (
        _zeek,
        _ZEEK_HEADER,
        lambda name: "-",
        {
            **dict.fromkeys(_COMMON, "ts"),
            "packets": "orig_pkts",
            "bytes": "orig_ip_bytes",
            "packets_rev": "resp_pkts",
            "bytes_rev": "resp_ip_bytes",
            "label": "label",
            "attack_type": "detailed-label",
        },
    ),
}
