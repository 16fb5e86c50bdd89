"""The canonical columns of packet and flow traces, with their types and units, and where records came from.

`netshare.preprocess.trace` makes a trace of them; every conversion to and from another form of table knows no more than
what stands here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Kind = Literal["packet", "flow"]

FIVE_TUPLE: dict[str, np.dtype] = {
    "ip_version": np.dtype(np.uint8),  # 4 or 6
    "src_hi": np.dtype(np.uint64),  # source address, upper 64 bits (0 for IPv4)
    "src_lo": np.dtype(np.uint64),  # source address, lower 64 bits
    "dst_hi": np.dtype(np.uint64),
    "dst_lo": np.dtype(np.uint64),
    "src_port": np.dtype(np.uint16),  # 0 where the protocol has no ports
    "dst_port": np.dtype(np.uint16),
    "protocol": np.dtype(np.uint8),  # IANA protocol number (for IPv6: of the upper layer)
}

PACKET_COLUMNS: dict[str, np.dtype] = {
    "time": np.dtype(np.int64),  # nanoseconds since the Unix epoch
    **FIVE_TUPLE,
    "length": np.dtype(np.uint32),  # bytes of the IP packet on the wire, IP header included
    "ttl": np.dtype(np.uint8),  # TTL (IPv4) or hop limit (IPv6)
    "tos": np.dtype(np.uint8),  # TOS (IPv4) or traffic class (IPv6)
    "ip_id": np.dtype(np.uint16),  # IPv4 identification, 0 for IPv6
    "ip_flags": np.dtype(np.uint8),  # the three IPv4 flag bits as a number: 4 reserved, 2 DF, 1 MF
    "fragment_offset": np.dtype(np.uint16),  # in units of 8 bytes (RFC 791, 3.1)
    "tcp_flags": np.dtype(np.uint16),  # nine bits NS CWR ECE URG ACK PSH RST SYN FIN; 0 where not TCP
    "tcp_window": np.dtype(np.uint16),  # as on the wire, unscaled
    "tcp_header_length": np.dtype(np.uint8),  # bytes (20 without options); 0 where not TCP
    "icmp_type": np.dtype(np.uint8),  # ICMP and ICMPv6; 0 where neither
    "icmp_code": np.dtype(np.uint8),
    "vlan": np.dtype(np.uint16),  # outermost VLAN identifier, 0 where untagged
    "epoch": np.dtype(np.uint16),  # index into Trace.sources: the measurement epoch that the record came from
}

FLOW_COLUMNS: dict[str, np.dtype] = {
    "time": np.dtype(np.int64),  # start of the flow record, nanoseconds since the Unix epoch
    "duration": np.dtype(np.int64),  # nanoseconds
    **FIVE_TUPLE,
    "packets": np.dtype(np.int64),
    "bytes": np.dtype(np.int64),
    "epoch": np.dtype(np.uint16),
}

FLOW_OPTIONAL_COLUMNS: dict[str, np.dtype] = {
    "tcp_flags": np.dtype(np.uint16),  # union over the flow's packets
    "tos": np.dtype(np.uint8),
    "packets_rev": np.dtype(np.int64),  # the reverse direction, where the source is bidirectional
    "bytes_rev": np.dtype(np.int64),
    "label": np.dtype(np.int32),  # code into categories["label"], -1 where unset
    "attack_type": np.dtype(np.int32),
}

CATEGORY_COLUMNS = ("label", "attack_type")


@dataclass(frozen=True)
class Source:
    """Where records of a trace came from: one input file, which is one measurement epoch.

    `format` is the detected format (`"pcap"`, `"pcapng"`, `"netshare-csv"`, `"nfdump-csv"`, `"parquet"`); `link_type`
    names the link layer of a capture (`"ethernet"`, `"raw"`, `"linux-sll"` ...), None for flow records. `skipped`
    counts what was left out by reason; `notes` are one-line warnings (a truncated file, for instance); `details`
    holds JSON-able facts that a writer of the same layout needs (a CSV's header, a capture's snap length).
    """

    path: str
    format: str
    records: int
    link_type: str | None = None
    skipped: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Records:
    """What a trace is made of, before it is one: `netshare.preprocess.trace.Trace` explains the fields. Columns that a
    trace of this kind must have and that are not here are zeros in it."""

    kind: Kind
    columns: dict[str, np.ndarray]
    categories: dict[str, tuple[str, ...]]
    sources: tuple[Source, ...]


def skipped_of(sources: Sequence[Source]) -> dict[str, int]:
    """Records left out at reading, by reason, over all of these sources."""
    total: dict[str, int] = {}
    for source in sources:
        for reason, count in source.skipped.items():
            total[reason] = total.get(reason, 0) + count
    return total


def required_columns(kind: Kind) -> dict[str, np.dtype]:
    """Columns that every trace of this kind has, with their types."""
    return PACKET_COLUMNS if kind == "packet" else FLOW_COLUMNS


def known_columns(kind: Kind) -> dict[str, np.dtype]:
    """Required and optional columns of this kind, with their types."""
    return PACKET_COLUMNS if kind == "packet" else {**FLOW_COLUMNS, **FLOW_OPTIONAL_COLUMNS}
