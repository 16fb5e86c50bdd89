"""Repair rules for flow traces; each mends columns and says which rows broke it."""

from __future__ import annotations

import numpy as np

from netshare.postprocess import rules
from netshare.postprocess.repair_addresses import ADDRESS_RULES, PORT_PROTOCOL_RULE, VERSION_RULES, Columns, Rule
from netshare.postprocess.rules import ICMP, ICMPV6, TCP


def _ports(columns: Columns) -> np.ndarray:
    protocol = columns["protocol"]
    icmp = (protocol == ICMP) | (protocol == ICMPV6)
    without = ~rules.has_ports(protocol)
    wrong = (without & (columns["src_port"] > 0)) | (without & ~icmp & (columns["dst_port"] > 0))
    columns["src_port"] = np.where(without, 0, columns["src_port"]).astype(np.uint16)
    columns["dst_port"] = np.where(without & ~icmp, 0, columns["dst_port"]).astype(np.uint16)
    return wrong


def _packets(columns: Columns) -> np.ndarray:
    wrong = columns["packets"] < 1
    columns["packets"] = np.maximum(columns["packets"], 1)
    return wrong


def _not_negative(columns: Columns) -> np.ndarray:
    wrong = np.zeros(len(columns["time"]), dtype=bool)
    for name in ("duration", "packets", "bytes", "packets_rev", "bytes_rev"):
        if name in columns:
            wrong |= columns[name] < 0
            columns[name] = np.maximum(columns[name], 0)
    return wrong


def _bytes(columns: Columns) -> np.ndarray:
    smallest = rules.minimum_length(columns["protocol"], columns["ip_version"])
    wrong = np.zeros(len(smallest), dtype=bool)
    for counted, volume in (("packets", "bytes"), ("packets_rev", "bytes_rev")):
        if counted in columns and volume in columns:
            packets = columns[counted]
            legal = np.clip(columns[volume], packets * smallest, packets * rules.MAX_IP_LENGTH)
            wrong |= legal != columns[volume]
            columns[volume] = legal
    return wrong


def _duration(columns: Columns) -> np.ndarray:
    packets = columns["packets"] + columns.get("packets_rev", np.int64(0))
    wrong = (packets == 1) & (columns["duration"] > 0)
    columns["duration"] = np.where(wrong, 0, columns["duration"])
    return wrong


def _tcp_flags(columns: Columns) -> np.ndarray:
    if "tcp_flags" not in columns:
        return np.zeros(len(columns["time"]), dtype=bool)
    found = columns["tcp_flags"]
    legal = np.where(columns["protocol"] == TCP, found & rules.TCP_FLAG_MASK, 0).astype(np.uint16)
    columns["tcp_flags"] = legal
    return legal != found


FLOW_RULES = (
    *VERSION_RULES,
    Rule("ports", "protocols without ports have ports 0 (ICMP keeps type and code as destination port)", _ports),
    PORT_PROTOCOL_RULE,
    *ADDRESS_RULES,
    Rule("not_negative", "durations and counters are not negative", _not_negative),
    Rule("packets", "a record counts at least one packet", _packets),
    Rule("bytes", "from the protocol's smallest packet to 65,535 bytes, times packets", _bytes),
    Rule("duration", "a record of one packet lasts no time", _duration),
    Rule("tcp_flags", "TCP flags only on TCP, nine bits", _tcp_flags),
)
