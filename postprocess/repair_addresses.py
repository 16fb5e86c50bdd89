"""Repair rules on addresses and ports, which packet and flow traces share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from netshare.postprocess import rules
from netshare.postprocess.rules import ICMP, ICMPV6, TCP, UDP

Columns = dict[str, np.ndarray]

_V6_GLOBAL = np.uint64(0x2000_0000_0000_0000)  # RFC 4291, 2.4: 2000::/3 is global unicast
_DHCP_CLIENT = 68


class Rule(NamedTuple):
    """A rule: `mend` replaces offending values in a dictionary of columns and returns which rows offended."""

    name: str
    explanation: str
    mend: Callable[[Columns], np.ndarray]


def ip_version(columns: Columns) -> np.ndarray:
    """4 or 6; IPv4 addresses have no upper half and 32 bits."""
    version = columns["ip_version"]
    wrong = (version != 4) & (version != 6)
    columns["ip_version"] = np.where(wrong, 4, version).astype(np.uint8)
    four = columns["ip_version"] == 4
    for side in ("src", "dst"):
        hi, lo = columns[f"{side}_hi"], columns[f"{side}_lo"]
        excess = four & ((hi > 0) | (lo >> np.uint64(32) > 0))
        columns[f"{side}_hi"] = np.where(four, np.uint64(0), hi)
        columns[f"{side}_lo"] = np.where(four, lo & np.uint64(0xFFFFFFFF), lo)
        wrong = wrong | excess
    return wrong


def source_address(columns: Columns) -> np.ndarray:
    """RFC 1122, 3.2.1.3 and RFC 4291, 2.7: what cannot be a source. The first octet loses its high bits."""
    version, hi, lo = columns["ip_version"], columns["src_hi"], columns["src_lo"]
    octet = rules.first_octet(lo)
    four = version == 4
    client = (lo == 0) & (columns["protocol"] == UDP) & (columns["src_port"] == _DHCP_CLIENT)
    silent = (lo == 0) & (columns["protocol"] == rules.IGMP)  # RFC 3376, 4.2.13: a host without an address yet
    low = four & (octet == 0) & ~client & ~silent
    high = four & (octet >= 224)
    columns["src_lo"] = np.where(high, lo & ~(np.uint64(0x60) << np.uint64(24)), columns["src_lo"])
    columns["src_lo"] = np.where(low, lo | np.uint64(10) << np.uint64(24), columns["src_lo"])
    multicast = (version == 6) & rules.is_multicast(version, hi, lo)
    columns["src_hi"] = np.where(multicast, hi & ~(np.uint64(0xE) << np.uint64(60)) | _V6_GLOBAL, hi)
    return low | high | multicast


def destination_address(columns: Columns) -> np.ndarray:
    """RFC 1122, 3.2.1.3: nothing is sent to 0.0.0.0/8; RFC 4291, 2.5.2: nor to ::."""
    version, hi, lo = columns["ip_version"], columns["dst_hi"], columns["dst_lo"]
    low = (version == 4) & (rules.first_octet(lo) == 0)
    columns["dst_lo"] = np.where(low, lo | np.uint64(10) << np.uint64(24), lo)
    nowhere = (version == 6) & (hi == 0) & (lo == 0)
    columns["dst_lo"] = np.where(nowhere, np.uint64(1), columns["dst_lo"])
    return low | nowhere


def icmp_version(columns: Columns) -> np.ndarray:
    """ICMP belongs to IPv4 and ICMPv6 to IPv6 (RFC 792, RFC 4443)."""
    protocol, version = columns["protocol"], columns["ip_version"]
    wrong = ((protocol == ICMPV6) & (version == 4)) | ((protocol == ICMP) & (version == 6))
    columns["protocol"] = np.where(wrong, np.where(version == 6, ICMPV6, ICMP), protocol).astype(np.uint8)
    return wrong


def port_protocol(columns: Columns) -> np.ndarray:
    """A service that exists on one transport only (`PORT_RULES`) gets that transport."""
    sole = rules.sole_protocol(columns["src_port"], columns["dst_port"], columns["protocol"])
    wrong = sole > 0
    columns["protocol"] = np.where(wrong, sole, columns["protocol"]).astype(np.uint8)
    return wrong


def port_zero(columns: Columns) -> np.ndarray:
    """Port 0 is reserved (RFC 6335, 6): TCP and UDP records move to port 1, which nobody uses, unless both ports are 0
    (fragments, and what an exporter could not see)."""
    source, destination = columns["src_port"], columns["dst_port"]
    ported = (columns["protocol"] == TCP) | (columns["protocol"] == UDP)
    wrong = ported & ((source == 0) ^ (destination == 0))
    columns["src_port"] = np.where(wrong & (source == 0), 1, source).astype(np.uint16)
    columns["dst_port"] = np.where(wrong & (destination == 0), 1, destination).astype(np.uint16)
    return wrong


VERSION_RULES = (
    Rule("ip_version", "the version is 4 or 6, and an IPv4 address has 32 bits", ip_version),
    Rule("icmp_version", "ICMP only on IPv4, ICMPv6 only on IPv6", icmp_version),
)
PORT_PROTOCOL_RULE = Rule("port_protocol", "a service that exists on TCP only or UDP only runs on it", port_protocol)
PORT_ZERO_RULE = Rule("port_zero", "no TCP or UDP port is 0 unless both are; it becomes 1", port_zero)
ADDRESS_RULES = (
    Rule(
        "source_address",
        "no multicast, reserved or broadcast source; 0.0.0.0 only for DHCP clients and IGMP",
        source_address,
    ),
    Rule("destination_address", "nothing is sent to 0.0.0.0/8 or ::", destination_address),
)
